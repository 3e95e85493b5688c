"""Plans as they come to the signer: read in one spelling by one family, and told apart by what they take on the chain."""

from dataclasses import replace

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitlinkpay.chains.bitcoin.plan import BitcoinPlan
from bitlinkpay.chains.evm.plan import EvmPlan, Shape
from bitlinkpay.chains.outgoing import KeyRole, Unspent, Wallet
from bitlinkpay.chains.registry import load_registry
from bitlinkpay.chains.simulated_plan import SimulatedPlan
from bitlinkpay.chains.solana.plan import SolanaPlan
from bitlinkpay.chains.ton.plan import TonPlan
from bitlinkpay.chains.tron.plan import TronPlan
from bitlinkpay.core.mode import Mode
from bitlinkpay.signer.families.dispatch import Plan, place, read_plan
from bitlinkpay.signer.problems import PlanMismatch

NETWORKS = load_registry().networks
HOT = Wallet(KeyRole.HOT, 0, "bc1qcr8te4kr609gcawutmrza0j4xv80jy8z306fyu")
COINS = (Unspent("cd" * 32, 0, 5_000, HOT), Unspent("ab" * 32, 1, 7_000, HOT), Unspent("ab" * 32, 0, 9_000, HOT))
EVM = EvmPlan(Shape.NATIVE, 1, nonce=5, gas_limit=21_000, max_fee=10**9, priority_fee=1)
PLANS: dict[str, Plan] = {
    "ethereum": EVM,
    "tron": TronPlan(7, (7).to_bytes(8, "big") + bytes(24), 1, 60_000, 0, 345_000),
    "bitcoin": BitcoinPlan(COINS, HOT, (20_000,), 1_000, 0, 800_000, 800_000),
    "ton": TonPlan(3, 1_764_072_000, False, (False,), 0, 10**7),
    "solana": SolanaPlan("11111111111111111111111111111112", 5, 150, 1_000, 7, False, (False,), (False,), 0),
}
SIMULATED = SimulatedPlan(1, 0)


@pytest.mark.parametrize("name", PLANS)
def test_a_plan_is_read_as_it_was_written(name: str) -> None:
    assert read_plan(Mode.LIVE, NETWORKS[name], msgspec.json.encode(PLANS[name])) == PLANS[name]


@pytest.mark.parametrize("name", NETWORKS)
def test_in_a_sandbox_every_network_is_simulated_and_live_none(name: str) -> None:
    text = msgspec.json.encode(SIMULATED)
    assert read_plan(Mode.SANDBOX, NETWORKS[name], text) == SIMULATED
    with pytest.raises(PlanMismatch, match=f"not a plan for {name}"):
        read_plan(Mode.LIVE, NETWORKS[name], text)


@pytest.mark.parametrize("name", PLANS)
def test_no_real_plan_is_read_in_a_sandbox_or_by_another_family(name: str) -> None:
    text = msgspec.json.encode(PLANS[name])
    with pytest.raises(PlanMismatch):
        read_plan(Mode.SANDBOX, NETWORKS[name], text)
    for other in PLANS.keys() - {name}:
        with pytest.raises(PlanMismatch, match=f"not a plan for {other}"):
            read_plan(Mode.LIVE, NETWORKS[other], text)


def test_all_evm_networks_read_the_same_plans() -> None:
    text = msgspec.json.encode(EVM)
    assert {read_plan(Mode.LIVE, NETWORKS[name], text) for name in ("ethereum", "bsc", "polygon")} == {EVM}


GOOD = msgspec.json.encode(EVM)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        GOOD[:-1],
        GOOD + b"\n",
        b" " + GOOD,
        GOOD + GOOD,
        GOOD.replace(b":", b": ", 1),
        GOOD.replace(b'"nonce":5', b'"nonce":6,"nonce":5'),
        GOOD.replace(b'"nonce":5', b'"nonce":5.0'),
        GOOD.replace(b'"nonce":5', b'"nonce":"5"'),
        GOOD.replace(b'"nonce":5', b'"nonce":true'),
        GOOD.replace(b'"nonce":5', b'"nonce":null'),
        GOOD.replace(b'"nonce":5', b'"nonce":5,"hidden":1'),
        GOOD.replace(b'"nonce"', b'"n\\u006fnce"'),
        b"\xff" + GOOD,
        b"[" * 100_000,
    ],
)
def test_a_plan_in_another_spelling_is_none(text: bytes) -> None:
    """What is hashed for the audit and what is signed are the same text: there is one spelling of each plan."""
    assert text != GOOD
    with pytest.raises(PlanMismatch, match="not a plan for ethereum"):
        read_plan(Mode.LIVE, NETWORKS["ethereum"], text)


@given(st.binary(max_size=300), st.sampled_from(sorted(PLANS)))
def test_noise_is_refused_and_never_crashes(noise: bytes, name: str) -> None:
    with pytest.raises(PlanMismatch):
        read_plan(Mode.LIVE, NETWORKS[name], noise)


def test_the_place_on_evm_is_the_nonce_and_nothing_else() -> None:
    assert place(EVM) == "nonce 5"
    assert place(replace(EVM, gas_limit=50_000, max_fee=7, chain_id=56)) == "nonce 5"
    assert place(replace(EVM, nonce=6)) == "nonce 6"


def test_the_place_on_bitcoin_is_what_is_spent_in_any_order() -> None:
    plan = PLANS["bitcoin"]
    assert isinstance(plan, BitcoinPlan)
    found = place(plan)
    assert found == f"outputs {'ab' * 32}:0 {'ab' * 32}:1 {'cd' * 32}:0"
    assert place(replace(plan, inputs=COINS[::-1], fee_units=9)) == found
    assert place(replace(plan, inputs=COINS[:2])) != found


def test_the_place_on_ton_is_the_number_within_its_life() -> None:
    plan = PLANS["ton"]
    assert isinstance(plan, TonPlan)
    assert place(plan) == "number 3 of 1764072000"
    assert place(replace(plan, fee_units=1)) == place(plan)
    assert place(replace(plan, created_at=plan.created_at + 1)) != place(plan)


def test_a_simulated_place_is_the_number() -> None:
    assert place(SIMULATED) == place(SimulatedPlan(1, 99)) == "number 1"


@pytest.mark.parametrize("name", ["tron", "solana"])
def test_where_nothing_excludes_each_plan_is_a_place_of_its_own(name: str) -> None:
    plan = PLANS[name]
    assert isinstance(plan, TronPlan | SolanaPlan)
    changed = replace(plan, burnt_units=1) if isinstance(plan, TronPlan) else replace(plan, compute_units=1_001)
    assert place(plan) == place(replace(plan))
    assert place(changed) != place(plan)
    assert len(bytes.fromhex(place(plan))) == 32


def test_places_of_different_families_never_meet() -> None:
    assert len({place(plan) for plan in PLANS.values()}) == len(PLANS)
