"""Signatures of callbacks by the public Standard Webhooks specification (version 1.0.0, scheme `v1`)."""

import functools
import hashlib
import hmac
import secrets
from base64 import b64decode, b64encode
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from bitlinkpay.core.errors import Invalid

PREFIX: Final = "whsec_"
_KEY_BYTES: Final = 32
_KEY_BYTES_MIN: Final = 24
_KEY_BYTES_MAX: Final = 64


def new_secret() -> str:
    """Return a fresh signing secret, `whsec_` and the base64 of 32 random bytes."""
    return PREFIX + b64encode(secrets.token_bytes(_KEY_BYTES)).decode()


@functools.lru_cache(maxsize=4096)
def key_of(secret: str) -> bytes:
    """Return the HMAC key that a `whsec_` secret stands for.

    Raises:
        Invalid: not the form of the specification (24 to 64 bytes in base64 behind the prefix).
    """
    try:
        key = b64decode(secret.removeprefix(PREFIX), validate=True) if secret.startswith(PREFIX) else b""
    except ValueError:
        key = b""
    if not _KEY_BYTES_MIN <= len(key) <= _KEY_BYTES_MAX:
        raise Invalid("a webhook secret is whsec_ and the base64 of 24 to 64 bytes")
    return key


def signature_headers(
    message_id: str, body: bytes, *, secrets_of_merchant: Sequence[str], now: datetime
) -> dict[str, str]:
    """Return the three headers that let a merchant verify `body`, which must be sent byte for byte.

    Args:
        message_id: the same on every attempt, so that a receiver can drop repeats.
        body: the exact bytes that are sent.
        secrets_of_merchant: newest first; during a rotation the old and the new one both sign.
        now: wall time, never the sandbox clock: receivers refuse what is more than 5 minutes off.

    Raises:
        Invalid: no secret, or one of a wrong form; nothing is ever sent unsigned.
    """
    if not secrets_of_merchant:
        raise Invalid("the merchant has no webhook secret")
    timestamp = str(int(now.timestamp()))
    signed = f"{message_id}.{timestamp}.".encode() + body
    marks = (hmac.digest(key_of(secret), signed, hashlib.sha256) for secret in secrets_of_merchant)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": " ".join(f"v1,{b64encode(mark).decode()}" for mark in marks),
    }
