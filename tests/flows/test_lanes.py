"""What a lane does with payments that cannot go now, or ever, or only without one another."""

from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest
from tests.flows.conftest import Start
from tests.flows.faults import Crash, FaultyDatabase, Fuse
from tests.flows.paying import STRANGERS, Cashier
from tests.flows.test_payouts import earn
from tests.support.clock import ManualClock

from bitlinkpay.chains.outgoing import CannotPlan, FeeQuote, FeeTooHigh, Intent, LacksFunds, Lane, Signed, Slot, Wallet
from bitlinkpay.chains.simulated_plan import SimulatedPlan
from bitlinkpay.chains.simulated_sender import SimulatedSender
from bitlinkpay.core.ids import PayoutId
from bitlinkpay.payouts.model import Payout
from bitlinkpay.sending import thawing
from bitlinkpay.sending.lane import LaneWorker
from bitlinkpay.sending.lanes import store as lanes
from bitlinkpay.sending.lanes.store import LaneRow
from bitlinkpay.sending.model import LaneBusy, LaneNotFrozen, OwnerKind, TransactionState
from bitlinkpay.sending.parts import Limits
from bitlinkpay.sending.setup import SetupOwner
from bitlinkpay.sending.transactions import store as transactions
from bitlinkpay.signer.keyring import KeyRing
from bitlinkpay.signer.problems import SignerRefused

ASSET, NETWORK, GAS = "usdt-ethereum", "ethereum", "eth-ethereum"
STRANGER = STRANGERS["evm"]
UNIT = 10**6


@pytest.fixture
async def cashier(start: Start, ring: KeyRing) -> Cashier:
    cashier = Cashier(await start(), ring, ManualClock())
    await earn(cashier, ASSET, "1000")
    await cashier.fund(ASSET, "1000")
    await cashier.fund(GAS, "5")
    return cashier


class PickySender(SimulatedSender):
    """A network that will not carry payments of certain amounts, and tells why; or whose wallet is not ready yet."""

    refused: dict[int, CannotPlan]
    planned: list[int]
    is_ready = True
    setup_is_known = True

    @classmethod
    def of(cls, cashier: Cashier, **refused: CannotPlan) -> "PickySender":
        made = cls.__new__(cls)
        made.__dict__.update(cashier.sender(NETWORK).__dict__)
        made.refused = {int(name.removeprefix("u")): obstacle for name, obstacle in refused.items()}
        made.planned = []
        return made

    async def plan(self, intent: Intent, slot: Slot, previous: SimulatedPlan | None = None) -> SimulatedPlan:
        self.planned.append(len(intent.payments))
        for payment in intent.payments:
            if payment.units in self.refused:
                raise self.refused[payment.units]
        return await super().plan(intent, slot, previous)

    async def lane(self, payer: Wallet) -> Lane:
        return replace(await super().lane(payer), is_ready=self.is_ready)

    async def quote(self, intent: Intent) -> FeeQuote:
        if not intent.payments and not self.setup_is_known:
            raise CannotPlan("there is nothing to make ready")
        return await super().quote(intent)


@dataclass
class PickyPen:
    """A signer that refuses payments of one amount by name."""

    cashier: Cashier
    units: int
    asked: list[tuple[int, ...]] = field(default_factory=list)

    async def sign(self, intent: Intent, plan: SimulatedPlan) -> Signed:
        self.asked.append(tuple(payment.units for payment in intent.payments))
        named = tuple(place for place, payment in enumerate(intent.payments) if payment.units == self.units)
        if named:
            raise SignerRefused("above the cap of one payment", payments=named)
        return await self.cashier.pen(NETWORK).sign(intent, plan)


@dataclass
class ThriftyPen:
    """A signer with a cap on the fee of one transaction."""

    cashier: Cashier
    fee_most: int = 0
    asked: list[int] = field(default_factory=list)

    async def sign(self, intent: Intent, plan: SimulatedPlan) -> Signed:
        self.asked.append(len(intent.payments))
        if intent.fee_max_units > self.fee_most:
            raise SignerRefused("a fee is at most so much: lower the intent's")
        return await self.cashier.pen(NETWORK).sign(intent, plan)


def lane(cashier: Cashier, **changed: object) -> LaneWorker[SimulatedPlan]:
    """Build the lane that the cashier uses from now on, with parts of the test's own."""
    parts = replace(cashier.parts(NETWORK), **changed)  # type: ignore[arg-type]
    owners = {**parts.owners, OwnerKind.SETUP: SetupOwner()}
    payer = cashier.hot(NETWORK)
    made = LaneWorker(replace(parts, owners=owners), payer)
    cashier.lanes[NETWORK, payer.address] = made
    return made


async def states(cashier: Cashier, payouts: list[Payout]) -> list[str]:
    return [await cashier.state(payout) for payout in payouts]


async def queue(cashier: Cashier) -> list[tuple[object, ...]]:
    return await cashier.world.rows("select units::bigint, state, reason from sendings order by units")


async def test_one_payment_that_cannot_be_carried_fails_alone(cashier: Cashier) -> None:
    before = (await cashier.world.balance(ASSET)).available_units
    sender = PickySender.of(cashier, u5000000=CannotPlan("the recipient refuses it"))
    lane(cashier, sender=sender)
    payouts = [await cashier.ask(ASSET, str(n)) for n in range(1, 9)]
    await cashier.finish(NETWORK)
    assert await states(cashier, payouts) == ["completed"] * 4 + ["failed"] + ["completed"] * 3
    bad = await cashier.show(payouts[4])
    assert (bad.reason, bad.txid) == ("the recipient refuses it", "")
    assert sender.planned[:2] == [8, 4]  # half of the batch, and half of that, until it stands alone
    assert 1 in sender.planned
    spent = sum(payout.reserved_units for payout in payouts if payout is not payouts[4])
    assert (await cashier.world.balance(ASSET)).available_units == before - spent
    assert (await cashier.world.balance(ASSET)).reserved_units == 0
    assert await cashier.received(STRANGER, ASSET) == (36 - 5) * UNIT
    told = [body["status"] for body in cashier.world.inbox.bodies if body["order_id"] == bad.payout_id.hex]
    assert told == [8]


async def test_a_batch_that_is_more_than_the_signer_lets_one_transaction_cost_goes_in_parts(cashier: Cashier) -> None:
    """What had piled up while nodes were away was asked for together again and again, and none of it ever went."""
    pen = ThriftyPen(cashier)
    lane(cashier, signing=pen)
    payouts = [await cashier.ask(ASSET, str(n)) for n in range(1, 9)]
    pen.fee_most = 3 * payouts[0].charge.native_max_units
    await cashier.run(NETWORK)
    assert pen.asked == [8, 4, 2]
    for _ in range(4):
        await cashier.pass_time(timedelta(minutes=2))
        await cashier.finish(NETWORK)
    assert await states(cashier, payouts) == ["completed"] * 8
    assert await cashier.received(STRANGER, ASSET) == 36 * UNIT
    pen.fee_most = 0
    one = await cashier.ask(ASSET, "1")
    await cashier.run(NETWORK)
    assert (await cashier.state(one), pen.asked[-1]) == ("approved", 1), "what stands alone rests"


async def test_PAY_07_what_never_was_planned_uses_up_no_number(cashier: Cashier) -> None:
    sender = PickySender.of(cashier, u1000000=CannotPlan("the token is paused"))
    lane(cashier, sender=sender)
    failing, going = await cashier.ask(ASSET, "1"), await cashier.ask(ASSET, "2")
    await cashier.finish(NETWORK)
    assert await states(cashier, [failing, going]) == ["failed", "completed"]
    assert await cashier.transactions(NETWORK) == [(0, "final")]


@pytest.mark.parametrize(
    "obstacle", [FeeTooHigh("the network asks for too much"), LacksFunds("the wallet holds too little")]
)
async def test_what_may_go_later_waits_and_is_not_failed(cashier: Cashier, obstacle: CannotPlan) -> None:
    sender = PickySender.of(cashier, u1000000=obstacle)
    worker = lane(cashier, sender=sender)
    payout = await cashier.ask(ASSET, "1")
    await cashier.run(NETWORK)
    assert await queue(cashier) == [(UNIT, "queued", obstacle.reason)]
    assert len(sender.planned) == 1
    await cashier.pass_time(timedelta(seconds=59))
    assert not await worker.step()
    assert len(sender.planned) == 1  # it rests for a minute
    sender.refused.clear()
    await cashier.pass_time(timedelta(seconds=1))
    await cashier.finish(NETWORK)
    assert await cashier.state(payout) == "completed"
    assert await cashier.transactions(NETWORK) == [(0, "final")]


class RoomySender(PickySender):
    """A network where what a batch may cost at most has room that its payments' quotes together do not hold."""

    tried: list[list[int]]

    @classmethod
    def of(cls, cashier: Cashier, **refused: CannotPlan) -> "RoomySender":
        made = super().of(cashier, **refused)
        assert isinstance(made, cls)
        made.tried = []
        return made

    async def plan(self, intent: Intent, slot: Slot, previous: SimulatedPlan | None = None) -> SimulatedPlan:
        self.tried.append([payment.units // UNIT for payment in intent.payments])
        if len(intent.payments) > 1:
            raise FeeTooHigh("a batch of them is too dear")
        return await super().plan(intent, slot, previous)


async def test_payments_that_may_not_cost_what_a_batch_may_leave_one_by_one_at_once(cashier: Cashier) -> None:
    sender = RoomySender.of(cashier)
    lane(cashier, sender=sender)
    payouts = [await cashier.ask(ASSET, str(n)) for n in (1, 2, 3, 4)]
    await cashier.run(NETWORK)
    assert await states(cashier, payouts) == ["broadcast"] * 4
    assert await cashier.transactions(NETWORK) == [(number, "broadcast") for number in range(4)]
    assert sender.tried == [[1, 2, 3, 4], [1], [2, 3, 4], [2], [3, 4], [3], [4]]  # in the order of the queue
    assert await cashier.world.rows("select count(*) from sendings where reason <> '' or not_before > queued_at") == [
        (0,)
    ]
    await cashier.finish(NETWORK)
    assert await states(cashier, payouts) == ["completed"] * 4


async def test_of_a_batch_that_is_too_dear_who_is_too_dear_alone_waits_and_nobody_else(cashier: Cashier) -> None:
    lane(cashier, sender=PickySender.of(cashier, u2000000=FeeTooHigh("too dear")))
    payouts = [await cashier.ask(ASSET, str(n)) for n in (2, 1, 3)]
    await cashier.finish(NETWORK)
    assert await states(cashier, payouts) == ["approved", "completed", "completed"]
    assert (await queue(cashier))[1] == (2 * UNIT, "queued", "too dear")
    assert await cashier.transactions(NETWORK) == [(0, "final"), (1, "final")]


async def test_where_the_network_is_too_dear_for_all_a_few_are_tried_and_all_wait(cashier: Cashier) -> None:
    sender = RoomySender.of(cashier, **{f"u{n}000000": FeeTooHigh(f"{n} is too dear") for n in range(1, 7)})
    lane(cashier, sender=sender)
    payouts = [await cashier.ask(ASSET, str(n)) for n in range(1, 7)]
    await cashier.run(NETWORK)
    assert sender.tried == [[1, 2, 3, 4, 5, 6], [1], [2], [3]]
    assert await queue(cashier) == [(n * UNIT, "queued", "3 is too dear") for n in range(1, 7)]
    assert await states(cashier, payouts) == ["approved"] * 6
    assert await cashier.transactions(NETWORK) == []
    sender.refused.clear()
    await cashier.pass_time(timedelta(minutes=1))
    await cashier.finish(NETWORK)
    assert await states(cashier, payouts) == ["completed"] * 6


async def test_payments_quoted_while_the_network_was_cheap_hold_up_nobody_who_may_pay_more(cashier: Cashier) -> None:
    sender = RoomySender.of(cashier, **{f"u{n}000000": FeeTooHigh("the network became dear") for n in range(1, 6)})
    lane(cashier, sender=sender)
    early = [await cashier.ask(ASSET, str(n)) for n in range(1, 6)]
    later = [await cashier.ask(ASSET, str(n)) for n in (6, 7)]
    async with cashier.world.database.transaction() as tx:  # quoted since
        await tx.execute("update sendings set fee_max_units = 2 * fee_max_units where units >= $1", 6 * UNIT)
    await cashier.finish(NETWORK)
    assert await states(cashier, early) == ["approved"] * 5
    assert await states(cashier, later) == ["completed"] * 2
    assert sender.tried[:5] == [[1, 2, 3, 4, 5, 6, 7], [1], [6], [2, 3, 4, 5, 7], [2]]
    assert sender.tried[5:7] == [[7], [3, 4, 5]]


async def test_a_payment_tried_alone_that_nobody_can_carry_fails_and_the_others_go(cashier: Cashier) -> None:
    lane(cashier, sender=RoomySender.of(cashier, u1000000=CannotPlan("the recipient refuses it")))
    payouts = [await cashier.ask(ASSET, str(n)) for n in (1, 2)]
    await cashier.finish(NETWORK)
    assert await states(cashier, payouts) == ["failed", "completed"]


async def test_what_rests_can_still_be_called_back(cashier: Cashier) -> None:
    world = cashier.world
    lane(cashier, sender=PickySender.of(cashier, u1000000=FeeTooHigh("too dear")))
    payout = await cashier.ask(ASSET, "1")
    await cashier.run(NETWORK)
    await world.database.unit(
        lambda tx: cashier.payouts().cancel(tx, payout.merchant_id, payout.kind, payout.source_id)
    )
    assert await queue(cashier) == [(UNIT, "cancelled", "")]
    await cashier.pass_time(timedelta(minutes=2))
    await cashier.finish(NETWORK)
    assert await cashier.transactions(NETWORK) == []
    assert (await world.balance(ASSET)).reserved_units == 0


async def test_the_signers_named_payment_waits_and_the_others_go_at_once(cashier: Cashier) -> None:
    pen = PickyPen(cashier, 2 * UNIT)
    lane(cashier, signing=pen)
    payouts = [await cashier.ask(ASSET, str(n)) for n in (2, 1, 3)]
    await cashier.finish(NETWORK)
    assert await states(cashier, payouts) == ["approved", "completed", "completed"]
    assert pen.asked == [(2 * UNIT, UNIT, 3 * UNIT), (UNIT, 3 * UNIT)]
    assert (await queue(cashier))[1] == (2 * UNIT, "queued", "above the cap of one payment")
    assert (await queue(cashier))[0] == (UNIT, "delivered", "")
    pen.units = 0
    await cashier.pass_time(timedelta(minutes=1))
    await cashier.finish(NETWORK)
    assert await cashier.state(payouts[0]) == "completed"
    assert await cashier.transactions(NETWORK) == [(0, "released"), (0, "final"), (1, "final")]
    assert await cashier.received(STRANGER, ASSET) == 6 * UNIT


async def test_no_more_is_in_flight_than_the_lane_may_have(cashier: Cashier) -> None:
    worker = lane(cashier, limits=Limits(in_flight=3, unmined=2))
    payouts: list[Payout] = []
    for _ in range(5):
        payouts.append(await cashier.ask(ASSET, "1"))
        await cashier.run(NETWORK)
    assert len(await cashier.transactions(NETWORK)) == 2  # neither is mined: a third has to wait
    await cashier.world.mine(NETWORK, 1)
    await cashier.run(NETWORK)
    assert [state for _, state in await cashier.transactions(NETWORK)] == ["mined", "mined", "broadcast"]
    await cashier.world.mine(NETWORK, 1)
    payouts.append(await cashier.ask(ASSET, "1"))
    await cashier.run(NETWORK)
    assert len(await cashier.transactions(NETWORK)) == 3  # all mined and none final: the lane is full
    assert not await worker.step()
    await cashier.finish(NETWORK)
    await cashier.finish(NETWORK)
    assert await states(cashier, payouts) == ["completed"] * len(payouts)
    assert await cashier.received(STRANGER, ASSET) == len(payouts) * UNIT


async def freeze(cashier: Cashier, reason: str) -> None:
    async with cashier.world.database.transaction() as tx:
        await lanes.freeze(tx, NETWORK, cashier.hot(NETWORK).address, reason, cashier.world.clock.now())


async def thaw(cashier: Cashier) -> LaneRow:
    """Put the lane back to work as the operator's command does: at the number where the chain stands."""
    payer, now = cashier.hot(NETWORK), cashier.world.clock.now()
    number = (await cashier.sender(NETWORK).lane(payer)).next_number
    return await cashier.world.database.unit(
        lambda tx: thawing.thaw(tx, NETWORK, payer, chain_number=number, by="operator", now=now)
    )


async def test_PAY_10_a_thawed_lane_skips_the_numbers_that_somebody_else_used(cashier: Cashier) -> None:
    first = await cashier.ask(ASSET, "1")
    await cashier.finish(NETWORK)
    async with cashier.world.database.transaction() as tx:
        await tx.execute("update lanes set next_number = 0")  # as if the chain's number 0 were none of ours
    second = await cashier.ask(ASSET, "2")
    await cashier.run(NETWORK)
    (frozen,) = await cashier.world.rows("select frozen_reason from lanes")
    assert "is the key used elsewhere?" in str(frozen[0])
    after = await thaw(cashier)
    assert (after.next_number, after.frozen_reason, after.waiting, after.running) == (1, "", 1, 0)
    with pytest.raises(LaneNotFrozen, match="is not frozen"):
        await thaw(cashier)
    await cashier.finish(NETWORK)
    assert await states(cashier, [first, second]) == ["completed", "completed"]
    told = await cashier.world.rows("select event, cause from lane_events order by seq")
    assert told == [("frozen", frozen[0]), ("thawed", "operator: goes on at 1 or above")]


async def test_PAY_10_no_number_is_skipped_beside_a_transaction_on_its_way(cashier: Cashier) -> None:
    payout = await cashier.ask(ASSET, "1")
    await cashier.run(NETWORK)
    await freeze(cashier, "a person has to look")
    payer, now = cashier.hot(NETWORK), cashier.world.clock.now()
    with pytest.raises(LaneBusy, match="1 transactions of this lane have not ended"):
        await cashier.world.database.unit(
            lambda tx: thawing.thaw(tx, NETWORK, payer, chain_number=2, by="operator", now=now)
        )
    assert (await thaw(cashier)).next_number == 1  # at its own number it may go on at any time
    await cashier.finish(NETWORK)
    assert await cashier.state(payout) == "completed"


async def test_PAY_10_a_frozen_lane_brings_what_is_open_to_its_end_and_begins_nothing(cashier: Cashier) -> None:
    first = await cashier.ask(ASSET, "1")
    await cashier.run(NETWORK)
    await freeze(cashier, "a person has to look")
    second = await cashier.ask(ASSET, "2")
    await cashier.finish(NETWORK)
    assert await states(cashier, [first, second]) == ["completed", "approved"]
    await cashier.pass_time(timedelta(hours=1))
    await cashier.finish(NETWORK)
    assert await cashier.state(second) == "approved"
    assert await cashier.transactions(NETWORK) == [(0, "final")]
    await thaw(cashier)
    await cashier.finish(NETWORK)
    assert await cashier.state(second) == "completed"
    assert await cashier.transactions(NETWORK) == [(0, "final"), (1, "final")]


async def test_a_wallet_that_is_not_ready_is_made_ready_before_its_first_batch(cashier: Cashier) -> None:
    sender = PickySender.of(cashier)
    sender.is_ready = False
    lane(cashier, sender=sender)
    payouts = [await cashier.ask(ASSET, "1") for _ in range(3)]
    await cashier.run(NETWORK)
    rows = await cashier.world.rows("select purpose, state from transactions")
    assert rows == [("setup", "broadcast")]
    assert await states(cashier, payouts) == ["approved"] * 3  # nothing goes out behind it until it is final
    sender.is_ready = True
    async with cashier.world.database.reader() as tx:
        (running,) = await transactions.list_open(tx, NETWORK, cashier.hot(NETWORK).address, 10)
    assert running.state is TransactionState.BROADCAST
    assert [sending.owner for sending in running.sendings] == [OwnerKind.SETUP]
    assert [sending.payment for sending in running.sendings] == [None]


async def test_one_payment_alone_needs_no_wallet_that_is_ready(cashier: Cashier) -> None:
    sender = PickySender.of(cashier)
    sender.is_ready = False
    lane(cashier, sender=sender)
    payout = await cashier.ask(ASSET, "1")
    await cashier.finish(NETWORK)
    assert await cashier.state(payout) == "completed"
    assert await cashier.world.rows("select purpose from transactions") == [("payout",)]


async def test_where_nothing_makes_a_wallet_ready_payments_go_one_by_one(cashier: Cashier) -> None:
    sender = PickySender.of(cashier)
    sender.is_ready = sender.setup_is_known = False
    lane(cashier, sender=sender)
    payouts = [await cashier.ask(ASSET, "1") for _ in range(3)]
    await cashier.finish(NETWORK)
    assert await states(cashier, payouts) == ["completed"] * 3
    assert await cashier.transactions(NETWORK) == [(0, "final"), (1, "final"), (2, "final")]
    assert {*sender.planned} == {1}


async def test_whether_a_lane_is_open_is_asked_until_it_is(cashier: Cashier) -> None:
    """Its chain is silent at first; afterwards nothing of it is asked at every step for ever."""
    await cashier.ask(ASSET, "1")
    fuse = Fuse(at=1)  # dies at the question
    worker = cashier.build_lane(NETWORK, FaultyDatabase(cashier.world.database, fuse))  # type: ignore[arg-type]
    with pytest.raises(Crash):
        await worker.step()
    assert await cashier.world.rows("select from lanes") == []
    assert await worker.step()
    assert await cashier.world.rows("select next_number from lanes") == [(1,)]
    while await worker.step():
        pass
    before = fuse.ticks
    await worker.step()
    idle = fuse.ticks - before
    fresh, asked = cashier.build_lane(NETWORK, FaultyDatabase(cashier.world.database, fuse)), fuse.ticks  # type: ignore[arg-type]
    cashier.wall.advance(timedelta(seconds=21))
    await fresh.step()
    assert fuse.ticks - asked == idle + 2, "before and after the one question"


async def test_PAY_02_a_worker_without_the_lease_does_nothing(cashier: Cashier) -> None:
    payout = await cashier.ask(ASSET, "1")
    holder, other = cashier.build_lane(NETWORK), cashier.build_lane(NETWORK)
    assert await holder.step()
    assert not await other.step()
    assert not await other.step()
    assert cashier.pen(NETWORK).asked == 0
    cashier.wall.advance(timedelta(seconds=21))  # the holder is gone
    while await other.step():
        pass
    assert not await holder.step()
    assert await cashier.state(payout) == "broadcast"
    assert cashier.pen(NETWORK).asked == 1


async def test_the_payments_of_a_batch_share_its_id_and_each_has_its_own_end(cashier: Cashier) -> None:
    payouts = [await cashier.ask(ASSET, str(n)) for n in (1, 2)]
    await cashier.finish(NETWORK)
    done = [await cashier.show(payout) for payout in payouts]
    assert len({one.txid for one in done}) == 1
    told = {
        PayoutId(one.payout_id).hex: [
            b["hash"] for b in cashier.world.inbox.bodies if b["order_id"] == one.payout_id.hex
        ]
        for one in done
    }
    assert list(told.values()) == [[done[0].txid], [done[0].txid]]
