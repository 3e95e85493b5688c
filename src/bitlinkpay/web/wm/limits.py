"""Limits in this process's memory: requests per merchant or API key, failures per certificate, notes per address."""

import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

K = TypeVar("K", bound=Hashable)

_SECOND: Final = 1_000_000_000
_MINUTE: Final = 60 * _SECOND
_KEYS_MAX: Final = 100_000
_BURST_PART: Final = 6  # a sixth of a minute's requests may come at once
_BURST_MIN: Final = 20


@dataclass(frozen=True, slots=True)
class Rate:
    """At most `burst` at once, refilled by `per_minute`."""

    per_minute: int
    burst: int

    def __post_init__(self) -> None:
        assert self.per_minute > 0
        assert self.burst > 0


def steady(per_minute: int) -> Rate:
    """Return a rate that lets ten seconds' worth of requests come at once."""
    return Rate(per_minute, max(_BURST_MIN, per_minute // _BURST_PART))


class Buckets(Generic[K]):
    """One token bucket a key, kept as the time at which it will be full again (no timer, no sweep).

    A key costs one number, and a full bucket costs none: it is forgotten when the table grows.
    """

    def __init__(self, now_ns: Callable[[], int] = time.monotonic_ns) -> None:
        self._now = now_ns
        self._full_at: dict[K, int] = {}

    def wait_s(self, key: K, rate: Rate) -> int:
        """Return 0 when a token is there, else the whole seconds until one is."""
        step = _MINUTE // rate.per_minute
        lacking = self._full_at.get(key, 0) - self._now() + step - step * rate.burst
        return -(-lacking // _SECOND) if lacking > 0 else 0

    def left(self, key: K, rate: Rate) -> int:
        """Return how many tokens are there."""
        step = _MINUTE // rate.per_minute
        lacking = max(0, self._full_at.get(key, 0) - self._now())
        return max(0, rate.burst - -(-lacking // step))

    def full_s(self, key: K) -> int:
        """Return the whole seconds until every token is there again."""
        return -(-max(0, self._full_at.get(key, 0) - self._now()) // _SECOND)

    def take(self, key: K, rate: Rate) -> None:
        """Take a token, even one that is not there yet."""
        now = self._now()
        if len(self._full_at) >= _KEYS_MAX:
            self._full_at = {other: full_at for other, full_at in self._full_at.items() if full_at > now}
        self._full_at[key] = max(self._full_at.get(key, 0), now) + _MINUTE // rate.per_minute

    def give_back(self, key: K, rate: Rate) -> None:
        """Put a token back that was taken for nothing."""
        self._full_at[key] = self._full_at.get(key, 0) - _MINUTE // rate.per_minute
