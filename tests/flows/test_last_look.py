"""The last look before a signature: what became of merchant, kill switches and lists since a payout was asked for."""

from datetime import timedelta

import pytest
from tests.flows.conftest import Start
from tests.flows.paying import STRANGERS, Cashier
from tests.flows.test_lanes import PickySender, lane
from tests.flows.test_payout_decisions import ASSET, GAS, NETWORK, UNIT, approve, callbacks, cancel, noted, reject
from tests.flows.test_payouts import earn
from tests.support.clock import ManualClock

from bitlinkpay.chains.outgoing import Intent, Signed, Slot
from bitlinkpay.chains.simulated_plan import SimulatedPlan
from bitlinkpay.core.errors import Unavailable
from bitlinkpay.merchants import service as merchants
from bitlinkpay.payouts.model import Payout, PayoutTooLate
from bitlinkpay.sending.last_look import LISTED
from bitlinkpay.sending.stops import store as stops
from bitlinkpay.sending.stops.store import Scope, Stop
from bitlinkpay.signer.keyring import KeyRing

STRANGER = STRANGERS["evm"]
OTHER = "0x52908400098527886E0F7030069857D2E4169EE7"


@pytest.fixture
async def cashier(start: Start, ring: KeyRing) -> Cashier:
    cashier = Cashier(await start(), ring, ManualClock())
    await earn(cashier, ASSET, "1000")
    await cashier.fund(ASSET, "1000")
    await cashier.fund(GAS, "5")
    return cashier


async def suspend(cashier: Cashier) -> None:
    world = cashier.world
    await world.database.unit(lambda tx: merchants.suspend(tx, world.merchant.merchant_id, now=world.clock.now()))


async def resume(cashier: Cashier) -> None:
    world = cashier.world
    await world.database.unit(lambda tx: merchants.resume(tx, world.merchant.merchant_id, now=world.clock.now()))


class DuringPlanning(PickySender):
    """A network that answers so slowly that something happens to the platform while a transaction is planned."""

    async def plan(self, intent: Intent, slot: Slot, previous: SimulatedPlan | None = None) -> SimulatedPlan:
        made = await super().plan(intent, slot, previous)
        if self.happenings:
            await self.happenings.pop()
        return made


async def test_PAY_34_a_suspended_merchants_payouts_stay_with_their_money_reserved_until_it_may_work_again(
    cashier: Cashier,
) -> None:
    payout = await cashier.ask(ASSET, "20")
    await suspend(cashier)
    await cashier.finish(NETWORK)
    await cashier.pass_time(timedelta(hours=2))
    await cashier.finish(NETWORK)
    assert await cashier.state(payout) == "approved"
    assert (await cashier.world.balance(ASSET)).reserved_units == payout.reserved_units
    assert cashier.pen(NETWORK).asked == 0
    await resume(cashier)
    await cashier.finish(NETWORK)
    assert await cashier.state(payout) == "completed"
    assert await cashier.received(STRANGER, ASSET) == 20 * UNIT


@pytest.mark.parametrize("way", ["suspended", "stopped"])
async def test_PAY_34_what_happens_after_the_plan_still_comes_before_the_signature(cashier: Cashier, way: str) -> None:
    world = cashier.world
    other = await world.another()
    order = await world.open_order(ASSET, "100", merchant=other)
    await world.pay_and_finalize(order)
    mine, theirs = await cashier.ask(ASSET, "1"), await cashier.ask(ASSET, "2", merchant=other)

    async def stop() -> None:
        async with world.database.transaction() as tx:
            subject = str(world.merchant.merchant_id)
            await stops.add(tx, Stop(Scope.MERCHANT, subject, "trouble", world.clock.now()))

    sender = DuringPlanning.of(cashier)
    sender.happenings = [suspend(cashier) if way == "suspended" else stop()]
    lane(cashier, sender=sender)
    await cashier.finish(NETWORK)
    assert [await cashier.state(one) for one in (mine, theirs)] == ["approved", "completed"]
    assert await cashier.transactions(NETWORK) == [(0, "released"), (0, "final")]  # no gap
    assert cashier.pen(NETWORK).asked == 1  # never for the first
    rows = await world.rows("select cause from transaction_events where event = 'refused'")
    assert rows == [("the merchant is suspended" if way == "suspended" else "payments are stopped: trouble",)]


async def listed(cashier: Cashier) -> Payout:
    """Return a payout that is held because its recipient came on a list after its money was reserved."""
    payout = await cashier.ask(ASSET, "20")
    other = await cashier.ask(ASSET, "1", target=OTHER)
    cashier.world.lists.listed.add(STRANGER)
    await cashier.finish(NETWORK)
    assert [await cashier.state(one) for one in (payout, other)] == ["in_review", "completed"]
    return await cashier.show(payout)


async def test_PAY_34_a_recipient_listed_after_the_reserve_waits_for_a_person(cashier: Cashier) -> None:
    payout = await listed(cashier)
    assert payout.reason == LISTED
    assert (await cashier.world.balance(ASSET)).reserved_units == payout.reserved_units
    assert await cashier.received(STRANGER, ASSET) == 0
    assert [row[:3] for row in await noted(cashier, payout)][-1] == ("held", "approved", "in_review")
    assert callbacks(cashier, payout) == []
    await cashier.pass_time(timedelta(hours=2))
    await cashier.finish(NETWORK)
    assert await cashier.state(payout) == "in_review"


async def test_PAY_34_a_person_lets_it_go_once_the_list_was_wrong(cashier: Cashier) -> None:
    payout = await listed(cashier)
    await approve(cashier, payout.payout_id)
    await cashier.finish(NETWORK)
    assert await cashier.state(payout) == "in_review"  # still listed: nobody's approval makes it payable
    cashier.world.lists.listed.clear()
    await approve(cashier, payout.payout_id)
    await cashier.finish(NETWORK)
    assert await cashier.state(payout) == "completed"
    assert await cashier.received(STRANGER, ASSET) == 20 * UNIT


@pytest.mark.parametrize("way", ["rejected", "cancelled"])
async def test_PAY_34_what_is_held_can_be_rejected_or_called_back_whole(cashier: Cashier, way: str) -> None:
    before = (await cashier.world.balance(ASSET)).available_units
    payout = await listed(cashier)
    await (reject(cashier, payout.payout_id) if way == "rejected" else cancel(cashier, payout.source_id))
    await cashier.world.settle()
    assert await cashier.state(payout) == way
    spent = before - (await cashier.world.balance(ASSET)).available_units
    assert spent == UNIT + payout.charge.units  # the other payout alone
    assert callbacks(cashier, payout) == [8]
    cashier.world.lists.listed.clear()
    await cashier.finish(NETWORK)
    assert await cashier.received(STRANGER, ASSET) == 0


async def test_PAY_34_while_nobody_can_screen_nothing_is_signed(cashier: Cashier) -> None:
    payout = await cashier.ask(ASSET, "20")
    cashier.world.lists.is_down = True
    await cashier.finish(NETWORK)
    assert await cashier.state(payout) == "approved"
    assert await cashier.world.rows("select reason from sendings") == [("screening by lists gave no answer",)]
    assert cashier.pen(NETWORK).asked == 0
    cashier.world.lists.is_down = False
    await cashier.pass_time(timedelta(minutes=2))
    await cashier.finish(NETWORK)
    assert await cashier.state(payout) == "completed"


async def hold(cashier: Cashier, payout: Payout) -> Payout:
    return await cashier.world.database.unit(
        lambda tx: cashier.payouts().hold(tx, payout.payout_id, reason="a call from the bank", by="operator")
    )


async def test_a_person_holds_a_payout_that_waits_and_lets_it_go_at_its_old_place(cashier: Cashier) -> None:
    first, second = await cashier.ask(ASSET, "1"), await cashier.ask(ASSET, "2")
    assert (await hold(cashier, first)).reason == "a call from the bank"
    with pytest.raises(PayoutTooLate, match="in_review already"):
        await hold(cashier, first)
    await cashier.finish(NETWORK)
    assert [await cashier.state(one) for one in (first, second)] == ["in_review", "completed"]
    await approve(cashier, first.payout_id)
    with pytest.raises(PayoutTooLate, match="approved already"):
        await approve(cashier, first.payout_id)
    await cashier.finish(NETWORK)
    assert await cashier.state(first) == "completed"


@pytest.mark.parametrize("state", ["signed", "uncertain", "confirming", "completed"])
async def test_PAY_45_nobody_fails_by_hand_what_may_stand_on_the_chain(cashier: Cashier, state: str) -> None:
    payout = await cashier.ask(ASSET, "1")
    await cashier.run(NETWORK)
    if state == "uncertain":
        async with cashier.world.database.transaction() as tx:
            await cashier.world.sandbox.forget(tx, NETWORK, (await cashier.show(payout)).txid)
        await cashier.pass_time(timedelta(minutes=6))
        await cashier.run(NETWORK)
    elif state == "confirming":
        await cashier.world.mine(NETWORK, 1)
        await cashier.run(NETWORK)
    elif state == "completed":
        await cashier.finish(NETWORK)
    before = await cashier.world.balance(ASSET)
    for way in (
        lambda: hold(cashier, payout),
        lambda: reject(cashier, payout.payout_id),
        lambda: cancel(cashier, payout.source_id),
        lambda: approve(cashier, payout.payout_id),
    ):
        with pytest.raises(PayoutTooLate):
            await way()
    assert await cashier.world.balance(ASSET) == before
    cashier.lanes.clear()
    await cashier.pass_time(timedelta(minutes=1))
    await cashier.finish(NETWORK)
    assert await cashier.state(payout) == "completed"
    assert await cashier.received(STRANGER, ASSET) == UNIT


async def test_PAY_44_called_back_while_it_is_planned_the_others_go_without_it(cashier: Cashier) -> None:
    first, second = await cashier.ask(ASSET, "1"), await cashier.ask(ASSET, "2")
    sender = DuringPlanning.of(cashier)
    sender.happenings = [cancel(cashier, first.source_id)]
    worker = lane(cashier, sender=sender)
    assert await worker.step()  # thrown away, and there is more to do
    assert await cashier.transactions(NETWORK) == []
    await cashier.finish(NETWORK)
    assert [await cashier.state(one) for one in (first, second)] == ["cancelled", "completed"]
    assert await cashier.transactions(NETWORK) == [(0, "final")]


class Stubborn:
    """A signer that signs each transaction once and answers a higher bid by a problem, or not at all."""

    def __init__(self, cashier: Cashier, problem: Exception) -> None:
        self.pen = cashier.pen(NETWORK)
        self.problem = problem
        self.signed: set[object] = set()
        self.refused = 0

    async def sign(self, intent: Intent, plan: SimulatedPlan) -> Signed:
        if intent.intent_id in self.signed:
            self.refused += 1
            raise self.problem
        self.signed.add(intent.intent_id)
        return await self.pen.sign(intent, plan)


async def test_a_bid_that_nobody_signs_keeps_the_one_before_from_nothing_and_is_asked_for_once_a_minute(
    cashier: Cashier,
) -> None:
    payout = await cashier.ask(ASSET, "1")
    signer = Stubborn(cashier, Unavailable("the signer does not answer"))
    worker = lane(cashier, signing=signer)
    await cashier.run(NETWORK)
    await cashier.pass_time(timedelta(minutes=4))
    await cashier.run(NETWORK)  # the bid is planned
    for _ in range(5):
        await worker.step()
    assert signer.refused == 1
    await cashier.pass_time(timedelta(minutes=1))
    await worker.step()
    assert signer.refused == 2
    await cashier.finish(NETWORK)
    assert await cashier.state(payout) == "completed"
