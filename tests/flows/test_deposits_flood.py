"""Many at once: dust floods, full blocks, many orders; the cost follows the transfers and the statements stay few."""

import asyncio
from dataclasses import replace
from uuid import UUID

import pytest
from tests.flows.faults import FaultyDatabase, Fuse
from tests.flows.harness import World, fee_of

from bitlinkpay.core.errors import Problem
from bitlinkpay.db.pool import Database
from bitlinkpay.merchants.model import Policy
from bitlinkpay.payins.clearing import CLEARING_BATCH
from bitlinkpay.payins.model import Payin
from bitlinkpay.payins.service import Payins
from bitlinkpay.signer.keyring import KeyRing
from bitlinkpay.wallets.service import Allocator

FLOOD = 5_000


async def count_statements(world: World) -> int:
    """Let another worker read and settle all that TRON has; return how often it turned to the database."""
    fuse = Fuse()
    database: Database = FaultyDatabase(world.database, fuse)  # type: ignore[assignment]
    watcher = world.build_watcher(world.chain("tron"), database)
    async with world.database.transaction() as tx:
        await tx.execute("update cursors set lease_until = null")
    while await watcher.step():
        continue
    world.watchers["tron"] = watcher
    return fuse.ticks


@pytest.mark.parametrize("policy", [Policy(), Policy(is_summing=True)])
async def test_DEP_17_a_dust_flood_on_one_order_costs_few_statements_and_the_order_is_paid(start, policy: Policy):
    world: World = await start(policy=policy)
    order, other = await world.open_order(), await world.open_order()
    await world.broadcast(*[world.payment(order, units=1)] * (FLOOD - 2), world.payment(order), world.payment(other))
    await world.mine("tron", 4)
    assert await count_statements(world) < FLOOD // 4
    await world.settle()
    assert [await world.state(o) for o in (order, other)] == ["paid", "paid"]
    assert (await world.balance()).unassigned_units == FLOOD - 2
    assert await world.rows("select label, count(*) from deposits group by 1 order by 1") == [
        ("", 2),
        ("short", FLOOD - 2),
    ]


async def test_DEP_17_the_statements_of_a_block_do_not_grow_with_its_transfers(world: World):
    await world.watch("tron")
    counts: list[int] = []
    for size in (2, CLEARING_BATCH // 2, CLEARING_BATCH - 1):
        orders = [order for order in await world.open_orders("usdt-tron", ["10"] * size) if isinstance(order, Payin)]
        await world.broadcast(*[world.payment(order) for order in orders])
        await world.mine("tron", 4)
        counts.append(await count_statements(world))
        assert {await world.state(order) for order in orders} == {"paid"}
        await world.settle()
    assert max(counts) - min(counts) <= 4, counts


async def test_DEP_17_a_flood_of_strangers_transfers_costs_one_question(world: World):
    order = await world.open_order()
    stranger = replace(world.payment(order), target="TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t")
    await world.broadcast(*[stranger] * 3_000, world.payment(order))
    await world.finalize("tron")
    assert await world.state(order) == "paid"
    assert await world.rows("select count(*) from deposits") == [(1,)]


async def test_a_backlog_of_hundreds_of_blocks_is_read_in_order(world: World):
    orders = []
    for _ in range(12):
        order = await world.open_order("usdt-solana", "1")
        await world.pay(order)
        await world.mine("solana", 25)
        orders.append(order)
    await world.settle()
    assert [await world.state(order) for order in orders] == ["paid"] * 12
    assert (await world.balance("usdt-solana")).available_units == 12 * (10**6 - fee_of(10**6))


@pytest.mark.parametrize("asset_id", ["usdt-tron", "usdt-ton", "usdt-ethereum", "usdt-solana", "btc-bitcoin"])
async def test_DEP_14_two_hundred_orders_at_once_get_two_hundred_addresses(
    world: World, ring: KeyRing, app_dsn: str, asset_id: str
):
    """Two processes open orders at once; what each handed out belongs to one order on every network of its family."""
    second = await Database.connect(app_dsn)
    try:
        await world.watch(world.network(asset_id).id)
        rival = Payins(
            registry=world.registry,
            allocator=Allocator(second, ring),
            market=world.payins._market,
            clock=world.clock,
        )
        mine = world.payins

        async def open_one(number: int) -> list[Payin | Problem]:
            world.payins = rival if number % 2 else mine
            return await world.open_orders(asset_id, ["1"])

        opened = await asyncio.gather(*[open_one(number) for number in range(200)])
        orders = [order for batch in opened for order in batch]
        assert all(isinstance(order, Payin) for order in orders)
        places = {(order.address, order.tag) for order in orders if isinstance(order, Payin)}
        assert len(places) == 200
    finally:
        await second.close()


async def test_DEP_14_an_address_cannot_be_given_to_a_second_order_by_the_database_itself(world: World):
    order = await world.open_order("usdt-ethereum")
    again = "insert into addresses (key_family, address, tag, merchant_id, payin_id, key_index, purpose) select key_family, address, tag, merchant_id, $1, key_index + 1, purpose from addresses where address = $2"
    with pytest.raises(Exception, match="addresses_pkey"):
        async with world.database.transaction() as tx:
            await tx.execute(again, UUID(int=1), order.address)


async def test_DEP_14_evm_networks_share_one_sequence(world: World):
    orders = [await world.open_order(f"usdt-{network}") for network in ("ethereum", "bsc", "polygon", "arbitrum")] * 2
    assert len({order.address for order in orders}) == 4
