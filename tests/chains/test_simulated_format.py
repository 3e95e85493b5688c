"""Hashes, transaction ids, positions and payers of simulated networks, as text alone."""

from base64 import b64decode
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256

import base58
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitlinkpay.chains.address import parse_address, show_address
from bitlinkpay.chains.base import Arrival
from bitlinkpay.chains.registry import load_registry
from bitlinkpay.chains.simulated import Run
from bitlinkpay.chains.simulated_format import FEES, address_from, position, read_txid, spell_block, spell_txid
from bitlinkpay.core.assets import Family

settings.register_profile("patient", deadline=None)
settings.load_profile("patient")

REGISTRY = load_registry()
FAMILIES = pytest.mark.parametrize("family", Family)
NETWORKS = pytest.mark.parametrize("network", REGISTRY.networks.values(), ids=lambda network: network.id)
digests = st.binary(min_size=32, max_size=32)


@FAMILIES
@given(digest=digests)
def test_transaction_ids_read_back(family: Family, digest: bytes) -> None:
    assert read_txid(family, spell_txid(family, digest)) == digest


@FAMILIES
@given(text=st.text(max_size=100))
def test_any_text_is_a_transaction_id_as_spelled_or_none_at_all(family: Family, text: str) -> None:
    digest = read_txid(family, text)
    assert digest is None or spell_txid(family, digest) == text


@pytest.mark.parametrize(
    ("family", "text"),
    [
        (Family.EVM, "0x" + "AB" * 32),  # upper case is another spelling
        (Family.EVM, "ab" * 32),
        (Family.EVM, "0x" + "ab" * 31),
        (Family.TRON, "0x" + "ab" * 32),
        (Family.TRON, "AB" * 32),
        (Family.BITCOIN, "ab" * 33),
        (Family.SOLANA, base58.b58encode(bytes(range(64))).decode()),  # 64 bytes, but no signature of this chain
        (Family.SOLANA, base58.b58encode(bytes(range(32))).decode()),
        (Family.TON, "A" * 44),
        (Family.TON, "_" * 43 + "="),
        (Family.TON, "B" * 43 + "="),  # stray bits after the last byte
    ],
)
def test_what_only_looks_like_a_transaction_id_is_none(family: Family, text: str) -> None:
    assert read_txid(family, text) is None


@FAMILIES
def test_ids_hold_as_many_bytes_as_real_ones(family: Family) -> None:
    txid, block = spell_txid(family, bytes(range(32))), spell_block(family, bytes(range(32)), 70_000_000)
    match family:
        case Family.EVM:
            assert len(bytes.fromhex(txid[2:])) == len(bytes.fromhex(block[2:])) == 32
        case Family.TRON:
            assert len(bytes.fromhex(txid)) == len(bytes.fromhex(block)) == 32
            assert int(block[:16], 16) == 70_000_000, "a TRON block id begins with its height"
        case Family.BITCOIN:
            assert len(bytes.fromhex(txid)) == len(bytes.fromhex(block)) == 32
            assert block.startswith("0" * 19), "a Bitcoin block hash shows its work"
        case Family.SOLANA:
            assert len(base58.b58decode(txid)) == 64
            assert len(base58.b58decode(block)) == 32
        case Family.TON:
            assert len(b64decode(txid)) == len(b64decode(block)) == 32


@NETWORKS
@given(entropy=digests)
def test_payers_have_addresses_of_their_network(network, entropy: bytes) -> None:
    for kind in (network, replace(network, testnet=True)):
        address = address_from(kind, entropy)
        assert parse_address(kind, address) == address
        assert parse_address(kind, show_address(kind, address)) == address


def test_payers_need_all_their_bytes() -> None:
    with pytest.raises(AssertionError):
        address_from(REGISTRY.network("tron"), bytes(31))


@pytest.mark.parametrize("asset", REGISTRY.assets.values(), ids=lambda asset: asset.id)
def test_no_two_transfers_of_a_transaction_share_a_place(asset) -> None:
    family = REGISTRY.network(asset.network).family
    ordinals = range(1) if asset.is_native and family in {Family.EVM, Family.TRON} else range(20)
    direct = [position(family, asset, ordinal, Arrival.DIRECT) for ordinal in ordinals]
    inner = [position(family, asset, ordinal, Arrival.INTERNAL) for ordinal in range(20, 40)]
    assert len({*direct, *inner}) == len(direct) + len(inner)


def test_bitcoin_names_outputs_only() -> None:
    coin = REGISTRY.asset("btc-bitcoin")
    assert position(Family.BITCOIN, coin, 0, Arrival.SYSTEM) == "vout:0", "a block reward is an output like others"
    assert position(Family.EVM, REGISTRY.asset("eth-ethereum"), 2, Arrival.SYSTEM) == "system:2"


@FAMILIES
def test_every_family_has_a_fee(family: Family) -> None:
    assert FEES[family] > 0


@given(digests, st.integers(0, 2**62), st.integers(0, 10**6))
def test_a_block_is_computed_from_its_run_alone(seed: bytes, first: int, further: int) -> None:
    start = datetime(2026, 3, 1, tzinfo=UTC)
    run = Run(first, first + further, seed, bytes(32), start, timedelta(seconds=3), transfers=0)
    height = first + further
    assert run.digest(height) == sha256(seed + height.to_bytes(8, "big")).digest()
    assert run.time(height) - start == timedelta(seconds=3) * further
    if further:
        assert run.digest(first) != run.digest(height)
