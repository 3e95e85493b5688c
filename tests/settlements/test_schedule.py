"""When schedules are due: every local day once, through gaps and overlaps of the clock, short months and leap years."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitlinkpay.core.errors import Invalid
from bitlinkpay.settlements.rules.schedule import Cadence, Schedule, check_schedule, next_due

BERLIN, SHANGHAI, NEW_YORK = "Europe/Berlin", "Asia/Shanghai", "America/New_York"
ZONES = (
    "UTC",
    BERLIN,
    SHANGHAI,
    NEW_YORK,
    "Australia/Lord_Howe",
    "Asia/Kathmandu",
    "Pacific/Apia",
    "America/Sao_Paulo",
)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def local(schedule: Schedule, due: datetime) -> str:
    return due.astimezone(ZoneInfo(schedule.zone)).strftime("%Y-%m-%d %H:%M")


def run(schedule: Schedule, after: datetime, count: int) -> list[datetime]:
    found = []
    for _ in range(count):
        after = next_due(schedule, after)
        found.append(after)
    return found


def test_a_day_begins_where_the_merchant_is() -> None:
    daily = Schedule(Cadence.DAILY, time(0, 30), SHANGHAI)
    assert next_due(daily, utc("2026-03-01 16:00")) == utc("2026-03-01 16:30")
    assert next_due(daily, utc("2026-03-01 16:30")) == utc("2026-03-02 16:30"), "later than, not at"
    assert next_due(daily, utc("2026-03-01 16:29:59.999999")) == utc("2026-03-01 16:30")


def test_a_time_that_the_clock_leaves_out_is_due_once_just_after_the_gap() -> None:
    """Berlin, 2026-03-29: 02:00 to 03:00 does not exist."""
    daily = Schedule(Cadence.DAILY, time(2, 30), BERLIN)
    dues = run(daily, utc("2026-03-27 12:00"), 4)
    assert [local(daily, due) for due in dues] == [
        "2026-03-28 02:30", "2026-03-29 03:30", "2026-03-30 02:30", "2026-03-31 02:30",
    ]  # fmt: skip
    assert dues[1] == utc("2026-03-29 01:30")
    assert next_due(daily, utc("2026-03-29 01:30")) == utc("2026-03-30 00:30")


def test_a_time_that_comes_twice_is_due_the_first_time_only() -> None:
    """Berlin, 2026-10-25: 02:00 to 03:00 comes twice, first at UTC+2."""
    daily = Schedule(Cadence.DAILY, time(2, 30), BERLIN)
    dues = run(daily, utc("2026-10-24 12:00"), 2)
    assert dues == [utc("2026-10-25 00:30"), utc("2026-10-26 01:30")]
    for between in ("2026-10-25 00:45", "2026-10-25 01:29", "2026-10-25 01:30", "2026-10-25 01:45"):
        assert next_due(daily, utc(between)) == utc("2026-10-26 01:30")


def test_the_gap_and_the_overlap_of_another_continent() -> None:
    daily = Schedule(Cadence.DAILY, time(1, 30), NEW_YORK)
    assert run(daily, utc("2026-10-31 12:00"), 2) == [utc("2026-11-01 05:30"), utc("2026-11-02 06:30")]
    early = Schedule(Cadence.DAILY, time(2, 0), NEW_YORK)
    assert run(early, utc("2026-03-07 12:00"), 2) == [utc("2026-03-08 07:00"), utc("2026-03-09 06:00")]


def test_half_an_hour_is_a_gap_too() -> None:
    """Lord Howe Island, 2026-10-04: 02:00 to 02:30 does not exist."""
    daily = Schedule(Cadence.DAILY, time(2, 15), "Australia/Lord_Howe")
    assert [local(daily, due) for due in run(daily, utc("2026-10-02 20:00"), 2)] == [
        "2026-10-04 02:45",
        "2026-10-05 02:15",
    ]


def test_a_day_that_a_zone_leaves_out_is_no_second_run_of_the_next() -> None:
    """Samoa had no 2011-12-30."""
    daily = Schedule(Cadence.DAILY, time(10, 0), "Pacific/Apia")
    dues = run(daily, datetime(2011, 12, 29, 0, tzinfo=UTC), 3)
    assert [local(daily, due) for due in dues] == ["2011-12-29 10:00", "2011-12-31 10:00", "2012-01-01 10:00"]


def test_a_week_begins_on_monday() -> None:
    for day, expected in enumerate(range(2, 9), start=1):  # 2026-03-02 is a Monday
        weekly = Schedule(Cadence.WEEKLY, time(8, 0), SHANGHAI, day)
        assert local(weekly, next_due(weekly, utc("2026-03-01 12:00"))) == f"2026-03-{expected:02} 08:00"
        assert next_due(weekly, next_due(weekly, utc("2026-03-01 12:00"))) - next_due(
            weekly, utc("2026-03-01 12:00")
        ) == timedelta(days=7)


def test_a_month_that_is_too_short_ends_on_its_last_day() -> None:
    monthly = Schedule(Cadence.MONTHLY, time(23, 59), BERLIN, 31)
    dues = run(monthly, utc("2027-12-31 23:00"), 5)
    assert [local(monthly, due)[:10] for due in dues] == [
        "2028-01-31", "2028-02-29", "2028-03-31", "2028-04-30", "2028-05-31",
    ]  # fmt: skip
    thirtieth = Schedule(Cadence.MONTHLY, time(0, 0), BERLIN, 30)
    assert local(thirtieth, next_due(thirtieth, utc("2027-02-01 00:00"))) == "2027-02-28 00:00"


@pytest.mark.parametrize(
    "schedule",
    [
        Schedule(Cadence.DAILY, time(8, 0), "Asia/Atlantis"),
        Schedule(Cadence.DAILY, time(8, 0), ""),
        Schedule(Cadence.DAILY, time(8, 0), "../../etc/passwd"),
        Schedule(Cadence.DAILY, time(8, 0), "America"),
        Schedule(Cadence.DAILY, time(8, 0, 1), BERLIN),
        Schedule(Cadence.DAILY, time(8, 0, tzinfo=UTC), BERLIN),
        Schedule(Cadence.DAILY, time(8, 0), BERLIN, 1),
        Schedule(Cadence.WEEKLY, time(8, 0), BERLIN, 0),
        Schedule(Cadence.WEEKLY, time(8, 0), BERLIN, 8),
        Schedule(Cadence.MONTHLY, time(8, 0), BERLIN, 32),
        Schedule(Cadence.MONTHLY, time(8, 0), BERLIN, 0),
    ],
)
def test_a_schedule_that_makes_no_sense_is_refused(schedule: Schedule) -> None:
    with pytest.raises(Invalid):
        check_schedule(schedule)


schedules = st.one_of(
    st.builds(
        Schedule,
        st.just(Cadence.DAILY),
        st.times().map(lambda at: at.replace(second=0, microsecond=0)),
        st.sampled_from(ZONES),
    ),
    st.builds(
        Schedule,
        st.just(Cadence.WEEKLY),
        st.times().map(lambda at: at.replace(second=0, microsecond=0)),
        st.sampled_from(ZONES),
        st.integers(1, 7),
    ),
    st.builds(
        Schedule,
        st.just(Cadence.MONTHLY),
        st.times().map(lambda at: at.replace(second=0, microsecond=0)),
        st.sampled_from(ZONES),
        st.integers(1, 31),
    ),
)
moments = st.datetimes(datetime(2020, 1, 1), datetime(2035, 1, 1), timezones=st.just(UTC))


@given(schedules, moments)
def test_the_next_instant_is_later_and_nothing_of_the_schedule_lies_between(
    schedule: Schedule, after: datetime
) -> None:
    check_schedule(schedule)
    due = next_due(schedule, after)
    assert after < due
    assert due.tzinfo is UTC
    assert (
        due - after
        <= {"daily": timedelta(days=2), "weekly": timedelta(days=8), "monthly": timedelta(days=32)}[schedule.cadence]
    )
    for back in (timedelta(microseconds=1), timedelta(minutes=30), timedelta(hours=1), timedelta(hours=23)):
        if due - back > after:
            assert next_due(schedule, due - back) == due, "whoever asks in between hears the same"


@given(st.sampled_from(ZONES), st.integers(0, 1439), st.dates(date(2024, 1, 1), date(2030, 1, 1)))
def test_every_local_day_has_exactly_one_run(zone: str, minute: int, first: date) -> None:
    daily = Schedule(Cadence.DAILY, time(*divmod(minute, 60)), zone)
    start = datetime.combine(first, time(0), ZoneInfo(zone)).astimezone(UTC) - timedelta(microseconds=1)
    days = [due.astimezone(ZoneInfo(zone)).date() for due in run(daily, start, 40)]
    assert days == sorted(set(days))
    assert (days[-1] - days[0]).days == 39
