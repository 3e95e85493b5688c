"""Sums over the last hour and day, in minutes: what was taken counts for its whole window and up to a minute longer."""

from collections import deque
from datetime import datetime, timedelta
from typing import Final

_MINUTE: Final = timedelta(minutes=1)


class Windows:
    """Units by key (an asset, or the fees of a network) and minute."""

    def __init__(self, longest: timedelta) -> None:
        self._longest = longest
        self._minutes: dict[str, deque[tuple[int, int]]] = {}

    def take(self, key: str, units: int, at: datetime) -> None:
        """Add units to a key; `at` never falls."""
        minutes = self._minutes.setdefault(key, deque())
        minute = _minute(at)
        if minutes and minutes[-1][0] >= minute:
            minute, before = minutes.pop()
            units += before
        minutes.append((minute, units))
        while minutes[0][0] < minute - self._longest // _MINUTE:
            minutes.popleft()

    def spent(self, key: str, window: timedelta, now: datetime) -> int:
        """Return the units that a key took in the last `window`."""
        oldest = _minute(now) - window // _MINUTE
        return sum(units for minute, units in self._minutes.get(key, ()) if minute >= oldest)

    def keys(self) -> list[str]:
        """Return the keys that took anything, sorted."""
        return sorted(self._minutes)


def _minute(at: datetime) -> int:
    return int(at.timestamp()) // 60
