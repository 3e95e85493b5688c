"""The company's wallets on a real Bitcoin node: collected, joined, gone cold and come back, to the satoshi."""

from asyncio import gather
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from tests.chains.bitcoin.network import BitcoinNetwork
from tests.flows.bitcoin import BTC, BitcoinWorld
from tests.flows.faults import Crash, Fault, Fuse
from tests.flows.strongroom import CHEAP, DEAR, TARGET, Strongroom

from bitlinkpay.chains.bitcoin.sender import BitcoinSender
from bitlinkpay.chains.outgoing import Purpose
from bitlinkpay.chains.tariff import Tariff
from bitlinkpay.cli.treasury_views import _plan_rows
from bitlinkpay.db.pool import Database
from bitlinkpay.sending.outputs import store as outputs
from bitlinkpay.treasury.consolidating import Consolidating
from bitlinkpay.treasury.moves import store as moves
from bitlinkpay.treasury.parts import Pricing
from bitlinkpay.treasury.service import ANYTHING
from bitlinkpay.treasury.stale import PATIENCE

SMALL, LARGE = 30_000, 12_000_000


@pytest.fixture
async def world(database, clock, ring, tmp_path) -> AsyncIterator[BitcoinWorld]:
    clock.set(datetime.now(UTC) - timedelta(hours=8))  # a node refuses blocks that are of tomorrow
    async with (
        BitcoinNetwork.start("kernel", clock=lambda: clock.now().timestamp()) as node,
        BitcoinWorld.on(node, database, clock, ring, folder=tmp_path) as running,
    ):
        yield running


@pytest.fixture
async def room(world, ring, tmp_path) -> Strongroom:
    return await Strongroom.on(world, ring, tmp_path)


async def paid_order(world: BitcoinWorld, amount: str):
    order = await world.open_order(BTC, amount)
    await world.send(order)
    await world.mine_blocks(3)
    assert await world.is_paid(order)
    return order


async def test_from_an_order_to_the_cold_address_and_back_books_equal_the_chain(room: Strongroom) -> None:
    world = room.world
    await room.fund(2_000_000)
    orders = [await paid_order(world, amount) for amount in ("0.01", "0.02", "0.03")]
    await room.set_levels(500_000, 1_500_000, 2_000_000)
    await room.plan()
    await room.finish()
    hot = await room.agree()
    gas = await room.in_books("expense:gas")
    assert hot == 2_000_000 + 6_000_000 - gas
    assert [await world.node.balance(BTC, order.address) for order in orders] == [0, 0, 0]
    await room.plan()  # all of it came at once: what is too much goes cold
    await room.finish()
    assert [kind for kind, _ in await room.moves()] == ["sweep"] * 3 + ["cold"]
    assert await room.in_books("custody:cold") == hot - 1_500_000
    left = await room.agree()
    assert left == 1_500_000 - (await room.in_books("expense:gas") - gas)
    refill = await room.refill(700_000, fee=1_000)
    await world.mine_blocks(3)
    await room.claim(refill)
    assert await room.agree() == left + 700_000
    assert await room.in_books("custody:cold") == hot - 1_500_000 - 701_000
    assert room.spends_nothing_twice()


async def test_a_wallet_that_never_held_anything_collects_and_pays(room: Strongroom) -> None:
    order = await paid_order(room.world, "0.1")
    payout = await room.ask("0.05")
    await room.pay()
    await room.plan()
    await room.finish()
    assert await room.world.node.balance(BTC, order.address) == 0
    room.world.clock.advance(timedelta(minutes=2))
    await room.finish()
    assert await room.state(payout) == "completed"
    await room.agree()


async def test_small_outputs_become_one_and_only_the_fee_is_booked(room: Strongroom) -> None:
    await room.fund(*[SMALL] * 8, LARGE, LARGE)
    await room.plan()
    assert await room.moves() == [("consolidation", "moving")]
    await room.plan()
    assert len(await room.moves()) == 1, "one at a time"
    await room.finish()
    gas = await room.in_books("expense:gas")
    assert await room.free() == [LARGE, LARGE, 8 * SMALL - gas]
    assert 2 * 580 <= gas <= 2 * 590, "2 sat/vB for 8 inputs and an output"
    assert await room.agree() == 2 * LARGE + 8 * SMALL - gas
    assert await room.moves() == [("consolidation", "done")]
    await room.plan()
    assert len(await room.moves()) == 1, "there is nothing more to join"


async def test_books_and_chain_agree_at_every_height_of_a_joining(room: Strongroom) -> None:
    await room.fund(*[SMALL] * 8, LARGE, LARGE)
    await room.reconcile()
    await room.plan()
    await room.pay()
    for blocks in (0, 1, 1, 1):  # sent, in a block, and final before the books know
        await room.world.mine_blocks(blocks)
        await room.reconcile()
    await room.pay()
    for blocks in (0, 1):
        await room.world.mine_blocks(blocks)
        await room.reconcile()
    await room.agree()


async def test_PAY_13_payments_that_come_meanwhile_go_out_of_the_rest_and_nothing_is_spent_twice(
    room: Strongroom,
) -> None:
    await room.fund(*[SMALL] * 8, LARGE, LARGE)
    await paid_order(room.world, "0.2")
    await room.plan()  # sweeps
    await room.finish()
    await room.plan()
    await room.pay()  # the joining waits for its block
    joined = {(one.txid, one.vout) for one in room.pen.signed[-1][1].inputs}
    assert len(joined) == 8
    payouts = [await room.ask("0.01"), await room.ask("0.015")]
    await room.pay()
    assert {await room.state(one) for one in payouts} == {"broadcast"}
    await room.finish()
    assert [await room.state(one) for one in payouts] == ["completed"] * 2
    assert await room.world.node.balance(BTC, TARGET) == 2_500_000
    assert room.spends_nothing_twice()
    await room.agree()


async def test_while_a_payment_waits_nothing_is_joined(room: Strongroom) -> None:
    world = room.world
    await paid_order(world, "0.2")
    await room.fund(*[SMALL] * 8, LARGE, LARGE)
    payout = await room.ask("0.1")
    await room.look(Purpose.CONSOLIDATION)
    assert await room.moves() == []
    assert (await Consolidating(room.parts(), uuid4()).plan()).reason == "payments wait in the wallet's queue"
    await room.finish()
    assert await room.state(payout) == "completed"
    await room.look(Purpose.CONSOLIDATION)
    assert await room.moves() == [("consolidation", "moving")]
    assert "is under way" in (await Consolidating(room.parts(), uuid4()).plan()).reason
    await room.finish()
    await room.agree()


async def test_while_the_network_is_dear_outputs_stay_as_they_are_and_the_plan_says_why(room: Strongroom) -> None:
    await room.fund(*[SMALL] * 8, LARGE, LARGE)
    room.world.node.rpc.fee_rate = DEAR
    assert await _plan_rows(room.parts(), ANYTHING) == [], "nobody has looked at what arrived"
    await room.plan()
    assert await room.moves() == []
    assert len(await room.free()) == 10
    (row,) = await _plan_rows(room.parts(), ANYTHING)
    assert (row["decision"], row["asset"], row["amount"]) == ("wait", BTC, "0")
    assert row["reason"] == "outputs of the hot wallet: the network asks for 30 sat/vB, more than 5"
    room.world.node.rpc.fee_rate = CHEAP
    (row,) = await _plan_rows(room.parts(), ANYTHING)
    assert (row["decision"], row["amount"]) == ("consolidate", "0.0024")
    assert row["reason"] == "8 outputs into one, for about 0.00001172"
    assert await room.moves() == [], "a plan is nothing but a plan"


async def test_what_payments_took_or_arrived_between_is_planned_anew(room: Strongroom) -> None:
    await room.fund(*range(20_000, 28_000, 1_000), LARGE, LARGE)
    await room.plan()
    await room.world.node.pay(room.hot.address, 23_500)  # of a size between two that were to be joined
    await room.world.mine_blocks(3)
    await room.claim()
    await room.pay()
    assert await room.moves() == [("consolidation", "failed")]
    (reason,) = await room.world.rows("select reason from treasury_moves")
    assert "not all free any more" in str(reason[0])
    await room.plan()
    await room.finish()
    assert await room.moves() == [("consolidation", "failed"), ("consolidation", "done")]
    assert len(await room.free()) == 3
    await room.agree()


async def test_a_payment_that_came_after_the_plan_goes_first(room: Strongroom) -> None:
    await paid_order(room.world, "0.2")
    await room.fund(*[SMALL] * 8, LARGE, LARGE)
    room.world.node.rpc.fee_rate = DEAR
    await room.plan()  # the order is swept, nothing is joined
    await room.finish()
    room.world.node.rpc.fee_rate = CHEAP
    room.pen.signed.clear()
    await room.plan()
    payout = await room.ask("0.01")
    await room.pay()
    assert [intent.purpose for intent, *_ in room.pen.signed] == [Purpose.PAYOUT, Purpose.CONSOLIDATION]
    await room.finish()
    assert await room.state(payout) == "completed"
    assert room.spends_nothing_twice()
    await room.agree()


async def test_what_waits_for_more_than_an_hour_behind_payments_is_withdrawn(room: Strongroom) -> None:
    world = room.world
    await paid_order(world, "0.2")
    await room.fund(*[SMALL] * 8, 4_000_000, 4_000_000)
    await room.look(Purpose.CONSOLIDATION)
    payout = await room.ask("0.15")  # more than the wallet holds
    await room.pay()
    await room.pay()
    assert room.pen.signed == []
    await room.look(Purpose.CONSOLIDATION)
    assert await room.moves() == [("consolidation", "moving")]
    room.world.clock.advance(PATIENCE)
    await room.look(Purpose.CONSOLIDATION)
    assert await room.moves() == [("consolidation", "failed")], "and none is planned while the payment waits"
    room.wall.advance(timedelta(minutes=2))
    await room.plan()  # what the order was paid with comes to the wallet
    await room.finish()
    world.clock.advance(timedelta(minutes=2))
    await room.finish()
    assert await room.state(payout) == "completed"
    await room.agree()


async def test_one_of_many_treasuries_joins_and_none_without_the_signers_leave_or_on_hold(room: Strongroom) -> None:
    await room.fund(*[SMALL] * 8, LARGE, LARGE)
    for refusing in ({Purpose.SWEEP, Purpose.COLD}, set()):
        await room.look(*refusing)
    assert await room.moves() == []
    many = [Consolidating(room.parts(), uuid4()) for _ in range(4)]
    room.wall.advance(timedelta(hours=1))  # whoever planned before lets go
    assert sorted(await gather(*(one.step(ANYTHING) for one in many))) == [0, 0, 0, 1]
    assert await room.moves() == [("consolidation", "moving")]
    await room.finish()
    assert len(await room.free()) == 3


async def test_money_that_is_being_joined_is_no_alarm_to_refill_the_wallet(
    room: Strongroom, caplog: pytest.LogCaptureFixture
) -> None:
    await room.fund(*[SMALL] * 8, LARGE, LARGE)
    held = 8 * SMALL + 2 * LARGE
    await room.set_levels(held - 2 * SMALL, 2 * held, 3 * held)
    for state in ("moving", "moving", "done"):
        await room.plan()
        if state == "done":
            await room.finish()
        assert await room.moves() == [("consolidation", state)]
        await room.look(Purpose.SWEEP)
    assert "below its floor" not in caplog.text
    await room.set_levels(held, 2 * held, 3 * held)
    await room.look(Purpose.SWEEP)
    assert caplog.text.count("below its floor") == 1, "the fee of joining is gone"


async def test_an_asset_on_hold_is_not_joined(room: Strongroom, app_dsn: str) -> None:
    narrow = await Database.connect(app_dsn, size=1)

    async def holds() -> dict[str, str]:
        async with narrow.reader():  # as the shipped holds do: who asks has no connection of his own meanwhile
            return {BTC: "the chain split"}

    await room.fund(*[SMALL] * 8, LARGE, LARGE)
    of_held = replace(room.parts(narrow), holds=holds)
    held, free = (Consolidating(parts, uuid4()) for parts in (of_held, room.parts()))
    assert await held.step(ANYTHING) == 0
    assert (await held.plan()).reason == "the asset is on hold: the chain split"
    assert (await free.plan()).outputs == 8
    assert await room.moves() == []
    await narrow.close()


@pytest.mark.parametrize(("fault", "first"), [(Fault.KILL, 1), (Fault.CUT, 5)])
async def test_PAY_01_killed_or_cut_off_at_any_step_of_a_joining_it_happens_once(
    room: Strongroom, fault: Fault, first: int
) -> None:
    await room.fund(LARGE, LARGE)
    rounds = 0
    for place in range(first, 400, 5):
        rounds += 1
        await room.fund(*[SMALL] * 5)
        fuse = Fuse(place, fault)
        try:
            await room.live(fuse)
        except Crash:
            room.restart()
        for _ in range(2):
            room.wall.advance(timedelta(minutes=2))  # leases of who is gone run out
            await room.plan()
            await room.finish()
        assert len(await room.free()) == 3, place
        assert await room.moves() == [("consolidation", "done")] * rounds
        await room.agree()
        if not fuse.has_blown:
            break
    assert rounds > 4, "no fault was ever too late"
    assert not fuse.has_blown
    assert room.spends_nothing_twice()


@dataclass
class Hurried:
    """A sender's prices, at whose answer something has happened meanwhile."""

    sender: BitcoinSender
    meanwhile: Callable[[], Awaitable[object]]

    async def tariff(self) -> Tariff:
        await self.meanwhile()
        return await self.sender.tariff()


async def test_what_changed_while_the_network_was_asked_is_seen_before_a_move_opens(room: Strongroom) -> None:
    async def plan_elsewhere() -> bool:
        async with room.world.database.transaction() as tx:
            wall = room.wall.now()
            return await moves.take_lease(tx, "bitcoin", token=uuid4(), wall=wall, life=timedelta(seconds=30))

    async def arrive() -> None:
        await room.fund(SMALL)
        async with room.world.database.transaction() as tx:
            await outputs.add_deposited(tx, "bitcoin", [room.hot], room.world.clock.now())

    async def step(meanwhile: Callable[[], Awaitable[object]]) -> int:
        room.wall.advance(timedelta(minutes=2))  # whoever planned before lets go
        hurried: Pricing = Hurried(room.sender, meanwhile)  # type: ignore[assignment] - joining asks for a tariff only
        return await Consolidating(replace(room.parts(), sender=hurried), uuid4()).step(ANYTHING)

    await paid_order(room.world, "0.2")
    await room.fund(*[SMALL] * 8, LARGE, LARGE)
    assert await step(plan_elsewhere) == 0
    assert await step(lambda: room.ask("0.01")) == 0
    assert await room.moves() == []
    await room.finish()
    assert await step(arrive) == 0, "another look has the new one too"
    assert await step(room.pay) == 1
