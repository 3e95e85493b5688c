"""What a failed statement means."""

import asyncpg
import pytest
from asyncpg.exceptions import InterfaceError, InternalClientError, PostgresError

from bitlinkpay.db.failures import Failure, classify, failure_at_commit, one_line

CASES = [
    (asyncpg.SerializationError("40001"), Failure.RERUN),
    (asyncpg.DeadlockDetectedError("40P01"), Failure.RERUN),
    (asyncpg.InvalidCachedStatementError("schema changed"), Failure.RERUN),
    (asyncpg.ConnectionDoesNotExistError("closed in the middle"), Failure.LOST),
    (asyncpg.AdminShutdownError("57P01"), Failure.LOST),
    (asyncpg.CrashShutdownError("57P02"), Failure.LOST),
    (asyncpg.CannotConnectNowError("57P03"), Failure.LOST),
    (asyncpg.IdleInTransactionSessionTimeoutError("25P03"), Failure.LOST),
    (ConnectionResetError(), Failure.LOST),
    (BrokenPipeError(), Failure.LOST),
    (InternalClientError("another operation is in progress"), Failure.LOST),
    (asyncpg.LockNotAvailableError("55P03"), Failure.BUSY),
    (asyncpg.QueryCanceledError("57014"), Failure.BUSY),
    (asyncpg.DiskFullError("53100"), Failure.BUSY),
    (asyncpg.TooManyConnectionsError("53300"), Failure.BUSY),
    (asyncpg.UniqueViolationError("23505"), Failure.FINAL),
    (asyncpg.CheckViolationError("23514"), Failure.FINAL),
    (asyncpg.InsufficientPrivilegeError("42501"), Failure.FINAL),
    (asyncpg.ReadOnlySQLTransactionError("25006"), Failure.FINAL),
    (InterfaceError("another operation is in progress"), Failure.FINAL),
    (ValueError("ours"), Failure.FINAL),
    (OSError("not of a connection"), Failure.FINAL),
    (TimeoutError(), Failure.BUSY),
]


@pytest.mark.parametrize(
    ("error", "meaning"), CASES, ids=lambda value: type(value).__name__ if isinstance(value, Exception) else ""
)
def test_on_a_living_connection(error: Exception, meaning: Failure):
    assert classify(error, is_closed=False) is meaning


@pytest.mark.parametrize(
    "error",
    [InterfaceError("connection is closed"), PostgresError("x"), OSError("x"), asyncpg.UniqueViolationError("x")],
)
def test_a_closed_connection_is_lost_whatever_was_said(error: Exception):
    assert classify(error, is_closed=True) is Failure.LOST


def test_our_own_errors_stay_ours_on_a_closed_connection():
    assert classify(ValueError("ours"), is_closed=True) is Failure.FINAL


def answer(sqlstate: str, severity: str) -> PostgresError:
    error: PostgresError = PostgresError.new({"S": severity, "V": severity, "C": sqlstate, "M": "said the server"})
    return error


@pytest.mark.parametrize(
    ("sqlstate", "meaning"),
    [
        ("40001", Failure.RERUN),
        ("40P01", Failure.RERUN),
        ("57014", Failure.BUSY),
        ("23505", Failure.FINAL),
        ("53100", Failure.BUSY),
    ],
)
def test_an_error_answered_to_commit_is_a_definite_no(sqlstate: str, meaning: Failure):
    assert failure_at_commit(answer(sqlstate, "ERROR")) is meaning


@pytest.mark.parametrize(
    "error",
    [
        answer("57P01", "FATAL"),
        answer("57P02", "FATAL"),
        answer("XX000", "PANIC"),
        answer("08007", "ERROR"),
        answer("40003", "ERROR"),
        asyncpg.ConnectionDoesNotExistError("closed in the middle"),
        asyncpg.SerializationError("without a severity nobody answered"),
        InterfaceError("x"),
        ConnectionResetError(),
        TimeoutError(),
        InternalClientError("x"),
    ],
    ids=repr,
)
def test_anything_else_at_commit_says_nothing(error: Exception):
    assert failure_at_commit(error) is Failure.UNKNOWN


def test_an_error_is_one_line_and_one_without_words_is_named():
    assert one_line(asyncpg.DiskFullError("no room\nmake some")) == "no room; make some"
    assert one_line(TimeoutError()) == "no answer in time"
    assert one_line(OSError()) == "OSError"
