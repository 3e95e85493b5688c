"""How hard one endpoint is asked: a rate budget, and rests after failures."""

import secrets
from collections.abc import Callable

_SECOND_NS = 1_000_000_000
_REST_FIRST_NS = _SECOND_NS // 4
_REST_LONGEST_NS = 60 * _SECOND_NS


class Pace:
    """A token bucket in virtual time: who takes too much waits, in order, and nobody polls."""

    def __init__(self, *, per_second: int, burst: int, now_ns: Callable[[], int]) -> None:
        self._cost_ns = max(1, _SECOND_NS // per_second)
        self._ahead_ns = self._cost_ns * burst
        self._now_ns = now_ns
        self._spent_until_ns = 0

    def take(self, calls: int) -> int:
        """Take the budget of `calls` calls and return the nanoseconds to wait before making them."""
        now = self._now_ns()
        self._spent_until_ns = max(self._spent_until_ns, now) + calls * self._cost_ns
        return max(0, self._spent_until_ns - self._ahead_ns - now)


class Breaker:
    """Rests after failures, each time twice as long, with jitter, up to a minute; one success ends it."""

    def __init__(self, now_ns: Callable[[], int]) -> None:
        self._now_ns = now_ns
        self._failures = 0
        self._resting_until_ns = 0
        self.error = ""

    @property
    def is_resting(self) -> bool:
        """Say whether asking is refused without trying."""
        return self._now_ns() < self._resting_until_ns

    def failed(self, error: str, *, at_least_ns: int = 0) -> None:
        """Count a failure and rest."""
        rest = min(_REST_LONGEST_NS, _REST_FIRST_NS << min(self._failures, 16))
        rest = rest // 2 + secrets.randbelow(rest // 2 + 1)
        self._failures += 1
        self._resting_until_ns = self._now_ns() + max(rest, min(at_least_ns, _REST_LONGEST_NS))
        self.error = error

    def succeeded(self) -> None:
        """Forget failures."""
        self._failures = 0
        self._resting_until_ns = 0
        self.error = ""
