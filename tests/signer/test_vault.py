"""Keys by wallet: the right one or none."""

import hashlib
from collections.abc import Iterator
from dataclasses import replace

import pytest

from bitlinkpay.chains.outgoing import KeyRole, Wallet
from bitlinkpay.chains.registry import load_registry
from bitlinkpay.core.assets import Family, Network
from bitlinkpay.signer.keyring import HOT_WALLETS, KeyRing, NoHotWallet
from bitlinkpay.signer.keys import HIGHEST_INDEX, derive_keyring, recover_private_key
from bitlinkpay.signer.network_keys import NetworkKeys
from bitlinkpay.signer.problems import ForeignAsset, ForeignWallet
from bitlinkpay.signer.vault import Vault
from bitlinkpay.wallets.derivation import Derivation

SEED = bytes(range(64))
REGISTRY = load_registry()
RING, VAULT = derive_keyring(SEED), Vault.of(SEED)
NETWORKS = [*REGISTRY.networks.values(), replace(REGISTRY.networks["bitcoin"], testnet=True)]
BY_KEY = [network for network in NETWORKS if network.family is not Family.TON]


def name(network: Network) -> str:
    return f"{network.id}{'-test' if network.testnet else ''}"


def keys_of(network: Network) -> NetworkKeys:
    return NetworkKeys(VAULT, REGISTRY, network)


def deposit_wallet(network: Network, index: int) -> Wallet:
    if network.family is Family.SOLANA:
        return Wallet(KeyRole.DEPOSIT, index, VAULT.solana.address(index))
    address = Derivation(RING).address(network.family, index, testnet=network.testnet)
    return Wallet(KeyRole.DEPOSIT, index, address)


def places(network: Network) -> Iterator[Wallet]:
    yield RING.hot_wallet(network)
    if network.family is not Family.TON:
        yield RING.hot_wallet(network, HOT_WALLETS - 1)
        yield from (deposit_wallet(network, index) for index in (0, 1, 1_000_000, HIGHEST_INDEX))


@pytest.mark.parametrize("network", NETWORKS, ids=name)
def test_every_wallet_gets_the_key_that_recovery_finds(network: Network) -> None:
    for wallet in places(network):
        expected = recover_private_key(SEED, network.family, wallet.index, testnet=network.testnet, role=wallet.role)
        assert keys_of(network).private_key(wallet) == expected


@pytest.mark.parametrize("network", BY_KEY, ids=name)
def test_hot_and_deposit_wallets_share_no_key(network: Network) -> None:
    hot = [keys_of(network).private_key(RING.hot_wallet(network, index)) for index in range(HOT_WALLETS)]
    deposit = [keys_of(network).private_key(deposit_wallet(network, index)) for index in range(HOT_WALLETS)]
    assert len({*hot, *deposit}) == 2 * HOT_WALLETS


@pytest.mark.parametrize("network", NETWORKS, ids=name)
def test_a_wallet_that_is_not_at_its_place_gets_no_key(network: Network) -> None:
    other = derive_keyring(hashlib.sha512(b"another seed").digest()).hot_wallet(network)
    for wallet in [other, *(replace(wallet, index=wallet.index ^ 1) for wallet in places(network))]:
        with pytest.raises(ForeignWallet, match="of this seed"):
            keys_of(network).private_key(wallet)


@pytest.mark.parametrize("network", BY_KEY, ids=name)
def test_the_role_is_part_of_the_place(network: Network) -> None:
    for wallet in (RING.hot_wallet(network), deposit_wallet(network, 0)):
        swapped = KeyRole.DEPOSIT if wallet.role is KeyRole.HOT else KeyRole.HOT
        with pytest.raises(ForeignWallet):
            keys_of(network).private_key(replace(wallet, role=swapped))


@pytest.mark.parametrize("index", [-1, HOT_WALLETS, 2**31])
@pytest.mark.parametrize("network", NETWORKS, ids=name)
def test_indexes_of_hot_wallets_end(network: Network, index: int) -> None:
    with pytest.raises(ForeignWallet):
        keys_of(network).private_key(replace(RING.hot_wallet(network), index=index))
    with pytest.raises(NoHotWallet, match=f"below {HOT_WALLETS}"):
        RING.hot_wallet(network, index)


@pytest.mark.parametrize("index", [-1, 2**31, 2**31 + 5])
def test_indexes_of_deposit_keys_end(index: int) -> None:
    wallet = replace(deposit_wallet(REGISTRY.networks["ethereum"], 0), index=index)
    with pytest.raises(ForeignWallet):
        keys_of(REGISTRY.networks["ethereum"]).private_key(wallet)


def test_bitcoin_s_test_network_has_keys_of_its_own() -> None:
    main, test = REGISTRY.networks["bitcoin"], NETWORKS[-1]
    assert RING.hot_wallet(main).address.startswith("bc1")
    assert RING.hot_wallet(test).address.startswith("tb1")
    assert keys_of(main).private_key(RING.hot_wallet(main)) != keys_of(test).private_key(RING.hot_wallet(test))
    with pytest.raises(ForeignWallet):
        keys_of(main).private_key(RING.hot_wallet(test))


def test_ton_has_one_wallet_that_receives_and_pays() -> None:
    ton = REGISTRY.networks["ton"]
    assert RING.hot_wallet(ton).address == RING.ton_wallet
    with pytest.raises(ForeignWallet):
        keys_of(ton).private_key(Wallet(KeyRole.DEPOSIT, 0, RING.ton_wallet))


def test_only_assets_of_the_network_are_known() -> None:
    keys = keys_of(REGISTRY.networks["tron"])
    assert keys.asset("usdt-tron") == REGISTRY.assets["usdt-tron"]
    for foreign in ("usdt-ethereum", "usdt-tron2", ""):
        with pytest.raises(ForeignAsset, match="on tron"):
            keys.asset(foreign)


def test_PAY_40_nothing_prints_a_key() -> None:
    shown = repr(VAULT) + repr(keys_of(REGISTRY.networks["tron"]))
    for network in NETWORKS:
        key = keys_of(network).private_key(RING.hot_wallet(network))
        assert key.hex() not in shown
        assert repr(key) not in shown


def test_a_ring_of_an_earlier_release_is_read_and_has_no_hot_wallets() -> None:
    old = replace(RING, hot=())
    text = old.to_json().replace(b',"hot":[]', b"")
    assert b"hot" not in text
    assert KeyRing.from_json(text) == old
    assert old.fingerprint == RING.fingerprint == RING.digest()
    with pytest.raises(NoHotWallet, match="start the signer of this release once"):
        old.hot_wallet(REGISTRY.networks["tron"])
