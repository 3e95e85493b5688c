"""What a failed statement means for the unit of work it was part of."""

from enum import Enum, auto

import asyncpg
from asyncpg.exceptions import InterfaceError, InternalClientError, OutdatedSchemaCacheError, PostgresError


class Failure(Enum):
    """The closed set of meanings."""

    RERUN = auto()  # the server undid the transaction and another try may succeed
    LOST = auto()  # the connection is gone and the transaction with it; reconnect and try again
    BUSY = auto()  # a limit of time or room was hit, ours for an answer too; trying again at once makes it worse
    UNKNOWN = auto()  # the connection went away while COMMIT was under way
    FINAL = auto()  # anything else


_RERUN = (
    asyncpg.SerializationError,
    asyncpg.DeadlockDetectedError,
    # A migration changed a table under a prepared statement; the driver has dropped its cache by now.
    asyncpg.InvalidCachedStatementError,
    OutdatedSchemaCacheError,
)
_LOST = (
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.CannotConnectNowError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    ConnectionError,
    InternalClientError,  # the server said goodbye while nothing was asked, and the driver lost its place
)
_BUSY = (
    asyncpg.LockNotAvailableError,
    asyncpg.QueryCanceledError,
    asyncpg.InsufficientResourcesError,  # disk full, out of memory, too many connections
)
DRIVER_ERRORS = (PostgresError, InterfaceError, InternalClientError, OSError)
_DOUBTFUL_AT_COMMIT = ("08007", "40003")


def classify(error: BaseException, *, is_closed: bool) -> Failure:
    """Say what an error means that came before COMMIT was sent; `is_closed` tells whether the connection is gone."""
    if isinstance(error, _RERUN):
        return Failure.RERUN
    if isinstance(error, _LOST):
        return Failure.LOST
    if isinstance(error, _BUSY):
        return Failure.BUSY
    if is_closed and isinstance(error, PostgresError | InterfaceError | OSError):
        return Failure.LOST
    if isinstance(error, TimeoutError):
        return Failure.BUSY
    return Failure.FINAL


def failure_at_commit(error: BaseException) -> Failure:
    """Say what an error means that came after COMMIT was sent.

    An ERROR of the server is a definite no (a deferred constraint, a serialization failure). A FATAL or a broken
    connection says nothing.
    """
    is_answer = isinstance(error, PostgresError) and getattr(error, "severity_en", None) == "ERROR"
    if is_answer and getattr(error, "sqlstate", "") not in _DOUBTFUL_AT_COMMIT:
        return classify(error, is_closed=False)
    return Failure.UNKNOWN


def one_line(error: BaseException) -> str:
    """Return what an error says, for a log of one record a line: the driver breaks it before detail and hint."""
    unsaid = "no answer in time" if isinstance(error, TimeoutError) else type(error).__name__
    return "; ".join(str(error).splitlines()) or unsaid
