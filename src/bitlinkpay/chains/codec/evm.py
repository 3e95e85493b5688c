"""EVM addresses: 20 bytes, written `0x` and 40 hex digits whose letter case is a checksum (EIP-55)."""

import re

import wallycore
from sha3 import keccak_256

from bitlinkpay.core.errors import Invalid

_FORM = re.compile(r"0x[0-9a-fA-F]{40}", re.ASCII)
_CASE_BIT = 0x20  # what tells "a" from "A" in ASCII
_CASE_OF_LETTERS = bytes(_CASE_BIT if chr(code) in "abcdef" else 0 for code in range(256))
_CASE_OF_HIGH = bytes(_CASE_BIT if chr(code) in "89abcdef" else 0 for code in range(256))
_DIGITS = 40
_COMPRESSED_BYTES = 33
_PUBLIC_KEY_BYTES = 65


def keccak256(data: bytes) -> bytes:
    """Return the original Keccak-256 (not SHA-3) of `data`, 32 bytes."""
    digest: bytes = keccak_256(data).digest()
    return digest


def from_bytes(raw: bytes) -> str:
    """Return the canonical form of a 20-byte address."""
    assert len(raw) == 20, f"an EVM address has 20 bytes, not {len(raw)}"  # noqa: PLR2004
    return from_digits(raw.hex())


def from_digits(digits: str) -> str:
    """Return the canonical form of 40 lower-case hex digits.

    A letter is upper case where their hash has a nibble of 8 or more (EIP-55); done on all digits at once.
    """
    lower = digits.encode()
    nibbles = keccak_256(lower).hexdigest()[:_DIGITS].encode()
    raised = int.from_bytes(lower.translate(_CASE_OF_LETTERS)) & int.from_bytes(nibbles.translate(_CASE_OF_HIGH))
    return "0x" + (int.from_bytes(lower) ^ raised).to_bytes(_DIGITS).decode()


def to_bytes(address: str) -> bytes:
    """Return the 20 bytes of an address that `parse` or `from_bytes` returned."""
    return bytes.fromhex(address[2:])


def parse(text: str) -> str:
    """Return the canonical form of an address written by a person or a program.

    All lower case and all upper case carry no checksum and are taken; mixed case must be the EIP-55 one.

    Raises:
        Invalid: another form, or a wrong checksum.
    """
    if not _FORM.fullmatch(text):
        raise Invalid("an EVM address is 0x and 40 hex digits", param="address")
    digits = text[2:]
    canonical = from_bytes(bytes.fromhex(digits))
    if text != canonical and digits not in {digits.lower(), digits.upper()}:
        raise Invalid(
            "the letter case of this address does not fit its EIP-55 checksum: copy it again", param="address"
        )
    return canonical


def key_bytes(public_key: bytes) -> bytes:
    """Return the last 20 bytes of the Keccak hash of a secp256k1 public key (Yellow Paper, appendix F).

    Args:
        public_key: compressed (33 bytes) or uncompressed (65 bytes).

    Raises:
        ValueError: not a point of the curve.
    """
    if len(public_key) == _COMPRESSED_BYTES:
        public_key = bytes(wallycore.ec_public_key_decompress(public_key))
    if len(public_key) != _PUBLIC_KEY_BYTES:
        raise ValueError(f"a secp256k1 public key has 33 or 65 bytes, not {len(public_key)}")
    return keccak256(public_key[1:])[12:]


def from_public_key(public_key: bytes) -> str:
    """Return the address of a secp256k1 public key, canonical.

    Raises:
        ValueError: not a public key.
    """
    return from_bytes(key_bytes(public_key))
