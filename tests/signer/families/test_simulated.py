"""Signing for simulated networks, and what a simulated node refuses."""

from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from uuid import UUID

import msgspec
import pytest

from bitlinkpay.chains import simulated_plan
from bitlinkpay.chains.outgoing import Intent, KeyRole, Payment, Purpose, Signed, Wallet
from bitlinkpay.chains.registry import load_registry
from bitlinkpay.chains.simulated_check import BadTransaction, decode
from bitlinkpay.chains.simulated_format import read_txid
from bitlinkpay.chains.simulated_plan import SimulatedPlan, SimulatedTransaction, digest
from bitlinkpay.core.assets import Family, Network
from bitlinkpay.signer.families.simulated import _witness, sign
from bitlinkpay.signer.keys import derive_keyring
from bitlinkpay.signer.network_keys import NetworkKeys
from bitlinkpay.signer.problems import ForeignAsset, ForeignWallet, PlanMismatch
from bitlinkpay.signer.vault import Vault
from bitlinkpay.wallets.derivation import Derivation

SEED = bytes(range(64))
REGISTRY = load_registry()
RING, VAULT = derive_keyring(SEED), Vault.of(SEED)
NETWORKS = list(REGISTRY.networks.values())
PLAN = SimulatedPlan(number=7, fee_units=900)
HUGE = 2**200  # more than 64 bits: an amount in wei easily is


def keys_of(network: Network) -> NetworkKeys:
    return NetworkKeys(VAULT, REGISTRY, network)


def intent_on(network: Network, *sources: Wallet, units: int = HUGE) -> Intent:
    payer = RING.hot_wallet(network)
    asset = REGISTRY.native(network.id).id
    return Intent(
        intent_id=UUID("0193f3a0-0000-7000-8000-000000000001"),
        network=network.id,
        purpose=Purpose.PAYOUT,
        payer=payer,
        payments=tuple(Payment(s, asset, payer.address, "a memo", units) for s in sources or (payer,)),
        fee_max_units=1_000,
        expires_at=datetime(2026, 11, 25, tzinfo=UTC),
    )


def deposit(network: Network, index: int) -> Wallet:
    if network.family is Family.SOLANA:
        return Wallet(KeyRole.DEPOSIT, index, VAULT.solana.address(index))
    return Wallet(KeyRole.DEPOSIT, index, Derivation(RING).address(network.family, index, testnet=network.testnet))


@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: network.id)
def test_a_signed_payment_is_what_a_node_takes(network: Network) -> None:
    intent = intent_on(network)
    signed = sign(intent, PLAN, keys_of(network))
    found = decode(network, signed.raw)
    assert (found.intent, found.plan) == (intent, PLAN)
    assert [witness.address for witness in found.witnesses] == [intent.payer.address]
    assert read_txid(network.family, signed.txid) == sha256(signed.raw).digest()
    assert signed.txid == simulated_plan.txid(network.family, signed.raw)


@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: network.id)
def test_the_same_question_has_the_same_bytes(network: Network) -> None:
    first, second = (sign(intent_on(network), PLAN, keys_of(network)) for _ in range(2))
    assert first == second
    dearer = sign(intent_on(network), replace(PLAN, fee_units=950), keys_of(network))
    assert dearer.txid != first.txid


@pytest.mark.parametrize("network", [n for n in NETWORKS if n.family is not Family.TON], ids=lambda n: n.id)
def test_every_wallet_whose_money_moves_signs_once(network: Network) -> None:
    one, two = deposit(network, 3), deposit(network, 4)
    signed = sign(intent_on(network, one, two, one), PLAN, keys_of(network))
    addresses = [witness.address for witness in decode(network, signed.raw).witnesses]
    assert addresses == [RING.hot_wallet(network).address, one.address, two.address]


@pytest.mark.parametrize("fee", [1_001, 10**30, -1])
def test_PAY_15_a_fee_above_the_intent_s_is_refused(fee: int) -> None:
    network = REGISTRY.networks["tron"]
    with pytest.raises(PlanMismatch, match="above the intent"):
        sign(intent_on(network), replace(PLAN, fee_units=fee), keys_of(network))


def test_foreign_wallets_and_assets_are_refused() -> None:
    tron, ethereum = REGISTRY.networks["tron"], REGISTRY.networks["ethereum"]
    foreign = replace(deposit(tron, 3), index=4)
    with pytest.raises(ForeignWallet):
        sign(intent_on(tron, foreign), PLAN, keys_of(tron))
    with pytest.raises(ForeignAsset):
        sign(intent_on(tron), PLAN, keys_of(ethereum))


def altered(signed: Signed, **fields: object) -> bytes:
    found = msgspec.json.decode(signed.raw, type=SimulatedTransaction)
    return simulated_plan.encode(replace(found, **fields))  # type: ignore[arg-type]


@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: network.id)
def test_a_node_refuses_what_was_altered_after_signing(network: Network) -> None:
    intent = intent_on(network)
    signed = sign(intent, PLAN, keys_of(network))
    (witness,) = decode(network, signed.raw).witnesses
    more = (replace(intent.payments[0], units=HUGE + 1),)
    elsewhere = (replace(intent.payments[0], target="elsewhere"),)
    forgeries: list[tuple[bytes, str]] = [
        (altered(signed, intent=replace(intent, payments=more)), "signature"),
        (altered(signed, intent=replace(intent, payments=elsewhere)), "signature"),
        (altered(signed, plan=replace(PLAN, number=8)), "signature"),
        (altered(signed, witnesses=()), "not signed by exactly"),
        (altered(signed, witnesses=(witness, witness)), "not signed by exactly"),
        (altered(signed, witnesses=(replace(witness, key=b"short"),)), "signature"),
        (altered(signed, witnesses=(replace(witness, signature=bytes(64)),)), "signature"),
        (signed.raw + b" ", "canonical"),
        (signed.raw[:-1], "not a simulated transaction"),
        (b"", "not a simulated transaction"),
        (signed.raw.replace(str(HUGE).encode(), b"0"), "not a simulated transaction"),
    ]
    for raw, reason in forgeries:
        with pytest.raises(BadTransaction, match=reason):
            decode(network, raw)


@pytest.mark.parametrize("network", [n for n in NETWORKS if n.family is not Family.TON], ids=lambda n: n.id)
def test_a_node_refuses_a_foreign_key_for_an_address(network: Network) -> None:
    """Whoever signs with a key of his own and names our address gets nowhere."""
    intent, thief = intent_on(network), derive_keyring(bytes(64)).hot_wallet(network)
    witness = _witness(NetworkKeys(Vault.of(bytes(64)), REGISTRY, network), thief, digest(intent, PLAN))
    forged = SimulatedTransaction(intent, PLAN, (replace(witness, address=intent.payer.address),))
    with pytest.raises(BadTransaction, match="signature"):
        decode(network, simulated_plan.encode(forged))
