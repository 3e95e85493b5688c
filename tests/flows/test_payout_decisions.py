"""Payouts that wait for a person, what is told of them, and what must hold: what is reserved and what comes back."""

import asyncio
from decimal import Decimal

import pytest
from tests.flows.conftest import Start
from tests.flows.paying import STRANGERS, Cashier
from tests.flows.test_payouts import earn
from tests.support.clock import ManualClock

from bitlinkpay.core.ids import PayoutId, new_uuid7
from bitlinkpay.payouts import events, store
from bitlinkpay.payouts.model import (
    Payout,
    PayoutKind,
    PayoutNotFound,
    PayoutTooLate,
    SamePerson,
    Terms,
)
from bitlinkpay.signer.keyring import KeyRing

ASSET, NETWORK, GAS = "usdt-ethereum", "ethereum", "eth-ethereum"
STRANGER = STRANGERS["evm"]
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


async def test_PAY_43_who_asked_for_a_payout_is_not_who_approves_it(cashier: Cashier) -> None:
    await terms(cashier, review_above_units=10 * UNIT)
    payout = await cashier.ask(ASSET, "20", maker="operator")
    with pytest.raises(SamePerson, match="operator asked for this payout"):
        await approve(cashier, payout.payout_id)
    assert await cashier.state(payout) == "in_review"
    with pytest.raises(Exception, match="payouts_two_persons"):  # nor by any other way into the table
        async with cashier.world.database.transaction() as tx:
            await store.note_checker(tx, payout.payout_id, "operator")
    await cashier.world.database.unit(lambda tx: cashier.payouts().approve(tx, payout.payout_id, by="another"))
    assert await cashier.state(payout) == "approved"
    rows = await cashier.world.rows("select maker, checker from payouts")
    assert rows == [("operator", "another")]


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


async def test_payouts_are_carried_sees_a_payout_that_is_elsewhere_than_its_payment(cashier: Cashier) -> None:
    payout = await cashier.ask(ASSET, "20")
    change = "update payouts set state = $2, ended_at = case when $2 <> 'in_review' then now() end where payout_id = $1"
    for state in ("in_review", "rejected", "cancelled", "completed", "failed"):
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
