"""Refunds: odd money goes to an address that its merchant confirmed, once, or is odd money again."""

import asyncio
from decimal import Decimal

import pytest
from tests.flows.conftest import Start
from tests.flows.paying import STRANGERS, Cashier
from tests.flows.test_last_look import OTHER
from tests.flows.test_payout_decisions import ASSET, GAS, NETWORK, UNIT, callbacks, reject
from tests.flows.test_payout_proofs import lose
from tests.support.clock import ManualClock

from bitlinkpay.chains.simulated_format import read_txid
from bitlinkpay.core.assets import Family
from bitlinkpay.core.errors import Conflict, NotFound, Problem
from bitlinkpay.deposits.model import Deposit
from bitlinkpay.merchants.model import Merchant
from bitlinkpay.payouts import store
from bitlinkpay.payouts.model import (
    AddressRefused,
    AddressUnconfirmed,
    AmountRefused,
    Payout,
    PayoutExistsDifferent,
    PayoutKind,
    PayoutNotFound,
    SamePerson,
    Terms,
)
from bitlinkpay.sandbox.mempool.store import fail_waiting
from bitlinkpay.signer.keyring import KeyRing

STRANGER = STRANGERS["evm"]


@pytest.fixture
async def cashier(start: Start, ring: KeyRing) -> Cashier:
    cashier = Cashier(await start(), ring, ManualClock())
    await cashier.fund(ASSET, "1000")
    await cashier.fund(GAS, "5")
    return cashier


async def odd(cashier: Cashier, amount: str = "40") -> Deposit:
    """Return money that was too little for its order."""
    world = cashier.world
    order = await world.open_order(ASSET, "100")
    await world.pay_and_finalize(order, amount)
    (deposit,) = await world.deposits(order)
    assert (deposit.state, deposit.label) == ("unassigned", "short")
    return deposit


async def refund(
    cashier: Cashier, deposit: Deposit, target: str = STRANGER, *, maker: str = "", merchant: Merchant | None = None
) -> Payout:
    world, refunds = cashier.world, cashier.payouts().refunds
    draft = await refunds.prepare(merchant or world.merchant, deposit, target=target, maker=maker)
    return await world.database.unit(lambda tx: refunds.request(tx, draft, deposit.deposit_id))


async def confirm(cashier: Cashier, payout: Payout, address: str = STRANGER, by: str = "another") -> Payout:
    payouts = cashier.payouts()
    return await cashier.world.database.unit(lambda tx: payouts.confirm(tx, payout.payout_id, address, by=by))


async def state_of(cashier: Cashier, deposit: Deposit) -> str:
    rows = await cashier.world.rows("select state from deposits where deposit_id = $1", deposit.deposit_id)
    return str(rows[0][0])


async def test_a_merchants_own_request_sends_the_whole_deposit_less_what_it_costs(cashier: Cashier) -> None:
    world, deposit = cashier.world, await odd(cashier)
    payout = await refund(cashier, deposit)
    assert (payout.state, payout.kind, payout.reserved_units) == ("approved", "refund", 40 * UNIT)
    assert payout.units == 40 * UNIT - payout.charge.network_fee_units
    balance = await world.balance(ASSET)
    assert (balance.unassigned_units, balance.reserved_units, balance.available_units) == (0, 40 * UNIT, 0)
    await world.check()
    await cashier.finish(NETWORK)
    assert await cashier.state(payout) == "completed"
    assert await cashier.received(STRANGER, ASSET) == payout.units
    assert await state_of(cashier, deposit) == "refunded"
    assert callbacks(cashier, payout) == [4]
    (told,) = [body for body in world.inbox.bodies if body["order_id"] == payout.payout_id.hex]
    assert told["source_id"] == f"dep_{deposit.deposit_id.hex}"
    assert Decimal(str(told["amount"])) + Decimal(str(told["gas_fee"])) == 40


async def test_one_of_our_people_asks_and_nothing_leaves_before_the_merchant_has_confirmed(cashier: Cashier) -> None:
    payout = await refund(cashier, await odd(cashier), maker="operator")
    assert (payout.state, payout.reason) == ("in_review", "the merchant has to confirm the address")
    for by in ("operator", "another"):
        with pytest.raises(AddressUnconfirmed):
            await cashier.world.database.unit(lambda tx, by=by: cashier.payouts().approve(tx, payout.payout_id, by=by))
    with pytest.raises(SamePerson):
        await confirm(cashier, payout, by="operator")
    with pytest.raises(AddressRefused, match=f"goes to {STRANGER}"):
        await confirm(cashier, payout, OTHER)
    await cashier.finish(NETWORK)
    assert await cashier.received(STRANGER, ASSET) == 0
    assert (await confirm(cashier, payout, STRANGER.lower())).state == "approved"
    await cashier.finish(NETWORK)
    assert await cashier.state(payout) == "completed"


async def test_what_is_no_refund_is_not_confirmed(cashier: Cashier) -> None:
    order = await cashier.world.open_order(ASSET, "100")
    await cashier.world.pay_and_finalize(order)
    async with cashier.world.database.transaction() as tx:
        terms = Terms(review_above_units=1)
        await store.save_terms(tx, cashier.world.merchant.merchant_id, PayoutKind.PAYOUT, ASSET, terms)
    payout = await cashier.ask(ASSET, "5")
    with pytest.raises(PayoutNotFound):
        await confirm(cashier, payout)


async def test_the_same_refund_again_is_one_and_another_address_is_refused(cashier: Cashier) -> None:
    deposit = await odd(cashier)
    payout = await refund(cashier, deposit)
    assert await refund(cashier, deposit) == payout
    with pytest.raises(PayoutExistsDifferent):
        await refund(cashier, deposit, OTHER)
    await cashier.finish(NETWORK)
    assert (await refund(cashier, deposit)).payout_id == payout.payout_id
    assert await cashier.received(STRANGER, ASSET) == payout.units


async def test_one_refund_asked_for_many_times_at_once_is_one(cashier: Cashier) -> None:
    deposit = await odd(cashier)
    answers = await asyncio.gather(*(refund(cashier, deposit) for _ in range(6)))
    assert len({answer.payout_id for answer in answers}) == 1
    assert (await cashier.world.balance(ASSET)).reserved_units == 40 * UNIT


async def test_money_that_is_being_refunded_is_nobodys_to_accept_or_credit(cashier: Cashier) -> None:
    deposit = await odd(cashier)
    await refund(cashier, deposit)
    with pytest.raises(NotFound):
        await cashier.world.credit(deposit.deposit_id)
    with pytest.raises((NotFound, Conflict)):
        await cashier.world.accept(deposit.deposit_id)


async def test_another_merchants_money_is_not_refunded(cashier: Cashier) -> None:
    deposit, other = await odd(cashier), await cashier.world.another()
    with pytest.raises(NotFound):
        await refund(cashier, deposit, merchant=other)
    assert await state_of(cashier, deposit) == "unassigned"


@pytest.mark.parametrize("way", ["rejected", "reverted"])
async def test_a_refund_that_comes_to_nothing_leaves_odd_money_that_can_be_refunded_again(
    cashier: Cashier, way: str
) -> None:
    world, deposit = cashier.world, await odd(cashier)
    first = await refund(cashier, deposit, maker="operator")
    if way == "rejected":
        await reject(cashier, first.payout_id)
    else:
        await confirm(cashier, first)
        await cashier.run(NETWORK)
        digest = read_txid(Family.EVM, (await cashier.show(first)).txid)
        async with world.database.transaction() as tx:
            assert digest
            assert await fail_waiting(tx, NETWORK, digest)
        await cashier.finish(NETWORK)
        assert await cashier.state(first) == "failed"
    balance = await world.balance(ASSET)
    assert (balance.unassigned_units, balance.reserved_units, balance.available_units) == (40 * UNIT, 0, 0)
    assert await state_of(cashier, deposit) == "unassigned"
    await world.check()
    second = await refund(cashier, deposit, OTHER)
    assert second.source_id == f"dep_{deposit.deposit_id.hex}.2"
    await cashier.finish(NETWORK)
    assert await cashier.state(second) == "completed"
    assert await cashier.received(OTHER, ASSET) == second.units


async def test_a_refund_taken_off_the_chain_under_the_payment_is_the_merchants_debt(cashier: Cashier) -> None:
    """A reorganisation deeper than finality takes the deposit away that was refunded already."""
    world, deposit = cashier.world, await odd(cashier)
    payout = await refund(cashier, deposit)
    await cashier.finish(NETWORK)
    assert await cashier.state(payout) == "completed"
    await lose(cashier, deposit)
    assert await state_of(cashier, deposit) == "reversed"
    assert await cashier.received(STRANGER, ASSET) == payout.units
    assert (await world.balance(ASSET)).debt_units == 40 * UNIT


async def test_a_refund_that_ends_after_its_deposit_vanished_gives_its_money_to_the_balance(cashier: Cashier) -> None:
    """The deposit is a debt by then: what was set aside for it is not odd money any more, and the next credit repays."""
    world, deposit = cashier.world, await odd(cashier)
    payout = await refund(cashier, deposit, maker="operator")
    await lose(cashier, deposit)
    assert (await world.balance(ASSET)).debt_units == 40 * UNIT
    await reject(cashier, payout.payout_id)
    await world.settle()
    balance = await world.balance(ASSET)
    assert (balance.available_units, balance.reserved_units, balance.unassigned_units) == (40 * UNIT, 0, 0)
    assert await state_of(cashier, deposit) == "reversed"


async def test_what_the_fees_would_eat_up_is_not_refunded(cashier: Cashier) -> None:
    async with cashier.world.database.transaction() as tx:
        terms = Terms(fee_flat_units=40 * UNIT)
        await store.save_terms(tx, cashier.world.merchant.merchant_id, PayoutKind.PAYOUT, ASSET, terms)
    deposit = await odd(cashier)
    with pytest.raises(AmountRefused, match="of fees leave too little of it"):
        await refund(cashier, deposit)
    assert await state_of(cashier, deposit) == "unassigned"


async def test_a_refund_goes_nowhere_that_a_payout_may_not_go(cashier: Cashier) -> None:
    deposit = await odd(cashier)
    cashier.world.lists.listed.add(STRANGER)
    for target in (STRANGER, cashier.hot(NETWORK).address, "0x" + "0" * 40, "nobody"):
        with pytest.raises(Problem, match="address"):
            await refund(cashier, deposit, target)
    assert await state_of(cashier, deposit) == "unassigned"
