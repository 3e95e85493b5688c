"""Where a watcher begins on a network that was never read before, and what it tells of one that is read."""

import logging
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from tests.flows.conftest import Start, pace, ring, start  # noqa: F401 - fixtures of the flows serve here too
from tests.flows.faults import AnsweringChain
from tests.flows.scripted import ScriptedChain
from tests.support.clock import ManualClock

from bitlinkpay.chains.base import GapError
from bitlinkpay.workers.watcher import LEASE_LIFE, START_DEPTH, Watcher

NETWORK = "ethereum"


@pytest.mark.parametrize("gaps", [0, 1, 3, 7])
async def test_it_begins_half_as_deep_for_every_depth_that_is_not_shown(start: Start, gaps: int) -> None:  # noqa: F811
    world = await start()
    await world.mine(NETWORK, 3 * START_DEPTH)
    chain = AnsweringChain(world.chain(NETWORK))
    chain.scan_failures = [GapError("pruned")] * gaps
    final = (await chain.head()).final
    await world.build_watcher(chain).step()
    assert await world.rows("select height from cursors") == [(final.height - START_DEPTH // 2**gaps,)]


async def test_it_does_not_begin_where_not_even_the_final_block_is_shown(start: Start) -> None:  # noqa: F811
    world = await start()
    await world.mine(NETWORK, 3 * START_DEPTH)
    chain = AnsweringChain(world.chain(NETWORK))
    chain.scan_failures = [GapError("down")] * 8
    with pytest.raises(GapError):
        await world.build_watcher(chain).step()
    assert await world.rows("select height from cursors") == []


async def test_its_lease_runs_by_the_wall_clock_alone_and_is_renewed_at_half_its_life(start: Start) -> None:  # noqa: F811
    world = await start()
    world.wall = wall = ManualClock()
    holder, other = world.build_watcher(world.chain(NETWORK)), world.build_watcher(world.chain(NETWORK))

    async def until(watcher: Watcher) -> timedelta:
        await watcher.step()
        ((end,),) = await world.rows("select lease_until from cursors")
        assert isinstance(end, datetime)
        return end - wall.now()

    await holder.step()  # places the cursor
    moment = timedelta(microseconds=1)
    assert await until(holder) == LEASE_LIFE
    wall.advance(LEASE_LIFE / 2 - moment)
    assert await until(holder) == LEASE_LIFE / 2 + moment, "taken anew before it was time"
    wall.advance(moment)
    assert await until(holder) == LEASE_LIFE
    wall.advance(LEASE_LIFE)
    assert await until(other) == timedelta(0), "at its last moment it is still held"
    wall.advance(moment)
    assert await until(other) == LEASE_LIFE
    assert await world.rows("select lease_token from cursors") == [(other._token,)]


async def test_EVM_20_a_stall_of_finality_is_told_once_and_its_end_once(start: Start, caplog) -> None:  # noqa: F811
    world = await start()
    network = replace(
        world.registry.networks[NETWORK], final_after=timedelta(seconds=1), block_time=timedelta(seconds=1)
    )
    chain = ScriptedChain(network, world.clock.now())
    watcher = world.build_watcher(chain)
    for _ in range(3):
        await watcher.step()
    chain.final = chain.height
    chain.grow(130)
    told: list[list[str]] = []
    with caplog.at_level(logging.WARNING, "bitlinkpay.workers.watcher"):
        for final in (chain.final, chain.final, chain.height, chain.height):
            chain.final = final
            caplog.clear()
            while await watcher.step():
                continue
            told.append([record.levelname for record in caplog.records])
    assert told == [["CRITICAL"], [], ["WARNING"], []]
