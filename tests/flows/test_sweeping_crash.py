"""A process that ends between any two lines of a sweep and starts again: everything moves once, books equal chain."""

from datetime import timedelta

import pytest
from tests.flows.collecting import Collector
from tests.flows.conftest import Start
from tests.flows.faults import Crash, Fault, FaultyDatabase, Fuse
from tests.flows.paying import Cashier
from tests.flows.test_sending import FaultySender
from tests.support.clock import ManualClock

from bitlinkpay.chains.outgoing import Intent, Signed
from bitlinkpay.chains.simulated_format import FEES
from bitlinkpay.chains.simulated_plan import SimulatedPlan
from bitlinkpay.core.assets import Family
from bitlinkpay.core.errors import Unavailable
from bitlinkpay.db.pool import Database
from bitlinkpay.sending.parts import LaneParts
from bitlinkpay.signer.keyring import KeyRing
from bitlinkpay.treasury.loans.returning import Returning
from bitlinkpay.treasury.service import ANYTHING
from bitlinkpay.treasury.sweeping import Sweeping
from bitlinkpay.workers.payer import Payer

MOST_PLACES = 600
STRIDE = 31
GAS = {"usdt-tron": "trx-tron", "usdt-ethereum": "eth-ethereum"}


class FaultyPen:
    """A signer after whose answer the process may end."""

    def __init__(self, cashier: Cashier, network_id: str, fuse: Fuse) -> None:
        self.cashier, self.network_id, self.fuse = cashier, network_id, fuse

    async def sign(self, intent: Intent, plan: SimulatedPlan) -> Signed:
        self.fuse.tick()
        signed = await self.cashier.pen(self.network_id).sign(intent, plan)
        self.fuse.tick()
        return signed


async def live(collector: Collector, network_id: str, fuse: Fuse, *, rounds: int = 2) -> None:
    """Plan, send and follow with a process that ends at the fuse, or only loses its connection there.

    More than two rounds: what was lent meanwhile is taken back in the last one.
    """
    cashier = collector.cashier
    database: Database = FaultyDatabase(cashier.world.database, fuse)  # type: ignore[assignment]
    parts, sender = cashier.parts(network_id), FaultySender(cashier.sender(network_id), fuse, [])
    sweeping = Sweeping(collector.parts(network_id, database))
    returning = Returning(collector.parts(network_id, database))
    payer = Payer(
        LaneParts(
            database=database,
            registry=parts.registry,
            network=parts.network,
            sender=sender,
            plan_type=SimulatedPlan,
            signing=FaultyPen(cashier, network_id, fuse),
            owners=parts.owners,
            clock=parts.clock,
            wall=parts.wall,
        )
    )
    lag = parts.network.sandbox_lag + 1
    try:
        await again(lambda: sweeping.step(ANYTHING))
        for number in range(rounds):
            if number > 1:
                await again(lambda: returning.step(ANYTHING))
            for blocks in (1, lag):
                await again(payer.step)
                await cashier.world.mine(network_id, blocks)
        await again(payer.step)
    except Crash:
        return


async def again(step: object) -> None:
    while True:
        try:
            if not await step():  # type: ignore[operator]
                return
        except Unavailable:
            continue


@pytest.mark.parametrize(
    ("asset_id", "fault", "first"),
    [("usdt-tron", Fault.KILL, 1), ("usdt-tron", Fault.CUT, 12), ("usdt-ethereum", Fault.KILL, 6)],
)
async def test_SWP_07_killed_or_cut_off_at_every_step_of_a_sweep(
    start: Start, ring: KeyRing, asset_id: str, fault: Fault, first: int
) -> None:
    """Sweep one order after the other, each with a fault some steps later, until a fault comes too late to happen."""
    collector = Collector(Cashier(await start(), ring, ManualClock()))
    cashier, world = collector.cashier, collector.cashier.world
    network_id = world.registry.assets[asset_id].network
    await cashier.fund(GAS[asset_id], "500")
    swept = 0
    for place in range(first, MOST_PLACES, STRIDE):
        await cashier.pass_time(timedelta(minutes=2))  # leases run out, and what was postponed is due
        order = await collector.paid_order(asset_id, "100")
        swept += 1
        fuse = Fuse(place, fault)
        await live(collector, network_id, fuse)
        collector.plans.clear()
        collector.payers.clear()
        await cashier.pass_time(timedelta(minutes=2))
        await collector.sweep(network_id)
        await collector.finish(network_id)
        assert await collector.at(order.address, asset_id) == 0, place
        assert await collector.in_hot(asset_id) == swept * order.units, place
        if not fuse.has_blown:
            break
    assert 3 < swept < MOST_PLACES // STRIDE, "no fault was ever too late"
    assert {state for _, _, state in await collector.moves()} == {"done"}
    assert len(await collector.moves()) == swept
    assert await cashier.received(cashier.hot(network_id).address, asset_id) == swept * order.units
    rounds = 2 if network_id == "tron" else 1  # gas goes ahead on TRON
    family = Family.TRON if network_id == "tron" else Family.EVM
    assert await world.account("expense:gas", GAS[asset_id]) == swept * rounds * FEES[family]
    assert {state for _, state in await cashier.transactions(network_id)} == {"final"}
