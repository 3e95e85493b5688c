"""Where a watcher begins on a network that was never read before, and what it tells of one that is read."""

import logging
from dataclasses import replace
from datetime import timedelta

import pytest
from tests.flows.conftest import Start, pace, ring, start  # noqa: F401 - fixtures of the flows serve here too
from tests.flows.faults import AnsweringChain
from tests.flows.scripted import ScriptedChain

from bitlinkpay.chains.base import GapError
from bitlinkpay.workers.watcher import START_DEPTH

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
