"""When a schedule is due: a time of day in a zone of people, through leap years and changes of the clock; pure.

A local time that a change of the clock leaves out is taken as much later as was left out; one that comes twice is
taken the first time. So every local day has exactly one instant.
"""

from calendar import monthrange
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from bitlinkpay.core.errors import Invalid

_LAST_WEEKDAY = 7
_LONGEST_MONTH = 31
_DAY = timedelta(days=1)


class Cadence(StrEnum):
    """How often."""

    DAILY = "daily"
    WEEKLY = "weekly"
    MONTHLY = "monthly"


@dataclass(frozen=True, slots=True)
class Schedule:
    """A time at which to settle, again and again.

    Attributes:
        at: the local time, whole minutes, without a zone.
        zone: its name in the IANA database, such as `Asia/Shanghai`.
        day: weekly 1 (Monday) to 7, monthly 1 to 31 (the last day of a shorter month), daily 0.
    """

    cadence: Cadence
    at: time
    zone: str
    day: int = 0


def check_schedule(schedule: Schedule) -> None:
    """Refuse a schedule that makes no sense.

    Raises:
        Invalid: `param` names the field.
    """
    try:
        ZoneInfo(schedule.zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise Invalid(f"no time zone {schedule.zone[:40]!r}; write one such as Asia/Shanghai", param="zone") from None
    if schedule.at.tzinfo is not None or schedule.at.second or schedule.at.microsecond:
        raise Invalid("write the time as HH:MM", param="at")
    lowest, highest = {
        Cadence.DAILY: (0, 0),
        Cadence.WEEKLY: (1, _LAST_WEEKDAY),
        Cadence.MONTHLY: (1, _LONGEST_MONTH),
    }[schedule.cadence]
    if not lowest <= schedule.day <= highest:
        raise Invalid(f"day: {schedule.cadence} takes {lowest} to {highest}", param="day")


def next_due(schedule: Schedule, after: datetime) -> datetime:
    """Return the first instant of the schedule later than `after`, in UTC."""
    zone = ZoneInfo(schedule.zone)
    for day in _days_from(after.astimezone(zone).date() - _DAY):  # a zone may jump over more than its offset
        if _is_day(schedule, day):
            due = datetime.combine(day, schedule.at, zone).astimezone(UTC)  # fold 0: the first of two, after a gap
            if due > after:
                return due
    raise AssertionError("the calendar ends")


def _days_from(first: date) -> Iterator[date]:
    day = first
    while True:
        yield day
        day += _DAY


def _is_day(schedule: Schedule, day: date) -> bool:
    match schedule.cadence:
        case Cadence.DAILY:
            return True
        case Cadence.WEEKLY:
            return day.isoweekday() == schedule.day
        case Cadence.MONTHLY:
            return day.day == min(schedule.day, monthrange(day.year, day.month)[1])
