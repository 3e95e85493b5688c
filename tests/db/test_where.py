"""Conditions of lists: only those that are asked for, each value at its place, and ids that a time is entered by."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitlinkpay.core.ids import first_uuid7, new_uuid7
from bitlinkpay.db.where import EVER, Span, Where

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
APART = timedelta(minutes=15)
MOMENTS = st.datetimes(datetime(1970, 1, 1), datetime(9999, 12, 31), timezones=st.just(UTC))


def test_what_nobody_asks_for_is_no_condition() -> None:
    where = Where("merchant_id = {}", "m")
    where.add("state = {}", None)
    where.add_span("created_at", EVER)
    where.add_ids("payin_id", EVER)
    assert (str(where), where.values) == ("merchant_id = $1", ["m"])


def test_every_value_stands_at_the_place_that_names_it() -> None:
    where = Where("merchant_id = {}", "m")
    where.add("state = {}", "paid")
    where.add_span("created_at", Span(since=NOON))
    where.add("payin_id < {}", 0)
    assert (where.place(51), where.place(100)) == ("$5", "$6")
    assert str(where) == "merchant_id = $1 and state = $2 and created_at >= $3 and payin_id < $4"
    assert where.values == ["m", "paid", NOON, 0, 51, 100]


def test_a_span_narrows_the_ids_as_far_as_clocks_agree() -> None:
    where = Where("m = {}", 1)
    where.add_ids("id", Span(NOON, NOON + HOUR, ahead=2 * HOUR))
    assert str(where) == "m = $1 and id >= $2 and id < $3"
    assert where.values[1:] == [first_uuid7(NOON - 2 * HOUR - APART), first_uuid7(NOON + HOUR + APART)]


@given(
    MOMENTS, st.timedeltas(timedelta(0), timedelta(days=3650)), st.timedeltas(-APART, APART - timedelta(milliseconds=1))
)
def test_whatever_was_made_in_a_span_has_an_id_within_it(at: datetime, ahead: timedelta, apart: timedelta) -> None:
    """Made when business time was `at`, by a clock that was behind it by up to `ahead` and off by less than a quarter of an hour."""
    made = first_uuid7(at, later=apart - ahead)
    span = Span(at, at + timedelta(microseconds=1), ahead)
    assert span.first_id is not None
    assert span.end_id is not None
    assert span.first_id <= made < span.end_id


@given(MOMENTS)
def test_the_first_id_of_a_moment_is_no_larger_than_any_made_then(at: datetime) -> None:
    first, last = first_uuid7(at), first_uuid7(at, later=timedelta(milliseconds=1))
    assert (first.version, first.variant) == (7, "specified in RFC 4122")
    assert first < UUID(int=first.int | (2**62 - 1)) < last or last == first


def test_an_id_that_is_made_now_lies_between_this_moments_first_and_the_next_seconds() -> None:
    before = first_uuid7(datetime.now(UTC))
    made = new_uuid7()
    assert before <= made < first_uuid7(datetime.now(UTC), later=timedelta(seconds=1))


@pytest.mark.parametrize("at", [datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)])
def test_the_ends_of_the_calendar_have_ids_too(at: datetime) -> None:
    span = Span(at, at, timedelta(days=3650))
    assert span.first_id is not None
    assert span.end_id is not None
    assert UUID(int=0) < span.first_id <= span.end_id
