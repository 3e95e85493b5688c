"""Reorganisations: before credit, after credit, with and without the transactions coming back."""

import pytest
from tests.flows.conftest import Start
from tests.flows.harness import ALL_STATUSES, MANY, World, fee_of

from bitlinkpay.core.ids import new_uuid7
from bitlinkpay.ledger import accounts
from bitlinkpay.ledger import service as ledger
from bitlinkpay.ledger.model import LedgerEvent, Move, Posting
from bitlinkpay.merchants.model import Policy
from bitlinkpay.payins.model import Payin
from bitlinkpay.sandbox.model import Fork


async def spend(world: World, units: int, asset_id: str = "usdt-tron") -> None:
    """Take money out of the merchant's balance, as a payout will."""
    merchant_id = world.merchant.merchant_id
    posting = Posting(
        key=f"test:{new_uuid7().hex}",
        event=LedgerEvent.HOT_WALLET_FUNDED,
        asset=asset_id,
        moves=(Move(accounts.available(merchant_id), accounts.EQUITY, units),),
        merchant_id=merchant_id,
        happened_at=world.clock.now(),
    )
    await world.database.unit(lambda tx: ledger.post_all(tx, [posting]))


async def paid_order(world: World, asset_id: str = "usdt-tron", amount: str = "0.5") -> Payin:
    order = await world.open_order(asset_id, amount)
    await world.pay_and_finalize(order)
    assert await world.state(order) == "paid"
    return order


@pytest.mark.parametrize("asset_id", MANY)
async def test_DEP_03_a_payment_that_vanishes_before_credit_leaves_no_trace_in_the_balance(world: World, asset_id: str):
    order = await world.open_order(asset_id, "0.5")
    network = world.network(asset_id)
    await world.pay(order)
    await world.mine(network.id)
    await world.settle()
    assert await world.state(order) == "confirming"
    await world.reorg(network.id, 1)
    await world.settle()
    assert (await world.state(order), await world.states(order)) == ("created", [("dropped", "")])
    assert (await world.balance(asset_id)).pending_units == 0
    await world.finalize(network.id)
    assert await world.state(order) == "created"
    await world.pay_and_finalize(order)
    assert await world.state(order) == "paid"
    assert await world.states(order) == [("credited", ""), ("dropped", "")]


@pytest.mark.parametrize("depth", [1, 2, 3, 6])
async def test_BTC_13_depth_by_depth(world: World, depth: int):
    order = await world.open_order("btc-bitcoin", "0.5")
    await world.pay(order)
    for _ in range(depth):
        await world.mine("bitcoin")
        await world.settle()
    is_final = depth > world.registry.networks["bitcoin"].sandbox_lag
    assert await world.state(order) == ("paid" if is_final else "confirming")
    await world.reorg("bitcoin", depth)
    await world.settle()
    assert await world.states(order) == [("reversed" if is_final else "dropped", "")]
    assert (await world.balance("btc-bitcoin")).available_units == 0


@pytest.mark.parametrize("asset_id", MANY)
async def test_DEP_05_a_payment_that_moves_to_another_block_is_credited_once(world: World, asset_id: str):
    order = await world.open_order(asset_id, "0.5")
    network = world.network(asset_id)
    txid = await world.pay(order)
    await world.mine(network.id)
    await world.settle()
    first = await world.deposit(order, txid)
    for _ in range(3):
        await world.reorg(network.id, 1, Fork.KEEP)
        await world.settle()
    await world.finalize(network.id)
    assert await world.states(order) == [("credited", ""), *[("dropped", "")] * 3]
    assert (await world.deposit(order, txid)).block_hash != first.block_hash
    assert (await world.balance(asset_id)).available_units == order.units - fee_of(order.units)
    assert world.inbox.statuses(order) == [8]


async def test_DEP_05_a_payment_changes_blocks_while_nobody_looks(world: World):
    order = await world.open_order()
    await world.pay(order)
    await world.mine("tron")
    await world.settle()
    await world.reorg("tron", 1, Fork.KEEP)
    await world.reorg("tron", 2, Fork.KEEP)
    await world.mine("tron", 40)
    await world.settle()
    assert await world.states(order) == [("credited", ""), ("dropped", "")]


@pytest.mark.parametrize("asset_id", MANY)
async def test_DEP_04_a_credit_that_vanishes_is_reversed_out_of_the_balance(world: World, asset_id: str):
    order = await paid_order(world, asset_id)
    network = world.network(asset_id)
    await world.reorg(network.id, network.sandbox_lag + 4)
    await world.settle()
    assert (await world.state(order), await world.labels(order)) == ("paid", {"reversed"})
    assert await world.states(order) == [("reversed", "")]
    balance = await world.balance(asset_id)
    assert (balance.available_units, balance.debt_units) == (0, 0)
    assert await world.account("fees:payin", asset_id) == 0
    assert world.inbox.statuses(order) == [8]


async def test_DEP_04_what_was_spent_becomes_a_debt_that_later_credits_repay_first(world: World):
    order = await paid_order(world, amount="100")
    net = order.units - fee_of(order.units)
    await spend(world, net - 1_000_000)
    await world.reorg("tron", 10)
    await world.settle()
    balance = await world.balance()
    assert (balance.available_units, balance.debt_units) == (0, net - 1_000_000)

    await paid_order(world, amount="50")
    balance = await world.balance()
    assert (balance.available_units, balance.debt_units) == (0, net - 1_000_000 - (50_000_000 - 150_000))
    await paid_order(world, amount="60")
    balance = await world.balance()
    assert balance.debt_units == 0
    assert balance.available_units == 110_000_000 - 330_000 - (net - 1_000_000)


async def test_DEP_04_several_credits_of_one_balance_vanish_together(world: World):
    orders = [await world.open_order(amount=amount) for amount in ("10", "20", "30")]
    await world.broadcast(*[world.payment(order) for order in orders])
    await world.finalize("tron")
    await spend(world, 40_000_000)
    await world.reorg("tron", 10)
    await world.settle()
    balance = await world.balance()
    assert (balance.available_units, balance.debt_units) == (0, 40_000_000)


@pytest.mark.parametrize("asset_id", MANY)
async def test_DEP_05_a_credit_that_vanishes_and_comes_back_is_restored_without_a_second_callback(
    world: World, asset_id: str
):
    order = await paid_order(world, asset_id)
    network = world.network(asset_id)
    await world.reorg(network.id, network.sandbox_lag + 4, Fork.KEEP)
    await world.finalize(network.id)
    shown = await world.show(order)
    assert (shown.state, shown.labels, shown.accepted_units) == ("paid", frozenset(), order.units)
    assert await world.states(order) == [("credited", ""), ("reversed", "")]
    assert (await world.balance(asset_id)).available_units == order.units - fee_of(order.units)
    assert world.inbox.statuses(order) == [8]
    assert (await world.events(order))[-2:] == ["labelled", "restored"]


async def test_DEP_05_the_debt_of_a_vanished_credit_is_repaid_when_it_comes_back(world: World):
    order = await paid_order(world, amount="100")
    await spend(world, order.units - fee_of(order.units))
    await world.reorg("tron", 10, Fork.KEEP)
    await world.settle()
    await world.finalize("tron")
    balance = await world.balance()
    assert (balance.available_units, balance.debt_units) == (0, 0)


async def test_a_payer_whose_credited_payment_vanished_may_pay_again(world: World):
    order = await paid_order(world)
    await world.reorg("tron", 10)
    await world.settle()
    await world.pay_and_finalize(order)
    assert (await world.state(order), await world.labels(order)) == ("paid", set())
    third = await world.pay_and_finalize(order)
    assert (await world.deposit(order, third)).label == "double"


async def test_a_part_of_a_sum_that_vanished_comes_back(start: Start):
    world = await start(policy=Policy(is_summing=True))
    order = await world.open_order()
    await world.pay_and_finalize(order, "40")
    await world.pay(order, "60")
    await world.finalize("tron")
    assert await world.state(order) == "paid"
    await world.reorg("tron", 4, Fork.KEEP)  # only the second part stood so high
    await world.settle()
    await world.finalize("tron")
    shown = await world.show(order)
    assert (shown.state, shown.labels, shown.accepted_units) == ("paid", frozenset(), order.units)
    assert shown.fee_units == fee_of(order.units)
    assert await world.states(order) == [("credited", ""), ("credited", ""), ("reversed", "")]
    assert world.inbox.statuses(order) == [8]


async def test_odd_money_that_vanishes_takes_its_label_with_it(start: Start):
    world = await start(callback_statuses=ALL_STATUSES)
    order = await world.open_order()
    await world.pay(order, "99")
    await world.finalize("tron")
    await world.pay(order, "101")
    await world.mine("tron")
    await world.settle()
    assert await world.labels(order) == {"short", "over"}
    await world.reorg("tron", 1)
    await world.settle()
    assert await world.labels(order) == {"short"}
    await world.reorg("tron", 8)
    await world.settle()
    assert (await world.labels(order), await world.states(order)) == (
        set(),
        [("dropped", "over"), ("reversed", "short")],
    )
    await world.pass_expiry(order)
    assert world.inbox.statuses(order) == [16], "nothing short stands on the chain"


async def test_a_label_that_other_money_still_carries_stays(world: World):
    order = await world.open_order()
    await world.pay(order, "99")
    await world.mine("tron")
    await world.pay(order, "98")
    await world.mine("tron")
    await world.settle()
    await world.reorg("tron", 1)
    await world.settle()
    assert await world.labels(order) == {"short"}


async def test_one_rewind_takes_a_pending_double_and_the_payment_itself(world: World):
    order = await paid_order(world)
    await world.pay(order)
    await world.mine("tron")
    await world.settle()
    assert await world.labels(order) == {"double"}
    await world.reorg("tron", 12)
    await world.settle()
    assert (await world.state(order), await world.labels(order)) == ("paid", {"reversed"})
    assert await world.states(order) == [("dropped", "double"), ("reversed", "")]


async def test_quarantined_unassigned_and_unattributed_money_vanishes_too(world: World):
    orders = [await world.open_order("ton-ton", "1") for _ in range(3)]
    listed = "0:" + "ab" * 32
    world.lists.listed.add(listed)
    await world.broadcast(
        world.payment(orders[0], source=listed), world.payment(orders[1], "2"), world.payment(orders[2], tag="1")
    )
    await world.finalize("ton")
    assert sorted(await world.rows("select state from deposits")) == [
        ("quarantined",),
        ("unassigned",),
        ("unassigned",),
    ]
    await world.reorg("ton", 10)
    await world.settle()
    assert set(await world.rows("select state from deposits")) == {("reversed",)}
    assert [await world.labels(order) for order in orders] == [set(), set(), set()]
    assert await world.rows("select 1 from ledger_accounts where balance_units > 0") == []


async def test_an_order_stays_confirming_while_other_money_for_it_is_on_its_way(world: World):
    order = await world.open_order()
    await world.pay(order)
    await world.mine("tron")
    await world.pay(order)
    await world.mine("tron")
    await world.settle()
    await world.reorg("tron", 1)
    await world.settle()
    assert await world.state(order) == "confirming"
    await world.finalize("tron")
    assert await world.state(order) == "paid"


@pytest.mark.parametrize(("network_id", "depth"), [("polygon", 160), ("ethereum", 100), ("solana", 120)])
async def test_EVM_19_a_fork_far_deeper_than_habit_is_followed_to_its_root(world: World, network_id: str, depth: int):
    asset_id = f"usdt-{network_id}"
    order = await world.open_order(asset_id)
    early = await world.open_order(asset_id)
    await world.pay_and_finalize(early)
    await world.mine(network_id, depth)
    await world.pay(order)
    await world.mine(network_id, depth - 10)
    await world.settle()
    await world.reorg(network_id, depth, Fork.KEEP)
    await world.settle()
    assert await world.states(early) == [("credited", "")], "what stands below the fork is not touched"
    await world.finalize(network_id)
    assert [await world.state(o) for o in (early, order)] == ["paid", "paid"]
