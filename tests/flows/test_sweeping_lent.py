"""Sweeps with lent energy on a simulated network, killed and cut off at every step: each loan comes back, books hold."""

from datetime import timedelta

import pytest
from tests.flows.collecting import Collector
from tests.flows.conftest import Start
from tests.flows.faults import Fault, Fuse
from tests.flows.paying import Cashier
from tests.flows.test_sweeping_crash import MOST_PLACES, live
from tests.support.clock import ManualClock

from bitlinkpay.chains.simulated_format import FEES
from bitlinkpay.chains.simulated_lending import COVERING_UNITS, LOAN_FEES
from bitlinkpay.core.assets import Family
from bitlinkpay.signer.keyring import KeyRing
from bitlinkpay.treasury.borrowing import WAITS, WAITS_FOR

NETWORK, USDT, TRX = "tron", "usdt-tron", "trx-tron"
LOAN = COVERING_UNITS // 10**6
TWO_FEES = 2 * LOAN_FEES[Family.TRON]
STRIDE = 53


@pytest.fixture
async def collector(start: Start, ring: KeyRing) -> Collector:
    collector = Collector(Cashier(await start(), ring, ManualClock()))
    await collector.cashier.fund(TRX, "500")
    return collector


async def sweep(collector: Collector) -> None:
    """Plan once, carry it out, take back what was lent for it."""
    await collector.sweep(NETWORK)
    await collector.take_back(NETWORK)
    await collector.finish(NETWORK)


async def test_a_loan_costs_less_than_the_coin_that_it_saves(collector: Collector) -> None:
    await collector.stake(NETWORK, LOAN)
    order = await collector.paid_order(USDT, "100")
    before = await collector.in_hot(TRX)
    await sweep(collector)
    assert await collector.moves() == [("lent", USDT, "done")]
    assert await collector.loans() == [("returned", LOAN)]
    assert await collector.in_hot(USDT) == order.units
    assert before - await collector.in_hot(TRX) == TWO_FEES < FEES[Family.TRON]
    assert await collector.at(order.address, TRX) == 0


async def test_too_little_stake_lends_nothing_and_coin_is_burnt(collector: Collector) -> None:
    await collector.stake(NETWORK, LOAN - 1)
    await collector.paid_order(USDT, "100")
    await sweep(collector)
    assert await collector.moves() == [("fuelled", USDT, "done")]
    assert await collector.loans() == []


async def test_an_address_waits_for_stake_that_is_out_for_half_an_hour_and_then_burns_coin(
    collector: Collector,
) -> None:
    await collector.stake(NETWORK, LOAN)
    large, small = await collector.paid_order(USDT, "100"), await collector.paid_order(USDT, "90")
    await collector.sweep(NETWORK)  # and nobody takes back what was lent for it
    await collector.finish(NETWORK)
    assert await collector.at(large.address, USDT) == 0
    assert await collector.reasons(USDT) == [WAITS]
    await collector.cashier.pass_time(WAITS_FOR)
    await collector.sweep(NETWORK)
    assert await collector.moves() == [("lent", USDT, "done"), ("fuelled", USDT, "done")]
    assert await collector.at(small.address, USDT) == 0
    assert await collector.loans() == [("lent", LOAN)]


@pytest.mark.parametrize(("fault", "first"), [(Fault.KILL, 1), (Fault.CUT, 9)])
async def test_SWP_07_killed_or_cut_off_at_every_step_of_a_loan(collector: Collector, fault: Fault, first: int) -> None:
    """Sweep one order after the other, each with a fault some steps later, until a fault comes too late to happen."""
    cashier, world = collector.cashier, collector.cashier.world
    await collector.stake(NETWORK, LOAN)
    swept = 0
    for place in range(first, MOST_PLACES, STRIDE):
        await cashier.pass_time(timedelta(minutes=2))
        order = await collector.paid_order(USDT, "100")
        swept += 1
        fuse = Fuse(place, fault)
        await live(collector, NETWORK, fuse, rounds=3)
        collector.plans.clear()
        collector.payers.clear()
        await cashier.pass_time(timedelta(minutes=2))
        await sweep(collector)
        assert await collector.at(order.address, USDT) == 0, place
        assert await collector.loans() == [("returned", LOAN)] * swept, place
        if not fuse.has_blown:
            break
    assert 3 < swept < MOST_PLACES // STRIDE, "no fault was ever too late"
    assert await collector.moves() == [("lent", USDT, "done")] * swept
    assert await cashier.received(cashier.hot(NETWORK).address, USDT) == swept * order.units
    assert await world.account("expense:gas", TRX) == swept * TWO_FEES, "nothing was lent or taken back twice"
    assert {state for _, state in await cashier.transactions(NETWORK)} == {"final"}
