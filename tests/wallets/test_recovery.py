"""The keys of addresses that were handed out come back from a backup on a clean machine, on all eight networks."""

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import base58
import nacl.signing
import pytest
import wallycore
from coincurve import PrivateKey, PublicKey
from Crypto.Hash import keccak
from eth_account import Account
from eth_account.messages import encode_defunct
from pytoniq_core import Cell, StateInit, begin_cell

from bitlinkpay.chains.ton import highload as ton
from bitlinkpay.core.assets import Family, Network
from bitlinkpay.db.pool import Database
from bitlinkpay.signer import service as signer
from bitlinkpay.signer.keys import recover_private_key
from bitlinkpay.signer.sealing import create_key_file, from_key_file
from bitlinkpay.wallets import service
from bitlinkpay.wallets.model import Allotted
from bitlinkpay.wallets.service import Allocator

NOW = datetime(2026, 11, 23, tzinfo=UTC)
MESSAGE = hashlib.sha256(b"this address is ours").digest()
Proof = Callable[[bytes], str]


def address_of_evm_signature(key: bytes) -> str:
    signed = Account.sign_message(encode_defunct(MESSAGE), key)
    return str(Account.recover_message(encode_defunct(MESSAGE), signature=signed.signature))


def address_of_tron_signature(key: bytes) -> str:
    signature = PrivateKey(key).sign_recoverable(MESSAGE, hasher=None)
    public = PublicKey.from_signature_and_message(signature, MESSAGE, hasher=None)
    digest = keccak.new(digest_bits=256, data=public.format(compressed=False)[1:]).digest()
    return base58.b58encode_check(b"\x41" + digest[-20:]).decode()


def address_of_bitcoin_signature(key: bytes) -> str:
    signature = wallycore.ec_sig_from_bytes(key, MESSAGE, wallycore.EC_FLAG_ECDSA)
    public = wallycore.ec_public_key_from_private_key(key)
    wallycore.ec_sig_verify(public, MESSAGE, wallycore.EC_FLAG_ECDSA, signature)
    return str(wallycore.addr_segwit_from_bytes(b"\x00\x14" + wallycore.hash160(public), "bc", 0))


def address_of_solana_signature(key: bytes) -> str:
    signer_key = nacl.signing.SigningKey(key)
    signer_key.verify_key.verify(MESSAGE, signer_key.sign(MESSAGE).signature)
    return base58.b58encode(bytes(signer_key.verify_key)).decode()


def address_of_ton_signature(key: bytes) -> str:
    """The wallet's code lets in what this key signs; its address is the hash of code and key."""
    signer_key = nacl.signing.SigningKey(key)
    signer_key.verify_key.verify(MESSAGE, signer_key.sign(MESSAGE).signature)
    data = begin_cell().store_bytes(bytes(signer_key.verify_key)).store_uint(ton.SUBWALLET_ID, 32)
    data = data.store_bit(0).store_bit(0).store_uint(0, 64).store_uint(ton.TIMEOUT_S, 22).end_cell()
    return "0:" + StateInit(code=Cell.one_from_boc(ton.CODE_BOC), data=data).serialize().hash.hex()


PROOFS: dict[Family, Proof] = {
    Family.EVM: address_of_evm_signature,
    Family.TRON: address_of_tron_signature,
    Family.BITCOIN: address_of_bitcoin_signature,
    Family.SOLANA: address_of_solana_signature,
    Family.TON: address_of_ton_signature,
}


async def test_OPS_14_each_handed_out_address_is_controlled_by_the_restored_key(
    database: Database, networks: dict[str, Network], tmp_path: Path
) -> None:
    create_key_file(tmp_path / "k1")
    create_key_file(tmp_path / "k2")
    create_key_file(tmp_path / "k3")
    unlock, paper, fresh = (from_key_file(tmp_path / name) for name in ("k1", "k2", "k3"))

    ring = signer.init(tmp_path / "signer", unlock, now=NOW)
    async with database.transaction() as tx:
        await service.import_keyring(tx, ring)
    allocator = Allocator(database, ring)
    handed_out: list[Allotted] = [await allocator.take(network) for network in networks.values() for _ in range(3)]
    assert len({network.id for network in networks.values()}) >= 8
    async with database.reader() as tx:
        highest = await service.highest_indexes(tx)
    signer.backup(tmp_path / "signer", unlock, tmp_path / "signer.backup", paper, highest=highest, now=NOW)

    restored = signer.restore(tmp_path / "clean" / "signer", fresh, tmp_path / "signer.backup", paper, now=NOW)
    assert restored.fingerprint == ring.fingerprint
    seed = signer.open_seed(tmp_path / "clean" / "signer", fresh).seed
    for allotted in handed_out:
        key = recover_private_key(seed, allotted.key_family, allotted.key_index)
        assert PROOFS[allotted.key_family](key) == allotted.address

    async with database.transaction() as tx:
        await service.import_keyring(tx, restored)
    after = Allocator(database, restored)
    for network in networks.values():
        allotted = await after.take(network)
        assert allotted.key_index > highest[network.family]
        assert PROOFS[network.family](recover_private_key(seed, network.family, allotted.key_index)) == allotted.address


@pytest.mark.parametrize("family", list(Family))
def test_another_index_controls_another_address(family: Family) -> None:
    seed = hashlib.sha512(b"indexes").digest()
    first, second = (PROOFS[family](recover_private_key(seed, family, index)) for index in (0, 1))
    assert (first == second) == (family is Family.TON)
