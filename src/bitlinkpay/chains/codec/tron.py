"""TRON addresses: the byte 0x41 and 20 bytes of key hash, written in Base58Check, so that all begin with `T`."""

import re

import wallycore

from bitlinkpay.chains.codec import evm
from bitlinkpay.core.errors import Invalid

_FORM = re.compile(r"T[1-9A-HJ-NP-Za-km-z]{33}", re.ASCII)
_VERSION = b"\x41"
_RAW_BYTES = 21


def from_bytes(raw: bytes) -> str:
    """Return the canonical form of 20 bytes (as in event logs) or of 21 bytes, 0x41 first (as in contract fields)."""
    payload = raw if len(raw) == _RAW_BYTES else _VERSION + raw
    assert len(payload) == _RAW_BYTES, f"a TRON address has 20 bytes after 0x41, not {len(raw)}"
    assert payload[:1] == _VERSION, "a TRON address begins with 0x41"
    text: str = wallycore.base58check_from_bytes(payload)
    return text


def to_bytes(address: str) -> bytes:
    """Return the 21 bytes (0x41 first) of an address that `parse` or `from_bytes` returned."""
    return bytes(wallycore.base58check_to_bytes(address))


def parse(text: str) -> str:
    """Return the canonical form, which for TRON is the only accepted one: hex forms carry no checksum.

    Raises:
        Invalid: another form, or a wrong checksum.
    """
    if not _FORM.fullmatch(text):
        raise Invalid("a TRON address is 34 letters and digits and begins with T", param="address")
    try:
        raw = bytes(wallycore.base58check_to_bytes(text))
    except ValueError:
        raise Invalid("the checksum of this TRON address is wrong: copy it again", param="address") from None
    if len(raw) != _RAW_BYTES or raw[:1] != _VERSION:
        raise Invalid("this is a Base58Check text of another network, not a TRON address", param="address")
    return text


def from_public_key(public_key: bytes) -> str:
    """Return the address of a secp256k1 public key (33 or 65 bytes), canonical.

    Raises:
        ValueError: not a public key.
    """
    return from_bytes(evm.key_bytes(public_key))
