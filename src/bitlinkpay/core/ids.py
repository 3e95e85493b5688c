"""Typed, sortable ids: a UUIDv7 (RFC 9562, section 5.7) made by the caller, shown with a prefix (`pay_<32 hex>`)."""

import os
import re
import time
from datetime import UTC, datetime, timedelta
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


def new_uuid7() -> UUID:
    """Return a fresh UUIDv7: 48 bits of Unix milliseconds, then 74 random bits."""
    millis = time.time_ns() // 1_000_000
    value = (millis << 80) | int.from_bytes(os.urandom(10), "big")
    value = (value & ~(0xF << 76)) | (0x7 << 76)
    value = (value & ~(0x3 << 62)) | (0x2 << 62)
    return UUID(int=value)


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
