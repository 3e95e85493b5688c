"""Who the operators are, and whether one of them signed."""

import re
from collections.abc import Mapping
from typing import Final

from nacl.exceptions import BadSignatureError
from nacl.signing import VerifyKey

from bitlinkpay.core.errors import Invalid

_KEY: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)


def read_public_key(text: str) -> bytes:
    """Read an operator's public key.

    Raises:
        Invalid: not 64 lower-case hex digits.
    """
    if not _KEY.fullmatch(text):
        raise Invalid("an operator's key is the 64 hex digits that `bitlinkpay approve keygen` printed")
    return bytes.fromhex(text)


def find_signer(operators: Mapping[str, str], message: bytes, signature: bytes) -> str | None:
    """Return the name of the operator who signed, or None."""
    for name, key in operators.items():
        if has_signed(key, message, signature):
            return name
    return None


def has_signed(key: str, message: bytes, signature: bytes) -> bool:
    """Say whether a public key's owner signed a message."""
    try:
        VerifyKey(bytes.fromhex(key)).verify(message, signature)
    except (BadSignatureError, ValueError, TypeError):
        return False
    return True
