"""What waits on a simulated network is shown once, as long as it waits, and as a scan would show it."""

from dataclasses import replace

import pytest
from tests.sandbox.world import REGISTRY, World
from tests.support.clock import ManualClock

from bitlinkpay.chains.simulated_waiting import SimulatedWaiting
from bitlinkpay.chains.waiting import Waiting, WaitingChain
from bitlinkpay.db.pool import Database
from bitlinkpay.sandbox.model import Fork

BTC, NETWORK = "btc-bitcoin", "bitcoin"


@pytest.fixture
async def world(database: Database, clock: ManualClock) -> World:
    return await World.start(database, clock)


@pytest.fixture
def shown(world: World) -> SimulatedWaiting:
    return SimulatedWaiting(world.chain(NETWORK), world.state)


async def test_what_waits_is_shown_once_and_told_until_a_block_holds_it(world: World, shown: SimulatedWaiting) -> None:
    assert isinstance(shown, WaitingChain)
    assert not isinstance(world.chain(NETWORK), WaitingChain), "who reads blocks sees nothing before them"
    assert await shown.waiting() == Waiting((), frozenset())
    first, second = await world.pay(world.payment(BTC, 1, 500), world.payment(BTC, 2, 700))
    seen = await shown.waiting()
    assert [(one.txid, one.units) for one in seen.fresh] == [(first, 500), (second, 700)]
    assert seen.txids == {first, second}
    (third,) = await world.pay(world.payment(BTC, 3, 900))
    seen = await shown.waiting()
    assert ([one.txid for one in seen.fresh], seen.txids) == ([third], {first, second, third})
    await world.forget(NETWORK, second)
    assert (await shown.waiting()).txids == {first, third}
    mined = await world.mine(NETWORK)
    assert (await shown.waiting()).txids == frozenset()
    (block,) = await world.chain(NETWORK).scan(mined.height, mined.height)
    assert {one.txid for one in block.transfers} == {first, third}
    await world.reorg(NETWORK, 1, Fork.KEEP)
    await world.pay(world.payment(BTC, 4, 100))
    assert len((await shown.waiting()).fresh) == 1


async def test_it_is_shown_as_a_scan_shows_it_later(world: World, shown: SimulatedWaiting) -> None:
    await world.pay_together(world.payment(BTC, 1, 500), world.payment(BTC, 2, 700))
    fresh = (await shown.waiting()).fresh
    mined = await world.mine(NETWORK)
    (block,) = await world.chain(NETWORK).scan(mined.height, mined.height)
    assert fresh == block.transfers
    assert len(fresh) == 2


async def test_what_fails_and_what_nobody_lists_is_not_shown_and_another_networks_stays_there(
    world: World, shown: SimulatedWaiting
) -> None:
    fake = replace(REGISTRY.asset(BTC), id="btc-fake")
    await world.pay(replace(world.payment(BTC, 1, 500), asset=fake))
    await world.pay(world.payment(BTC, 1, 500, has_failed=True))
    await world.pay(world.payment("usdt-tron", 1, 500))
    seen = await shown.waiting()
    assert (seen.fresh, len(seen.txids)) == ((), 2)
