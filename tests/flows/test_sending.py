"""Lanes under every fault: one payment on the chain whatever happens, and nothing forgotten."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import pytest
from tests.flows.conftest import Start
from tests.flows.faults import Crash, Fault, FaultyDatabase, Fuse
from tests.flows.paying import STRANGERS, Cashier
from tests.flows.test_payouts import earn
from tests.support.clock import ManualClock

from bitlinkpay.chains.outgoing import (
    Broadcast,
    FeeQuote,
    Intent,
    Lane,
    Outcome,
    Purpose,
    Sent,
    Signed,
    Slot,
    Unspent,
    Wallet,
)
from bitlinkpay.chains.simulated_format import FEES, read_txid
from bitlinkpay.chains.simulated_plan import SimulatedPlan
from bitlinkpay.chains.simulated_sender import SimulatedSender
from bitlinkpay.core.assets import Asset, Family
from bitlinkpay.core.errors import Unavailable
from bitlinkpay.db.pool import Database
from bitlinkpay.payouts.model import Payout
from bitlinkpay.sandbox.mempool.store import fail_waiting
from bitlinkpay.sandbox.model import Fork
from bitlinkpay.sending.lane import LaneWorker
from bitlinkpay.sending.parts import LaneParts, Limits
from bitlinkpay.signer.keyring import KeyRing

ASSET, NETWORK, GAS = "usdt-ethereum", "ethereum", "eth-ethereum"
STRANGER = STRANGERS[Family.EVM]
MOST_PLACES = 400
IMPATIENT = Limits(
    resend_after=timedelta(seconds=20), lost_after=timedelta(minutes=5), bump_after=timedelta(minutes=3), attempts=4
)


@pytest.fixture
async def cashier(start: Start, ring: KeyRing) -> Cashier:
    cashier = Cashier(await start(), ring, ManualClock(), limits=IMPATIENT)
    await earn(cashier, ASSET, "1000")
    await cashier.fund(ASSET, "1000")
    await cashier.fund(GAS, "5")
    return cashier


@dataclass
class FaultySender:
    """A network whose every answer may be the last thing that the process hears."""

    sender: SimulatedSender
    fuse: Fuse
    answers: list[Broadcast]

    def payments_max(self, asset: Asset, purpose: Purpose) -> int:
        return self.sender.payments_max(asset, purpose)

    async def lane(self, payer: Wallet) -> Lane:
        self.fuse.tick()
        return await self.sender.lane(payer)

    async def quote(self, intent: Intent) -> FeeQuote:
        return await self.sender.quote(intent)

    async def plan(self, intent: Intent, slot: Slot, previous: SimulatedPlan | None = None) -> SimulatedPlan:
        self.fuse.tick()
        return await self.sender.plan(intent, slot, previous)

    async def broadcast(self, signed: Signed) -> Broadcast:
        self.fuse.tick()
        answer = await self.sender.broadcast(signed)
        self.fuse.tick()
        return self.answers.pop(0) if self.answers else answer

    async def outcome(self, intent: Intent, plan: SimulatedPlan, signed: Signed) -> Outcome:
        self.fuse.tick()
        return await self.sender.outcome(intent, plan, signed)

    async def is_dead(self, intent: Intent, plan: SimulatedPlan, signed: Signed) -> bool:
        return await self.sender.is_dead(intent, plan, signed)

    async def choose(self, intent: Intent, available: Sequence[Unspent]) -> Sequence[Unspent]:
        return await self.sender.choose(intent, available)

    def produced(self, plan: SimulatedPlan, signed: Signed) -> Sequence[Unspent]:
        return self.sender.produced(plan, signed)


@dataclass
class FaultyPen:
    """A signer after whose answer the process may end."""

    cashier: Cashier
    fuse: Fuse

    async def sign(self, intent: Intent, plan: SimulatedPlan) -> Signed:
        self.fuse.tick()
        signed = await self.cashier.pen(NETWORK).sign(intent, plan)
        self.fuse.tick()
        return signed


def faulty(cashier: Cashier, fuse: Fuse, answers: list[Broadcast] | None = None) -> LaneWorker[SimulatedPlan]:
    database: Database = FaultyDatabase(cashier.world.database, fuse)  # type: ignore[assignment]
    parts = cashier.parts(NETWORK)
    return LaneWorker(
        LaneParts(
            database=database,
            registry=parts.registry,
            network=parts.network,
            sender=FaultySender(cashier.sender(NETWORK), fuse, answers or []),
            plan_type=SimulatedPlan,
            signing=FaultyPen(cashier, fuse),
            owners=parts.owners,
            clock=parts.clock,
            wall=parts.wall,
            limits=parts.limits,
        ),
        cashier.hot(NETWORK),
    )


async def work(lane: LaneWorker[SimulatedPlan]) -> None:
    try:
        while True:
            try:
                if not await lane.step():
                    return
            except Unavailable:
                continue
    except Crash:
        return


async def follow(cashier: Cashier) -> None:
    """Start a new worker after the old one's lease ran out, and let everything come to its end."""
    await cashier.pass_time(timedelta(minutes=2))
    cashier.lanes.clear()
    await cashier.finish(NETWORK)
    await cashier.pass_time(timedelta(minutes=2))


@pytest.mark.parametrize("fault", [Fault.KILL, Fault.CUT])
@pytest.mark.parametrize("first", [1, 2, 3, 4])
async def test_PAY_01_killed_or_cut_off_at_every_step_of_a_send(cashier: Cashier, fault: Fault, first: int) -> None:
    """Pay one payout after the other, each with a fault some steps later, until a fault comes too late to happen."""
    payouts: list[Payout] = []
    for place in range(first, MOST_PLACES, 4):
        payouts.append(await cashier.ask(ASSET, "1"))
        fuse = Fuse(place, fault)
        await work(faulty(cashier, fuse))
        await cashier.world.mine(NETWORK, 1)
        await work(faulty(cashier, fuse))
        await follow(cashier)
        assert await cashier.state(payouts[-1]) == "completed", place
        assert await cashier.received(STRANGER, ASSET) == len(payouts) * 10**6, place
        if not fuse.has_blown:
            break
    assert 8 < len(payouts) < MOST_PLACES // 4
    assert await cashier.transactions(NETWORK) == [(number, "final") for number in range(len(payouts))]


async def test_PAY_02_two_workers_take_one_payout_once(cashier: Cashier) -> None:
    payout = await cashier.ask(ASSET, "1")
    one, other = cashier.build_lane(NETWORK), cashier.build_lane(NETWORK)
    for _ in range(6):
        await one.step()
        await other.step()
    await follow(cashier)
    assert await cashier.state(payout) == "completed"
    assert await cashier.received(STRANGER, ASSET) == 10**6
    assert await cashier.transactions(NETWORK) == [(0, "final")]


@pytest.mark.parametrize("sent", [Sent.UNCLEAR, Sent.REFUSED])
async def test_PAY_05_NODE_12_after_a_bad_answer_the_same_bytes_are_sent_again(cashier: Cashier, sent: Sent) -> None:
    payout = await cashier.ask(ASSET, "1")
    lane = faulty(cashier, Fuse(), [Broadcast(sent, "time-out")] * 3)
    await work(lane)
    for _ in range(4):
        await cashier.pass_time(timedelta(seconds=30))
        await work(lane)
    rows = await cashier.world.rows("select count(*), count(distinct raw) from transaction_attempts")
    assert rows == [(1, 1)]
    await follow(cashier)
    assert await cashier.state(payout) == "completed"
    assert await cashier.received(STRANGER, ASSET) == 10**6


async def drop(cashier: Cashier, payout: Payout) -> str:
    """Let every node forget the payout's transaction."""
    txid = (await cashier.show(payout)).txid
    async with cashier.world.database.transaction() as tx:
        assert await cashier.world.sandbox.forget(tx, NETWORK, txid)
    return txid


async def test_NODE_11_a_forgotten_transaction_is_sent_again_and_called_uncertain_meanwhile(cashier: Cashier) -> None:
    payout = await cashier.ask(ASSET, "1")
    await cashier.run(NETWORK)
    first = await drop(cashier, payout)
    cashier.pen(NETWORK).refusal = "no more signatures today"
    await cashier.pass_time(timedelta(seconds=30))
    await cashier.run(NETWORK)  # sent again
    await drop(cashier, payout)
    await cashier.pass_time(timedelta(minutes=6))
    assert await cashier.lanes[NETWORK, cashier.hot(NETWORK).address].step()
    assert await cashier.state(payout) == "uncertain"
    await cashier.run(NETWORK)
    await cashier.finish(NETWORK)
    done = await cashier.show(payout)
    assert (done.state.value, done.txid) == ("completed", first)
    assert await cashier.received(STRANGER, ASSET) == 10**6


async def test_PAY_08_a_waiting_transaction_is_outbid_in_its_own_slot(cashier: Cashier) -> None:
    payout = await cashier.ask(ASSET, "1")
    await cashier.run(NETWORK)
    first = (await cashier.show(payout)).txid
    await cashier.pass_time(timedelta(minutes=4))
    await cashier.run(NETWORK)
    await cashier.finish(NETWORK)
    done = await cashier.show(payout)
    assert done.state.value == "completed"
    assert done.txid != first
    assert await cashier.transactions(NETWORK) == [(0, "final")]
    rows = await cashier.world.rows("select number, txid from transaction_attempts order by number")
    assert rows == [(1, first), (2, done.txid)]
    assert await cashier.received(STRANGER, ASSET) == 10**6
    spent = await cashier.world.account("expense:gas", GAS)
    assert spent == FEES[Family.EVM] * 125 // 100


async def test_PAY_09_the_original_mined_after_its_replacement_was_sent_is_accounted_once(cashier: Cashier) -> None:
    world = cashier.world
    payout = await cashier.ask(ASSET, "1")
    await cashier.run(NETWORK)
    first = (await cashier.show(payout)).txid
    await cashier.pass_time(timedelta(minutes=4))
    await cashier.run(NETWORK)
    (raw,) = (await world.rows("select raw from transaction_attempts where number = 1"))[0]
    (second,) = (await world.rows("select txid from transaction_attempts where number = 2"))[0]
    async with world.database.transaction() as tx:
        assert await world.sandbox.forget(tx, NETWORK, str(second))
    await cashier.sender(NETWORK).broadcast(Signed(first, raw))  # type: ignore[arg-type]
    await cashier.finish(NETWORK)
    done = await cashier.show(payout)
    assert (done.state.value, done.txid) == ("completed", first)
    assert await cashier.received(STRANGER, ASSET) == 10**6
    assert await world.account("expense:gas", GAS) == FEES[Family.EVM]


async def test_PAY_10_a_number_that_we_never_gave_out_freezes_the_lane(cashier: Cashier) -> None:
    await cashier.ask(ASSET, "1")
    await cashier.finish(NETWORK)
    payer = cashier.hot(NETWORK)
    async with cashier.world.database.transaction() as tx:
        await tx.execute("update lanes set next_number = 0")
    payout = await cashier.ask(ASSET, "2")
    await cashier.run(NETWORK)
    rows = await cashier.world.rows("select frozen_reason from lanes where payer = $1", payer.address)
    assert "is the key used elsewhere?" in str(rows[0][0])
    assert await cashier.state(payout) == "approved"


async def test_PAY_11_mined_and_reverted_gives_everything_back_and_the_gas_is_ours(cashier: Cashier) -> None:
    world = cashier.world
    before = (await world.balance(ASSET)).available_units
    payout = await cashier.ask(ASSET, "1")
    await cashier.run(NETWORK)
    digest = read_txid(Family.EVM, (await cashier.show(payout)).txid)
    assert digest is not None
    async with world.database.transaction() as tx:
        assert await fail_waiting(tx, NETWORK, digest)
    await cashier.finish(NETWORK)
    done = await cashier.show(payout)
    assert (done.state.value, done.reason) == ("failed", "the transaction was mined and reverted")
    assert (await world.balance(ASSET)).available_units == before
    assert (await world.balance(ASSET)).reserved_units == 0
    assert await world.account("expense:gas", GAS) == FEES[Family.EVM]
    assert await cashier.received(STRANGER, ASSET) == 0
    assert [body["status"] for body in world.inbox.bodies if body["order_id"] == payout.payout_id.hex] == [8]


@pytest.mark.parametrize("fork", [Fork.KEEP, Fork.DROP])
async def test_PAY_12_a_reorganisation_takes_a_mined_payout_and_the_same_bytes_go_out_again(
    cashier: Cashier, fork: Fork
) -> None:
    payout = await cashier.ask(ASSET, "1")
    await cashier.run(NETWORK)
    await cashier.world.mine(NETWORK, 1)
    await cashier.run(NETWORK)
    assert await cashier.state(payout) == "confirming"
    txid = (await cashier.show(payout)).txid
    await cashier.world.reorg(NETWORK, 1, fork)
    await cashier.pass_time(timedelta(minutes=1))
    await cashier.run(NETWORK)
    await cashier.finish(NETWORK)
    done = await cashier.show(payout)
    assert (done.state.value, done.txid) == ("completed", txid)
    assert await cashier.received(STRANGER, ASSET) == 10**6
    assert await cashier.transactions(NETWORK) == [(0, "final")]


async def test_what_the_signer_refuses_waits_and_leaves_no_gap(cashier: Cashier) -> None:
    cashier.pen(NETWORK).refusal = "above the hourly cap"
    payout = await cashier.ask(ASSET, "1")
    await cashier.run(NETWORK)
    assert await cashier.state(payout) == "approved"
    rows = await cashier.world.rows("select state, reason from sendings")
    assert rows == [("queued", "above the hourly cap")]
    cashier.pen(NETWORK).refusal = ""
    await cashier.pass_time(timedelta(minutes=2))
    await cashier.finish(NETWORK)
    assert await cashier.state(payout) == "completed"
    assert await cashier.transactions(NETWORK) == [(0, "released"), (0, "final")]
