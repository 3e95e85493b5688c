"""How simulated networks spell hashes, transaction ids, positions and payers: as the real ones do.

The rules stand in PROTOCOL.md, "Spelling".
"""

import re
from base64 import b64decode, b64encode
from collections.abc import Mapping
from hashlib import sha256
from typing import assert_never

from bitlinkpay.chains.base import Arrival
from bitlinkpay.chains.codec import bitcoin, evm, solana, ton, tron
from bitlinkpay.core.assets import Asset, Family, Network

_DIGEST_BYTES = 32
_HEX = re.compile(r"[0-9a-f]{64}", re.ASCII)
_BASE58 = re.compile(r"[1-9A-HJ-NP-Za-km-z]{64,90}", re.ASCII)
_BASE64 = re.compile(r"[0-9A-Za-z+/]{43}=", re.ASCII)
_WORK_BYTES = 10  # leading zeros of a Bitcoin block hash today

FEES: Mapping[Family, int] = {  # what a payer's transaction costs, in base units of the native coin
    Family.EVM: 42_000_000_000_000,
    Family.TRON: 345_000,
    Family.BITCOIN: 1_000,
    Family.SOLANA: 5_000,
    Family.TON: 5_000_000,
}


def spell_block(family: Family, digest: bytes, height: int) -> str:
    """Return the block hash that a network of this family would show for these 32 bytes."""
    match family:
        case Family.EVM:
            return "0x" + digest.hex()
        case Family.TRON:  # a block id begins with the height
            return height.to_bytes(8, "big").hex() + digest[8:].hex()
        case Family.BITCOIN:
            return "00" * _WORK_BYTES + digest[_WORK_BYTES:].hex()
        case Family.SOLANA:
            return solana.base58(digest)
        case Family.TON:
            return b64encode(digest).decode()
        case _:
            assert_never(family)


def spell_txid(family: Family, digest: bytes) -> str:
    """Return the transaction id that a network of this family would show for these 32 bytes."""
    match family:
        case Family.EVM:
            return "0x" + digest.hex()
        case Family.TRON | Family.BITCOIN:
            return digest.hex()
        case Family.SOLANA:  # an id is the first signature: 64 bytes
            return solana.base58(digest + sha256(digest).digest())
        case Family.TON:
            return b64encode(digest).decode()
        case _:
            assert_never(family)


def read_txid(family: Family, text: str) -> bytes | None:
    """Return the 32 bytes that `spell_txid` made this text of, or None if it is no transaction id of the family."""
    digest: bytes | None = None
    match family:
        case Family.EVM:
            if text.startswith("0x") and _HEX.fullmatch(text[2:]):
                digest = bytes.fromhex(text[2:])
        case Family.TRON | Family.BITCOIN:
            if _HEX.fullmatch(text):
                digest = bytes.fromhex(text)
        case Family.SOLANA:
            if _BASE58.fullmatch(text):
                digest = solana.to_bytes(text)[:_DIGEST_BYTES]
        case Family.TON:
            if _BASE64.fullmatch(text):
                digest = b64decode(text)
        case _:
            assert_never(family)
    return digest if digest and spell_txid(family, digest) == text else None


def position(family: Family, asset: Asset, ordinal: int, arrival: Arrival) -> str:
    """Return the place of a transfer inside its transaction, as the family's real adapter names it."""
    if arrival is not Arrival.DIRECT and family is not Family.BITCOIN:
        return f"{arrival}:{ordinal}"
    match family:
        case Family.EVM | Family.TRON:
            return "value" if asset.is_native else f"log:{ordinal}"
        case Family.BITCOIN:
            return f"vout:{ordinal}"
        case Family.SOLANA:
            return f"account:{ordinal}"
        case Family.TON:
            return f"message:{ordinal}"
        case _:
            assert_never(family)


def address_from(network: Network, entropy: bytes) -> str:
    """Return a well-formed canonical address made of 32 bytes, such as that of a payer whom nobody knows."""
    assert len(entropy) == _DIGEST_BYTES, f"32 bytes make an address, not {len(entropy)}"
    match network.family:
        case Family.EVM:
            return evm.from_bytes(entropy[:20])
        case Family.TRON:
            return tron.from_bytes(entropy[:20])
        case Family.BITCOIN:
            return bitcoin.from_key_hash(entropy[:20], bitcoin.TEST if network.testnet else bitcoin.MAIN)
        case Family.SOLANA:
            return solana.from_bytes(entropy)
        case Family.TON:
            return ton.from_bytes(entropy)
        case _:
            assert_never(network.family)
