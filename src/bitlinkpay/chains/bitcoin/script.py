"""Output scripts and their addresses: the five standard forms, byte for byte, and nothing that only resembles them."""

from typing import Final

import wallycore

from bitlinkpay.chains.codec.bitcoin import MAIN, TEST, Prefixes, parse
from bitlinkpay.core.assets import Network

_P2PKH: Final = (b"\x76\xa9\x14", b"\x88\xac")  # DUP HASH160 <20> … EQUALVERIFY CHECKSIG
_P2SH: Final = (b"\xa9\x14", b"\x87")  # HASH160 <20> … EQUAL
_P2PKH_BYTES, _P2SH_BYTES, _P2WPKH_BYTES, _LONG_WITNESS_BYTES = 25, 23, 22, 34
_WITNESS_KEY: Final = b"\x00\x14"
_LONG_WITNESS: Final = (b"\x00\x20", b"\x51\x20")  # P2WSH, P2TR
_SEGWIT_PREFIXES: Final = ("bc1", "tb1")


def prefixes_of(network: Network) -> Prefixes:
    """Return how a network's addresses begin."""
    return TEST if network.testnet else MAIN


def address_of(script: bytes, prefixes: Prefixes) -> str:
    """Return the canonical address that stands for exactly this script, "" if none does."""
    size = len(script)
    if size == _P2WPKH_BYTES and script.startswith(_WITNESS_KEY):
        return _segwit(script, prefixes)
    if size == _LONG_WITNESS_BYTES and script.startswith(_LONG_WITNESS):
        return _segwit(script, prefixes)
    if size == _P2PKH_BYTES and script.startswith(_P2PKH[0]) and script.endswith(_P2PKH[1]):
        return _base58(prefixes.key_hash + script[3:23])
    if size == _P2SH_BYTES and script.startswith(_P2SH[0]) and script.endswith(_P2SH[1]):
        return _base58(prefixes.script_hash + script[2:22])
    return ""


def script_of(address: str, prefixes: Prefixes) -> bytes:
    """Return the script that an address stands for.

    Raises:
        Invalid: it is no address of this network.
    """
    canonical = parse(address, prefixes)
    if canonical.startswith(_SEGWIT_PREFIXES):
        return bytes(wallycore.addr_segwit_to_bytes(canonical, prefixes.segwit, 0))
    raw = bytes(wallycore.base58check_to_bytes(canonical))
    if raw[:1] == prefixes.key_hash:
        return key_hash_script(raw[1:])
    return raw[1:].join(_P2SH)


def key_hash_script(key_hash: bytes) -> bytes:
    """Return the P2PKH script of a key's HASH160, which is also what a P2WPKH input signs (BIP-143)."""
    return key_hash.join(_P2PKH)


def _segwit(script: bytes, prefixes: Prefixes) -> str:
    text: str = wallycore.addr_segwit_from_bytes(script, prefixes.segwit, 0)
    return text


def _base58(payload: bytes) -> str:
    text: str = wallycore.base58check_from_bytes(payload)
    return text
