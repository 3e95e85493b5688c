"""Native money inside contract calls: found by balances at open orders, once, in time, and labelled by how it came."""

from datetime import timedelta

import pytest
from tests.flows.harness import World, fee_of
from tests.flows.reconciling import Counting

from bitlinkpay.chains.base import Arrival
from bitlinkpay.payins.reconciling import CADENCE
from bitlinkpay.sandbox.model import Fork

HIDDEN = Arrival.INTERNAL


async def look(world: World, network_id: str = "ethereum") -> None:
    """Let the slow comparison of balances come round."""
    world.clock.advance(CADENCE + timedelta(seconds=1))
    await world.mine(network_id)
    await world.settle()


@pytest.mark.parametrize("asset_id", ["eth-ethereum", "eth-arbitrum", "bnb-bsc"])
async def test_hidden_money_pays_its_order(world: World, asset_id: str):
    order = await world.open_order(asset_id, "1")
    network = world.network(asset_id)
    await world.pay(order, arrival=HIDDEN)
    await world.mine(network.id)
    await look(world, network.id)
    await world.finalize(network.id)
    assert (await world.state(order), await world.states(order)) == ("paid", [("credited", "")])
    assert (await world.balance(asset_id)).available_units == order.units - fee_of(order.units)
    (deposit,) = await world.deposits(order)
    assert (deposit.arrival, deposit.position) == ("internal", "internal:0")


async def test_hidden_money_is_found_exactly_once(world: World):
    order = await world.open_order("eth-ethereum", "1")
    await world.pay(order, "0.3", arrival=HIDDEN)
    for _ in range(5):
        await look(world)
    await world.pay(order, "0.2", arrival=HIDDEN)
    await world.pay(order, "0.1")
    for _ in range(5):
        await look(world)
    assert sorted(deposit.units for deposit in await world.deposits(order)) == [10**17, 2 * 10**17, 3 * 10**17]
    assert await world.states(order) == [("unassigned", "short")] * 3


async def test_hidden_money_is_found_before_its_order_may_expire(world: World):
    order = await world.open_order("eth-ethereum", "1")
    await world.finalize("ethereum")  # compares once
    world.clock.set(order.expires_at)
    await world.pay(order, arrival=HIDDEN)
    await world.mine("ethereum")
    await world.pass_expiry(order)
    assert await world.state(order) == "confirming"
    await world.finalize("ethereum")
    assert await world.state(order) == "paid"


async def test_hidden_money_that_a_reorganisation_takes_is_dropped_and_found_again(world: World):
    order = await world.open_order("eth-ethereum", "1")
    await world.pay(order, arrival=HIDDEN)
    await world.mine("ethereum")
    await look(world)
    assert await world.state(order) == "confirming"
    await world.reorg("ethereum", 2, Fork.KEEP)
    await world.settle()
    assert await world.state(order) == "created"
    await look(world)
    await world.finalize("ethereum")
    assert await world.states(order) == [("credited", ""), ("dropped", "")]


@pytest.mark.parametrize("network_id", ["ethereum", "bsc"])
async def test_DEP_19_money_made_by_the_system_is_found_labelled_and_never_pays(world: World, network_id: str):
    asset_id = {"ethereum": "eth-ethereum", "bsc": "bnb-bsc"}[network_id]
    order = await world.open_order(asset_id, "1")
    await world.pay(order, arrival=Arrival.SYSTEM)
    await world.mine(network_id)
    await look(world, network_id)
    await world.finalize(network_id)
    assert await world.states(order) == [("quarantined", "system")]
    assert await world.state(order) == "created"


async def test_on_tron_hidden_money_shows_in_the_scan(world: World):
    order = await world.open_order("trx-tron", "10")
    await world.pay_and_finalize(order, arrival=HIDDEN)
    assert await world.state(order) == "paid"


async def test_many_open_orders_cost_one_question_a_page_and_only_the_right_one_is_paid(world: World):
    await world.watch("ethereum")
    orders = await world.open_orders("eth-ethereum", ["1"] * 60)
    await world.broadcast(*[world.payment(order, arrival=HIDDEN) for order in orders[::7]])
    await world.mine("ethereum")
    await look(world)
    await world.finalize("ethereum")
    assert [await world.state(order) for order in orders] == [
        "paid" if n % 7 == 0 else "created" for n in range(len(orders))
    ]


async def test_hidden_money_is_found_in_a_block_that_is_no_younger_than_its_order(world: World):
    order = await world.open_order("eth-ethereum", "1")
    assert world.clock.now() == order.created_at
    await world.pay(order, arrival=HIDDEN)
    await world.mine("ethereum", 5)  # several blocks of one second, as old as the order itself
    world.clock.advance(CADENCE * 2)
    await world.settle()
    assert await world.state(order) == "paid"


async def test_an_order_that_waits_for_finality_is_not_read_again_at_every_block(world: World):
    """Its time is over and it cannot expire any more: the slow look is enough."""
    world.chains["ethereum"] = counting = Counting(world.chain("ethereum"))  # type: ignore[assignment]
    order = await world.open_order("eth-ethereum", "1")
    await world.pay(order)
    await world.mine("ethereum")
    await world.run("ethereum")
    await world.pass_expiry(order)
    before = counting.asked["eth-ethereum"]
    await world.mine("ethereum")
    await world.run("ethereum")
    assert await world.state(order) == "confirming"
    assert counting.asked["eth-ethereum"] == before
    await world.finalize("ethereum")
    assert await world.state(order) == "paid"
