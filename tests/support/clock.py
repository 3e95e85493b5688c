"""A clock that tests set by hand."""

from datetime import UTC, datetime, timedelta


class ManualClock:
    """Stands still until told to move."""

    def __init__(self, at: datetime = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)) -> None:
        self._at = at

    def now(self) -> datetime:
        return self._at

    def advance(self, by: timedelta) -> None:
        assert by >= timedelta(0), "use set() to go back on purpose"
        self._at += by

    def set(self, at: datetime) -> None:
        assert at.tzinfo is not None
        self._at = at
