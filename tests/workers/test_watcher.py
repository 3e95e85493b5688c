"""Where a watcher begins on a network that was never read before."""

import pytest
from tests.flows.conftest import Start, pace, ring, start  # noqa: F401 - fixtures of the flows serve here too
from tests.flows.faults import AnsweringChain

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
