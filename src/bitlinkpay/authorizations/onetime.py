"""One-time codes: RFC 6238 with SHA-1, six digits and 30 seconds, which is what every authenticator app makes."""

import base64
import os
import re
from datetime import datetime
from typing import Final
from urllib.parse import quote, urlencode

from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.twofactor import InvalidToken
from cryptography.hazmat.primitives.twofactor.hotp import HOTP

STEP_S: Final = 30
_DIGITS: Final = 6
_KEY: Final = 20  # RFC 4226, section 4, R6: at least 128 bits, 160 recommended
_CODE: Final = re.compile(rf"[0-9]{{{_DIGITS}}}", re.ASCII)
_DRIFT: Final = 1  # RFC 6238, section 5.2: one step back for the network; one ahead for a clock that is fast


def new_key() -> bytes:
    """Return a new secret."""
    return os.urandom(_KEY)


def step_of(now: datetime) -> int:
    """Return the number of the 30-second step that a moment lies in."""
    return int(now.timestamp()) // STEP_S


def matching_step(key: bytes, code: str, now: datetime) -> int | None:
    """Return the step of which this is the code: the present one, the one before or the one after; None for none.

    Compares in constant time. `now` is the platform's own wall time, never what a client says.
    """
    if not _CODE.fullmatch(code):
        return None
    present = step_of(now)
    return next((step for step in range(present - _DRIFT, present + _DRIFT + 1) if _is_code(key, code, step)), None)


def code_at(key: bytes, step: int) -> str:
    """Return the code of a step."""
    return HOTP(key, _DIGITS, SHA1()).generate(step).decode()  # noqa: S303 - HMAC-SHA-1, as the RFC and the apps have it


def provisioning_uri(key: bytes, *, account: str, issuer: str) -> str:
    """Return what an authenticator app scans (`otpauth://totp/…`)."""
    secret = base64.b32encode(key).decode().rstrip("=")
    words = {"secret": secret, "issuer": issuer, "algorithm": "SHA1", "digits": _DIGITS, "period": STEP_S}
    return f"otpauth://totp/{quote(issuer)}:{quote(account)}?{urlencode(words, quote_via=quote)}"


def _is_code(key: bytes, code: str, step: int) -> bool:
    try:
        HOTP(key, _DIGITS, SHA1()).verify(code.encode(), step)  # noqa: S303 - as above
    except InvalidToken:
        return False
    return True
