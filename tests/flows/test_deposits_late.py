"""Time: what is in time, what is late, and what an outage of ours must never change."""

from datetime import timedelta

import pytest
from tests.flows.conftest import Start
from tests.flows.harness import ALL_STATUSES, MANY, World, fee_of

from bitlinkpay.payins.model import wm_status
from bitlinkpay.sandbox.model import Fork

SECOND = timedelta(seconds=1)


@pytest.mark.parametrize("asset_id", MANY)
async def test_DEP_12_a_block_within_the_grace_is_in_time_and_one_second_later_is_not(world: World, asset_id: str):
    punctual, late = await world.open_order(asset_id, "0.5"), await world.open_order(asset_id, "0.5")
    network = world.network(asset_id)
    await world.pay(punctual)
    world.clock.set(punctual.expires_at + network.grace)
    await world.mine(network.id)
    await world.pay(late)
    world.clock.advance(SECOND)
    await world.mine(network.id)
    await world.finalize(network.id)
    assert [await world.state(order) for order in (punctual, late)] == ["paid", "expired"]
    assert await world.states(late) == [("unassigned", "late")]


@pytest.mark.parametrize("asset_id", MANY)
async def test_DEP_12_money_after_expiry_is_put_aside_and_its_merchant_sees_it(world: World, asset_id: str):
    order = await world.open_order(asset_id, "0.5")
    await world.pass_expiry(order)
    assert await world.state(order) == "expired"
    await world.pay_and_finalize(order)
    assert (await world.state(order), await world.labels(order)) == ("expired", {"late"})
    assert (await world.balance(asset_id)).unassigned_units == order.units
    assert world.inbox.bodies == []


async def test_DEP_12_the_watcher_was_down_but_the_block_was_in_time(start: Start):
    world = await start(callback_statuses=ALL_STATUSES)
    order = await world.open_order()
    await world.pay(order)
    await world.mine("tron")  # the payer is punctual, nobody reads
    world.clock.advance(timedelta(hours=5))
    await world.mine("tron", 50)
    await world.settle()
    assert await world.state(order) == "paid"
    assert world.inbox.statuses(order) == [8]


async def test_DEP_12_an_order_does_not_expire_while_its_chain_is_not_read(world: World):
    order = await world.open_order()
    world.clock.advance(timedelta(hours=5))
    await world.settle()
    assert await world.state(order) == "created", "no block after its end was read yet"
    await world.mine("tron")
    await world.settle()
    assert await world.state(order) == "expired"


async def test_an_order_expires_only_after_the_grace(world: World):
    order = await world.open_order()
    grace = world.network("usdt-tron").grace
    for by, state in ((timedelta(0), "created"), (grace, "created"), (SECOND, "expired")):
        world.clock.set(max(order.expires_at, world.clock.now()) + by)
        await world.mine("tron")
        await world.settle()
        assert await world.state(order) == state
    assert world.inbox.bodies == []


async def test_an_order_that_confirms_does_not_expire_and_an_orphaned_one_does(world: World):
    order = await world.open_order()
    await world.pay(order)
    await world.mine("tron")
    await world.settle()
    world.clock.set(order.expires_at + timedelta(minutes=1))
    await world.mine("tron")
    await world.settle()
    assert await world.state(order) == "confirming"
    await world.reorg("tron", 2)
    await world.settle()
    assert await world.state(order) == "expired"


@pytest.mark.parametrize("asset_id", MANY)
async def test_DEP_12_money_after_a_cancel_is_put_aside(world: World, asset_id: str):
    order = await world.open_order(asset_id, "0.5")
    await world.cancel(order)
    await world.pay_and_finalize(order)
    assert (await world.state(order), await world.labels(order)) == ("cancelled", {"after_cancel"})
    assert await world.states(order) == [("unassigned", "after_cancel")]
    assert wm_status(await world.show(order)) == 12


@pytest.mark.parametrize("asset_id", MANY)
@pytest.mark.parametrize("end", ["paid", "expired", "cancelled"])
async def test_DEP_13_an_address_is_watched_years_after_its_order_closed(world: World, asset_id: str, end: str):
    order = await world.open_order(asset_id, "0.5")
    if end == "paid":
        await world.pay_and_finalize(order)
    elif end == "expired":
        await world.pass_expiry(order)
    else:
        await world.cancel(order)
    world.clock.advance(timedelta(days=365 * 3))
    await world.mine(world.network(asset_id).id)
    await world.settle()
    await world.pay_and_finalize(order)
    label = {"paid": "double", "expired": "late", "cancelled": "after_cancel"}[end]
    assert ("unassigned", label) in await world.states(order)
    assert await world.state(order) == end
    assert (await world.balance(asset_id)).unassigned_units == order.units


async def test_a_late_payment_that_was_seen_in_time_before_a_reorganisation_is_in_time(world: World):
    order = await world.open_order()
    world.clock.set(order.expires_at)
    txid = await world.pay(order)
    await world.mine("tron")
    await world.settle()
    world.clock.advance(timedelta(minutes=10))
    await world.reorg("tron", 1, Fork.KEEP)
    await world.finalize("tron")
    deposit = await world.deposit(order, txid)
    assert deposit.first_block_at == order.expires_at
    assert await world.state(order) == "paid"
    assert (await world.balance()).available_units == order.units - fee_of(order.units)


async def test_an_expired_order_is_paid_by_money_that_was_in_time_and_found_later(start: Start):
    world = await start(callback_statuses=ALL_STATUSES)
    order = await world.open_order()
    await world.pay(order)
    await world.mine("tron")
    await world.settle()
    await world.reorg("tron", 1, Fork.KEEP)  # the second block of the new branch holds it again
    world.clock.set(order.expires_at + timedelta(minutes=5))
    await world.reorg("tron", 2, Fork.DROP)
    await world.settle()
    assert await world.state(order) == "expired"
    await world.pay_and_finalize(order)
    assert await world.state(order) == "expired", "another transaction is late"
    assert world.inbox.statuses(order) == [16]
