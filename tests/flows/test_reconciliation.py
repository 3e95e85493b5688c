"""Books against chains while money comes and goes: no false alarm, and whatever is really wrong gets a name and a stop."""

import logging
from datetime import timedelta

import asyncpg
import pytest
from tests.flows.conftest import Start
from tests.flows.paying import Cashier
from tests.flows.reconciling import ASSET, GAS, NETWORK, UNIT, Auditor, Counting
from tests.flows.test_payouts import earn
from tests.support.clock import ManualClock

from bitlinkpay.chains.base import Arrival
from bitlinkpay.core.ids import new_uuid7
from bitlinkpay.ledger.model import Move, Posting
from bitlinkpay.ledger.service import post_all
from bitlinkpay.reconciliation import resolving
from bitlinkpay.reconciliation.differences import store as differences
from bitlinkpay.reconciliation.model import (
    DRIFT_DAY,
    DRIFT_UNITS,
    Difference,
    DifferenceNotFound,
    DifferenceState,
    EvidenceKind,
    NothingToResolve,
    StillThere,
)
from bitlinkpay.sandbox.model import Payment
from bitlinkpay.sending.stops import store as stops
from bitlinkpay.signer.keyring import KeyRing


@pytest.fixture
async def auditor(start: Start, ring: KeyRing) -> Auditor:
    return Auditor(Cashier(await start(), ring, ManualClock()))


# --- no false alarm ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("asset_id", ["usdt-ethereum", "usdt-tron", "usdt-ton", "usdt-solana", "btc-bitcoin"])
async def test_books_and_chain_agree_block_by_block_while_orders_are_paid_and_money_is_paid_out(
    auditor: Auditor, asset_id: str
) -> None:
    """It looks after every block and after every step of the lanes, in whatever order those come."""
    world, cashier = auditor.world, auditor.cashier
    network = world.network(asset_id)
    amount = "100" if asset_id != "btc-bitcoin" else "0.01"
    await cashier.fund(asset_id, "1000" if asset_id != "btc-bitcoin" else "1")
    if asset_id != "btc-bitcoin":
        await cashier.fund(world.registry.native(network.id).id, "50")
    order = await world.open_order(asset_id, amount)
    await world.pay_and_finalize(order)
    payouts = [await cashier.ask(asset_id, "20" if amount == "100" else "0.002") for _ in range(2)]
    late = await world.open_order(asset_id, amount)
    await world.pay(late)
    lane = cashier.build_lane(network.id)
    for _ in range(network.sandbox_lag + 8):
        await lane.step()
        await auditor.run(network.id)
        await world.mine(network.id)
        await world.run(network.id)
        await auditor.run(network.id)
    assert {await cashier.state(payout) for payout in payouts} == {"completed"}
    await auditor.look_twice(network.id)
    await auditor.nothing_was_ever_suspected()


async def test_what_the_chain_shows_before_the_books_is_in_motion_and_no_difference(auditor: Auditor) -> None:
    """The lane stands still while its payment becomes final: the books lag, and nothing is wrong."""
    cashier = auditor.cashier
    await earn(cashier, ASSET, "100")
    await cashier.fund(ASSET, "50")
    await cashier.fund(GAS, "1")
    await cashier.ask(ASSET, "20")
    await cashier.run(NETWORK)
    await auditor.world.mine(NETWORK, 80)
    await auditor.world.run(NETWORK)
    for _ in range(2):
        reports = {report.asset: report for report in await auditor.run()}
        assert (reports[ASSET].moving, reports[ASSET].differing) == (1, 0)
        assert (reports[GAS].moving, reports[GAS].differing) == (1, 0)
        await auditor.world.mine(NETWORK)
        await auditor.world.run(NETWORK)
    await auditor.nothing_was_ever_suspected()
    await cashier.finish(NETWORK)
    reports = {report.asset: report for report in await auditor.run()}
    assert (reports[ASSET].moving, reports[GAS].moving) == (0, 0)
    await auditor.nothing_was_ever_suspected()


async def test_money_above_the_final_height_does_not_count_yet(auditor: Auditor) -> None:
    world = auditor.world
    order = await world.open_order(ASSET, "10")
    await world.pay(order)
    for _ in range(3):
        await world.mine(NETWORK)
        await world.run(NETWORK)
        await auditor.run()
    assert (await world.balance(ASSET)).pending_units == 10 * UNIT
    await auditor.nothing_was_ever_suspected()


async def test_a_reorganisation_is_no_difference(auditor: Auditor) -> None:
    world = auditor.world
    order = await world.open_order(ASSET, "10")
    await world.pay(order)
    await world.mine(NETWORK, 2)
    await world.run(NETWORK)
    await auditor.run()
    await world.reorg(NETWORK, 2)
    await world.mine(NETWORK, 3)
    await world.run(NETWORK)
    await auditor.look_twice()
    await auditor.nothing_was_ever_suspected()


# --- what is really wrong ----------------------------------------------------------------------------------------------


async def test_SET_10_one_unit_that_left_without_us_is_found_named_and_stops_its_asset(
    auditor: Auditor, caplog: pytest.LogCaptureFixture
) -> None:
    cashier = auditor.cashier
    await earn(cashier, ASSET, "100")
    await cashier.fund(ASSET, "50")
    await cashier.fund(GAS, "1")
    await auditor.look_twice()
    await auditor.nothing_was_ever_suspected()
    waiting = await cashier.ask(ASSET, "5")
    hot = cashier.hot(NETWORK).address
    txid = await auditor.rob(ASSET, hot, 1)
    await auditor.run()
    assert {one.state for one in await auditor.found()} == {DifferenceState.SUSPECTED}
    assert await auditor.stopped() == []
    with caplog.at_level(logging.CRITICAL):
        await auditor.world.mine(NETWORK)
        await auditor.world.run(NETWORK)
        await auditor.run()
    (found,) = [one for one in await auditor.found() if one.sight.asset == ASSET]
    assert (found.state, found.sight.place, found.sight.difference_units) == (DifferenceState.OPEN, hot, -1)
    ((named),) = found.evidence
    assert (named.kind, named.txid, named.units) == (EvidenceKind.UNBOOKED, txid, -1)
    assert set(await auditor.stopped()) == {ASSET, GAS}, "the thief's fee was ours, too"
    assert f"{ASSET} at {hot}: the chain holds 49999999 units, the books say 50000000" in caplog.text
    await cashier.run(NETWORK)
    assert await cashier.state(waiting) == "approved", "nothing of a stopped asset leaves"


async def test_money_that_left_an_orders_address_is_found_too(auditor: Auditor) -> None:
    world = auditor.world
    order = await world.open_order("usdt-tron", "10")
    await world.pay_and_finalize(order)
    await auditor.look_twice("tron")
    txid = await auditor.rob("usdt-tron", order.address, 4 * UNIT)
    await auditor.look_twice("tron")
    (found,) = await auditor.found()
    assert (found.sight.place, found.sight.difference_units) == (order.address, -4 * UNIT)
    assert [one.txid for one in found.evidence] == [txid]
    assert await auditor.stopped() == ["usdt-tron"]


async def test_a_posting_without_a_transfer_is_named(auditor: Auditor, schema_owner_dsn: str) -> None:
    """The books say that money came, and no block knows it."""
    world = auditor.world
    world.is_simulated = False
    order = await world.open_order(ASSET, "10")
    txid = await world.pay_and_finalize(order)
    connection = await asyncpg.connect(schema_owner_dsn)
    await connection.execute("delete from sim_transfers where target = $1", order.address)
    await connection.close()
    await auditor.look_twice()
    (found,) = await auditor.found()
    (named,) = found.evidence
    assert (named.kind, named.txid, named.units) == (EvidenceKind.VANISHED, txid, -10 * UNIT)
    assert await auditor.stopped() == [ASSET]


async def test_money_that_came_unseen_is_explained_and_stops_nobody(auditor: Auditor) -> None:
    """A contract sends coins to an address whose order is long over: anybody can do that, and nothing is missing."""
    world = auditor.world
    order = await world.open_order(GAS, "1")
    await world.pay_and_finalize(order)
    await auditor.look_twice()
    (txid,) = await world.broadcast(Payment(world.registry.assets[GAS], order.address, 12345, arrival=Arrival.INTERNAL))
    await world.mine(NETWORK, 80)
    await world.run(NETWORK)
    await auditor.look_twice()
    (found,) = await auditor.found()
    assert (found.state, found.is_explained) == (DifferenceState.OPEN, True)
    assert [(one.txid, one.units) for one in found.evidence] == [(txid, 12345)]
    assert await auditor.stopped() == []


async def change(auditor: Auditor, asset_id: str, units: int) -> None:
    """Let the chain show more, or less, at the hot wallet, without a transfer of anybody."""
    auditor.world.is_simulated = False
    target = auditor.cashier.hot(auditor.world.registry.assets[asset_id].network).address
    async with auditor.world.database.transaction() as tx:
        words = "update sim_transfers set units = units + $3 where asset = $1 and target = $2"
        await tx.execute(words, asset_id, target, units)


@pytest.mark.parametrize(("units", "account"), [(7, "equity"), (-7, "expense:gas")])
async def test_what_messages_bring_and_cost_a_ton_wallet_is_booked_and_stops_nobody(
    auditor: Auditor, units: int, account: str
) -> None:
    """Each notice of a jetton brings a few coins, each message costs some: nobody's transfer, and nobody's theft."""
    world = auditor.world
    await auditor.cashier.fund("ton-ton", "50")
    before = await world.account(account, "ton-ton")
    await change(auditor, "ton-ton", units)
    await auditor.look_twice("ton")
    (found,) = await auditor.found()
    assert found.state is DifferenceState.RESOLVED
    assert await world.account(account, "ton-ton") == before + 7
    assert await auditor.stopped() == []
    await auditor.look_twice("ton")
    assert len(await auditor.found()) == 1
    await world.check()


@pytest.mark.parametrize(("asset_id", "units"), [("ton-ton", -DRIFT_UNITS - 1), ("usdt-ton", -7), ("usdt-ton", 7)])
async def test_beyond_that_and_for_jettons_a_difference_on_ton_counts_like_any_other(
    auditor: Auditor, asset_id: str, units: int
) -> None:
    await auditor.cashier.fund(asset_id, "50")
    await change(auditor, asset_id, units)
    await auditor.look_twice("ton")
    (found,) = await auditor.found()
    assert (found.state, found.sight.difference_units) == (DifferenceState.OPEN, units)
    assert await auditor.stopped() == [asset_id]


async def test_who_takes_less_than_that_again_and_again_is_stopped_within_the_day(auditor: Auditor) -> None:
    await auditor.cashier.fund("ton-ton", "50")
    await change(auditor, "ton-ton", 5 * DRIFT_UNITS)  # what comes beside it buys nobody more time
    await auditor.look_twice("ton")
    for _ in range(DRIFT_DAY):
        await change(auditor, "ton-ton", -DRIFT_UNITS)
        await auditor.look_twice("ton")
    assert await auditor.stopped() == []
    await change(auditor, "ton-ton", -1)
    await auditor.look_twice("ton")
    assert [one.sight.difference_units for one in await auditor.found() if one.state is DifferenceState.OPEN] == [-1]
    assert await auditor.stopped() == ["ton-ton"]
    await book(auditor, (await auditor.found())[0])
    await auditor.cashier.pass_time(timedelta(days=1))
    await change(auditor, "ton-ton", -DRIFT_UNITS)
    await auditor.look_twice("ton")
    assert await auditor.stopped() == []


# --- what a person decides ---------------------------------------------------------------------------------------------


async def robbed(auditor: Auditor, units: int = 3 * UNIT) -> Difference:
    await auditor.cashier.fund(ASSET, "50")
    await auditor.look_twice()
    await auditor.rob(ASSET, auditor.cashier.hot(NETWORK).address, units)
    await auditor.look_twice()
    (found,) = await auditor.found()
    return found


async def book(auditor: Auditor, found: Difference) -> Difference:
    return await auditor.world.database.unit(
        lambda tx: resolving.book(
            tx, found.difference_id, reason="looked", by="operator", now=auditor.world.clock.now()
        )
    )


async def look_at(auditor: Auditor, found: Difference) -> Difference:
    return await auditor.world.database.unit(
        lambda tx: resolving.look_at(
            tx, found.difference_id, reason="looked", by="operator", now=auditor.world.clock.now()
        )
    )


async def test_a_shortage_that_is_booked_is_the_companys_loss_and_payments_go_on(auditor: Auditor) -> None:
    world = auditor.world
    found = await robbed(auditor)
    assert await auditor.stopped() == [ASSET]
    with pytest.raises(StillThere, match="--book"):
        await look_at(auditor, found)
    assert (await book(auditor, found)).state is DifferenceState.RESOLVED
    assert await auditor.stopped() == []
    assert await world.account("platform:loss", ASSET) == 3 * UNIT
    assert await world.account(f"custody:hot:{auditor.cashier.hot(NETWORK).address}", ASSET) == 47 * UNIT
    await world.check()
    await auditor.look_twice()
    assert len(await auditor.found()) == 1, "books and chain agree again"
    with pytest.raises(NothingToResolve, match="resolved"):
        await book(auditor, found)
    async with world.database.reader() as tx:
        events = await differences.list_events(tx, found.difference_id)
    assert [event for event, *_ in events] == ["seen", "confirmed", "booked"]
    assert events[-1][2] == "operator: looked"


async def test_a_surplus_that_is_booked_is_the_companys_own(auditor: Auditor) -> None:
    world = auditor.world
    world.is_simulated = False
    order = await world.open_order(GAS, "1")
    await world.pay_and_finalize(order)
    await auditor.look_twice()
    await world.broadcast(Payment(world.registry.assets[GAS], order.address, 12345, arrival=Arrival.INTERNAL))
    await world.mine(NETWORK, 80)
    await world.run(NETWORK)
    await auditor.look_twice()
    (found,) = await auditor.found()
    await book(auditor, found)
    assert await world.account("equity", GAS) == 12345
    await world.check()
    await auditor.look_twice()
    assert [one.state for one in await auditor.found()] == [DifferenceState.RESOLVED]


async def test_a_difference_that_goes_by_itself_keeps_its_stop_until_a_person_has_looked(auditor: Auditor) -> None:
    world, asset = auditor.world, auditor.world.registry.assets[ASSET]
    found = await robbed(auditor)
    hot = auditor.cashier.hot(NETWORK).address
    async with world.database.transaction() as tx:  # somebody books it by hand in the meantime
        moves = (Move("platform:loss", f"custody:hot:{hot}", 3 * UNIT),)
        key = f"difference:{new_uuid7().hex}:booked"
        await post_all(tx, [Posting(key, "shortage_written_off", asset.id, moves, None, world.clock.now())])
    await auditor.look_twice()
    (agreed,) = await auditor.found()
    assert agreed.state is DifferenceState.AGREED
    assert await auditor.stopped() == [ASSET]
    with pytest.raises(NothingToResolve, match="agreed"):
        await book(auditor, found)
    assert (await look_at(auditor, found)).state is DifferenceState.RESOLVED
    assert await auditor.stopped() == []


async def test_a_suspicion_waits_for_nobody(auditor: Auditor) -> None:
    await auditor.cashier.fund(ASSET, "50")
    await auditor.rob(ASSET, auditor.cashier.hot(NETWORK).address, 1)
    await auditor.run()
    (found,) = await auditor.found()
    for decide in (book, look_at):
        with pytest.raises(NothingToResolve, match="suspected"):
            await decide(auditor, found)
    with pytest.raises(DifferenceNotFound):
        await auditor.world.database.unit(
            lambda tx: resolving.book(tx, new_uuid7(), reason="", by="", now=auditor.world.clock.now())
        )


async def test_an_operators_own_stop_is_not_lifted(auditor: Auditor) -> None:
    world = auditor.world
    own = stops.Stop(stops.Scope.ASSET, ASSET, "node trouble", world.clock.now())
    async with world.database.transaction() as tx:
        await stops.add(tx, own)
    await book(auditor, await robbed(auditor))
    assert await auditor.stopped() == [ASSET]


async def test_a_stop_that_an_operator_lifts_comes_back_only_when_more_is_missing(auditor: Auditor) -> None:
    world = auditor.world
    await robbed(auditor)
    async with world.database.transaction() as tx:
        assert await stops.remove(tx, stops.Scope.ASSET, ASSET)
    await auditor.look_twice()
    assert await auditor.stopped() == []
    await auditor.rob(ASSET, auditor.cashier.hot(NETWORK).address, 1)
    await auditor.run()
    assert await auditor.stopped() == [ASSET]
    (found,) = await auditor.found()
    assert found.sight.difference_units == -3 * UNIT - 1


# --- bounds ------------------------------------------------------------------------------------------------------------


async def test_a_run_asks_about_one_page_and_all_runs_together_about_everything(auditor: Auditor) -> None:
    world = auditor.world
    orders = [await world.open_order("usdt-tron", "10") for _ in range(5)]
    for order in orders:
        await world.pay(order)
    await world.finalize("tron")
    world.chains["tron"] = counting = Counting(world.chain("tron"))  # type: ignore[assignment]
    reconciler = auditor.reconciler("tron", page=2)
    seen = []
    for _ in range(3):
        before = counting.asked.get("usdt-tron", 0)
        (report,) = [one for one in await reconciler.run() if one.asset == "usdt-tron"]
        seen.append((counting.asked["usdt-tron"] - before, report.is_last))
    assert seen == [(3, False), (3, False), (2, True)]  # a page of two, and the hot wallet each time
    checked = await world.rows("select place from reconciliation_checks where asset = 'usdt-tron'")
    assert {place for (place,) in checked} >= {order.address for order in orders}


async def test_an_asset_that_cannot_be_read_does_not_hold_up_the_others(auditor: Auditor) -> None:
    world = auditor.world
    await auditor.cashier.fund(ASSET, "50")
    world.chains[NETWORK] = Counting(world.chain(NETWORK), deaf_to=ASSET)  # type: ignore[assignment]
    reports = {report.asset: report for report in await auditor.run()}
    assert reports[ASSET].unread == "silent"
    assert not reports[GAS].unread


async def test_of_several_workers_one_runs_in_each_interval(auditor: Auditor) -> None:
    assert [await auditor.reconciler().is_due() for _ in range(3)] == [True, False, False]
    assert await auditor.reconciler("tron").is_due()


async def test_two_runs_at_once_note_a_difference_once(auditor: Auditor) -> None:
    await auditor.cashier.fund(ASSET, "50")
    await auditor.rob(ASSET, auditor.cashier.hot(NETWORK).address, 1)
    await auditor.run()
    await auditor.world.mine(NETWORK)
    await auditor.world.run(NETWORK)
    first, second = auditor.reconciler(), auditor.reconciler()
    await first.run_all()
    await second.run_all()
    assert len(await auditor.found()) == 1


async def test_a_network_that_was_never_read_is_left_alone(auditor: Auditor) -> None:
    assert await auditor.reconciler("bitcoin").run_all() == []
