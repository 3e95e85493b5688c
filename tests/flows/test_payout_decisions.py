"""Payouts that wait for a person, are limited, stopped or screened: what is reserved, what is told, and what comes back."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal

import pytest
from tests.flows.conftest import Start
from tests.flows.paying import STRANGERS, Cashier
from tests.flows.test_payouts import earn
from tests.support.clock import ManualClock

from bitlinkpay.core.errors import Problem
from bitlinkpay.core.ids import PayoutId, new_uuid7
from bitlinkpay.payouts import events, store
from bitlinkpay.payouts.model import (
    AddressRefused,
    AmountRefused,
    Payout,
    PayoutKind,
    PayoutNotFound,
    PayoutsStopped,
    PayoutTooLate,
    Terms,
)
from bitlinkpay.payouts.service import Draft, Repeat
from bitlinkpay.risk.model import ProviderDown
from bitlinkpay.sending.stops import store as stops
from bitlinkpay.sending.stops.store import Scope, Stop
from bitlinkpay.signer.keyring import KeyRing

ASSET, NETWORK, GAS = "usdt-ethereum", "ethereum", "eth-ethereum"
STRANGER = STRANGERS["evm"]
BODY = STRANGER.removeprefix("0x").lower()
TWIN = f"0x{BODY[:4]}{'a' * 32}{BODY[-4:]}"
"""Another address that agrees with the stranger's at both ends."""
UNIT = 10**6


@pytest.fixture
async def cashier(start: Start, ring: KeyRing) -> Cashier:
    cashier = Cashier(await start(), ring, ManualClock())
    await earn(cashier, ASSET, "1000")
    return cashier


async def terms(cashier: Cashier, asset: str = ASSET, kind: PayoutKind = PayoutKind.PAYOUT, **changed: int) -> None:
    merchant_id = cashier.world.merchant.merchant_id
    async with cashier.world.database.transaction() as tx:
        await store.save_terms(tx, merchant_id, kind, asset, Terms(**changed))


async def held(cashier: Cashier) -> Payout:
    await terms(cashier, review_above_units=10 * UNIT)
    payout = await cashier.ask(ASSET, "20")
    assert payout.state == "in_review"
    return payout


async def approve(cashier: Cashier, payout_id: PayoutId) -> Payout:
    return await cashier.world.database.unit(lambda tx: cashier.payouts().approve(tx, payout_id, by="operator"))


async def reject(cashier: Cashier, payout_id: PayoutId) -> Payout:
    return await cashier.world.database.unit(
        lambda tx: cashier.payouts().reject(tx, payout_id, reason="not a customer", by="operator")
    )


async def cancel(cashier: Cashier, source_id: str, kind: PayoutKind = PayoutKind.PAYOUT) -> Payout:
    merchant_id = cashier.world.merchant.merchant_id
    return await cashier.world.database.unit(lambda tx: cashier.payouts().cancel(tx, merchant_id, kind, source_id))


async def noted(cashier: Cashier, payout: Payout) -> list[tuple[object, ...]]:
    return await cashier.world.rows(
        "select event, from_state, to_state, cause from payout_events where payout_id = $1 order by seq",
        payout.payout_id,
    )


async def queued(cashier: Cashier, payout: Payout) -> list[tuple[object, ...]]:
    return await cashier.world.rows("select owner, state from sendings where owner_id = $1", payout.payout_id)


def callbacks(cashier: Cashier, payout: Payout) -> list[object]:
    bodies = cashier.world.inbox.bodies
    return [body["status"] for body in bodies if body["order_id"] == payout.payout_id.hex]


# --- a person decides ---------------------------------------------------------------------------------------------------


async def test_what_is_larger_than_the_review_limit_waits_with_its_money_reserved(cashier: Cashier) -> None:
    payout = await held(cashier)
    assert payout.reason == "larger than what goes out without a review"
    assert (await cashier.world.balance(ASSET)).reserved_units == payout.reserved_units
    assert await queued(cashier, payout) == []
    await cashier.fund(ASSET, "100")
    await cashier.fund(GAS, "5")
    await cashier.finish(NETWORK)
    assert await cashier.state(payout) == "in_review"
    assert await cashier.received(STRANGER, ASSET) == 0
    assert callbacks(cashier, payout) == []


async def test_exactly_the_review_limit_goes_out_without_a_person(cashier: Cashier) -> None:
    await terms(cashier, review_above_units=20 * UNIT)
    payout = await cashier.ask(ASSET, "20")
    assert (payout.state.value, payout.reason) == ("approved", "")
    assert await queued(cashier, payout) == [("payout", "queued")]


async def test_an_approved_payout_goes_out_once(cashier: Cashier) -> None:
    payout = await held(cashier)
    approved = await approve(cashier, payout.payout_id)
    assert (approved.state.value, approved.reason) == ("approved", "")
    with pytest.raises(PayoutTooLate, match="approved already"):
        await approve(cashier, payout.payout_id)
    await cashier.fund(ASSET, "100")
    await cashier.fund(GAS, "5")
    await cashier.finish(NETWORK)
    assert await cashier.state(payout) == "completed"
    assert await cashier.received(STRANGER, ASSET) == 20 * UNIT
    assert callbacks(cashier, payout) == [4]
    steps = await noted(cashier, payout)
    assert [event for event, *_ in steps] == [
        "requested",
        "approved",
        "signed",
        "broadcast",
        "completed",
    ]
    assert steps[1] == ("approved", "in_review", "approved", "operator")


async def test_a_rejected_payout_gives_everything_back_and_says_why(cashier: Cashier) -> None:
    before = await cashier.world.balance(ASSET)
    payout = await held(cashier)
    rejected = await reject(cashier, payout.payout_id)
    assert (rejected.state.value, rejected.reason) == ("rejected", "not a customer")
    assert await cashier.world.balance(ASSET) == before
    await cashier.world.settle()
    assert callbacks(cashier, payout) == [8]
    stored = await cashier.show(payout)
    assert (stored.reason, stored.txid, stored.ended_at) == ("not a customer", "", cashier.world.clock.now())
    assert await queued(cashier, payout) == []
    assert (await noted(cashier, payout))[-1] == ("rejected", "in_review", "rejected", "operator")


async def test_LED_09_nothing_is_decided_twice(cashier: Cashier) -> None:
    payout = await held(cashier)
    await reject(cashier, payout.payout_id)
    after = await cashier.world.balance(ASSET)
    for again in (
        lambda: reject(cashier, payout.payout_id),
        lambda: approve(cashier, payout.payout_id),
        lambda: cancel(cashier, payout.source_id),
    ):
        with pytest.raises(PayoutTooLate, match="rejected already"):
            await again()
    assert await cashier.world.balance(ASSET) == after
    await cashier.world.settle()
    assert callbacks(cashier, payout) == [8]


async def test_of_two_people_who_decide_at_once_one_is_heard(cashier: Cashier) -> None:
    before = await cashier.world.balance(ASSET)
    payout = await held(cashier)
    answers = await asyncio.gather(
        approve(cashier, payout.payout_id), reject(cashier, payout.payout_id), return_exceptions=True
    )
    refused = [answer for answer in answers if isinstance(answer, PayoutTooLate)]
    assert len(refused) == 1
    state = await cashier.state(payout)
    assert state in {"approved", "rejected"}
    assert len(await queued(cashier, payout)) == (state == "approved")
    assert (await cashier.world.balance(ASSET) == before) == (state == "rejected")
    await cashier.world.check()


async def test_a_payout_in_review_can_be_called_back(cashier: Cashier) -> None:
    before = await cashier.world.balance(ASSET)
    payout = await held(cashier)
    cancelled = await cancel(cashier, payout.source_id)
    assert (cancelled.state.value, cancelled.reason) == ("cancelled", "cancelled by the merchant")
    assert await cashier.world.balance(ASSET) == before
    await cashier.world.settle()
    assert callbacks(cashier, payout) == [8]


async def test_nobody_decides_about_a_payout_that_does_not_exist(cashier: Cashier) -> None:
    nobody = PayoutId(new_uuid7())
    with pytest.raises(PayoutNotFound):
        await approve(cashier, nobody)
    with pytest.raises(PayoutNotFound):
        await reject(cashier, nobody)
    with pytest.raises(PayoutNotFound):
        await cancel(cashier, "never asked for")


async def test_each_kind_has_source_ids_of_its_own(cashier: Cashier) -> None:
    payout = await cashier.ask(ASSET, "1", source_id="w-1")
    with pytest.raises(PayoutNotFound):
        await cancel(cashier, "w-1", PayoutKind.SETTLEMENT)
    settlement = await cashier.ask(ASSET, "2", source_id="w-1", kind=PayoutKind.SETTLEMENT)
    assert settlement.payout_id != payout.payout_id
    assert await queued(cashier, settlement) == [("settlement", "queued")]
    await cancel(cashier, "w-1", PayoutKind.SETTLEMENT)
    assert await cashier.state(payout) == "approved"


# --- limits -------------------------------------------------------------------------------------------------------------


async def test_PAY_30_a_payment_above_its_limit_reserves_nothing(cashier: Cashier) -> None:
    await terms(cashier, payment_max_units=50 * UNIT)
    before = await cashier.world.balance(ASSET)
    with pytest.raises(AmountRefused, match="largest single withdrawal is 50 USDT"):
        await cashier.ask(ASSET, "50.000001", source_id="w-1")
    assert await cashier.world.balance(ASSET) == before
    assert await cashier.world.rows("select count(*) from payouts") == [(0,)]
    assert (await cashier.ask(ASSET, "50", source_id="w-1")).units == 50 * UNIT


async def test_PAY_30_a_day_is_the_last_24_hours(cashier: Cashier) -> None:
    await terms(cashier, day_max_units=100 * UNIT)
    await cashier.ask(ASSET, "60")
    with pytest.raises(AmountRefused, match="daily limit leaves 40 USDT"):
        await cashier.ask(ASSET, "40.01")
    await cashier.ask(ASSET, "40")
    await cashier.pass_time(timedelta(hours=23, minutes=59))
    with pytest.raises(AmountRefused, match="daily limit leaves 0 USDT"):
        await cashier.ask(ASSET, "1")
    await cashier.pass_time(timedelta(minutes=2))
    await cashier.ask(ASSET, "100")


@pytest.mark.parametrize("way", ["cancelled", "rejected"])
async def test_PAY_30_what_came_to_nothing_is_no_part_of_the_day(cashier: Cashier, way: str) -> None:
    await terms(cashier, day_max_units=100 * UNIT, review_above_units=10 * UNIT)
    payout = await cashier.ask(ASSET, "100")
    await (cancel(cashier, payout.source_id) if way == "cancelled" else reject(cashier, payout.payout_id))
    assert await cashier.state(payout) == way
    assert (await cashier.ask(ASSET, "100")).units == 100 * UNIT


async def test_PAY_30_what_waits_for_a_person_counts_towards_the_day(cashier: Cashier) -> None:
    await terms(cashier, day_max_units=100 * UNIT, review_above_units=10 * UNIT)
    assert (await cashier.ask(ASSET, "80")).state == "in_review"
    with pytest.raises(AmountRefused, match="leaves 20 USDT"):
        await cashier.ask(ASSET, "21")


async def test_PAY_30_requests_at_once_never_pass_the_days_limit_together(cashier: Cashier) -> None:
    await terms(cashier, day_max_units=100 * UNIT)
    payouts, database = cashier.payouts(), cashier.world.database
    drafts = [await payouts.prepare(cashier.request(ASSET, "30")) for _ in range(8)]

    async def request(draft: Draft | Repeat) -> Payout | Problem:
        try:
            return await database.unit(lambda tx: payouts.request(tx, draft))
        except Problem as problem:
            return problem

    answers = await asyncio.gather(*(request(draft) for draft in drafts))
    assert sum(isinstance(answer, Payout) for answer in answers) == 3
    assert {type(answer) for answer in answers} == {Payout, AmountRefused}
    assert await cashier.world.rows("select sum(units)::bigint from payouts") == [(90 * UNIT,)]
    await cashier.world.check()


async def test_one_request_sent_many_times_at_once_is_one_payout(cashier: Cashier) -> None:
    payouts, database = cashier.payouts(), cashier.world.database
    new = cashier.request(ASSET, "30", source_id="w-1")
    drafts = [await payouts.prepare(new) for _ in range(6)]
    answers = await asyncio.gather(*(database.unit(lambda tx, d=d: payouts.request(tx, d)) for d in drafts))
    assert len({answer.payout_id for answer in answers}) == 1
    assert (await cashier.world.balance(ASSET)).reserved_units == answers[0].reserved_units
    assert len(await queued(cashier, answers[0])) == 1


async def test_an_assets_own_terms_come_before_those_of_all_assets(cashier: Cashier) -> None:
    await terms(cashier, "", fee_flat_units=5, payment_max_units=10 * UNIT)
    assert (await cashier.ask(ASSET, "10")).charge.fee_units == 5
    await terms(cashier, ASSET, fee_ppm=1000, payment_max_units=20 * UNIT)
    assert (await cashier.ask(ASSET, "20")).charge.fee_units == 20_000
    with pytest.raises(AmountRefused, match="largest single withdrawal is 20 USDT"):
        await cashier.ask(ASSET, "21")


async def test_a_settlement_has_terms_of_its_own_and_a_refund_those_of_payouts(cashier: Cashier) -> None:
    await terms(cashier, fee_flat_units=7)
    await terms(cashier, kind=PayoutKind.SETTLEMENT, fee_flat_units=3)
    fees = {kind: (await cashier.ask(ASSET, "1", kind=kind)).charge.fee_units for kind in PayoutKind}
    assert fees == {PayoutKind.PAYOUT: 7, PayoutKind.SETTLEMENT: 3, PayoutKind.REFUND: 7}


async def test_the_fee_of_each_kind_ends_in_its_own_account(cashier: Cashier) -> None:
    await terms(cashier, fee_flat_units=7)
    await terms(cashier, kind=PayoutKind.SETTLEMENT, fee_flat_units=3)
    made = [await cashier.ask(ASSET, "1", kind=kind) for kind in PayoutKind]
    await cashier.fund(ASSET, "100")
    await cashier.fund(GAS, "5")
    await cashier.finish(NETWORK)
    assert [await cashier.state(payout) for payout in made] == ["completed"] * 3
    world = cashier.world
    assert await world.account("fees:payout", ASSET) == 14
    assert await world.account("fees:settlement", ASSET) == 3
    assert await world.account("fees:network", ASSET) == sum(one.charge.network_fee_units for one in made)


async def test_terms_that_were_set_can_be_set_again(cashier: Cashier) -> None:
    await terms(cashier, payment_max_units=UNIT)
    await terms(cashier, fee_ppm=500)
    async with cashier.world.database.reader() as tx:
        found = await store.find_terms(tx, cashier.world.merchant.merchant_id, PayoutKind.PAYOUT, ASSET)
        other = await store.find_terms(tx, cashier.world.merchant.merchant_id, PayoutKind.PAYOUT, "usdt-tron")
    assert found == Terms(fee_ppm=500)
    assert other == Terms()


# --- addresses ----------------------------------------------------------------------------------------------------------


async def test_an_address_like_an_earlier_one_waits_for_a_person(cashier: Cashier) -> None:
    await cashier.ask(ASSET, "1")
    payout = await cashier.ask(ASSET, "1", target=TWIN)
    assert payout.state == "in_review"
    assert payout.reason == f"looks like {STRANGER}, which was paid before, and is another address"
    assert await queued(cashier, payout) == []


async def test_what_another_merchant_paid_is_no_earlier_address(cashier: Cashier) -> None:
    await cashier.ask(ASSET, "1")
    other = await cashier.world.another()
    order = await cashier.world.open_order(ASSET, "100", merchant=other)
    await cashier.world.pay_and_finalize(order)
    assert (await cashier.ask(ASSET, "1", target=TWIN, merchant=other)).state == "approved"


async def test_without_an_answer_about_the_address_a_person_looks(cashier: Cashier) -> None:
    cashier.world.lists.is_down = True
    payout = await cashier.ask(ASSET, "1")
    assert (payout.state.value, payout.reason) == ("in_review", "screening by lists gave no answer")
    with pytest.raises(ProviderDown):
        await cashier.world.lists.look_up(NETWORK, [STRANGER])
    cashier.world.lists.is_down = False
    assert (await cashier.ask(ASSET, "1")).state == "approved"


async def test_a_listed_address_is_refused_and_its_source_id_stays_free(cashier: Cashier) -> None:
    before = await cashier.world.balance(ASSET)
    cashier.world.lists.listed.add(STRANGER)
    with pytest.raises(AddressRefused, match="sanctions list"):
        await cashier.ask(ASSET, "1", source_id="w-1")
    assert await cashier.world.balance(ASSET) == before
    cashier.world.lists.listed.clear()
    assert (await cashier.ask(ASSET, "1", source_id="w-1")).state == "approved"


async def test_a_repeat_is_answered_though_the_address_is_listed_by_now(cashier: Cashier) -> None:
    payout = await cashier.ask(ASSET, "1", source_id="w-1")
    cashier.world.lists.listed.add(STRANGER)
    assert await cashier.ask(ASSET, "1", source_id="w-1") == payout


# --- kill switches ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scope", "subject", "told"),
    [
        (Scope.ALL, "", "all"),
        (Scope.NETWORK, NETWORK, NETWORK),
        (Scope.ASSET, ASSET, ASSET),
        (Scope.MERCHANT, "the merchant", "merchant"),
    ],
)
async def test_OPS_17_a_kill_switch_refuses_requests_until_it_is_released(
    cashier: Cashier, scope: Scope, subject: str, told: str
) -> None:
    world = cashier.world
    subject = str(world.merchant.merchant_id) if scope is Scope.MERCHANT else subject
    earlier = await cashier.ask(ASSET, "1", source_id="earlier")
    before = await world.balance(ASSET)
    async with world.database.transaction() as tx:
        await stops.add(tx, Stop(scope, subject, "trouble", world.clock.now()))
    with pytest.raises(PayoutsStopped, match=f"withdrawals of {told} are stopped"):
        await cashier.ask(ASSET, "1", source_id="w-1")
    assert await world.balance(ASSET) == before
    assert await cashier.ask(ASSET, "1", source_id="earlier") == earlier  # a repeat is answered
    async with world.database.transaction() as tx:
        await stops.remove(tx, scope, subject)
    assert (await cashier.ask(ASSET, "1", source_id="w-1")).state == "approved"


async def test_OPS_17_a_kill_switch_of_another_refuses_nothing(cashier: Cashier) -> None:
    world = cashier.world
    others: Sequence[tuple[Scope, str]] = (
        (Scope.NETWORK, "tron"),
        (Scope.ASSET, GAS),
        (Scope.MERCHANT, str(new_uuid7())),
    )
    async with world.database.transaction() as tx:
        for scope, subject in others:
            await stops.add(tx, Stop(scope, subject, "trouble", world.clock.now()))
    assert (await cashier.ask(ASSET, "1")).state == "approved"


# --- what is told -------------------------------------------------------------------------------------------------------


async def test_a_payout_without_an_address_for_callbacks_owes_none(start: Start, ring: KeyRing) -> None:
    cashier = Cashier(await start(callback_url=""), ring, ManualClock())
    await earn(cashier, ASSET, "100")
    payout = await cashier.ask(ASSET, "1")
    await cancel(cashier, payout.source_id)
    await cashier.world.settle()
    assert callbacks(cashier, payout) == []
    assert await cashier.world.rows("select count(*) from outbox where kind = 'payout.cancelled'") == [(1,)]


async def test_the_callback_says_what_was_asked_for_and_what_it_cost(cashier: Cashier) -> None:
    await terms(cashier, fee_flat_units=UNIT // 2)
    payout = await cashier.ask(ASSET, "1.5", callback_url="https://shop.example/paid")
    told = events.callback_of(cashier.world.registry, payout)
    assert (told.source_id, told.order_id, told.hash) == (payout.source_id, payout.payout_id.hex, "")
    assert (told.address, told.tag, told.amount) == (STRANGER, "", Decimal("1.5"))
    assert told.gas_fee == told.service_fee
    assert payout.charge.units == payout.charge.network_fee_units + UNIT // 2
    assert (told.status, payout.callback_url) == (0, "https://shop.example/paid")


def test_every_end_has_an_event_and_nothing_else_has() -> None:
    assert set(events.EVENT_KINDS) == {"payout.completed", "payout.rejected", "payout.cancelled", "payout.failed"}


# --- what must hold -----------------------------------------------------------------------------------------------------


async def broken(cashier: Cashier, query: str, change: str, *args: object) -> list[str]:
    """Return what a query of an invariant says after a change that is thrown away again."""

    class _Undo(Exception):
        pass

    found: list[str] = []
    try:
        async with cashier.world.database.transaction() as tx:
            assert await tx.fetch(query) == []
            assert not (await tx.execute(change, *args)).endswith(" 0")  # type: ignore[arg-type]
            found = [row[0] for row in await tx.fetch(query)]
            raise _Undo
    except _Undo:
        return found


async def test_reserved_is_payouts_sees_a_payout_that_grew_and_one_that_ended_with_its_money(cashier: Cashier) -> None:
    payout = await cashier.ask(ASSET, "20")
    told = f"{payout.payout_id} approved: reserved {payout.reserved_units}"
    one = payout.payout_id
    for change in (
        "update payouts set units = units + 1 where payout_id = $1",
        "update payouts set fee_units = fee_units + 1 where payout_id = $1",
        "update payouts set state = 'rejected', ended_at = now() where payout_id = $1",
    ):
        found = await broken(cashier, store.RESERVED, change, one)
        assert found == [told.replace("approved", "rejected") if "rejected" in change else told]


@pytest.mark.parametrize("state", ["in_review", "rejected", "cancelled", "completed", "failed"])
async def test_payouts_are_carried_sees_a_payout_that_is_elsewhere_than_its_payment(
    cashier: Cashier, state: str
) -> None:
    payout = await cashier.ask(ASSET, "20")
    change = "update payouts set state = $2, ended_at = case when $2 <> 'in_review' then now() end where payout_id = $1"
    found = await broken(cashier, store.CARRIED, change, payout.payout_id, state)
    assert found == [f"{payout.payout_id} {state}: sending queued"]


async def test_payouts_are_carried_sees_a_payment_that_ended_alone_and_one_that_is_missing(cashier: Cashier) -> None:
    payout = await cashier.ask(ASSET, "20")
    one = payout.payout_id
    for state in ("failed", "cancelled"):
        change = "update sendings set state = $2 where owner_id = $1"
        found = await broken(cashier, store.CARRIED, change, one, state)
        assert found == [f"{one} approved: sending {state}"]
    change = "update sendings set owner = 'sweep' where owner_id = $1"
    assert await broken(cashier, store.CARRIED, change, one) == [f"{one} approved: sending none"]
