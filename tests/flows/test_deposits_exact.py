"""The exact amount rule: what completes an order, what does not, and when it counts."""

import pytest
from tests.flows.conftest import Start
from tests.flows.harness import ALL_STATUSES, MANY, Pace, World, fee_of

from bitlinkpay.payins.model import wm_status


@pytest.fixture(params=list(Pace))
def pace(request: pytest.FixtureRequest) -> Pace:
    """Final at sight or step by step: every case ends alike."""
    return request.param


@pytest.mark.parametrize("asset_id", MANY)
async def test_DEP_01_what_only_waits_in_the_mempool_is_nowhere_in_the_books(world: World, asset_id: str):
    order = await world.open_order(asset_id, "0.5")
    await world.pay(order)
    await world.settle()
    assert await world.state(order) == "created"
    assert await world.deposits(order) == []
    assert (await world.balance(asset_id)).pending_units == 0
    await world.finalize(world.network(asset_id).id)
    assert await world.state(order) == "paid"


@pytest.mark.parametrize("asset_id", MANY)
async def test_DEP_02_nothing_is_credited_before_the_chain_says_final(world: World, asset_id: str):
    order = await world.open_order(asset_id, "0.5")
    network = world.network(asset_id)
    await world.pay(order)
    for _ in range(network.sandbox_lag):
        await world.mine(network.id)
        await world.settle()
        assert await world.state(order) == "confirming"
        balance = await world.balance(asset_id)
        assert (balance.pending_units, balance.available_units) == (order.units, 0)
        assert world.inbox.bodies == []
    await world.mine(network.id)
    await world.settle()
    balance = await world.balance(asset_id)
    assert await world.state(order) == "paid"
    assert (balance.pending_units, balance.available_units) == (0, order.units - fee_of(order.units))
    assert world.inbox.statuses(order) == [8]


@pytest.mark.parametrize("asset_id", MANY)
async def test_DEP_09_short_money_is_put_aside_and_an_exact_transfer_still_completes(world: World, asset_id: str):
    order = await world.open_order(asset_id, "0.5")
    short = await world.pay_and_finalize(order, "0.495")
    assert (await world.state(order), await world.labels(order)) == ("created", {"short"})
    assert world.inbox.bodies == []
    balance = await world.balance(asset_id)
    assert (balance.available_units, balance.unassigned_units) == (0, order.units * 99 // 100)

    exact = await world.pay_and_finalize(order)
    assert await world.states(order) == [("credited", ""), ("unassigned", "short")]
    assert await world.state(order) == "paid"
    assert [body["hash"] for body in world.inbox.about(order)] == [exact]
    assert (await world.deposit(order, short)).state == "unassigned"
    balance = await world.balance(asset_id)
    assert (balance.available_units, balance.unassigned_units) == (
        order.units - fee_of(order.units),
        order.units * 99 // 100,
    )


async def test_DEP_09_status_20_comes_at_expiry_and_never_before(start: Start):
    world = await start(callback_statuses=ALL_STATUSES)
    short, nothing, over = [await world.open_order() for _ in range(3)]
    await world.pay(short, "99")
    await world.pay(over, "101")
    await world.finalize("tron")
    assert [wm_status(await world.show(order)) for order in (short, nothing, over)] == [0, 0, 0]
    assert world.inbox.bodies == []
    await world.pass_expiry(short)
    assert [wm_status(await world.show(order)) for order in (short, nothing, over)] == [20, 16, 16]
    assert [world.inbox.statuses(order) for order in (short, nothing, over)] == [[20], [16], [16]]


@pytest.mark.parametrize("asset_id", MANY)
@pytest.mark.parametrize("amount", ["0.50000001", "0.505", "5"])
async def test_DEP_10_too_much_is_put_aside_and_does_not_pay(world: World, asset_id: str, amount: str):
    if asset_id != "btc-bitcoin":
        amount = amount.replace("0.50000001", "0.500001")
    order = await world.open_order(asset_id, "0.5")
    txid = await world.pay_and_finalize(order, amount)
    assert (await world.state(order), await world.labels(order)) == ("created", {"over"})
    assert await world.states(order) == [("unassigned", "over")]
    assert (await world.balance(asset_id)).unassigned_units == (await world.deposit(order, txid)).units
    await world.pay_and_finalize(order)
    assert await world.state(order) == "paid"


@pytest.mark.parametrize("asset_id", MANY)
async def test_DEP_11_a_second_payment_is_put_aside_as_double(world: World, asset_id: str):
    order = await world.open_order(asset_id, "0.5")
    first = await world.pay_and_finalize(order)
    second = await world.pay_and_finalize(order)
    assert (await world.deposit(order, first)).state == "credited"
    double = await world.deposit(order, second)
    assert (double.state, double.label) == ("unassigned", "double")
    assert await world.labels(order) == {"double"}
    assert world.inbox.statuses(order) == [8]
    balance = await world.balance(asset_id)
    assert (balance.available_units, balance.unassigned_units) == (order.units - fee_of(order.units), order.units)


@pytest.mark.parametrize("asset_id", MANY)
async def test_DEP_11_two_exact_payments_in_one_block_credit_one_and_keep_the_other(world: World, asset_id: str):
    order = await world.open_order(asset_id, "0.5")
    await world.broadcast(world.payment(order), world.payment(order))
    await world.finalize(world.network(asset_id).id)
    assert await world.states(order) == [("credited", ""), ("unassigned", "double")]
    assert (await world.state(order), world.inbox.statuses(order)) == ("paid", [8])


async def test_several_transfers_of_one_transaction_count_one_by_one(world: World):
    order, other = await world.open_order(), await world.open_order()
    async with world.database.transaction() as tx:
        payments = [world.payment(order), world.payment(other), world.payment(other, "1")]
        txid = await world.sandbox.pay_together(tx, payments, world.clock.now())
    await world.finalize("tron")
    assert [await world.state(o) for o in (order, other)] == ["paid", "paid"]
    assert await world.states(other) == [("credited", ""), ("unassigned", "short")]
    assert {d.txid for d in [*await world.deposits(order), *await world.deposits(other)]} == {txid}


@pytest.mark.parametrize(("units", "state"), [(-1, "created"), (0, "paid"), (1, "created")])
@pytest.mark.parametrize("asset_id", ["usdt-bsc", "eth-ethereum", "ton-ton", "btc-bitcoin"])
async def test_DEP_09_one_base_unit_makes_the_difference(world: World, asset_id: str, units: int, state: str):
    order = await world.open_order(asset_id, "0.12345678" if asset_id != "usdt-bsc" else "0.123456")
    await world.pay_and_finalize(order, units=order.units + units)
    assert await world.state(order) == state


async def test_DEP_23_a_fee_and_a_credit_share_the_smallest_order_exactly(world: World):
    order = await world.open_order("usdt-tron", "0.01")
    await world.pay_and_finalize(order)
    assert (await world.balance()).available_units == 10_000 - 30
    assert await world.account("fees:payin", "usdt-tron") == 30


async def test_a_failed_transaction_never_counts(world: World):
    order = await world.open_order("usdt-ethereum")
    await world.pay(order, has_failed=True)
    await world.finalize("ethereum")
    assert (await world.state(order), await world.deposits(order)) == ("created", [])
