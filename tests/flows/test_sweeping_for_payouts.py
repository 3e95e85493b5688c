"""A payout that asks for more than the hot wallet holds waits for a sweep, and never keeps that sweep away."""

from datetime import timedelta
from decimal import Decimal

import pytest
from tests.flows.collecting import Collector
from tests.flows.conftest import Start
from tests.flows.harness import REGISTRY
from tests.flows.paying import Cashier
from tests.flows.test_payouts import GAS
from tests.support.clock import ManualClock

from bitlinkpay.chains.simulated_format import FEES
from bitlinkpay.core.assets import Family
from bitlinkpay.sending.queue import PATIENCE
from bitlinkpay.signer.keyring import KeyRing

HOUR = PATIENCE + timedelta(minutes=5)


@pytest.fixture
async def collector(start: Start, ring: KeyRing) -> Collector:
    return Collector(Cashier(await start(), ring, ManualClock()))


@pytest.mark.parametrize("waited", [timedelta(minutes=1), HOUR], ids=["a minute", "more than an hour"])
@pytest.mark.parametrize(
    "asset_id", ["btc-bitcoin", "eth-ethereum", "usdt-ethereum", "trx-tron", "usdt-tron", "usdt-solana"]
)
async def test_PAY_31_it_leaves_when_the_sweep_has_brought_what_it_waits_for(
    collector: Collector, asset_id: str, waited: timedelta
) -> None:
    cashier, network = collector.cashier, REGISTRY.assets[asset_id].network
    await cashier.fund(GAS[network], "20")
    await collector.paid_order(asset_id, "100")
    payout = await cashier.ask(asset_id, "90")
    await collector.work(network)
    await cashier.pass_time(waited)
    await collector.sweep(network)
    assert [state for _, _, state in await collector.moves()] == ["done"]
    await cashier.pass_time(timedelta(minutes=2))
    await collector.finish(network)
    assert await cashier.state(payout) == "completed"


async def test_a_payout_of_coin_that_nobody_brings_stops_no_token_from_being_collected(collector: Collector) -> None:
    cashier = collector.cashier
    await cashier.fund("eth-ethereum", "1")
    await collector.paid_order("eth-ethereum", "6")
    collector.held["eth-ethereum"] = "an upgrade of the network"  # so that it is not swept
    payout = await cashier.ask("eth-ethereum", "5")
    order = await collector.paid_order("usdt-ethereum", "100")
    for waited in (timedelta(minutes=1), HOUR):
        await collector.work("ethereum")
        await cashier.pass_time(waited)
    await collector.sweep("ethereum")
    assert await collector.in_hot("usdt-ethereum") == order.units
    assert await cashier.state(payout) == "approved"


async def test_what_can_leave_is_not_used_up_for_sweeps(collector: Collector) -> None:
    cashier = collector.cashier
    await cashier.fund("eth-ethereum", "1")
    await collector.paid_order("eth-ethereum", "6")
    await collector.paid_order("usdt-ethereum", "100")
    collector.held["eth-ethereum"] = "an upgrade of the network"
    free, fee = await collector.in_hot("eth-ethereum"), FEES[Family.EVM]
    (weighed,) = await collector.plan("usdt-ethereum")
    assert weighed.move is not None
    assert weighed.move.fee_max_units == 2 * fee
    payout = await cashier.ask(
        "eth-ethereum", str(Decimal(free - 3 * fee).scaleb(-18))
    )  # and 2 of them for its own fee
    assert await collector.reasons("usdt-ethereum") == ["the hot wallet holds too little of the network's coin"]
    await collector.finish("ethereum")
    assert await cashier.state(payout) == "completed"
