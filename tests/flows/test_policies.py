"""A merchant's gentler policies: tolerance, summing, late, over; each beside the default, and all of them in odd orders."""

import itertools

import pytest
from tests.flows.conftest import Start
from tests.flows.harness import GENTLE, MANY, Pace, World, fee_of

from bitlinkpay.merchants.model import Policy


@pytest.fixture(params=list(Pace))
def pace(request: pytest.FixtureRequest) -> Pace:
    """Final at sight or step by step: every case ends alike."""
    return request.param


SUMMING = Policy(is_summing=True)


@pytest.mark.parametrize(
    ("policy", "amount", "state", "label"),
    [
        (Policy(), "99", "created", "short"),
        (Policy(tolerance_ppm=10_000), "99", "paid", ""),
        (Policy(tolerance_ppm=10_000), "98.999999", "created", "short"),
        (Policy(tolerance_ppm=10_000), "101", "paid", ""),
        (Policy(tolerance_ppm=10_000), "101.000001", "created", "over"),
        (Policy(tolerance_units={"usdt-tron": 500_000}), "99.5", "paid", ""),
        (Policy(tolerance_units={"usdt-tron": 500_000}), "99.499999", "created", "short"),
        (Policy(tolerance_units={"usdt-ethereum": 500_000}), "99.5", "created", "short"),
        (Policy(tolerance_ppm=1, tolerance_units={"usdt-tron": 500_000}), "100.5", "paid", ""),
        (Policy(accepts_over=True), "5000", "paid", ""),
        (Policy(accepts_over=True), "99.999999", "created", "short"),
    ],
)
async def test_DEP_10_tolerance_and_over_credit_exactly_what_came(
    start: Start, policy: Policy, amount: str, state: str, label: str
):
    world = await start(policy=policy)
    order = await world.open_order()
    txid = await world.pay_and_finalize(order, amount)
    assert await world.state(order) == state
    deposit = await world.deposit(order, txid)
    assert deposit.label == label
    balance = await world.balance()
    net = deposit.units - fee_of(deposit.units)
    assert (balance.available_units, balance.unassigned_units) == ((net, 0) if state == "paid" else (0, deposit.units))
    if state == "paid":
        shown = await world.show(order)
        assert (shown.accepted_units, shown.fee_units) == (deposit.units, fee_of(deposit.units))
        assert world.inbox.about(order)[0]["amount"] == amount


@pytest.mark.parametrize("asset_id", MANY)
@pytest.mark.parametrize("is_one_block", [True, False])
async def test_DEP_11_several_transfers_add_up(start: Start, asset_id: str, is_one_block: bool):
    world = await start(policy=SUMMING)
    order = await world.open_order(asset_id, "0.5")
    for amount in ("0.2", "0.2", "0.1"):
        await world.pay(order, amount)
        if not is_one_block:
            await world.finalize(world.network(asset_id).id)
    await world.finalize(world.network(asset_id).id)
    shown = await world.show(order)
    assert (shown.state, shown.labels) == ("paid", frozenset())
    assert await world.states(order) == [("credited", "")] * 3
    assert (shown.accepted_units, shown.fee_units) == (order.units, fee_of(order.units))
    assert sum(deposit.fee_units for deposit in await world.deposits(order)) == fee_of(order.units)
    assert (await world.balance(asset_id)).available_units == order.units - fee_of(order.units)
    assert world.inbox.statuses(order) == [8]


@pytest.mark.parametrize("amounts", list(itertools.permutations(["30", "70", "100", "1"])))
async def test_DEP_11_whatever_the_order_of_parts_in_a_block_one_payment_is_made_and_nothing_lost(
    start: Start, amounts: tuple[str, ...]
):
    world = await start(policy=SUMMING)
    order = await world.open_order()
    for amount in amounts:
        await world.pay(order, amount)
    await world.finalize("tron")
    shown = await world.show(order)
    assert (shown.state, shown.accepted_units) == ("paid", 100_000_000)
    balance = await world.balance()
    assert balance.available_units == 100_000_000 - 300_000
    assert balance.unassigned_units == 101_000_000
    assert world.inbox.statuses(order) == [8]


async def test_a_gentler_policy_never_refuses_what_the_exact_rule_takes(start: Start):
    world = await start(policy=SUMMING)
    order = await world.open_order()
    await world.pay_and_finalize(order, "40")
    exact = await world.pay_and_finalize(order, "100")
    assert await world.state(order) == "paid"
    assert (await world.deposit(order, exact)).state == "credited"
    assert await world.states(order) == [("credited", ""), ("unassigned", "short")]


async def test_parts_beyond_the_sum_are_put_aside_until_a_fitting_one_comes(start: Start):
    world = await start(policy=SUMMING)
    order = await world.open_order()
    await world.pay_and_finalize(order, "40")
    await world.pay_and_finalize(order, "61")
    assert await world.states(order) == [("unassigned", "over"), ("unassigned", "short")]
    await world.pay_and_finalize(order, "60")
    assert await world.state(order) == "paid"
    assert await world.states(order) == [("credited", ""), ("credited", ""), ("unassigned", "over")]
    assert (await world.show(order)).accepted_units == order.units


async def test_LED_12_a_sum_of_dust_shares_the_fee_so_that_no_part_bears_more_than_it_is_worth(start: Start):
    world = await start(policy=SUMMING)
    order = await world.open_order("usdt-tron", "0.01")  # 10,000 units, 30 of them the fee
    await world.broadcast(*[world.payment(order, units=units) for units in [9_900, *[1] * 100]])
    await world.finalize("tron")
    shown = await world.show(order)
    assert (shown.state, shown.accepted_units, shown.fee_units) == ("paid", 10_000, 30)
    assert all(deposit.fee_units <= deposit.units for deposit in await world.deposits(order))
    assert await world.account("fees:payin", "usdt-tron") == 30


async def test_LED_13_the_highest_fee_never_makes_a_credit_negative(start: Start):
    world = await start(policy=SUMMING, fee_ppm=200_000)
    order = await world.open_order("usdt-tron", "0.01")
    await world.broadcast(*[world.payment(order, units=1)] * 100, world.payment(order, units=9_900))
    await world.finalize("tron")
    assert (await world.state(order), (await world.balance()).available_units) == ("paid", 8_000)
    assert await world.account("fees:payin", "usdt-tron") == 2_000


async def test_short_money_of_another_kind_is_not_added_up(start: Start):
    world = await start(policy=SUMMING)
    order = await world.open_order("usdt-ethereum")
    await world.watch("polygon")
    await world.pay_and_finalize(order, "50", asset_id="usdt-polygon")
    await world.pay_and_finalize(order, "50")
    assert await world.state(order) == "created"
    assert await world.states(order) == [("unassigned", "short"), ("unassigned", "wrong_network")]


async def test_money_that_a_person_credited_is_not_added_up_again(start: Start):
    world = await start(policy=SUMMING)
    order = await world.open_order()
    txid = await world.pay_and_finalize(order, "50")
    await world.credit((await world.deposit(order, txid)).deposit_id)
    await world.pay(order, "50")
    await world.mine("tron")
    await world.settle()
    assert await world.state(order) == "created", "not even shown as confirming"
    await world.finalize("tron")
    assert await world.state(order) == "created"
    assert await world.states(order) == [("credited", "short"), ("unassigned", "short")]


async def test_a_part_that_a_reorganisation_drops_no_longer_counts(start: Start):
    world = await start(policy=SUMMING)
    order = await world.open_order()
    await world.pay(order, "50")
    await world.mine("tron")
    await world.pay(order, "50")
    await world.mine("tron")
    await world.settle()
    assert await world.state(order) == "confirming"
    await world.reorg("tron", 1)
    await world.settle()
    assert (await world.state(order), await world.labels(order)) == ("created", {"short"})
    await world.pay_and_finalize(order, "50")
    assert await world.state(order) == "paid"


async def test_DEP_12_a_merchant_that_takes_late_money_gets_paid_late(start: Start):
    world = await start(policy=Policy(accepts_late=True), callback_statuses=(8, 16))
    order, cancelled = await world.open_order(), await world.open_order()
    await world.cancel(cancelled)
    await world.pass_expiry(order)
    await world.broadcast(world.payment(order), world.payment(cancelled))
    await world.finalize("tron")
    assert [await world.state(o) for o in (order, cancelled)] == ["paid", "cancelled"]
    assert world.inbox.statuses(order) == [16, 8]


async def test_terms_are_those_of_the_order_and_not_of_today(world: World):
    strict = await world.open_order()
    gentle = await world.open_order(merchant=await world.another(policy=GENTLE))
    await world.broadcast(world.payment(strict, "150"), world.payment(gentle, "150"))
    await world.finalize("tron")
    assert [await world.state(order) for order in (strict, gentle)] == ["created", "paid"]


async def test_everything_gentle_at_once(start: Start):
    world = await start(policy=GENTLE)
    order = await world.open_order()
    await world.pay_and_finalize(order, "30")
    await world.pass_expiry(order)
    assert await world.state(order) == "expired"
    await world.pay_and_finalize(order, "200")
    assert await world.state(order) == "paid"
    assert (await world.show(order)).accepted_units == 200_000_000
    assert (await world.balance()).unassigned_units == 30_000_000
