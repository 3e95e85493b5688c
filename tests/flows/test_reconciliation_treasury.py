"""Books against chains while the treasury moves money between our own wallets: no false alarm, and cold storage counts."""

import pytest
from tests.flows.collecting import Collector
from tests.flows.conftest import Start
from tests.flows.paying import STRANGERS, Cashier
from tests.flows.reconciling import ASSET, GAS, NETWORK, UNIT, Auditor
from tests.support.clock import ManualClock

from bitlinkpay.core.assets import Family
from bitlinkpay.reconciliation.model import COLD, DifferenceState
from bitlinkpay.signer.keyring import KeyRing
from bitlinkpay.treasury import funding
from bitlinkpay.treasury.levels import store as levels
from bitlinkpay.treasury.model import Levels
from bitlinkpay.treasury.service import ANYTHING
from bitlinkpay.workers.payer import Payer


@pytest.fixture
async def collector(start: Start, ring: KeyRing) -> Collector:
    return Collector(Cashier(await start(), ring, ManualClock()))


@pytest.fixture
def auditor(collector: Collector) -> Auditor:
    return Auditor(collector.cashier)


async def work_and_look(collector: Collector, auditor: Auditor, network_id: str, steps: int) -> None:
    """One step of the lanes, one look, one block, one look, again and again."""
    payer = Payer(collector.cashier.parts(network_id))
    for _ in range(steps):
        await payer.step()
        await auditor.run(network_id)
        await auditor.world.mine(network_id)
        await auditor.world.run(network_id)
        await auditor.run(network_id)


@pytest.mark.parametrize(
    ("asset_id", "gas"),
    [("usdt-tron", "trx-tron"), ("usdt-ethereum", "eth-ethereum"), ("usdt-solana", "sol-solana"), ("trx-tron", "")],
)
async def test_a_sweep_is_no_difference_in_any_block(
    collector: Collector, auditor: Auditor, asset_id: str, gas: str
) -> None:
    """Gas that goes ahead, the money that follows, the fee: each is on the chain before the books have it."""
    world = auditor.world
    network = world.registry.networks[world.registry.assets[asset_id].network]
    if gas:
        await collector.cashier.fund(gas, "50")
    order = await collector.paid_order(asset_id, "500")
    await collector.sweeping(network.id).step(ANYTHING)
    await work_and_look(collector, auditor, network.id, 2 * network.sandbox_lag + 16)
    assert {state for *_, state in await collector.moves()} == {"done"}
    assert await collector.at(order.address, asset_id) < UNIT
    assert await collector.in_hot(asset_id) > 0
    await auditor.look_twice(network.id)
    await auditor.nothing_was_ever_suspected()


async def gone_cold(collector: Collector, auditor: Auditor) -> str:
    """Let 300 USDT go to cold storage, and return its address."""
    world = auditor.world
    await collector.cashier.fund(GAS, "1")
    await collector.cashier.fund(ASSET, "500")
    async with world.database.transaction() as tx:
        wanted = Levels(50 * UNIT, 200 * UNIT, 400 * UNIT)
        await levels.set_levels(tx, ASSET, wanted, by="operator", now=world.clock.now())
    cold = STRANGERS[Family.EVM]
    assert await collector.cool(NETWORK, {ASSET: cold}) == 1
    await work_and_look(collector, auditor, NETWORK, world.registry.networks[NETWORK].sandbox_lag + 8)
    assert await world.account("custody:cold", ASSET) == 300 * UNIT
    await auditor.look_twice()
    return cold


async def test_surplus_on_its_way_to_cold_storage_is_no_difference(collector: Collector, auditor: Auditor) -> None:
    await gone_cold(collector, auditor)
    await auditor.nothing_was_ever_suspected()
    places = await auditor.world.rows("select place from reconciliation_checks where asset = $1", ASSET)
    assert (COLD,) in places


async def test_money_that_leaves_cold_storage_unasked_stops_payments_too(
    collector: Collector, auditor: Auditor
) -> None:
    cold = await gone_cold(collector, auditor)
    auditor.world.is_simulated = False
    async with auditor.world.database.transaction() as tx:  # by whatever means: the chain shows less
        await tx.execute("update sim_transfers set units = units - 1 where target = $1 and asset = $2", cold, ASSET)
    await auditor.look_twice()
    found = {one.sight.place: one for one in await auditor.found()}
    assert found.keys() == {COLD, auditor.cashier.hot(NETWORK).address}, "who sent less holds more"
    assert (found[COLD].state, found[COLD].sight.difference_units) == (DifferenceState.OPEN, -1)
    assert await auditor.stopped() == [ASSET]


async def test_a_refill_that_is_noted_before_its_block_is_final_is_no_difference(
    collector: Collector, auditor: Auditor
) -> None:
    """Out of cold storage by the books, still there by the chain: on its way, and no more than is on its way."""
    await gone_cold(collector, auditor)
    world = auditor.world
    world.is_simulated = False
    asset = world.registry.assets[ASSET]
    await world.database.unit(lambda tx: funding.refill(tx, asset, 100 * UNIT, fee=None, now=world.clock.now()))
    await auditor.look_twice()
    await auditor.nothing_was_ever_suspected()
    async with world.database.transaction() as tx:  # one unit more than was sent
        words = "update sim_transfers set units = units + 1 where target = $1 and asset = $2"
        await tx.execute(words, STRANGERS[Family.EVM], ASSET)
    await auditor.look_twice()
    assert {one.sight.place for one in await auditor.found()} >= {COLD}
