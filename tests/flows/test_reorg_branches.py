"""Forks that a simulated network does not make: branches that come back, skipped heights, lying and forgetful nodes."""

import pytest
from tests.flows.conftest import Start
from tests.flows.harness import World
from tests.flows.scripted import ScriptedChain, moved, transfer_to

from bitlinkpay.chains.base import ChainError, ForkedBlock
from bitlinkpay.workers.watcher import SCAN_BLOCKS


async def scripted(world: World, **more: object) -> ScriptedChain:
    chain = ScriptedChain(world.registry.networks["ethereum"], world.clock.now(), **more)  # type: ignore[arg-type]
    world.chains["ethereum"] = chain
    world.is_simulated = False
    await world.watch("ethereum")
    return chain


@pytest.fixture
async def chained(start: Start) -> tuple[World, ScriptedChain]:
    world = await start()
    return world, await scripted(world)


async def cursor_of(world: World) -> tuple[object, ...]:
    return (await world.rows("select height, hash, final_height from cursors where network = 'ethereum'"))[0]


async def test_DEP_05_a_branch_that_comes_back_brings_its_money_back(chained: tuple[World, ScriptedChain]):
    world, chain = chained
    order = await world.open_order("usdt-ethereum")
    root = chain.height
    chain.grow(1, transfer_to(order.address, order.units))
    await world.settle()
    assert await world.state(order) == "confirming"
    gone = chain.cut(root)
    chain.grow(2, salt="other")
    await world.settle()
    assert await world.state(order) == "created"
    chain.cut(root)
    chain.put(gone)
    chain.grow(5)
    await world.settle()
    assert await world.state(order) == "paid"
    assert await world.states(order) == [("credited", ""), ("dropped", "")]


async def test_DEP_05_back_and_forth_many_times(chained: tuple[World, ScriptedChain]):
    world, chain = chained
    order = await world.open_order("usdt-ethereum")
    root = chain.height
    chain.grow(2, transfer_to(order.address, order.units))
    mine = chain.cut(root)
    chain.grow(2, salt="other")
    other = chain.cut(root)
    for branch in (mine, other) * 3:
        chain.cut(root)
        chain.put(branch)
        chain.grow(1, salt=str(len(chain.scans)))
        await world.settle()
    chain.cut(root)
    chain.put(mine)
    chain.grow(6)
    await world.settle()
    assert await world.state(order) == "paid"
    assert [state for state, _ in await world.states(order)].count("credited") == 1


@pytest.mark.parametrize("skip", [1, 2, 7])
async def test_a_fork_among_skipped_heights_is_found_exactly(start: Start, skip: int):
    """Every block holds one transfer: as many are dropped as blocks left the chain, and none that still stands."""
    world = await start()
    chain = await scripted(world, lag=200)
    order = await world.open_order("usdt-ethereum")
    numbers = iter(range(1_000))

    def grow(count: int, salt: str = "") -> None:
        for _ in range(count):
            chain.grow(1, transfer_to(order.address, 1, number=next(numbers)), salt=salt, skip=skip)

    grow(20)
    await world.settle()
    dropped = 0
    for depth in (1, 2, 3, 5, 8, 13):
        root = chain.blocks[-1 - depth]
        chain.cut(root.height)
        grow(depth + 1, salt=f"branch {depth}")
        await world.settle()
        dropped += depth
        assert (await cursor_of(world))[:2] == (chain.height, chain.blocks[-1].hash)
        journal = await world.rows("select height, hash from blocks where height > $1 order by 1", root.height)
        assert journal == [(block.height, block.hash) for block in chain.blocks if block.height > root.height]
        assert await world.rows("select count(*) from deposits where state = 'dropped'") == [(dropped,)]


@pytest.mark.parametrize("left", range(1, 20))
async def test_blocks_above_a_long_gap_that_still_stand_are_not_taken_back(start: Start, left: int):
    world = await start()
    chain = await scripted(world, lag=200)
    order = await world.open_order("usdt-ethereum")
    for number in range(20):
        chain.grow(1, transfer_to(order.address, 1, number=number), skip=0 if number else 60)
    await world.settle()
    chain.cut(chain.height - left)
    chain.grow(left + 1, salt="b")
    await world.settle()
    assert await world.rows("select count(*) from deposits where state = 'dropped'") == [(left,)]


async def test_a_long_run_of_skipped_heights_does_not_stop_the_cursor(chained: tuple[World, ScriptedChain]):
    world, chain = chained
    order = await world.open_order("usdt-ethereum")
    await world.settle()
    chain.grow(1, transfer_to(order.address, order.units), skip=SCAN_BLOCKS * 5)
    chain.grow(5)
    await world.settle()
    assert (await world.state(order), (await cursor_of(world))[0]) == ("paid", chain.height)


async def test_NODE_05_a_head_that_lags_moves_nothing_back(chained: tuple[World, ScriptedChain]):
    world, chain = chained
    order = await world.open_order("usdt-ethereum")
    chain.grow(1, transfer_to(order.address, order.units))
    chain.grow(2)
    await world.settle()
    before = await cursor_of(world)
    chain.latest = chain.height - 2
    await world.settle()
    assert await cursor_of(world) == before
    assert await world.state(order) == "confirming"
    chain.latest = None
    chain.grow(3)
    await world.settle()
    assert await world.state(order) == "paid"


async def test_NODE_05_a_final_height_that_goes_back_stops_credits(
    chained: tuple[World, ScriptedChain], caplog: pytest.LogCaptureFixture
):
    world, chain = chained
    order = await world.open_order("usdt-ethereum")
    world.lists.is_down = True
    chain.grow(1, transfer_to(order.address, order.units))
    chain.grow(5)
    await world.settle()
    assert await world.states(order) == [("final", "")]
    world.lists.is_down = False
    final, chain.final = (await cursor_of(world))[2], chain.height - 8
    for _ in range(3):
        await world.settle()
    assert await world.states(order) == [("final", "")], "no balance proves it at a height below it"
    assert (await cursor_of(world))[2] == final
    chain.final = None
    await world.settle()
    assert await world.state(order) == "paid"
    told = [record.getMessage() for record in caplog.records if "the final height" in record.getMessage()]
    assert [("went back" in text, "no less than before" in text) for text in told] == [(True, False), (False, True)]


async def test_EVM_20_finality_that_stalls_stops_credits_and_nothing_else(chained: tuple[World, ScriptedChain]):
    world, chain = chained
    order = await world.open_order("usdt-ethereum")
    chain.final = chain.height
    chain.grow(1, transfer_to(order.address, order.units))
    chain.grow(500)
    await world.settle()
    assert (await cursor_of(world))[0] == chain.height
    assert await world.state(order) == "confirming", "no number of blocks stands in for finality"
    assert (await world.balance("usdt-ethereum")).pending_units == order.units
    chain.final = None
    chain.grow(1)
    await world.settle()
    assert await world.state(order) == "paid"


async def test_a_final_block_that_is_not_on_the_chain_that_was_read_stops_the_cursor(
    chained: tuple[World, ScriptedChain],
):
    world, chain = chained
    order = await world.open_order("usdt-ethereum")
    chain.grow(1, transfer_to(order.address, order.units))
    chain.grow(2)
    await world.settle()
    before, honest = await cursor_of(world), list(chain.blocks)
    index = len(honest) - 3  # the block with the payment in it: final under another hash
    chain.blocks[index] = moved(honest[index], hash="0x" + "ee" * 32)
    chain.grow(1)
    with pytest.raises(ForkedBlock):
        await world.watchers["ethereum"].step()
    assert await cursor_of(world) == before
    assert await world.state(order) == "confirming"
    chain.blocks = honest
    chain.grow(5)
    await world.settle()
    assert await world.state(order) == "paid"


async def test_a_final_block_at_a_height_that_our_branch_skipped_is_not_taken_for_granted(
    chained: tuple[World, ScriptedChain],
):
    world, chain = chained
    order = await world.open_order("usdt-ethereum")
    chain.final = chain.height
    chain.grow(1, transfer_to(order.address, order.units))
    chain.grow(1, skip=1)
    await world.settle()
    hidden = chain.height - 1
    chain.blocks.insert(-1, moved(chain.blocks[-1], height=hidden, hash="0x" + "dd" * 32))
    chain.final = hidden
    with pytest.raises(ForkedBlock):
        await world.watchers["ethereum"].step()
    assert await world.state(order) == "confirming"
    chain.blocks.pop(-2)
    chain.final = None


async def test_a_fork_below_the_final_height_needs_to_be_final_itself(chained: tuple[World, ScriptedChain]):
    world, chain = chained
    order = await world.open_order("usdt-ethereum")
    root = chain.height
    chain.grow(1, transfer_to(order.address, order.units))
    chain.grow(5)
    await world.settle()
    assert await world.state(order) == "paid"
    chain.cut(root)
    chain.grow(7, salt="fork")
    chain.final = root
    with pytest.raises(ChainError, match="below the final height"):
        await world.watchers["ethereum"].step()
    assert await world.state(order) == "paid", "one strange answer does not undo what was final"
    chain.final = None
    chain.grow(3)
    await world.settle()
    assert (await world.states(order), await world.labels(order)) == ([("reversed", "")], {"reversed"})


async def test_a_fork_deeper_than_the_journal_stops_and_says_so(chained: tuple[World, ScriptedChain]):
    world, chain = chained
    await world.settle()
    top = chain.height
    chain.blocks = []
    chain.grow(top + 1, salt="another world")
    with pytest.raises(ChainError, match="deeper than the journal"):
        await world.watchers["ethereum"].step()
    world.watchers.clear()


async def test_blocks_that_fork_while_they_are_read_are_read_again(chained: tuple[World, ScriptedChain]):
    world, chain = chained
    order = await world.open_order("usdt-ethereum")
    chain.grow(1, transfer_to(order.address, order.units))
    chain.grow(5)
    chain.failures = [ForkedBlock("changed under the reader")] * 2
    watcher = world.watchers["ethereum"]
    assert not await watcher.step()
    assert not await watcher.step()
    await world.settle()
    assert await world.state(order) == "paid"


async def test_the_search_for_a_fork_costs_few_questions(start: Start):
    world = await start()
    chain = await scripted(world, lag=2_000)
    chain.grow(1_500)
    await world.settle()
    chain.cut(400)
    chain.grow(1_200, salt="b")
    chain.asked.clear()
    await world.settle()
    assert (await cursor_of(world))[1] == chain.blocks[-1].hash
    assert len(chain.asked) < 30


async def test_the_journal_forgets_what_is_far_below_finality_also_while_catching_up(start: Start):
    world = await start()
    chain = await scripted(world)
    chain.grow(10_700)
    await world.settle()
    ((oldest, newest),) = await world.rows("select min(height), max(height) from blocks where network = 'ethereum'")
    assert newest == chain.height
    assert 0 < oldest <= chain.height - 10_000
