"""The conditions of a list, put together from those that are asked for.

One statement for every question (`$1 is null or state = $1`) is planned for all of them at once, and then by no index.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from bitlinkpay.core.ids import first_uuid7

_APART: Final = timedelta(minutes=15)
"""How far the clocks of two hosts may be apart here: more than takes a host out of service (THREATS, API-46)."""


@dataclass(frozen=True, slots=True)
class Span:
    """From when to when: `since` itself counts, `until` does not; None is open.

    Attributes:
        ahead: by how much business time is ahead now of the clock that ids are made by; it never was more.
    """

    since: datetime | None = None
    until: datetime | None = None
    ahead: timedelta = timedelta(0)

    @property
    def first_id(self) -> UUID | None:
        """Return an id that is smaller than every UUIDv7 made in the span, None where it is open."""
        return first_uuid7(self.since, later=-self.ahead - _APART) if self.since else None

    @property
    def end_id(self) -> UUID | None:
        """Return an id that is larger than every UUIDv7 made in the span, None where it is open."""
        return first_uuid7(self.until, later=_APART) if self.until else None


EVER: Final = Span()


class Where:
    """Conditions that must all hold, with their values."""

    def __init__(self, condition: str, value: object) -> None:
        """Begin with one; `{}` is the place of its value."""
        self._conditions: list[str] = []
        self.values: list[object] = []
        self.add(condition, value)

    def add(self, condition: str, value: object | None) -> None:
        """Add a condition, unless its value is None: that asks for everything."""
        if value is not None:
            self._conditions.append(condition.format(self.place(value)))

    def add_span(self, column: str, span: Span) -> None:
        """Add that a time lies in a span."""
        self.add(column + " >= {}", span.since)
        self.add(column + " < {}", span.until)

    def add_ids(self, column: str, span: Span) -> None:
        """Add that a UUIDv7 was made about then: no condition more, but what an index of ids is entered by."""
        self.add(column + " >= {}", span.first_id)
        self.add(column + " < {}", span.end_id)

    def place(self, value: object) -> str:
        """Return the place of a value, such as `$3`."""
        self.values.append(value)
        return f"${len(self.values)}"

    def __str__(self) -> str:
        """Return the conditions as SQL."""
        return " and ".join(self._conditions)
