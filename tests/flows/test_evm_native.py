"""Native coin by roundabout ways on a real node, from the block to the order (EVM-08, EVM-09, EVM-10)."""

from collections.abc import AsyncIterator

import pytest
from tests.flows.evm import ETH, EvmWorld
from tests.nodes.anvil import Anvil

PAY_MANY = "payNative(address[],uint256[])"


@pytest.fixture
async def node(clock) -> AsyncIterator[Anvil]:
    async with Anvil.start(timestamp=int(clock.now().timestamp())) as running:
        yield running


@pytest.fixture
async def world(node, database, clock, ring, tmp_path) -> AsyncIterator[EvmWorld]:
    async with EvmWorld.on(node, database, clock, ring, folder=tmp_path) as running:
        yield running
        await holds_what_the_chain_shows(running)


async def holds_what_the_chain_shows(world: EvmWorld) -> None:
    """Compare the books' custody with the node's own balances, to the wei."""
    for address, units in (await world.held_units(ETH)).items():
        assert int(await world.node.rpc("eth_getBalance", address, "latest"), 16) == units


async def test_EVM_08_an_inner_payment_pays_and_an_undone_one_does_not(world, node):
    sender = await node.deploy("InnerSender")
    undone, half, whole = [await world.open_order(ETH, amount) for amount in ("1", "2", "3")]
    await sender.send("sendUndone(address,uint256)", undone.address, undone.units, value=undone.units)
    await sender.send("sendHalfUndone(address,uint256,uint256)", half.address, half.units, 7, value=half.units + 7)
    await sender.send("send(address,uint256)", whole.address, whole.units, value=whole.units)
    await world.finish()
    assert await world.unpaid(undone)
    assert await world.is_paid(half)
    assert await world.is_paid(whole)
    assert [(d.units, d.arrival) for d in await world.deposits(half)] == [(half.units, "internal")]
    assert world.inbox.statuses(whole) == [8]


async def test_EVM_08_what_an_inner_call_brings_is_final_no_sooner_than_its_block(world, node):
    sender = await node.deploy("InnerSender")
    order = await world.open_order(ETH, "1")
    await sender.send("send(address,uint256)", order.address, order.units, value=order.units)
    await world.finish(1)
    assert await world.states(order) == [("seen", "")]
    await node.reorg(1)
    await world.finish(1)
    assert await world.state(order) == "created"
    assert (await world.balance(ETH)).pending_units == 0
    await sender.send("send(address,uint256)", order.address, order.units, value=order.units)
    await world.finish()
    assert await world.is_paid(order)


async def test_EVM_08_less_than_asked_by_an_inner_call_is_short(world, node):
    sender = await node.deploy("InnerSender")
    order = await world.open_order(ETH, "1")
    await sender.send("send(address,uint256)", order.address, order.units - 1, value=order.units - 1)
    await world.finish()
    assert await world.states(order) == [("unassigned", "short")]


async def test_EVM_09_a_multisend_pays_all_or_nobody(world, node):
    disperse, refuser = await node.deploy("Disperse"), await node.deploy("Refuser")
    first, second = await world.open_order(ETH, "1"), await world.open_order(ETH, "2")
    legs, values = [first.address, second.address], [first.units, second.units]
    failed = await disperse.send(PAY_MANY, [*legs, refuser.address], [*values, 5], value=sum(values) + 5)
    await world.finish()
    assert (await node.rpc("eth_getTransactionReceipt", failed))["status"] == "0x0"
    assert await world.unpaid(first)
    assert await world.unpaid(second)
    txid = await disperse.send(PAY_MANY, legs, values, value=sum(values))
    await world.finish()
    for order in (first, second):
        assert await world.is_paid(order)
        assert [(d.txid, d.units) for d in await world.deposits(order)] == [(txid, order.units)]


async def test_EVM_10_a_bequest_is_recorded_and_pays_no_order(world, node):
    order = await world.open_order(ETH, "1")
    bequest = await node.deploy("Bequest", value=order.units)
    await bequest.send("leaveTo(address)", order.address)
    await world.finish()
    assert await world.states(order) == [("unassigned", "system")]
    assert await world.state(order) == "created"
    assert (await world.balance(ETH)).available_units == 0
    await node.transfer(order.address, order.units)
    await world.finish()
    assert await world.is_paid(order)


async def test_EVM_10_a_block_reward_pays_no_order(world, node):
    order = await world.open_order(ETH, "1")
    await node.rpc("anvil_setCoinbase", order.address)
    await node.transfer(node.accounts[1], 1)
    await node.mine()
    await node.rpc("anvil_setCoinbase", node.accounts[9])
    await world.finish()
    assert int(await node.rpc("eth_getBalance", order.address, "latest"), 16) > 0
    ((cause,),) = await world.rows("select cause from deposit_events where event = 'held'")
    assert await world.states(order) == [("quarantined", "system")], "nobody who could be screened sent it"
    assert cause.startswith("no_sender")
    assert await world.state(order) == "created"
