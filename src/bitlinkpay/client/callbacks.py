"""A merchant's side of callbacks: verify the Standard Webhooks signature over the bytes as they came, and read them."""

import hashlib
import hmac
from base64 import b64decode, b64encode
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

from bitlinkpay.wm.answers import DepositCallback, WithdrawCallback
from bitlinkpay.wm.reading import read_callback

TOLERANCE: Final = timedelta(minutes=5)
ACKNOWLEDGED: Final = b'{"code":0,"msg":"success"}'
_PREFIX: Final = "whsec_"
_TIMESTAMP_DIGITS: Final = 12


class BadCallback(Exception):
    """The callback is not from the platform, or is a replay of an old one; do not act on it."""


def verify_callback(
    secret: str, headers: Mapping[str, str], body: bytes, *, now: datetime
) -> DepositCallback | WithdrawCallback:
    """Return what a callback says, once its signature holds.

    Args:
        secret: `whsec_…`, as `bitlinkpay merchant create` printed it.
        headers: the request's headers, names in lower case.
        body: the request's exact bytes.
        now: the current time.

    Raises:
        BadCallback: a header is missing, the time is more than 5 minutes off, or no signature matches.
    """
    message_id, timestamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not message_id or not timestamp.isdecimal() or len(timestamp) > _TIMESTAMP_DIGITS:
        raise BadCallback("webhook-id or webhook-timestamp is missing")
    if abs(int(now.timestamp()) - int(timestamp)) > TOLERANCE.total_seconds():
        raise BadCallback("the callback was signed more than 5 minutes ago")
    key = b64decode(secret.removeprefix(_PREFIX))
    signed = f"{message_id}.{timestamp}.".encode() + body
    expected = b"v1," + b64encode(hmac.digest(key, signed, hashlib.sha256))
    marks = headers.get("webhook-signature", "").encode(errors="replace").split()
    if not any(hmac.compare_digest(expected, mark) for mark in marks):
        raise BadCallback("no signature matches the secret")
    return read_callback(body)
