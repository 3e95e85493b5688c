"""Bitcoin addresses: segwit (BIP-173 bech32, BIP-350 bech32m) and the older Base58Check forms.

`TEST` stands for testnet and signet (`tb1…`); a regression-test chain has its own prefixes (`bcrt1…`) and is refused.
"""

import re
from dataclasses import dataclass

import wallycore

from bitlinkpay.core.errors import Invalid

_BASE58 = re.compile(r"[1-9A-HJ-NP-Za-km-z]{26,35}", re.ASCII)
_BECH32 = re.compile(r"[0-9A-Za-z]{8,90}", re.ASCII)
_HASH_BYTES = 20
_KEY_BYTES = 33
_P2WPKH = b"\x00\x14"
_SCRIPTS = ((b"\x00\x14", 20), (b"\x00\x20", 32), (b"\x51\x20", 32))  # P2WPKH, P2WSH, P2TR: what is in use


@dataclass(frozen=True, slots=True)
class Prefixes:
    """What the addresses of one Bitcoin chain begin with: the bech32 part and the Base58Check version bytes."""

    segwit: str
    key_hash: bytes
    script_hash: bytes


MAIN = Prefixes("bc", b"\x00", b"\x05")
TEST = Prefixes("tb", b"\x6f", b"\xc4")


def parse(text: str, prefixes: Prefixes) -> str:
    """Return the canonical form: segwit in lower case, older forms as they stand.

    Raises:
        Invalid: a wrong checksum, mixed case, bech32 where bech32m is due (or the reverse), a witness version
            that nobody can spend yet, or an address of another chain.
    """
    lower = text.lower()
    if lower.startswith(("bc1", "tb1", "bcrt1")):
        return _parse_segwit(text, lower, prefixes)
    return _parse_base58(text, prefixes)


def _parse_segwit(text: str, lower: str, prefixes: Prefixes) -> str:
    if not lower.startswith(prefixes.segwit + "1"):
        raise Invalid("this address belongs to another Bitcoin network", param="address")
    if not _BECH32.fullmatch(text):
        raise Invalid("a Bitcoin address is written in letters and digits only", param="address")
    try:
        script = bytes(wallycore.addr_segwit_to_bytes(text, prefixes.segwit, 0))
    except ValueError:
        raise Invalid("the checksum of this Bitcoin address is wrong: copy it again", param="address") from None
    if not any(script.startswith(head) and len(script) == 2 + size for head, size in _SCRIPTS):
        raise Invalid("this kind of Bitcoin address is not in use", param="address")
    return lower


def _parse_base58(text: str, prefixes: Prefixes) -> str:
    if not _BASE58.fullmatch(text):
        raise Invalid(
            f"a Bitcoin address begins with {prefixes.segwit}1 or is 26 to 35 letters and digits", param="address"
        )
    try:
        raw = bytes(wallycore.base58check_to_bytes(text))
    except ValueError:
        raise Invalid("the checksum of this Bitcoin address is wrong: copy it again", param="address") from None
    if len(raw) != 1 + _HASH_BYTES or raw[:1] not in {prefixes.key_hash, prefixes.script_hash}:
        raise Invalid("this address belongs to another network", param="address")
    return text


def from_key_hash(key_hash: bytes, prefixes: Prefixes) -> str:
    """Return the P2WPKH address (BIP-141, version 0) of the HASH160 of a public key."""
    assert len(key_hash) == _HASH_BYTES, f"a key hash has 20 bytes, not {len(key_hash)}"
    text: str = wallycore.addr_segwit_from_bytes(_P2WPKH + key_hash, prefixes.segwit, 0)
    return text


def from_public_key(public_key: bytes, prefixes: Prefixes) -> str:
    """Return the P2WPKH address of a compressed secp256k1 public key (BIP-84 asks for compressed ones).

    Raises:
        ValueError: not a compressed public key.
    """
    if len(public_key) != _KEY_BYTES:
        raise ValueError(f"a compressed public key has 33 bytes, not {len(public_key)}")
    wallycore.ec_public_key_verify(public_key)
    return from_key_hash(bytes(wallycore.hash160(public_key)), prefixes)
