"""Typed, sortable ids: a UUIDv7 (RFC 9562, section 5.7) made by the caller, shown with a prefix (`pay_<32 hex>`)."""

import os
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from threading import Lock
from typing import Final, NewType
from uuid import UUID

from bitlinkpay.core.errors import Invalid

MerchantId = NewType("MerchantId", UUID)
PayinId = NewType("PayinId", UUID)
DepositId = NewType("DepositId", UUID)
EventId = NewType("EventId", UUID)
DeliveryId = NewType("DeliveryId", UUID)
PostingId = NewType("PostingId", UUID)
PayoutId = NewType("PayoutId", UUID)
SendingId = NewType("SendingId", UUID)
TransactionId = NewType("TransactionId", UUID)
RefillId = NewType("RefillId", UUID)
ApiKeyId = NewType("ApiKeyId", UUID)

_HEX32 = re.compile(r"[0-9a-f]{32}", re.ASCII)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLIS_MAX: Final = 2**48 - 1
_COUNTER_BITS: Final = 12
_COUNTER_MAX: Final = 2**_COUNTER_BITS - 1


class Uuid7Maker:
    """Makes UUIDv7s that rise within one process, whatever its clock does.

    A counter stands after the milliseconds (RFC 9562, section 6.2, method 1): ids of one millisecond rise too. Where a
    millisecond has no number left, or the clock was set back, the time of the last id goes on. 62 bits stay random.
    """

    def __init__(self, now_ns: Callable[[], int] = time.time_ns) -> None:
        self._now_ns = now_ns
        self._last = 0  # milliseconds and counter
        self._turn = Lock()

    def make(self) -> UUID:
        """Return an id above all that were made before it here."""
        with self._turn:
            self._last = max(self._last + 1, (self._now_ns() // 1_000_000) << _COUNTER_BITS)
            millis, count = self._last >> _COUNTER_BITS, self._last & _COUNTER_MAX
        chance = int.from_bytes(os.urandom(8), "big") >> 2
        return UUID(int=(millis << 80) | (0x7 << 76) | (count << 64) | (0x2 << 62) | chance)


_maker: Final = Uuid7Maker()


def new_uuid7() -> UUID:
    """Return a fresh UUIDv7, above all that this process made: Unix milliseconds, a 12-bit counter, 62 random bits."""
    return _maker.make()


def first_uuid7(at: datetime, *, later: timedelta = timedelta(0)) -> UUID:
    """Return the smallest UUIDv7 of a moment, or of `later` than it; the outermost one beyond what it can hold."""
    millis = min(max((at - _EPOCH + later) // timedelta(milliseconds=1), 0), _MILLIS_MAX)
    return UUID(int=(millis << 80) | (0x7 << 76) | (0x2 << 62))


def show_id(prefix: str, value: UUID) -> str:
    """Return the id as people and APIs see it, such as `pay_0192…` (32 lower-case hex digits)."""
    return f"{prefix}_{value.hex}"


def parse_id(prefix: str, text: str) -> UUID:
    """Parse `<prefix>_<32 hex>` or the bare 32 hex digits.

    Raises:
        Invalid: the text has neither form.
    """
    digits = text.removeprefix(f"{prefix}_")
    if not _HEX32.fullmatch(digits):
        raise Invalid(f"{text[:60]!r} is not an id of the form {prefix}_ and 32 hex digits")
    return UUID(digits)
