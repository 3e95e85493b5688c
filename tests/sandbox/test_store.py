"""What the tables themselves refuse, and what the state answers about money on a simulated chain."""

from dataclasses import replace
from datetime import timedelta

import asyncpg
import pytest
from tests.sandbox.world import REGISTRY, World, address_of, internal
from tests.support.clock import ManualClock

from bitlinkpay.chains.base import Arrival
from bitlinkpay.chains.simulated_format import FEES
from bitlinkpay.core.assets import Family
from bitlinkpay.db.pool import Database
from bitlinkpay.sandbox.model import Fork


@pytest.fixture
async def world(database: Database, clock: ManualClock) -> World:
    return await World.start(database, clock)


@pytest.mark.parametrize(
    ("statement", "constraint"),
    [
        ("INSERT INTO sandbox_clock (offset_us) VALUES (-1)", "sandbox_clock_forward"),
        ("INSERT INTO sandbox_clock (singleton, offset_us) VALUES (false, 1)", "sandbox_clock_single"),
        ("UPDATE sim_networks SET skip_cycle = 2", "sim_networks_cycle"),
        ("UPDATE sim_runs SET seed = '\\x00'", "sim_runs_seed"),
        ("UPDATE sim_runs SET parent = '\\x00'", "sim_runs_parent"),
        ("UPDATE sim_runs SET last_height = 0", "sim_runs_order"),
        ("UPDATE sim_runs SET step_ms = -1", "sim_runs_step"),
        ("UPDATE sim_runs SET transfers = -1", "sim_runs_transfers"),
        ("UPDATE sim_transfers SET txid = '\\x00'", "sim_transfers_txid"),
        ("UPDATE sim_transfers SET units = -1", "sim_transfers_units"),
        ("UPDATE sim_transfers SET arrival = 'magic'", "sim_transfers_arrival"),
    ],
)
async def test_the_tables_refuse_what_no_chain_could_be(world: World, statement: str, constraint: str) -> None:
    await world.pay(world.payment("usdt-tron", 1, 5))
    with pytest.raises(asyncpg.CheckViolationError) as caught:
        async with world.database.transaction() as tx:
            await tx.execute(statement)
    assert caught.value.constraint_name == constraint


async def test_a_transaction_id_stands_for_one_transaction(world: World) -> None:
    await world.pay(world.payment("usdt-tron", 1, 5), world.payment("usdt-tron", 1, 5))
    with pytest.raises(asyncpg.UniqueViolationError):
        async with world.database.transaction() as tx:
            await tx.execute("UPDATE sim_transfers SET txid = (SELECT txid FROM sim_transfers LIMIT 1)")


async def test_a_rolled_back_payment_was_never_broadcast(world: World) -> None:
    with pytest.raises(ZeroDivisionError):
        async with world.database.transaction() as tx:
            await world.sandbox.pay(tx, [world.payment("usdt-tron", 1, 5)], world.clock.now())
            raise ZeroDivisionError
    assert await world.rows("sim_transfers") == 0


async def test_fees_leave_the_payers_coin_and_not_its_tokens(world: World) -> None:
    coin, token = REGISTRY.asset("trx-tron"), REGISTRY.asset("usdt-tron")
    ours = address_of(REGISTRY.network("tron"), 1)
    fee = FEES[Family.TRON]
    await world.pay(world.payment("trx-tron", 1, 10 * fee), world.payment("usdt-tron", 1, 100))
    await world.mine("tron")
    await world.pay(world.payment("usdt-tron", 2, 40, source=ours))
    await world.pay(replace(world.payment("usdt-tron", 2, 60, source=ours), has_failed=True))
    newest = await world.mine("tron")
    chain = world.chain("tron")
    assert list(await chain.balances(token, [ours], newest.height)) == [60], "a failed transfer moves nothing"
    assert list(await chain.balances(coin, [ours], newest.height)) == [8 * fee], "but it burns its fee"


async def test_one_transaction_pays_one_fee(world: World) -> None:
    ours = address_of(REGISTRY.network("bitcoin"), 1)
    await world.pay(world.payment("btc-bitcoin", 1, 100_000))
    await world.mine("bitcoin")
    await world.pay_together(*(world.payment("btc-bitcoin", n, 1000, source=ours) for n in range(2, 7)))
    newest = await world.mine("bitcoin")
    coin = REGISTRY.asset("btc-bitcoin")
    (left,) = await world.chain("bitcoin").balances(coin, [ours], newest.height)
    assert left == 100_000 - 5 * 1000 - FEES[Family.BITCOIN]


async def test_balances_come_in_the_order_asked_also_twice_and_for_strangers(world: World) -> None:
    network = REGISTRY.network("ton")
    await world.pay(*(world.payment("ton-ton", number, number * 10) for number in range(1, 4)))
    newest = await world.mine("ton")
    asked = [address_of(network, number) for number in (3, 1, 9, 3, 2)]
    balances = await world.chain("ton").balances(REGISTRY.asset("ton-ton"), asked, newest.height)
    assert list(balances) == [30, 10, 0, 30, 20]
    assert list(await world.chain("ton").balances(REGISTRY.asset("ton-ton"), [], newest.height)) == []


async def test_waiting_and_undone_money_is_in_no_balance(world: World) -> None:
    network, coin = REGISTRY.network("polygon"), REGISTRY.asset("usdt-polygon")
    chain, ours = world.chain("polygon"), address_of(network, 1)
    await world.pay(world.payment("usdt-polygon", 1, 7))
    far = 10**9
    assert list(await chain.balances(coin, [ours], far)) == [0]
    await world.mine("polygon")
    assert list(await chain.balances(coin, [ours], far)) == [7]
    await world.reorg("polygon", 1, Fork.KEEP)
    assert list(await chain.balances(coin, [ours], far)) == [7]
    await world.reorg("polygon", 2, Fork.DROP)
    assert list(await chain.balances(coin, [ours], far)) == [0]


async def test_located_arrivals_follow_reorganisations(world: World) -> None:
    coin, ours = REGISTRY.asset("eth-arbitrum"), address_of(REGISTRY.network("arbitrum"), 1)
    chain = world.chain("arbitrum")
    await world.pay(internal(coin, ours, 5))
    mined = await world.mine("arbitrum")
    await world.reorg("arbitrum", 1, Fork.KEEP)
    ((block, transfer),) = await chain.locate(coin, ours, 1, mined.height + 5)
    assert block.height == mined.height + 1
    assert block.hash == await chain.block_hash(block.height)
    assert transfer.arrival is Arrival.INTERNAL
    await world.reorg("arbitrum", 2, Fork.DROP)
    assert await chain.locate(coin, ours, 1, mined.height + 5) == []


async def test_failed_internal_moves_are_located_nowhere(world: World) -> None:
    """EVM-08: an inner call that reverts moves no money."""
    coin, ours = REGISTRY.asset("eth-ethereum"), address_of(REGISTRY.network("ethereum"), 1)
    await world.pay(replace(internal(coin, ours, 5), has_failed=True))
    mined = await world.mine("ethereum")
    assert await world.chain("ethereum").locate(coin, ours, 1, mined.height) == []
    assert list(await world.chain("ethereum").balances(coin, [ours], mined.height)) == [0]


async def test_readers_see_one_moment(world: World) -> None:
    """A scan that began before a reorganisation never mixes both branches."""
    await world.mine("tron", 10)
    head = (await world.chain("tron").head()).latest.height
    async with world.database.reader() as tx:
        before = await tx.fetch("SELECT first_height, seed FROM sim_runs WHERE network = 'tron' ORDER BY 1")
        await world.reorg("tron", 5, Fork.DROP)
        assert await tx.fetch("SELECT first_height, seed FROM sim_runs WHERE network = 'tron' ORDER BY 1") == before
    assert (await world.chain("tron").head()).latest.height == head + 1


async def test_a_new_network_row_starts_beside_the_old_ones(world: World, tmp_path) -> None:
    before = await world.all_blocks("tron")
    async with world.database.transaction() as tx:
        await tx.execute("DELETE FROM sim_runs WHERE network = 'ton'")
        await tx.execute("DELETE FROM sim_networks WHERE network = 'ton'")
    world.clock.advance(timedelta(hours=1))
    async with world.database.transaction() as tx:
        assert await world.sandbox.prepare(tx, world.clock.now()) == ["ton"]
    assert await world.all_blocks("tron") == before
    assert (await world.chain("ton").head()).latest.time == world.clock.now()
