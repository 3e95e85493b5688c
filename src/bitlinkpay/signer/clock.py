"""The signer's own clock: wall time that is held against a steady one, so that nobody stretches expiry or caps."""

import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

from bitlinkpay.signer.problems import ClockJumped

MOST_DRIFT: Final = timedelta(seconds=2)


def steady() -> float:
    """Return seconds that nobody can set; on Linux they count while the machine sleeps, too."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if sys.platform == "linux" else time.monotonic()


class GuardedClock:
    """Wall time as long as it goes on as steadily as it began."""

    def __init__(self, wall: Callable[[], float] = time.time, steady: Callable[[], float] = steady) -> None:
        self._wall = wall
        self._steady = steady
        _, self._least, self._most = self._read()

    def now(self) -> datetime:
        """Return the wall time.

        Raises:
            ClockJumped: it was set by more than 2 seconds since the start.
        """
        wall, least, most = self._read()
        drift = max(least - self._most, self._least - most)
        if drift > MOST_DRIFT.total_seconds():
            raise ClockJumped(round(least - self._least))
        return datetime.fromtimestamp(wall, UTC)

    def _read(self) -> tuple[float, float, float]:
        """Return wall time and by how much it is ahead of the steady one, at least and at most.

        The two clocks can't be read at once: a machine that stands still in between sets no clock.
        """
        before = self._steady()
        wall = self._wall()
        return wall, wall - self._steady(), wall - before
