"""Several watchers of one network: a lease, a cursor, and work that is thrown away when either is lost."""

import asyncio
import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from tests.flows.faults import AnsweringChain
from tests.flows.harness import World
from tests.flows.test_crash import free_lease

from bitlinkpay.chains.base import Arrival, Block, ChainError
from bitlinkpay.db.driver import Tx
from bitlinkpay.deposits.journal import store as journal
from bitlinkpay.deposits.model import Lease, LostLease
from bitlinkpay.payins import arrivals
from bitlinkpay.payins.model import Payin
from bitlinkpay.risk.model import Verdict, VerdictKind
from bitlinkpay.sandbox.model import Fork

HIDDEN = Arrival.INTERNAL


async def observe(world: World, lease: Lease, blocks: Sequence[Block]) -> None:
    """Write what a watcher read, as its transaction does; all of it is final and cleared."""
    arrived = [(block, transfer) for block in blocks for transfer in block.transfers]
    now, final = world.clock.now(), blocks[-1].height

    async def work(tx: Tx) -> None:
        sighted = await arrivals.sight(tx, world.registry.networks[lease.network], arrived, now)
        cleared = [Verdict(deposit.deposit_id, VerdictKind.CLEAR, "", (), now) for deposit in sighted]
        await arrivals.observe(
            tx,
            world.registry,
            lease,
            blocks=blocks,
            sighted=sighted,
            cleared=cleared,
            final_height=final,
            now=now,
        )

    await world.database.unit(work)


async def test_only_the_holder_of_the_lease_reads(world: World):
    order = await world.open_order()
    second = world.build_watcher(world.chain("tron"))
    await world.pay(order)
    await world.mine("tron", 5)
    assert not await second.step()
    assert await world.deposits(order) == []
    await world.settle()
    assert await world.state(order) == "paid"


async def test_a_successor_takes_over_when_the_lease_has_run_out(world: World):
    order = await world.open_order()
    second = world.build_watcher(world.chain("tron"))
    await free_lease(world)
    await world.pay(order)
    await world.mine("tron", 5)
    await second.step()
    assert len(await world.deposits(order)) == 1
    assert not await world.watchers["tron"].step(), "the first one finds its lease gone and writes nothing"
    while await second.step():
        continue
    assert await world.state(order) == "paid"
    world.watchers["tron"] = second
    await world.settle()


@pytest.mark.parametrize("seed", range(5))
async def test_two_watchers_that_steal_the_lease_from_each_other_harm_nobody(world: World, seed: int):
    dice = random.Random(seed)
    orders = [await world.open_order() for _ in range(6)]
    pair = [world.watchers["tron"], world.build_watcher(world.chain("tron"))]
    for order in orders:
        await world.pay(order)
        await world.mine("tron", dice.randint(1, 3))
        if dice.random() < 0.4:
            await world.reorg("tron", dice.randint(1, 6), Fork.KEEP)
        for _ in range(4):
            await free_lease(world)
            results = await asyncio.gather(*[watcher.step() for watcher in pair], return_exceptions=True)
            assert not [result for result in results if isinstance(result, BaseException) and not _is_outrun(result)]
        await world.check()
    world.watchers["tron"] = world.build_watcher(world.chain("tron"))
    await free_lease(world)
    await world.finalize("tron")
    assert [await world.state(order) for order in orders] == ["paid"] * 6
    assert [len(world.inbox.about(order)) for order in orders] == [1] * 6


def _is_outrun(result: BaseException) -> bool:
    """The other one took the fork back between two of its questions: it does nothing, and asks again at its next step."""
    return isinstance(result, ChainError) and "no other block stands in place of the final one" in str(result)


async def test_blocks_read_under_a_lease_that_was_lost_meanwhile_are_thrown_away(world: World):
    order = await world.open_order()
    await world.pay(order)
    await world.mine("tron")
    async with world.database.reader() as tx:
        cursor = await journal.find_cursor(tx, "tron")
    assert cursor is not None
    blocks = await world.chain("tron").scan(cursor.height + 1, cursor.height + 1)
    now = datetime.now(UTC)

    async def take(token: object) -> object:
        return await world.database.unit(
            lambda tx: journal.take_lease(tx, network="tron", token=token, now=now, life=timedelta(seconds=10))  # type: ignore[arg-type]
        )

    await free_lease(world)
    lease = await take(uuid4())
    assert await take(uuid4()) is None, "it lives"
    await free_lease(world)
    assert await take(uuid4()) is not None
    for _ in range(2):
        with pytest.raises(LostLease):
            await observe(world, lease, blocks)  # type: ignore[arg-type]
    assert await world.deposits(order) == []
    assert await world.rows("select 1 from blocks where network = 'tron' and height > $1", cursor.height) == []
    await free_lease(world)
    await world.settle()


async def test_DEP_08_blocks_that_do_not_follow_the_cursor_are_thrown_away(world: World):
    order = await world.open_order()
    await world.pay(order)
    await world.mine("tron", 3)
    async with world.database.reader() as tx:
        cursor = await journal.find_cursor(tx, "tron")
    assert cursor is not None
    now = datetime.now(UTC)
    await free_lease(world)
    lease = await world.database.unit(
        lambda tx: journal.take_lease(tx, network="tron", token=uuid4(), now=now, life=timedelta(seconds=10))
    )
    assert lease is not None
    gap = await world.chain("tron").scan(cursor.height + 2, cursor.height + 3)
    again = await world.chain("tron").scan(cursor.height, cursor.height)
    for blocks in (gap, again):
        with pytest.raises(LostLease):
            await observe(world, lease, blocks)
    async with world.database.reader() as tx:
        assert await journal.find_cursor(tx, "tron") == cursor
    await free_lease(world)
    world.watchers["tron"] = world.build_watcher(world.chain("tron"))
    await world.finalize("tron")
    assert await world.state(order) == "paid"


@pytest.mark.parametrize("is_known", [False, True])
async def test_a_slow_screening_by_a_watcher_that_was_replaced_settles_nothing_twice(world: World, is_known: bool):
    """It asks about money that is recorded already, or about money that is final at sight and will be."""
    order = await world.open_order()
    slow = AnsweringChain(world.chain("tron"))
    slow.pause = asyncio.Event()
    late = world.build_watcher(slow)
    await world.pay(order)
    if is_known:
        await world.mine("tron")
        await world.settle()
        assert await world.states(order) == [("seen", "")]
    await world.mine("tron", 5)
    await free_lease(world)
    task = asyncio.create_task(late.step())
    while not slow.is_asked:
        await asyncio.sleep(0.01)
    assert await world.states(order) == ([("final", "")] if is_known else [])
    await free_lease(world)
    world.watchers["tron"] = world.build_watcher(world.chain("tron"))
    await world.settle()
    assert await world.state(order) == "paid"
    slow.pause.set()
    await task
    await world.settle()
    assert await world.states(order) == [("credited", "")]
    assert world.inbox.statuses(order) == [8]


async def test_a_lost_lease_while_looking_for_hidden_money_is_no_failure(world: World):
    order = await world.open_order("eth-ethereum", "1")
    await world.pay(order, arrival=HIDDEN)
    await world.mine("ethereum")
    slow = AnsweringChain(world.chain("ethereum"))
    late = world.build_watcher(slow)
    await free_lease(world)
    assert await late.step()
    slow.pause = asyncio.Event()
    task = asyncio.create_task(late.step())
    await asyncio.sleep(0.1)
    await free_lease(world)
    world.watchers["ethereum"] = world.build_watcher(world.chain("ethereum"))
    await world.finalize("ethereum")
    slow.pause.set()
    assert await task is False
    assert isinstance(await world.show(order), Payin)
    assert await world.states(order) == [("credited", "")]


async def test_an_odd_expiry_of_many_orders_at_once_is_done_in_pages(world: World):
    await world.watch("tron")
    opened = await world.open_orders("usdt-tron", ["1"] * 1_100)
    orders = [order for order in opened if isinstance(order, Payin)]
    await world.pass_expiry(orders[0])
    assert await world.rows("select state, count(*) from payins group by 1") == [("expired", 1_100)]
