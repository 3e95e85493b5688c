"""Mining by hand and by itself, reorganisations, and how little a quiet network costs."""

import asyncio
from datetime import timedelta

import pytest
from tests.sandbox.world import INTERVAL, REGISTRY, World, check_chain, minutes, transfers_of
from tests.support.clock import ManualClock

from bitlinkpay.chains.base import ChainError, FateState
from bitlinkpay.core.errors import Invalid
from bitlinkpay.db.pool import Database
from bitlinkpay.sandbox.model import Fork
from bitlinkpay.sandbox.service import NetworkNotStarted, Sandbox, mine_due
from bitlinkpay.sandbox.store import BLOCK_CHANNEL, mine_next

ALL = sorted(REGISTRY.networks)


@pytest.fixture
async def world(database: Database, clock: ManualClock) -> World:
    return await World.start(database, clock)


async def test_every_network_gets_one_block_per_interval(world: World) -> None:
    assert await world.tick() == ALL
    before = {name: (await world.chain(name).head()).latest for name in ALL}
    assert await world.tick(timedelta(seconds=1)) == []
    assert await world.tick(timedelta(seconds=1)) == []
    assert await world.tick(timedelta(seconds=1)) == ALL
    for name in ALL:
        latest = (await world.chain(name).head()).latest
        assert latest.height - before[name].height in {1, 2}
        assert latest.time - before[name].time == INTERVAL
        check_chain(world.registry.network(name), await world.all_blocks(name))


async def test_a_quiet_network_adds_no_rows(world: World) -> None:
    await world.tick()
    runs = await world.rows("sim_runs")
    for _ in range(40):
        await world.tick()
    assert await world.rows("sim_runs") == runs
    blocks = await world.all_blocks("tron")
    assert len(blocks) == 64 + 41
    check_chain(world.registry.network("tron"), blocks)


async def test_a_skipped_slot_costs_its_time_too(world: World) -> None:
    await world.tick()
    mined = [len(await world.tick()) for _ in range(16)]
    assert sum(count == len(ALL) - 1 for count in mined) == 2, "solana rests in every eighth interval"
    check_chain(world.registry.network("solana"), await world.all_blocks("solana"))
    assert await world.rows("sim_runs") <= 2 * len(ALL)


async def test_block_time_is_business_time_when_it_matters(world: World) -> None:
    """A payment made after an order's expiry never lands in a block that claims to be older."""
    for _ in range(5):
        await world.tick(timedelta(seconds=4))  # a miner that comes late each time
        await world.pay(world.payment("usdt-tron", 1, 5))
        paid_at = world.clock.now()
        await world.tick(timedelta(seconds=4))
        (block,) = [b for b in (await world.all_blocks("tron"))[-2:] if b.transfers]
        assert block.time >= paid_at
        assert block.time == world.clock.now()


async def test_no_block_is_ever_in_the_future_or_older_than_its_parent(world: World) -> None:
    for seconds in (3, 1, 7, 3, 3, 600, 2, 2, 2, 4, 3, 86_400 * 40, 3):
        await world.tick(timedelta(seconds=seconds))
        for name in ("tron", "solana"):
            assert (await world.chain(name).head()).latest.time <= world.clock.now()
    for name in ("tron", "solana"):
        check_chain(world.registry.network(name), await world.all_blocks(name))


async def test_after_a_long_pause_one_block_catches_up_with_the_clock(world: World) -> None:
    await world.tick()
    assert await world.tick(timedelta(days=2)) == ALL
    assert (await world.chain("ton").head()).latest.time == world.clock.now()
    assert await world.tick(timedelta(0)) == []


async def test_paying_only_broadcasts_and_the_next_block_takes_all(world: World) -> None:
    await world.tick()
    txids = await world.pay(*(world.payment("usdt-tron", n, n + 1) for n in range(3)))
    chain = world.chain("tron")
    assert {(await chain.fate(txid)).state for txid in txids} == {FateState.PENDING}
    await world.tick(timedelta(seconds=1))
    assert {(await chain.fate(txid)).state for txid in txids} == {FateState.PENDING}
    await world.tick()
    assert {(await chain.fate(txid)).state for txid in txids} == {FateState.MINED}
    newest = (await world.all_blocks("tron"))[-1]
    assert [t.txid for t in newest.transfers] == txids
    for _ in range(3):
        await world.tick()
    assert {(await chain.fate(txid)).state for txid in txids} == {FateState.FINAL}


async def test_a_payment_on_one_network_is_no_payment_on_another(world: World) -> None:
    """DEP-16: the same EVM address on another network."""
    await world.pay(world.payment("usdt-polygon", 5, 100))
    await world.tick()
    assert [t.asset for t in transfers_of(await world.all_blocks("polygon"))] == ["usdt-polygon"]
    assert transfers_of(await world.all_blocks("ethereum")) == []
    coin = world.registry.asset("usdt-ethereum")
    target = world.payment("usdt-ethereum", 5, 100).target
    assert target == world.payment("usdt-polygon", 5, 100).target
    head = (await world.chain("ethereum").head()).latest.height
    assert list(await world.chain("ethereum").balances(coin, [target], head)) == [0]


async def test_many_miners_mine_each_block_once(world: World) -> None:
    await world.tick()
    heads = {name: (await world.chain(name).head()).latest.height for name in ALL}
    for _ in range(5):
        await world.pay(*(world.payment("usdt-tron", n, n + 1) for n in range(20)))
        world.clock.advance(INTERVAL)
        parts = await asyncio.gather(*(world.tick(timedelta(0)) for _ in range(4)))
        mined = [name for part in parts for name in part]
        assert len(mined) == len(set(mined))
        assert set(mined) >= set(ALL) - {"solana"}
    for name in ALL:
        blocks = await world.all_blocks(name)
        check_chain(world.registry.network(name), blocks)
        assert blocks[-1].height - heads[name] in ({4, 5} if name == "solana" else {5})
    assert len(transfers_of(await world.all_blocks("tron"))) == 100


async def test_who_got_the_lock_late_finds_the_block_mined_already(world: World) -> None:
    await world.tick()
    async with world.database.transaction() as tx:
        assert await mine_next(tx, ALL, world.clock.now(), INTERVAL) == []


async def test_who_mines_by_hand_and_by_itself_at_once_keeps_one_chain(world: World) -> None:
    async def by_hand() -> None:
        for _ in range(10):
            await world.mine("tron", 2)

    async def by_itself() -> None:
        for _ in range(10):
            await world.tick()

    async def paying() -> None:
        for n in range(10):
            await world.pay(world.payment("usdt-tron", n, n + 1))

    async def forking() -> None:
        for _ in range(10):
            await world.reorg("tron", 3, Fork.KEEP)

    async def reading() -> None:
        chain = world.chain("tron")
        for _ in range(30):
            head = await chain.head()
            check_chain(chain.network, await chain.scan(1, head.latest.height))

    await asyncio.gather(by_hand(), by_itself(), paying(), forking(), reading())
    await world.mine("tron")
    blocks = await world.all_blocks("tron")
    check_chain(world.registry.network("tron"), blocks)
    assert sorted(t.units for t in transfers_of(blocks)) == list(range(1, 11)), "nothing lost, nothing twice"


async def test_a_transaction_can_vanish_from_the_mempool(world: World) -> None:
    """BTC-01: replaced before it was mined."""
    (txid,) = await world.pay(world.payment("btc-bitcoin", 1, 5000))
    assert await world.forget("bitcoin", txid)
    assert not await world.forget("bitcoin", txid)
    assert not await world.forget("bitcoin", "not a transaction id")
    (mined,) = await world.pay(world.payment("btc-bitcoin", 1, 6000))
    await world.mine("bitcoin")
    assert not await world.forget("bitcoin", mined), "what is mined stays"
    assert [t.units for t in transfers_of(await world.all_blocks("bitcoin"))] == [6000]
    assert (await world.chain("bitcoin").fate(txid)).state is FateState.UNKNOWN


@pytest.mark.parametrize("fork", Fork)
@pytest.mark.parametrize("depth", [1, 2, 7, 40])
async def test_a_reorg_replaces_exactly_the_newest_blocks(world: World, depth: int, fork: Fork) -> None:
    for _ in range(50):
        await world.mine("solana")
    before = await world.all_blocks("solana")
    newest = await world.reorg("solana", depth, fork)
    after = await world.all_blocks("solana")
    check_chain(world.registry.network("solana"), after)
    assert len(after) == len(before) + 1
    assert after[: len(before) - depth] == before[: len(before) - depth]
    assert not {b.hash for b in after[-depth - 1 :]} & {b.hash for b in before}
    assert after[-1].hash == newest.hash


async def test_a_reorg_cuts_inside_a_long_empty_run(world: World) -> None:
    for _ in range(20):
        await world.tick()
    before = await world.all_blocks("bsc")
    await world.reorg("bsc", 5, Fork.KEEP)
    after = await world.all_blocks("bsc")
    assert after[: len(before) - 5] == before[:-5]
    await world.tick()
    check_chain(world.registry.network("bsc"), await world.all_blocks("bsc"))


@pytest.mark.parametrize("depth", [0, -1, 501, 65, 10**9])
async def test_a_reorg_has_a_limit(world: World, depth: int) -> None:
    blocks = await world.all_blocks("tron")
    with pytest.raises(Invalid) as caught:
        await world.reorg("tron", depth, Fork.DROP)
    assert caught.value.param == "depth"
    assert await world.all_blocks("tron") == blocks


@pytest.mark.parametrize("blocks", [0, -1, 1001])
async def test_mining_has_a_limit(world: World, blocks: int) -> None:
    with pytest.raises(Invalid) as caught:
        await world.mine("tron", blocks)
    assert caught.value.param == "blocks"


async def test_unknown_networks_are_refused_by_name(world: World) -> None:
    for call in (world.mine("dogecoin"), world.reorg("dogecoin", 1, Fork.DROP), world.forget("dogecoin", "ab")):
        with pytest.raises(Invalid, match="known are tron"):
            await call


async def test_nothing_moves_before_the_sandbox_is_prepared(database: Database, clock: ManualClock) -> None:
    sandbox = Sandbox(REGISTRY)
    async with database.transaction() as tx:
        assert await mine_due(tx, clock.now(), INTERVAL) == []
        with pytest.raises(NetworkNotStarted):
            await sandbox.mine(tx, "tron", 1, clock.now())
    world = await World.start(database, clock)
    with pytest.raises(ChainError):
        await world.state.stretch("dogecoin", 1, 2)


async def test_listeners_hear_of_blocks(world: World) -> None:
    heard: list[str] = []
    news = asyncio.Event()

    def hear(payload: str) -> None:
        heard.append(payload)
        news.set()

    await world.database.listen(BLOCK_CHANNEL, hear)
    await asyncio.wait_for(news.wait(), 60)  # the empty one after connecting
    heard.clear()
    await world.mine("ton")
    await world.tick(minutes(1))
    async with asyncio.timeout(60):
        while len(heard) < 1 + len(ALL):
            news.clear()
            await news.wait()
    assert heard[0] == "ton"
    assert sorted(heard[1:]) == ALL
