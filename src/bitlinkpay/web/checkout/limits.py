"""How often one may ask: token buckets in memory, bounded, one set per process."""

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from bitlinkpay.core.errors import Kind, Problem


class TooManyQuestions(Problem):
    """The same order or the same address asked too often; a minute later it may ask again."""

    code = "checkout.too_many_questions"
    kind = Kind.LIMITED

    def __init__(self) -> None:
        super().__init__("too many questions; wait a minute and try again")


_WHOLE: Final = 1_000_000_000  # one question in the bucket's own small unit


@dataclass(slots=True)
class _Bucket:
    level: int
    filled_ns: int


class Limiter:
    """At most `burst` questions at once per key, refilled evenly over `per_s` seconds; forgets the oldest keys."""

    def __init__(
        self, *, burst: int, per_s: int, keys: int = 10_000, nanoseconds: Callable[[], int] = time.monotonic_ns
    ) -> None:
        self._burst = burst
        self._per_s = per_s
        self._keys = keys
        self._nanoseconds = nanoseconds
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def is_spent(self, key: str) -> bool:
        """Say whether nothing is left for this key, without counting."""
        return self._bucket(key).level < _WHOLE

    def take(self, key: str) -> None:
        """Count one question.

        Raises:
            TooManyQuestions: nothing is left for this key.
        """
        bucket = self._bucket(key)
        if bucket.level < _WHOLE:
            raise TooManyQuestions
        bucket.level -= _WHOLE

    def _bucket(self, key: str) -> _Bucket:
        now = self._nanoseconds()
        full = self._burst * _WHOLE
        bucket = self._buckets.pop(key, None) or _Bucket(full, now)
        refilled = (now - bucket.filled_ns) * self._burst // self._per_s
        bucket.level = min(full, bucket.level + refilled)
        bucket.filled_ns = now
        self._buckets[key] = bucket
        if len(self._buckets) > self._keys:
            self._buckets.popitem(last=False)
        return bucket
