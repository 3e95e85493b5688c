"""Tokens moved by third parties and many at once, from a real node to the books (EVM-12, EVM-14)."""

from collections.abc import AsyncIterator

import pytest
from tests.flows.evm import USDT, EvmWorld
from tests.flows.harness import fee_of
from tests.nodes.anvil import Anvil, Contract

from bitlinkpay.chains.codec.evm import parse

PULL = "pull(address,address,address,uint256)"
PAY_MANY = "payToken(address,address[],uint256[])"


@pytest.fixture
async def node(clock) -> AsyncIterator[Anvil]:
    async with Anvil.start(timestamp=int(clock.now().timestamp())) as running:
        yield running


@pytest.fixture
async def usdt(node) -> Contract:
    return await node.deploy("DollarToken")


@pytest.fixture
async def world(usdt, database, clock, ring, tmp_path) -> AsyncIterator[EvmWorld]:
    async with EvmWorld.on(usdt.node, database, clock, ring, usdt, folder=tmp_path) as running:
        yield running


async def test_EVM_12_a_pull_pays_and_its_owner_is_the_source_that_is_screened(world, node, usdt):
    relayer = await node.deploy("Relayer")
    owner, stranger = node.accounts[0], node.accounts[5]
    first, second = await world.open_order(USDT), await world.open_order(USDT)
    await usdt.send("approve(address,uint256)", relayer.address, first.units + second.units, sender=owner)
    world.lists.listed = {parse(stranger), parse(relayer.address)}
    await relayer.send(PULL, usdt.address, owner, first.address, first.units, sender=stranger)
    await world.finish()
    assert await world.is_paid(first), "who pays for the gas is not who pays"
    assert [d.source for d in await world.deposits(first)] == [parse(owner)]
    world.lists.listed = {parse(owner)}
    await relayer.send(PULL, usdt.address, owner, second.address, second.units, sender=stranger)
    world.clock.advance((await world.show(second)).expires_at - world.clock.now())
    await world.finish()
    assert [state for state, _ in await world.states(second)] == ["quarantined"]


async def test_EVM_14_one_transaction_pays_many_orders_each_once(world, node, usdt):
    disperse = await node.deploy("Disperse")
    orders = [await world.open_order(USDT, str(amount)) for amount in range(10, 18)]
    doubled, summed = orders[0], sum(order.units for order in orders)
    legs = [*orders, doubled]
    await usdt.send("approve(address,uint256)", disperse.address, 10**15)
    txid = await disperse.send(PAY_MANY, usdt.address, [o.address for o in legs], [o.units for o in legs])
    await world.finish()
    assert all([await world.is_paid(order) for order in orders])
    assert await world.states(doubled) == [("credited", ""), ("unassigned", "double")]
    found = [deposit for order in orders for deposit in await world.deposits(order)]
    assert {d.txid for d in found} == {txid}
    assert sorted(d.position for d in found) == sorted(f"log:{n}" for n in range(len(legs)))
    for order in orders:
        (units,) = await world.chains["ethereum"].balances(
            world.registry.assets[USDT], [order.address], await node.height()
        )
        assert units == sum(d.units for d in await world.deposits(order))
    balance = await world.balance(USDT)
    assert balance.available_units == summed - sum(fee_of(order.units) for order in orders)
    assert balance.unassigned_units == doubled.units
    assert all(world.inbox.statuses(order) == [8] for order in orders)
