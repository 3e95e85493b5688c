"""Schedules in zones that do unusual things with their clocks: gaps at midnight, two hours at once, winter as an exception."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitlinkpay.core.errors import Invalid
from bitlinkpay.settlements.rules.schedule import Cadence, Schedule, check_schedule, next_due

UNUSUAL = (
    "Africa/Cairo",  # its gap begins at midnight: 00:00 does not exist
    "Africa/Casablanca",  # an hour back for Ramadan, twice a year by the moon
    "America/Havana",
    "America/Nuuk",  # its gap ends at midnight: what is left out falls on the next day
    "America/Santiago",
    "America/St_Johns",  # 3:30 hours behind
    "Antarctica/Troll",  # two hours at once
    "Asia/Beirut",
    "Asia/Gaza",
    "Asia/Tehran",
    "Etc/GMT+12",  # the last day on Earth
    "Europe/Dublin",  # winter is the exception there
    "Pacific/Chatham",  # 12:45 and 13:45 hours ahead
    "Pacific/Kiritimati",  # the first
)
MINUTES = st.integers(0, 1439).map(lambda minute: time(*divmod(minute, 60)))
MOMENTS = st.datetimes(datetime(2021, 1, 1), datetime(2034, 1, 1), timezones=st.just(UTC))


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def dues(schedule: Schedule, after: datetime, count: int) -> list[datetime]:
    found: list[datetime] = []
    for _ in range(count):
        found.append(next_due(schedule, found[-1] if found else after))
    return found


def wall(due: datetime, zone: str) -> datetime:
    """Return what the clocks there show, with no zone to it."""
    return due.astimezone(ZoneInfo(zone)).replace(tzinfo=None)


def shows(planned: datetime, zone: str, near: datetime) -> list[datetime]:
    """Return every instant at which the clocks there show a time: none in a gap, two where an hour comes twice."""
    around = [(near + timedelta(days=off)).astimezone(ZoneInfo(zone)).utcoffset() for off in (-1, 1)]
    instants = {planned.replace(tzinfo=UTC) - offset for offset in around if offset is not None}
    return sorted(instant for instant in instants if wall(instant, zone) == planned)


@given(st.sampled_from(UNUSUAL), MINUTES, MOMENTS)
def test_the_clocks_there_show_the_time_or_it_does_not_exist_that_day(zone: str, at: time, after: datetime) -> None:
    due = next_due(Schedule(Cadence.DAILY, at, zone), after)
    shown = wall(due, zone)
    planned = datetime.combine(shown.date(), at)
    if shown != planned:
        planned -= timedelta(days=1) if planned > shown else timedelta(0)  # the gap ended at midnight
    exact = shows(planned, zone, due)
    if exact:
        assert due == exact[0], "the first time, where it comes twice"
    else:
        gap = due.astimezone(ZoneInfo(zone)).utcoffset() - (due - timedelta(days=1)).astimezone(ZoneInfo(zone)).utcoffset()  # type: ignore[operator]  # fmt: skip
        assert shown - planned == gap > timedelta(0), "as much later as the clocks left out"


@given(st.sampled_from(UNUSUAL), MINUTES, st.integers(1, 7), MOMENTS)
def test_a_weekly_run_is_on_its_weekday_and_never_more_than_a_week_and_a_gap_away(
    zone: str, at: time, day: int, after: datetime
) -> None:
    first, second = dues(Schedule(Cadence.WEEKLY, at, zone, day), after, 2)
    assert abs(second - first - timedelta(days=7)) <= timedelta(hours=2)
    assert first - after <= timedelta(days=7, hours=2)
    shown = wall(first, zone)
    assert shown.isoweekday() == day or (shown.time() != at and (shown - timedelta(hours=2)).isoweekday() == day)


@given(st.sampled_from(UNUSUAL), st.integers(1, 31), MOMENTS)
def test_every_month_has_one_run_on_its_day_or_on_its_last(zone: str, day: int, after: datetime) -> None:
    at_noon = Schedule(Cadence.MONTHLY, time(12), zone, day)  # no clock is changed at noon
    found = [wall(due, zone) for due in dues(at_noon, after, 14)]
    months = [one.year * 12 + one.month for one in found]
    assert months == list(range(months[0], months[0] + 14))
    for one in found:
        is_last = (one + timedelta(days=1)).month != one.month
        assert one.day == day or (is_last and one.day < day)


@given(st.sampled_from(UNUSUAL), st.sampled_from(Cadence), MINUTES, MOMENTS, st.timedeltas(timedelta(0), timedelta(40)))
def test_who_asks_later_never_hears_of_an_earlier_run(
    zone: str, cadence: Cadence, at: time, after: datetime, later: timedelta
) -> None:
    schedule = Schedule(cadence, at, zone, 0 if cadence is Cadence.DAILY else 5)
    assert next_due(schedule, after) <= next_due(schedule, after + later)


@given(st.sampled_from(UNUSUAL), MINUTES, MOMENTS, st.integers(-14 * 60, 14 * 60))
def test_it_does_not_matter_in_which_zone_somebody_asks(zone: str, at: time, after: datetime, minutes: int) -> None:
    daily, abroad = Schedule(Cadence.DAILY, at, zone), ZoneInfo("Pacific/Auckland")
    elsewhere = after.astimezone(abroad) + timedelta(minutes=minutes)
    assert next_due(daily, elsewhere) == next_due(daily, elsewhere.astimezone(UTC))


def test_midnight_that_does_not_exist_is_one_o_clock() -> None:
    """Cairo, 2026-04-24: 00:00 to 01:00 is left out."""
    midnight = Schedule(Cadence.DAILY, time(0), "Africa/Cairo")
    found = dues(midnight, utc("2026-04-22 12:00"), 3)
    assert found == [utc("2026-04-22 22:00"), utc("2026-04-23 22:00"), utc("2026-04-24 21:00")]
    assert [str(wall(due, midnight.zone)) for due in found[1:]] == ["2026-04-24 01:00:00", "2026-04-25 00:00:00"]


def test_what_a_gap_before_midnight_leaves_out_comes_after_midnight_and_is_not_lost() -> None:
    """Nuuk, 2026-03-28: 23:00 to 24:00 is left out, so that 23:30 comes at 00:30; whoever asks at 00:10 still hears it."""
    late = Schedule(Cadence.DAILY, time(23, 30), "America/Nuuk")
    found = dues(late, utc("2026-03-27 12:00"), 3)
    assert [str(wall(due, late.zone)) for due in found] == [
        "2026-03-27 23:30:00", "2026-03-29 00:30:00", "2026-03-29 23:30:00",
    ]  # fmt: skip
    assert str(wall(utc("2026-03-29 01:10"), late.zone)) == "2026-03-29 00:10:00"
    assert next_due(late, utc("2026-03-29 01:10")) == found[1]
    weekly = Schedule(Cadence.WEEKLY, time(23, 30), "America/Nuuk", 6)
    assert next_due(weekly, utc("2026-03-29 01:10")) == found[1], "it is Saturday's run, on Sunday"


def test_two_hours_at_once_are_two_hours_later() -> None:
    """Troll station, 2026-03-29: from 01:00 to 03:00."""
    daily = Schedule(Cadence.DAILY, time(1, 59), "Antarctica/Troll")
    assert next_due(daily, utc("2026-03-29 00:00")) == utc("2026-03-29 01:59")
    assert str(wall(utc("2026-03-29 01:59"), daily.zone)) == "2026-03-29 03:59:00"
    assert next_due(daily, utc("2026-03-29 01:59")) == utc("2026-03-29 23:59")


def test_the_first_and_the_last_of_a_day_are_a_day_apart_from_each_other() -> None:
    """While it is 12:00 UTC on the first, the second has begun on Kiritimati and the first has just begun behind it."""
    ahead, behind = (Schedule(Cadence.MONTHLY, time(0), zone, 1) for zone in ("Pacific/Kiritimati", "Etc/GMT+12"))
    assert next_due(ahead, utc("2026-05-31 00:00")) == utc("2026-05-31 10:00")
    assert next_due(behind, utc("2026-05-31 00:00")) == utc("2026-06-01 12:00")


def test_the_29th_of_february_is_the_28th_in_other_years() -> None:
    leap = Schedule(Cadence.MONTHLY, time(12), "UTC", 29)
    assert [due.date() for due in dues(leap, utc("2027-01-30 00:00"), 2)] == [date(2027, 2, 28), date(2027, 3, 29)]
    assert next_due(leap, utc("2028-02-01 00:00")).date() == date(2028, 2, 29)
    assert next_due(leap, utc("2100-02-01 00:00")).date() == date(2100, 2, 28), "2100 is no leap year"


@pytest.mark.parametrize(
    ("schedule", "param", "words"),
    [
        (Schedule(Cadence.DAILY, time(8), "Asia/Atlantis"), "zone", "no time zone 'Asia/Atlantis'; write one such as"),
        (Schedule(Cadence.DAILY, time(8), "x" * 900), "zone", f"no time zone '{'x' * 40}'; write"),
        (Schedule(Cadence.DAILY, time(8), "Europe/Ber\0lin"), "zone", "write one such as Asia/Shanghai"),
        (Schedule(Cadence.DAILY, time(8), "/etc/localtime"), "zone", "write one such as Asia/Shanghai"),
        (Schedule(Cadence.DAILY, time(8, 0, 59), "UTC"), "at", "write the time as HH:MM"),
        (Schedule(Cadence.DAILY, time(8, 0, 0, 1), "UTC"), "at", "write the time as HH:MM"),
        (Schedule(Cadence.DAILY, time.max, "UTC"), "at", "write the time as HH:MM"),
        (Schedule(Cadence.DAILY, time(8), "UTC", -1), "day", "day: daily takes 0 to 0"),
        (Schedule(Cadence.WEEKLY, time(8), "UTC", 0), "day", "day: weekly takes 1 to 7"),
        (Schedule(Cadence.WEEKLY, time(8), "UTC", -1), "day", "day: weekly takes 1 to 7"),
        (Schedule(Cadence.MONTHLY, time(8), "UTC", 32), "day", "day: monthly takes 1 to 31"),
        (Schedule(Cadence.MONTHLY, time(8), "UTC", -3), "day", "day: monthly takes 1 to 31"),
    ],
)
def test_a_refusal_names_the_field_and_says_what_to_write(schedule: Schedule, param: str, words: str) -> None:
    with pytest.raises(Invalid) as refused:
        check_schedule(schedule)
    assert refused.value.param == param
    assert words in refused.value.message
    assert len(refused.value.message) < 120


@pytest.mark.parametrize(
    ("cadence", "days"), [(Cadence.DAILY, [0]), (Cadence.WEEKLY, [1, 7]), (Cadence.MONTHLY, [1, 28, 31])]
)
def test_both_ends_of_what_a_cadence_takes_are_taken(cadence: Cadence, days: list[int]) -> None:
    for day in days:
        for at in (time(0), time(23, 59)):
            check_schedule(Schedule(cadence, at, "America/Argentina/Buenos_Aires", day))
