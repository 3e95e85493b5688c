"""Surplus goes to the pinned cold address, a low wallet raises an alarm, and a refill is an operator's act."""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal

import pytest
from tests.flows.collecting import Collector
from tests.flows.conftest import Start
from tests.flows.paying import STRANGERS, Cashier
from tests.support.clock import ManualClock

from bitlinkpay.chains.outgoing import FeeQuote, Intent
from bitlinkpay.core.assets import Family
from bitlinkpay.signer.keyring import KeyRing
from bitlinkpay.treasury.levels import store as levels
from bitlinkpay.treasury.model import Levels
from bitlinkpay.treasury.parts import Pricing
from bitlinkpay.treasury.surplus import Surplus

USDT, NETWORK, ETH = "usdt-ethereum", "ethereum", "eth-ethereum"
COLD = STRANGERS[Family.EVM]
UNIT = 10**6


@dataclass
class Slow:
    """A network's price that comes so late that something has happened meanwhile."""

    sender: Pricing
    meanwhile: Callable[[], Awaitable[None]]

    async def quote(self, intent: Intent) -> FeeQuote:
        await self.meanwhile()
        return await self.sender.quote(intent)


@pytest.fixture
async def collector(start: Start, ring: KeyRing) -> Collector:
    collector = Collector(Cashier(await start(), ring, ManualClock()))
    await collector.cashier.fund(ETH, "1")
    await collector.cashier.fund(USDT, "500")
    return collector


async def set_levels(collector: Collector, floor: int, target: int, ceiling: int, asset_id: str = USDT) -> None:
    world = collector.cashier.world
    wanted = Levels(floor * UNIT, target * UNIT, ceiling * UNIT)
    async with world.database.transaction() as tx:
        await levels.set_levels(tx, asset_id, wanted, by="operator", now=world.clock.now())


async def test_SWP_08_above_the_ceiling_the_surplus_goes_cold_once(collector: Collector) -> None:
    cashier, world = collector.cashier, collector.cashier.world
    await set_levels(collector, 50, 200, 400)
    assert await collector.cool(NETWORK, {USDT: COLD}) == 1
    assert await collector.cool(NETWORK, {USDT: COLD}) == 0  # it is promised
    await collector.finish(NETWORK)
    assert await collector.moves() == [("alone", USDT, "done")]
    assert await collector.in_hot(USDT) == 200 * UNIT
    assert await world.account("custody:cold", USDT) == 300 * UNIT == await cashier.received(COLD, USDT)
    assert await collector.cool(NETWORK, {USDT: COLD}) == 0


async def test_SWP_08_up_to_the_ceiling_everything_stays_hot(collector: Collector) -> None:
    await set_levels(collector, 50, 200, 500)
    assert await collector.cool(NETWORK, {USDT: COLD}) == 0
    assert await collector.moves() == []


async def test_what_payouts_wait_for_is_no_surplus(collector: Collector) -> None:
    cashier = collector.cashier
    await collector.paid_order(USDT, "1000")
    await set_levels(collector, 0, 100, 200)
    payout = await cashier.ask(USDT, "350")
    assert await collector.cool(NETWORK, {USDT: COLD}) == 0  # 150 are free
    await collector.finish(NETWORK)
    assert await cashier.state(payout) == "completed"
    assert await collector.in_hot(USDT) == 150 * UNIT


async def test_without_a_pinned_address_nothing_goes_cold(collector: Collector) -> None:
    await set_levels(collector, 50, 200, 400)
    assert await collector.cool(NETWORK, {}) == 0
    assert await collector.cool(NETWORK, {ETH: COLD}) == 0


async def test_SWP_08_a_surplus_that_another_has_moved_meanwhile_is_not_moved_twice(collector: Collector) -> None:
    async def another_moves_it() -> None:
        assert await collector.cool(NETWORK, {USDT: COLD}) == 1
        await collector.finish(NETWORK)

    await set_levels(collector, 50, 200, 400)
    parts = collector.parts(NETWORK)
    slow: Pricing = Slow(parts.sender, another_moves_it)  # type: ignore[assignment] - surplus asks for a price only
    assert await Surplus(replace(parts, sender=slow)).step({USDT: COLD}) == 0
    await collector.finish(NETWORK)
    assert await collector.moves() == [("alone", USDT, "done")]
    assert await collector.in_hot(USDT) == 200 * UNIT


async def test_SWP_08_levels_that_were_raised_meanwhile_are_kept(collector: Collector) -> None:
    await set_levels(collector, 50, 200, 400)
    parts = collector.parts(NETWORK)
    slow: Pricing = Slow(parts.sender, lambda: set_levels(collector, 50, 200, 500))  # type: ignore[assignment]
    assert await Surplus(replace(parts, sender=slow)).step({USDT: COLD}) == 0
    assert await collector.moves() == []


async def test_an_asset_on_hold_stays_where_it_is(collector: Collector) -> None:
    await set_levels(collector, 50, 200, 400)
    collector.held[USDT] = "its code changed"
    assert await collector.cool(NETWORK, {USDT: COLD}) == 0


async def test_a_surplus_that_costs_too_much_to_move_stays_hot(collector: Collector) -> None:
    await set_levels(collector, 0, 499, 499)
    collector.factor = Decimal(10)
    assert await collector.cool(NETWORK, {USDT: COLD}) == 0


async def test_SWP_08_below_the_floor_an_alarm_is_raised_and_nothing_is_fetched(
    collector: Collector, caplog: pytest.LogCaptureFixture
) -> None:
    await set_levels(collector, 600, 700, 800)
    for _ in range(3):
        assert await collector.cool(NETWORK, {USDT: COLD}) == 0
    alarms = [record for record in caplog.records if "below its floor" in record.message]
    assert len(alarms) == 1  # once, until it was above it again
    assert alarms[0].levelno == logging.CRITICAL
    assert await collector.moves() == []
    await collector.cashier.fund(USDT, "200")
    await set_levels(collector, 700, 701, 800)  # which it holds to the unit
    await collector.cool(NETWORK, {USDT: COLD})
    await set_levels(collector, 701, 702, 800)
    await collector.cool(NETWORK, {USDT: COLD})
    assert sum("below its floor" in record.message for record in caplog.records) == 2


async def test_a_surplus_that_waits_in_vain_is_withdrawn(collector: Collector) -> None:
    cashier = collector.cashier
    await set_levels(collector, 50, 200, 400)
    assert await collector.cool(NETWORK, {USDT: COLD}) == 1
    cashier.pen(NETWORK).refusal = "the address is not pinned any more"
    await collector.finish(NETWORK)
    await cashier.pass_time(timedelta(hours=2))
    assert await collector.withdraw(NETWORK) == 1
    assert await collector.moves() == [("alone", USDT, "failed")]
    assert await collector.in_hot(USDT) == 500 * UNIT
