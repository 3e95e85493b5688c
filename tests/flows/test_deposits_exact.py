"""The exact amount rule: what completes an order, what does not, and when it counts."""

import pytest
from tests.flows.harness import MANY, World, fee_of


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
