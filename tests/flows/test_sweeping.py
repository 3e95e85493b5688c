"""Deposits are collected into the hot wallet and paid out again; books and chain agree to the unit after every step."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from tests.flows.collecting import Collector
from tests.flows.conftest import Start
from tests.flows.harness import REGISTRY
from tests.flows.paying import STRANGERS, Cashier
from tests.flows.test_payouts import GAS
from tests.support.clock import ManualClock

from bitlinkpay.chains.outgoing import CannotPlan, FeeQuote, Intent, Lane, Outcome, Purpose, Signed, Slot, Wallet
from bitlinkpay.chains.simulated_format import FEES, read_txid
from bitlinkpay.chains.simulated_plan import SimulatedPlan
from bitlinkpay.chains.simulated_sender import SimulatedSender
from bitlinkpay.core.assets import Family
from bitlinkpay.payins import books
from bitlinkpay.rates.model import NoQuote
from bitlinkpay.sandbox.mempool.store import Mempool, fail_waiting
from bitlinkpay.sending.stops import store as stops
from bitlinkpay.sending.stops.store import Scope, Stop
from bitlinkpay.signer.keyring import KeyRing
from bitlinkpay.treasury.levels import store as levels
from bitlinkpay.treasury.model import GasLimits
from bitlinkpay.treasury.service import ANYTHING
from bitlinkpay.treasury.stale import PATIENCE
from bitlinkpay.treasury.sweeping import ASK_EVERY, Sweeping

USDT, NETWORK, ETH = "usdt-ethereum", "ethereum", "eth-ethereum"
TRON_USDT, TRX, SOLANA_USDT = "usdt-tron", "trx-tron", "usdt-solana"
UNIT = 10**6


@pytest.fixture
async def collector(start: Start, ring: KeyRing) -> Collector:
    return Collector(Cashier(await start(), ring, ManualClock()))


@pytest.mark.parametrize(
    ("asset_id", "method"),
    [("usdt-tron", "fuelled"), ("usdt-ethereum", "together"), ("usdt-solana", "together"), ("btc-bitcoin", "together")],
)
async def test_a_paid_order_is_swept_and_paid_out(collector: Collector, asset_id: str, method: str) -> None:
    cashier, world = collector.cashier, collector.cashier.world
    network = world.registry.assets[asset_id].network
    await cashier.fund(GAS[network], "50")
    before = await collector.in_hot(asset_id)
    order = await collector.paid_order(asset_id, "100")

    await collector.sweep(network)

    assert await collector.moves() == [(method, asset_id, "done")]
    assert await collector.at(order.address, asset_id) == 0
    spent = await world.account("expense:gas", asset_id)
    assert await collector.in_hot(asset_id) == before + order.units - spent
    payout = await cashier.ask(asset_id, "60")
    await collector.finish(network)
    assert await cashier.state(payout) == "completed"
    assert await collector.in_hot(asset_id) == before + order.units - payout.units - await world.account(
        "expense:gas", asset_id
    )


async def test_native_coin_of_an_address_pays_its_own_fee(collector: Collector) -> None:
    world = collector.cashier.world
    order = await collector.paid_order(TRX, "500")
    await collector.sweep("tron")
    assert await collector.moves() == [("alone", TRX, "done")]
    spent = await world.account("expense:gas", TRX)
    assert spent == FEES[Family.TRON]
    left = await collector.at(order.address, TRX)
    assert await collector.in_hot(TRX) == order.units - spent - left
    assert left == spent  # twice the fee was set aside, for the network might have asked for it


async def test_TON_needs_no_collecting(collector: Collector) -> None:
    await collector.paid_order("usdt-ton", "100")
    await collector.sweep("ton")
    assert await collector.moves() == []


async def test_many_addresses_are_swept_by_one_transaction(collector: Collector) -> None:
    cashier, world = collector.cashier, collector.cashier.world
    await cashier.fund(ETH, "1")
    orders = [await world.open_order(USDT, "50") for _ in range(7)]
    await world.broadcast(*(world.payment(order) for order in orders))
    await world.finalize(NETWORK)
    await collector.sweep(NETWORK)
    assert await collector.moves() == [("together", USDT, "done")] * 7
    assert await cashier.transactions(NETWORK) == [(0, "final")]
    assert await world.account("expense:gas", ETH) == FEES[Family.EVM]
    assert await collector.in_hot(USDT) == sum(order.units for order in orders)


async def test_SWP_03_quarantined_and_unsettled_money_stays_where_it_is(collector: Collector) -> None:
    cashier, world = collector.cashier, collector.cashier.world
    await cashier.fund(ETH, "1")
    order = await collector.paid_order(USDT, "100")
    thief = STRANGERS[Family.EVM]
    world.lists.listed.add(thief)
    bad = await world.pay(order, "70", source=thief)
    await world.finalize(NETWORK)
    assert (await world.deposit(order, bad)).state == "quarantined"
    world.lists.is_down = True
    unknown = await world.pay(order, "30")
    await world.finalize(NETWORK)
    assert (await world.deposit(order, unknown)).state == "final"
    fresh = await world.open_order(USDT, "40")
    await world.pay_and_finalize(fresh)  # final, and nobody has screened it
    (only,) = await collector.plan(USDT)
    assert only.address.units == 100 * UNIT
    await collector.sweep(NETWORK)
    assert await collector.at(order.address, USDT) == 100 * UNIT
    assert await collector.at(fresh.address, USDT) == 40 * UNIT
    assert await collector.in_hot(USDT) == 100 * UNIT
    assert await collector.plan(USDT) == []
    world.lists.is_down = False
    await world.settle()
    assert {one.address.units for one in await collector.plan(USDT)} == {30 * UNIT, 40 * UNIT}


async def test_an_address_whose_order_is_open_is_left_alone(collector: Collector) -> None:
    cashier, world = collector.cashier, collector.cashier.world
    await cashier.fund(ETH, "1")
    order = await world.open_order(USDT, "100")
    await world.pay_and_finalize(order, "60")
    assert await world.states(order) == [("unassigned", "short")]
    assert await collector.plan(USDT) == []
    await world.pass_expiry(order)
    assert [one.address.units for one in await collector.plan(USDT)] == [60 * UNIT]


async def test_SWP_04_what_costs_more_than_it_brings_waits_for_better_times(collector: Collector) -> None:
    await collector.cashier.fund(ETH, "1")
    order = await collector.paid_order(USDT, "1")
    collector.factor = Decimal(10)
    (reason,) = await collector.reasons(USDT)
    assert reason == "moving it costs more than all of it, at most 10 % is paid"
    await collector.sweep(NETWORK)
    assert await collector.moves() == []
    collector.factor = Decimal("0.1")
    await collector.cashier.pass_time(ASK_EVERY)
    await collector.sweep(NETWORK)
    assert await collector.moves() == [("together", USDT, "done")]
    assert await collector.at(order.address, USDT) == 0


async def test_the_network_is_asked_again_about_what_is_not_worth_it_after_a_while_or_when_it_changed(
    collector: Collector,
) -> None:
    await collector.cashier.fund(ETH, "1")
    await collector.paid_order(USDT, "1")
    collector.factor = Decimal(10)
    parts, asked = collector.parts(NETWORK), []

    async def counted(base: str, quote: str) -> Decimal:
        asked.append(base)
        return await parts.prices(base, quote)

    sweeping = Sweeping(replace(parts, prices=counted))
    for _ in range(3):
        assert [one.reason[:14] for one in (await sweeping.plan(ANYTHING))[USDT]] == ["moving it cost"]
        assert not await sweeping.step(ANYTHING)
    assert len(asked) == 1
    await collector.paid_order(USDT, "100")
    assert len((await sweeping.plan(ANYTHING))[USDT]) == 2
    assert len(asked) == 2
    await sweeping.plan(ANYTHING)
    assert len(asked) == 3, "what is worth it is weighed anew, at the price of now"
    await sweeping.step(ANYTHING)
    await collector.finish(NETWORK)
    assert await collector.moves() == [("together", USDT, "done")]
    asked.clear()
    for _ in range(2):
        await sweeping.plan(ANYTHING)
    assert asked == []
    await collector.cashier.pass_time(ASK_EVERY)
    await sweeping.plan(ANYTHING)
    assert len(asked) == 1


async def test_SWP_04_the_small_ones_do_not_make_the_large_ones_wait(collector: Collector) -> None:
    cashier, world = collector.cashier, collector.cashier.world
    await cashier.fund(ETH, "1")
    for amount in ("0.1", "100", "0.2"):
        await collector.paid_order(USDT, amount)
    await collector.sweep(NETWORK)
    assert await collector.moves() == [("together", USDT, "done")]
    assert await collector.in_hot(USDT) == 100 * UNIT
    assert len(await collector.reasons(USDT)) == 2
    assert await world.account("expense:gas", ETH) == FEES[Family.EVM]


async def test_without_a_price_nothing_moves(collector: Collector) -> None:
    await collector.cashier.fund(ETH, "1")
    await collector.paid_order(USDT, "100")

    async def silent(base: str, quote: str) -> Decimal:
        raise NoQuote(f"the price of {base} in {quote} is stale")

    sweeping = Sweeping(replace(collector.parts(NETWORK), prices=silent))
    (one,) = (await sweeping.plan(ANYTHING))[USDT]
    assert one.reason == "there is no price to compare the cost with: the price of ETH in USDT is stale"
    assert not await sweeping.step(ANYTHING)
    assert await collector.moves() == []


async def test_DEP_21_money_of_an_asset_on_hold_is_not_collected(collector: Collector) -> None:
    await collector.cashier.fund(ETH, "1")
    await collector.paid_order(USDT, "100")
    collector.held[USDT] = "its code changed"
    assert await collector.reasons(USDT) == ["the asset is on hold: its code changed"]
    await collector.sweep(NETWORK)
    assert await collector.moves() == []
    collector.held.clear()
    await collector.sweep(NETWORK)
    assert await collector.moves() == [("together", USDT, "done")]


async def revert(collector: Collector, network_id: str) -> None:
    """Let what an address has sent fail when it is mined; its fee is burnt."""
    world = collector.cashier.world
    rows = await world.rows(
        "select a.txid from transaction_attempts a join transactions t using (transaction_id)"
        " where t.purpose = 'sweep' and t.state = 'broadcast'"
    )
    for (txid,) in rows:
        digest = read_txid(world.registry.networks[network_id].family, str(txid))
        assert digest is not None
        async with world.database.transaction() as tx:
            assert await fail_waiting(tx, network_id, digest)


async def test_SWP_05_gas_is_handed_out_within_the_limits_of_a_day(collector: Collector) -> None:
    """Every sweep of an address burns its gas and does nothing: after two times it waits for another day."""
    cashier = collector.cashier
    await cashier.fund(TRX, "500")
    order = await collector.paid_order(TRON_USDT, "100")
    for _ in range(4):
        await collector.sweeping("tron").step(ANYTHING)
        await collector.finish("tron")
        await revert(collector, "tron")
        await collector.finish("tron")
    fee = FEES[Family.TRON]
    assert await collector.moves() == [("fuelled", TRON_USDT, "failed")] * 2
    assert await cashier.received(order.address, TRX) == 2 * fee + fee  # the first left one fee there
    assert await collector.reasons(TRON_USDT) == ["it got gas 2 times within a day, which is the limit"]
    assert await collector.at(order.address, TRON_USDT) == order.units
    await cashier.pass_time(timedelta(days=1, minutes=1))
    await collector.sweep("tron")
    assert (await collector.moves())[-1] == ("fuelled", TRON_USDT, "done")


async def test_SWP_05_a_network_hands_out_so_much_gas_a_day_and_no_more(collector: Collector) -> None:
    cashier, world = collector.cashier, collector.cashier.world
    await cashier.fund(TRX, "500")
    for amount in ("100", "200", "300"):
        await collector.paid_order(TRON_USDT, amount)
    day = GasLimits(day_units=5 * FEES[Family.TRON], tops_per_address=2)
    async with world.database.transaction() as tx:
        await levels.set_gas_limits(tx, "tron", day, by="operator", now=world.clock.now())
    await collector.sweep("tron")
    assert await collector.moves() == [("fuelled", TRON_USDT, "done")] * 2
    assert await collector.in_hot(TRON_USDT) == 500 * UNIT  # the largest went first
    assert await collector.reasons(TRON_USDT) == ["the day's limit of gas for addresses is reached"]
    await cashier.pass_time(timedelta(days=1, minutes=1))
    await collector.sweep("tron")
    assert await collector.in_hot(TRON_USDT) == 600 * UNIT


async def test_money_that_is_swept_and_withdrawn_at_once_moves_once_each(collector: Collector) -> None:
    """The hot wallet is empty: the withdrawal waits for the very money that the sweep brings."""
    cashier, world = collector.cashier, collector.cashier.world
    await cashier.fund(ETH, "1")
    order = await collector.paid_order(USDT, "100")
    payout, _ = await asyncio.gather(cashier.ask(USDT, "70"), collector.sweeping(NETWORK).step(ANYTHING))
    await collector.finish(NETWORK)
    await cashier.pass_time(timedelta(minutes=2))
    await collector.finish(NETWORK)
    assert await cashier.state(payout) == "completed"
    assert await collector.moves() == [("together", USDT, "done")]
    assert await cashier.received(payout.target, USDT) == 70 * UNIT
    assert await cashier.received(cashier.hot(NETWORK).address, USDT) == 100 * UNIT
    assert await collector.in_hot(USDT) == 30 * UNIT
    assert await collector.at(order.address, USDT) == 0
    assert (await world.balance(USDT)).reserved_units == 0


async def test_SWP_06_of_two_plans_for_the_same_money_the_first_one_wins(collector: Collector) -> None:
    """While one process still asks for prices another plans, sends and ends the sweep, and both leases run out."""
    cashier, world = collector.cashier, collector.cashier.world
    await cashier.fund(ETH, "1")
    await collector.paid_order(USDT, "100")
    parts = collector.parts(NETWORK)

    async def late(base: str, quote: str) -> Decimal:
        await cashier.pass_time(timedelta(minutes=2))
        await collector.sweep(NETWORK)
        assert await collector.moves() == [("together", USDT, "done")]
        await cashier.pass_time(timedelta(minutes=2))
        return await parts.prices(base, quote)

    slow = Sweeping(replace(parts, prices=late))
    assert not await slow.step(ANYTHING)
    await collector.finish(NETWORK)
    assert await collector.moves() == [("together", USDT, "done")]
    assert await collector.in_hot(USDT) == 100 * UNIT
    await world.check()


async def test_one_process_plans_at_a_time(collector: Collector) -> None:
    await collector.cashier.fund(ETH, "1")
    await collector.paid_order(USDT, "100")
    other = Sweeping(collector.parts(NETWORK))
    assert not await other.step(frozenset())  # no leave to sweep: it does not even take the lease
    await collector.sweeping(NETWORK).step(ANYTHING)
    await collector.paid_order(USDT, "50")
    await other.step(ANYTHING)
    assert len(await collector.moves()) == 1
    await collector.cashier.pass_time(timedelta(minutes=2))
    await other.step(ANYTHING)
    assert len(await collector.moves()) == 2


async def test_SWP_07_a_sweep_that_failed_half_way_goes_on_with_the_gas_that_is_there(collector: Collector) -> None:
    """Gas was sent, then the signer refused for an hour: the move is withdrawn, the next one needs no gas any more."""
    cashier = collector.cashier
    await cashier.fund(TRX, "500")
    order = await collector.paid_order(TRON_USDT, "100")
    await collector.sweeping("tron").step(ANYTHING)
    await collector.work("tron")
    cashier.pen("tron").refusal = "above the day's cap"
    await collector.finish("tron")
    assert await collector.moves() == [("fuelled", TRON_USDT, "moving")]
    assert await collector.withdraw("tron") == 0
    await cashier.pass_time(PATIENCE)
    assert await collector.withdraw("tron") == 1
    assert await collector.moves() == [("fuelled", TRON_USDT, "failed")]
    cashier.pen("tron").refusal = ""
    await collector.sweep("tron")
    assert await collector.moves() == [("fuelled", TRON_USDT, "failed"), ("alone", TRON_USDT, "done")]
    assert await collector.at(order.address, TRON_USDT) == 0
    assert await collector.in_hot(TRON_USDT) == order.units
    sent = await cashier.world.rows("select purpose, state from sendings order by queued_at, sending_id")
    assert sent == [("gas", "delivered"), ("sweep", "cancelled"), ("sweep", "delivered")]  # no approval of anything


async def test_what_is_on_its_way_is_not_withdrawn(collector: Collector) -> None:
    cashier = collector.cashier
    await cashier.fund(ETH, "1")
    await collector.paid_order(USDT, "100")
    await collector.sweeping(NETWORK).step(ANYTHING)
    await collector.work(NETWORK)
    await cashier.pass_time(PATIENCE)
    assert await collector.withdraw(NETWORK) == 0
    await collector.finish(NETWORK)
    assert await collector.moves() == [("together", USDT, "done")]


async def test_a_sweep_that_was_mined_and_did_nothing_is_planned_again(collector: Collector) -> None:
    cashier, world = collector.cashier, collector.cashier.world
    await cashier.fund(ETH, "1")
    order = await collector.paid_order(USDT, "100")
    await collector.sweeping(NETWORK).step(ANYTHING)
    await collector.work(NETWORK)
    await revert(collector, NETWORK)
    await collector.finish(NETWORK)
    assert await collector.moves() == [("together", USDT, "failed")]
    assert await collector.at(order.address, USDT) == order.units
    assert await world.account("expense:gas", ETH) == FEES[Family.EVM]
    await collector.sweep(NETWORK)
    assert (await collector.moves())[-1] == ("together", USDT, "done")


async def test_an_empty_hot_wallet_collects_nothing_and_says_why(collector: Collector) -> None:
    await collector.paid_order(USDT, "100")
    assert await collector.reasons(USDT) == ["the hot wallet holds too little of the network's coin"]
    await collector.sweep(NETWORK)
    assert await collector.moves() == []


async def test_an_empty_wallet_of_bitcoin_collects_all_the_same(collector: Collector) -> None:
    order = await collector.paid_order("btc-bitcoin", "1")
    payout = await collector.cashier.ask("btc-bitcoin", "0.5")
    await collector.work("bitcoin")
    await collector.sweep("bitcoin")
    assert await collector.at(order.address, "btc-bitcoin") == 0
    await collector.cashier.pass_time(timedelta(minutes=2))
    await collector.finish("bitcoin")
    assert await collector.cashier.state(payout) == "completed"


async def test_gas_that_the_signer_may_not_send_is_not_planned(collector: Collector) -> None:
    await collector.cashier.fund(TRX, "500")
    await collector.paid_order(TRON_USDT, "100")
    await collector.sweeping("tron").step(ANYTHING - {Purpose.GAS})
    assert await collector.moves() == []


async def test_a_kill_switch_stops_sweeps_too(collector: Collector) -> None:
    cashier, world = collector.cashier, collector.cashier.world
    await cashier.fund(ETH, "1")
    order = await collector.paid_order(USDT, "100")
    async with world.database.transaction() as tx:
        await stops.add(tx, Stop(Scope.NETWORK, NETWORK, "incident", world.clock.now()))
    await collector.sweep(NETWORK)
    assert await collector.at(order.address, USDT) == order.units
    async with world.database.transaction() as tx:
        await stops.remove(tx, Scope.NETWORK, NETWORK)
    await collector.finish(NETWORK)
    assert await collector.at(order.address, USDT) == 0


class Unready(SimulatedSender):
    """A network whose hot wallet has to be made ready before it can collect from many addresses; that is done once."""

    setups = 0

    async def lane(self, payer: Wallet) -> Lane:
        lane = await super().lane(payer)
        return replace(lane, is_ready=self.setups > 0)

    async def quote(self, intent: Intent) -> FeeQuote:
        if intent.purpose is not Purpose.SETUP and not self.setups:
            raise CannotPlan("set it up first")
        return await super().quote(intent)

    async def plan(self, intent: Intent, slot: Slot, previous: SimulatedPlan | None = None) -> SimulatedPlan:
        plan = await super().plan(intent, slot, previous)
        self.setups += intent.purpose is Purpose.SETUP
        return plan


async def test_a_hot_wallet_is_made_ready_once_that_pays(collector: Collector) -> None:
    """On Solana, for a simulated EVM network does not count the two numbers that delegating takes."""
    cashier = collector.cashier
    collector.sender = Unready(cashier.world.chain("solana"), Mempool(cashier.world.database, REGISTRY))  # type: ignore[arg-type]
    await cashier.fund("sol-solana", "1")
    collector.factor = Decimal(100)
    await collector.paid_order(SOLANA_USDT, "0.5")
    assert "moving it costs" in (await collector.reasons(SOLANA_USDT))[0]
    await collector.sweep("solana")
    assert collector.sender.setups == 0
    await collector.paid_order(SOLANA_USDT, "100")
    assert await collector.reasons(SOLANA_USDT) == ["the hot wallet is not ready for batches yet"] * 2
    await collector.sweeping("solana").step(ANYTHING - {Purpose.SETUP})
    await collector.finish("solana")
    assert collector.sender.setups == 0
    await collector.sweep("solana")
    await collector.sweep("solana")
    assert collector.sender.setups == 1
    assert (
        await collector.moves() == [("together", SOLANA_USDT, "done")] * 2
    )  # half the fee, and the small one pays too
    assert await collector.in_hot(SOLANA_USDT) == 100_500_000


class Renting(SimulatedSender):
    """A network that gives the rent of closed accounts back, which simulated ones do not have."""

    async def outcome(self, intent: Intent, plan: SimulatedPlan, signed: Signed) -> Outcome:
        found = await super().outcome(intent, plan, signed)
        return replace(found, returned_units=2_039_280 if found.delivered else 0)


async def test_rent_that_a_sweep_brings_back_is_booked(collector: Collector) -> None:
    cashier, world = collector.cashier, collector.cashier.world
    await cashier.fund("sol-solana", "1")
    await collector.paid_order(SOLANA_USDT, "100")
    world.is_simulated = False  # the simulated chain knows nothing of the rent
    collector.sender = Renting(world.chain("solana"), Mempool(world.database, REGISTRY))  # type: ignore[arg-type]
    await collector.sweep("solana")
    assert await world.account("fees:network", "sol-solana") == 2_039_280
    assert await collector.in_hot("sol-solana") == 10**9 + 2_039_280 - FEES[Family.SOLANA]


# --- deposits to an address that was or is being swept ------------------------------------------------------------


async def test_what_comes_to_a_swept_address_later_is_covered_and_swept_again(collector: Collector) -> None:
    cashier, world = collector.cashier, collector.cashier.world
    await cashier.fund(ETH, "1")
    order = await collector.paid_order(USDT, "100")
    await collector.sweep(NETWORK)
    late = await world.pay_and_finalize(order, "30")
    assert (await world.deposit(order, late)).state == "unassigned"
    await collector.sweep(NETWORK)
    assert await collector.in_hot(USDT) == 130 * UNIT


async def test_what_comes_while_an_address_is_swept_waits_until_that_has_ended(collector: Collector) -> None:
    """The sweep is final on the chain and not booked yet: the books say more than the chain."""
    cashier, world = collector.cashier, collector.cashier.world
    await cashier.fund(ETH, "1")
    order = await collector.paid_order(USDT, "100")
    await collector.sweeping(NETWORK).step(ANYTHING)
    await collector.work(NETWORK)
    late = await world.pay(order, "30")
    await world.mine(NETWORK, world.registry.networks[NETWORK].sandbox_lag + 1)
    await world.run()
    assert (await world.deposit(order, late)).state == "final"
    await collector.work(NETWORK)
    await world.settle()
    assert (await world.deposit(order, late)).state == "unassigned"
    assert await collector.at(order.address, USDT) == 30 * UNIT


async def test_the_books_know_what_an_address_held_before_it_was_swept(collector: Collector) -> None:
    cashier, world = collector.cashier, collector.cashier.world
    await cashier.fund(TRX, "500")
    order = await collector.paid_order(TRON_USDT, "100")
    chain, heights = world.chain("tron"), [(await world.chain("tron").head()).final.height]
    await collector.sweeping("tron").step(ANYTHING)
    await collector.finish("tron")  # the gas
    heights.append((await chain.head()).final.height)
    await collector.finish("tron")  # the money
    heights.append((await chain.head()).final.height)
    for asset_id in (TRON_USDT, TRX):
        asset = world.registry.assets[asset_id]
        for height in heights:
            async with world.database.reader() as tx:
                held = await books.held_at(tx, asset, [order.address], height)
            assert list(held.values()) == list(await chain.balances(asset, [order.address], height)), (asset_id, height)
