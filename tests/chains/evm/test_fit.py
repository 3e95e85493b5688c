"""A plan that would not do exactly what its intent says is named for it, way by way."""

from collections.abc import Callable
from dataclasses import replace

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.chains.evm.ours import FEE_MAX, HOT, deposit, intent, pay, payout, sweep
from tests.chains.evm.rows import coin, network, token

from bitlinkpay.chains.evm.fit import GAS_MAX, ITEMS_MAX, misfits
from bitlinkpay.chains.evm.plan import Authorization, EvmPlan, Shape
from bitlinkpay.chains.outgoing import Intent, KeyRole, Payment, Purpose
from bitlinkpay.core.assets import Asset

ETH, USDT = coin(), token("0x" + "da" * 20)
OTHER_USDT = token("0x" + "db" * 20, symbol="USDC")
A, B = deposit(1).address, deposit(2).address
SINGLE = EvmPlan(Shape.TOKEN, 31337, nonce=7, gas_limit=90_000, max_fee=10**10, priority_fee=10**9)
BATCH = replace(SINGLE, shape=Shape.BATCH, item_gas=100_000)
SWEEP = replace(BATCH, shape=Shape.SWEEP, authorizations=(Authorization(A, 0),))
SETUP = replace(SINGLE, shape=Shape.DELEGATION, authorizations=(Authorization(HOT.address, 8),), deploys=True)
ONE, TWO = payout(USDT, (A, 5)), payout(USDT, (A, 5), (B, 6))
SWEPT = sweep(USDT, (deposit(1), 5), (deposit(2), 6))


@pytest.mark.parametrize(
    ("wanted", "plan", "asset"),
    [
        (ONE, SINGLE, USDT),
        (payout(ETH, (A, 5)), replace(SINGLE, shape=Shape.NATIVE), ETH),
        (TWO, BATCH, USDT),
        (payout(ETH, (A, 5), (B, 5)), BATCH, ETH),
        (SWEPT, SWEEP, USDT),
        (SWEPT, replace(SWEEP, authorizations=()), USDT),
        (intent(Purpose.SWEEP, [pay(USDT, HOT.address, 5, source=deposit(1))], payer=deposit(1)), SINGLE, USDT),
        (intent(Purpose.SETUP), SETUP, None),
        (intent(Purpose.SETUP), replace(SETUP, deploys=False), None),
        (intent(Purpose.CANCEL), replace(SINGLE, shape=Shape.CANCEL), None),
    ],
)
def test_a_plan_that_does_what_its_intent_says_fits(wanted: Intent, plan: EvmPlan, asset: Asset | None) -> None:
    assert misfits(wanted, plan, network(), asset) == ()
    assert msgspec.json.decode(msgspec.json.encode(plan), type=EvmPlan) == plan


def but(wanted: Intent, plan: EvmPlan, asset: Asset | None, **changed: object) -> tuple[str, ...]:
    return misfits(wanted, replace(plan, **changed), network(), asset)


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (but(ONE, SINGLE, USDT, chain_id=1), "another chain id"),
        (but(ONE, SINGLE, USDT, nonce=-1), "a negative nonce"),
        (but(ONE, SINGLE, USDT, gas_limit=0), "a gas limit that no block takes"),
        (but(ONE, SINGLE, USDT, gas_limit=GAS_MAX + 1, max_fee=1, priority_fee=1), "a gas limit that no block takes"),
        (but(ONE, SINGLE, USDT, priority_fee=10**10 + 1), "a tip above the fee"),
        (but(ONE, SINGLE, USDT, priority_fee=-1), "a tip above the fee"),
        (but(ONE, SINGLE, USDT, max_fee=FEE_MAX // 90_000 + 1), "a higher fee than the intent allows"),
        (but(ONE, SINGLE, USDT, item_gas=1), "a limit per item without items, or items without a limit"),
        (but(TWO, BATCH, USDT, item_gas=0), "a limit per item without items, or items without a limit"),
        (but(ONE, SINGLE, USDT, authorizations=(Authorization(A, 0),)), "authorizations that nothing needs"),
        (but(TWO, BATCH, USDT, authorizations=(Authorization(A, 0),)), "authorizations that nothing needs"),
        (but(ONE, SINGLE, USDT, deploys=True), "a deployment that is no delegation"),
        (but(ONE, SINGLE, USDT, shape=Shape.NATIVE), "a shape for another kind of asset"),
        (but(payout(ETH, (A, 5)), SINGLE, ETH), "a shape for another kind of asset"),
        (but(sweep(ETH, (deposit(1), 5)), SWEEP, ETH), "a shape for another kind of asset"),
        (but(TWO, SINGLE, USDT), "one payment's shape for another number of them"),
        (but(intent(payments=[]), SINGLE, None), "one payment's shape for another number of them"),
        (but(ONE, SINGLE, OTHER_USDT), "another asset, or several"),
        (but(ONE, SINGLE, None), "another asset, or several"),
        (but(intent(payments=[pay(USDT, A, 1), pay(OTHER_USDT, A, 1)]), BATCH, USDT), "another asset, or several"),
        (but(ONE, SINGLE, replace(USDT, network="tron")), "an asset of another network"),
        (but(ONE, SWEEP, USDT), "sweep is no way to do a payout"),
        (but(SWEPT, BATCH, USDT), "batch is no way to do a sweep"),
        (but(intent(Purpose.CANCEL), SETUP, None), "delegation is no way to do a cancel"),
        (but(intent(Purpose.CONSOLIDATION, ONE.payments), SINGLE, USDT), "token is no way to do a consolidation"),
        (but(replace(ONE, purpose=Purpose.CANCEL), replace(SINGLE, shape=Shape.CANCEL), USDT), "payments that it would not make"),
        (but(intent(Purpose.SETUP), SETUP, None, authorizations=()), "another authorization than the wallet's own, right after its transaction"),
        (but(intent(Purpose.SETUP), SETUP, None, authorizations=(Authorization(HOT.address, 7),)), "another authorization than the wallet's own, right after its transaction"),
        (but(intent(Purpose.SETUP), SETUP, None, authorizations=(Authorization(A, 8),)), "another authorization than the wallet's own, right after its transaction"),
        (but(SWEPT, SWEEP, USDT, authorizations=(Authorization(HOT.address, 8),)), "an authorization of an account that is not swept"),
        (but(SWEPT, SWEEP, USDT, authorizations=(Authorization(A, 0), Authorization(A, 1))), "an account that authorizes twice"),
    ],
)  # fmt: skip
def test_each_way_not_to_fit_has_its_name(found: tuple[str, ...], reason: str) -> None:
    assert reason in found


def with_payment(wanted: Intent, change: Callable[[Payment], Payment]) -> Intent:
    return replace(wanted, payments=(change(wanted.payments[0]), *wanted.payments[1:]))


@pytest.mark.parametrize(
    ("wanted", "plan", "reason"),
    [
        (replace(ONE, network="ethereum"), SINGLE, "another network"),
        (with_payment(ONE, lambda p: replace(p, tag="1234")), SINGLE, "a memo, which EVM networks do not have"),
        (with_payment(ONE, lambda p: replace(p, target=A.lower())), SINGLE, "a target that is no address in its canonical form"),
        (with_payment(ONE, lambda p: replace(p, target="TUEZSdKsoDHQMeZwihtdoBiN46zxhGWYdH")), SINGLE, "a target that is no address in its canonical form"),
        (with_payment(ONE, lambda p: replace(p, source=deposit(3))), SINGLE, "a payment out of another wallet"),
        (with_payment(TWO, lambda p: replace(p, source=deposit(3))), BATCH, "a payment out of another wallet"),
        (with_payment(SWEPT, lambda p: replace(p, target=B)), SWEEP, "a sweep to another address than the paying wallet's"),
        (with_payment(SWEPT, lambda p: replace(p, source=HOT)), SWEEP, "a source that is no deposit address"),
        (with_payment(SWEPT, lambda p: replace(p, source=deposit(2))), SWEEP, "an address that is swept twice"),
        (replace(TWO, payer=deposit(1)), BATCH, "code at a wallet that is not hot"),
        (replace(SWEPT, payer=replace(HOT, role=KeyRole.DEPOSIT)), SWEEP, "code at a wallet that is not hot"),
        (replace(TWO, payments=TWO.payments * (ITEMS_MAX // 2 + 1)), BATCH, "not 1 to 256 payments"),
        (replace(SWEPT, payments=()), SWEEP, "not 1 to 256 payments"),
    ],
)  # fmt: skip
def test_an_intent_altered_after_it_was_planned_does_not_fit(wanted: Intent, plan: EvmPlan, reason: str) -> None:
    assert reason in misfits(wanted, plan, network(), USDT)


@given(st.integers(0, 2**64), st.integers(0, 2**64), st.integers(0, 2**32))
def test_no_fee_above_the_intents_ever_fits(max_fee: int, priority_fee: int, gas_limit: int) -> None:
    plan = replace(SINGLE, max_fee=max_fee, priority_fee=priority_fee, gas_limit=gas_limit)
    if misfits(ONE, plan, network(), USDT) == ():
        assert gas_limit * max_fee <= FEE_MAX
        assert priority_fee <= max_fee
