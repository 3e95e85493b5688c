"""Time as a port: business time (what a sandbox may move) and wall time (what nobody may)."""

from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Business time: expiry, rates, holds, schedules, retry dates."""

    def now(self) -> datetime:
        """Return the current time, timezone-aware, UTC."""
        ...


class SystemClock:
    """The machine's own clock, also used for what never moves: envelopes, TLS, callback timestamps."""

    def now(self) -> datetime:
        """Return the current time, timezone-aware, UTC."""
        return datetime.now(UTC)
