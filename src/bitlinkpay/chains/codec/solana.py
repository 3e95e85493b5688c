"""Solana addresses: 32 bytes in Base58, without checksum and without a mark of the network."""

import re

import wallycore

from bitlinkpay.core.errors import Invalid

_FORM = re.compile(r"[1-9A-HJ-NP-Za-km-z]{32,44}", re.ASCII)
_KEY_BYTES = 32


def base58(raw: bytes) -> str:
    """Return the Base58 text of any bytes (block hashes, signatures)."""
    text: str = wallycore.base58_from_bytes(raw, 0)
    return text


def unbase58(text: str) -> bytes:
    """Return the bytes of a Base58 text of any length.

    Raises:
        ValueError: not Base58.
    """
    return bytes(wallycore.base58_to_bytes(text, 0)) if text else b""


def from_bytes(raw: bytes) -> str:
    """Return the canonical form of a 32-byte address."""
    assert len(raw) == _KEY_BYTES, f"a Solana address has 32 bytes, not {len(raw)}"
    return base58(raw)


def to_bytes(address: str) -> bytes:
    """Return the 32 bytes of an address that `parse` or `from_bytes` returned."""
    return unbase58(address)


def parse(text: str) -> str:
    """Return the canonical form. Program-derived (off-curve) addresses are addresses too.

    Raises:
        Invalid: not Base58, or not 32 bytes.
    """
    if not _FORM.fullmatch(text) or len(to_bytes(text)) != _KEY_BYTES:
        raise Invalid("a Solana address is 32 bytes in Base58: 32 to 44 letters and digits", param="address")
    return text


def from_public_key(public_key: bytes) -> str:
    """Return the address of an Ed25519 public key, which is the key itself.

    Raises:
        ValueError: not 32 bytes.
    """
    if len(public_key) != _KEY_BYTES:
        raise ValueError(f"an Ed25519 public key has 32 bytes, not {len(public_key)}")
    return from_bytes(public_key)
