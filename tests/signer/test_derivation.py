"""Derivation against published vectors and against other libraries."""

import hashlib

import base58
import nacl.signing
import pytest
import wallycore
from bip32 import BIP32
from coincurve import PrivateKey
from Crypto.Hash import keccak
from eth_account import Account
from hypothesis import given, settings
from hypothesis import strategies as st
from pytoniq_core import Cell, StateInit, begin_cell

from bitlinkpay.chains.address import deposit_address
from bitlinkpay.chains.outgoing import KeyRole
from bitlinkpay.chains.ton import highload as ton
from bitlinkpay.core.assets import Family
from bitlinkpay.signer import selftest
from bitlinkpay.signer.hd import ed25519_master, secp256k1_master
from bitlinkpay.signer.keyring import FIRST_POOL, KeyRing
from bitlinkpay.signer.keys import SolanaBranch, derive_keyring, new_seed, recover_private_key
from bitlinkpay.signer.problems import SelfTestFailed
from bitlinkpay.signer.public import DepositNode

SEEDS = [bytes(64), bytes(range(64)), hashlib.sha512(b"a third seed").digest()]


def handed_out(ring: KeyRing, family: Family, index: int, *, testnet: bool = False) -> str:
    """What a process with the public keys only would hand out."""
    accounts = {
        Family.EVM: ring.evm,
        Family.TRON: ring.tron,
        Family.BITCOIN: ring.bitcoin_testnet if testnet else ring.bitcoin,
    }
    return deposit_address(family, testnet, DepositNode(accounts[family]).child(index))


def test_known_answers_hold() -> None:
    selftest.run()


def test_a_wrong_answer_stops_everything() -> None:
    with pytest.raises(SelfTestFailed, match="BIP-32"):
        selftest._expect("BIP-32", "xpub-a", "xpub-b")


@pytest.mark.parametrize(
    ("seed", "path", "xpub"),
    [  # BIP-32, test vectors 1, 2 and 3 (leading zeros)
        (
            "000102030405060708090a0b0c0d0e0f",
            "m/0'/1",
            "xpub6ASuArnXKPbfEwhqN6e3mwBcDTgzisQN1wXN9BJcM47sSikHjJf3UFHKkNAWbWMiGj7Wf5uMash7SyYq527Hqck2AxYysAA7xmALppuCkwQ",
        ),
        (
            "fffcf9f6f3f0edeae7e4e1dedbd8d5d2cfccc9c6c3c0bdbab7b4b1aeaba8a5a29f9c999693908d8a8784817e7b7875726f6c696663605d5a5754514e4b484542",
            "m/0/2147483647'/1/2147483646'/2",
            "xpub6FnCn6nSzZAw5Tw7cgR9bi15UV96gLZhjDstkXXxvCLsUXBGXPdSnLFbdpq8p9HmGsApME5hQTZ3emM2rnY5agb9rXpVGyy3bdW6EEgAtqt",
        ),
        (
            "4b381541583be4423346c643850da4b320e46a87ae3d2a4e6da11eba819cd4acba45d239319ac14f863b8d5ab5a0d0c64d2e8a1e7d1457df2e5a3c51c73235be",
            "m/0'",
            "xpub68NZiKmJWnxxS6aaHmn81bvJeTESw724CRDs6HbuccFQN9Ku14VQrADWgqbhhTHBaohPX4CjNLf9fq9MYo6oDaPPLPxSb7gwQN3ih19Zm4Y",
        ),
    ],
)
def test_bip32_vectors(seed: str, path: str, xpub: str) -> None:
    assert secp256k1_master(bytes.fromhex(seed)).get_xpub_from_path(path) == xpub


@pytest.mark.parametrize(
    ("seed", "path", "key"),
    [  # SLIP-0010, Ed25519, test vectors 1 and 2
        ("000102030405060708090a0b0c0d0e0f", "m", "2b4be7f19ee27bbf30c667b642d5f4aa69fd169872f8fc3059c08ebae2eb19e7"),
        (
            "000102030405060708090a0b0c0d0e0f",
            "m/0'/1'",
            "b1d0bad404bf35da785a64ca1ac54b2617211d2777696fbffaf208f746ae84f2",
        ),
        (
            "fffcf9f6f3f0edeae7e4e1dedbd8d5d2cfccc9c6c3c0bdbab7b4b1aeaba8a5a29f9c999693908d8a8784817e7b7875726f6c696663605d5a5754514e4b484542",
            "m/0'/2147483647'/1'/2147483646'/2'",
            "551d333177df541ad876a60ea71f00447931c0a9da16f227c11ea080d7391b8d",
        ),
    ],
)
def test_slip10_vectors(seed: str, path: str, key: str) -> None:
    assert ed25519_master(bytes.fromhex(seed)).get_privkey_from_path(path).hex() == key


def test_the_phrase_seed_is_that_of_bip39() -> None:
    phrase = "abandon " * 11 + "about"
    assert hashlib.pbkdf2_hmac("sha512", phrase.encode(), b"mnemonic", 2048) == selftest.PHRASE_SEED


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("index", [0, 1, 255, 2**31 - 1])
def test_evm_addresses_are_those_of_eth_account(seed: bytes, index: int) -> None:
    ours = handed_out(derive_keyring(seed), Family.EVM, index)
    assert Account.from_key(recover_private_key(seed, Family.EVM, index)).address == ours


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("index", [0, 7, 2**31 - 1])
def test_tron_addresses_are_base58check_of_the_key_hash(seed: bytes, index: int) -> None:
    key = PrivateKey(recover_private_key(seed, Family.TRON, index))
    digest = keccak.new(digest_bits=256, data=key.public_key.format(compressed=False)[1:]).digest()
    assert (
        handed_out(derive_keyring(seed), Family.TRON, index) == base58.b58encode_check(b"\x41" + digest[-20:]).decode()
    )


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("index", [0, 7, 2**31 - 1])
@pytest.mark.parametrize(("testnet", "prefix", "coin"), [(False, "bc", 0), (True, "tb", 1)])
def test_bitcoin_addresses_are_those_of_libwally(
    seed: bytes, index: int, testnet: bool, prefix: str, coin: int
) -> None:
    master = wallycore.bip32_key_from_seed(seed, wallycore.BIP32_VER_MAIN_PRIVATE, 0)
    path = [84 | 0x80000000, coin | 0x80000000, 0x80000000, 0, index]
    child = wallycore.bip32_key_from_parent_path(master, path, wallycore.BIP32_FLAG_KEY_PRIVATE)
    ours = handed_out(derive_keyring(seed), Family.BITCOIN, index, testnet=testnet)
    assert wallycore.bip32_key_to_addr_segwit(child, prefix, 0) == ours
    assert wallycore.bip32_key_get_priv_key(child) == recover_private_key(seed, Family.BITCOIN, index, testnet=testnet)


@settings(max_examples=50, deadline=None)
@given(st.binary(min_size=16, max_size=64), st.integers(min_value=0, max_value=2**31 - 1))
def test_children_of_public_keys_are_those_of_another_library(seed: bytes, index: int) -> None:
    xpub = secp256k1_master(seed).get_xpub_from_path("m/44'/60'/0'")
    assert DepositNode(xpub).child(index) == BIP32.from_xpub(xpub).get_pubkey_from_path([0, index])


def test_public_keys_have_no_hardened_children() -> None:
    with pytest.raises(ValueError, match="Invalid"):
        DepositNode(derive_keyring(SEEDS[0]).evm).child(2**31)


@pytest.mark.parametrize("seed", SEEDS)
def test_solana_pool_is_the_base58_of_each_key(seed: bytes) -> None:
    ring = derive_keyring(seed)
    assert [pooled.index for pooled in ring.solana] == list(range(FIRST_POOL))
    assert ring.solana[0].address == ring.solana_zero
    for pooled in ring.solana[::50]:
        key = nacl.signing.SigningKey(recover_private_key(seed, Family.SOLANA, pooled.index))
        assert base58.b58decode(pooled.address) == bytes(key.verify_key)


def test_hot_addresses_are_those_of_other_libraries() -> None:
    ring = derive_keyring(SEEDS[2])
    for hot in ring.hot:
        key = recover_private_key(SEEDS[2], hot.family, hot.index, testnet=hot.is_testnet, role=KeyRole.HOT)
        match hot.family:
            case Family.EVM:
                expected = Account.from_key(key).address
            case Family.TRON:
                public = PrivateKey(key).public_key.format(compressed=False)[1:]
                digest = keccak.new(digest_bits=256, data=public).digest()
                expected = base58.b58encode_check(b"\x41" + digest[-20:]).decode()
            case Family.BITCOIN:
                program = b"\x00\x14" + wallycore.hash160(PrivateKey(key).public_key.format())
                expected = wallycore.addr_segwit_from_bytes(program, "tb" if hot.is_testnet else "bc", 0)
            case Family.SOLANA:
                expected = base58.b58encode(bytes(nacl.signing.SigningKey(key).verify_key)).decode()
            case Family.TON:
                expected = oracle_ton_wallet(bytes(nacl.signing.SigningKey(key).verify_key))
        assert hot.address == expected


@pytest.mark.parametrize(("coin", "family"), [(60, Family.EVM), (195, Family.TRON)])
def test_hot_keys_stand_on_account_1(coin: int, family: Family) -> None:
    master = wallycore.bip32_key_from_seed(SEEDS[1], wallycore.BIP32_VER_MAIN_PRIVATE, 0)
    path = [44 | 0x80000000, coin | 0x80000000, 1 | 0x80000000, 0, 5]
    child = wallycore.bip32_key_from_parent_path(master, path, wallycore.BIP32_FLAG_KEY_PRIVATE)
    key = recover_private_key(SEEDS[1], family, 5, role=KeyRole.HOT)
    assert wallycore.bip32_key_get_priv_key(child) == key


def test_pool_batches_agree_wherever_they_start() -> None:
    branch = SolanaBranch.of(SEEDS[1])
    assert branch.pool(3, 4) == branch.pool(0, 10)[3:7]
    assert branch.pool(2**31 - 2, 1)[0].index == 2**31 - 2


def oracle_ton_wallet(public_key: bytes) -> str:
    data = begin_cell().store_bytes(public_key).store_uint(0x10AD, 32).store_bit(0).store_bit(0)
    data = data.store_uint(0, 64).store_uint(3600, 22).end_cell()
    state = StateInit(code=Cell.one_from_boc(ton.CODE_BOC), data=data)
    return "0:" + state.serialize().hash.hex()


@settings(max_examples=50, deadline=None)
@given(st.binary(min_size=32, max_size=32))
def test_ton_wallet_is_what_pytoniq_core_computes(public_key: bytes) -> None:
    assert ton.wallet_address(public_key) == oracle_ton_wallet(public_key)


def test_ton_code_is_the_published_one() -> None:
    code = Cell.one_from_boc(ton.CODE_BOC)
    assert code.hash == ton.CODE.hash
    assert code.get_depth() == ton.CODE.depth


@pytest.mark.parametrize("seed", SEEDS)
def test_ton_wallet_belongs_to_the_ton_key(seed: bytes) -> None:
    ring = derive_keyring(seed)
    key = nacl.signing.SigningKey(recover_private_key(seed, Family.TON, 12345))
    assert bytes(key.verify_key).hex() == ring.ton_key
    assert ring.ton_wallet == oracle_ton_wallet(bytes(key.verify_key))


def test_new_seeds_differ_and_are_full() -> None:
    assert new_seed() != new_seed()
    assert len(new_seed()) == 64


def test_rings_of_two_seeds_share_nothing() -> None:
    first, second = (derive_keyring(seed) for seed in SEEDS[:2])
    assert first.fingerprint != second.fingerprint
    assert not {first.evm, first.tron, first.bitcoin, first.ton_key} & {
        second.evm,
        second.tron,
        second.bitcoin,
        second.ton_key,
    }
    assert not {p.address for p in first.solana} & {p.address for p in second.solana}


def test_floors_move_the_pool_but_not_the_identity() -> None:
    plain, restored = derive_keyring(SEEDS[0]), derive_keyring(SEEDS[0], {"solana": 500, "evm": 9})
    assert restored.fingerprint == plain.fingerprint
    assert restored.solana[0].index == 500
    assert restored.floors == {"solana": 500, "evm": 9}


def test_the_ring_holds_public_data_only() -> None:
    seed = SEEDS[2]
    text = derive_keyring(seed).to_json().decode()
    secrets = [seed, *(recover_private_key(seed, family, 0) for family in Family)]
    for secret in secrets:
        assert secret.hex() not in text
        assert base58.b58encode(secret).decode() not in text
    assert "xprv" not in text
    assert "tprv" not in text
