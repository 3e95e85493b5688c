"""Requests and decisions against the books: who is let through in which state, and that a refusal leaves no trace."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from tests.flows.harness import REGISTRY
from tests.flows.paying import STRANGERS
from tests.payouts.till import ASSET, UNIT, Till
from tests.support.locks import until_someone_waits

from bitlinkpay.core.errors import Invalid, Problem
from bitlinkpay.core.ids import PayoutId, new_uuid7
from bitlinkpay.db.driver import Tx
from bitlinkpay.db.pool import Database
from bitlinkpay.ledger.model import AccountFrozen
from bitlinkpay.payouts import estimating, store
from bitlinkpay.payouts.drafting import Draft, Repeat
from bitlinkpay.payouts.model import (
    AddressRefused,
    AmountRefused,
    BalanceTooLow,
    Charge,
    Payout,
    PayoutExistsDifferent,
    PayoutKind,
    PayoutNotFound,
    PayoutState,
    PayoutTooLate,
    SamePerson,
)
from bitlinkpay.payouts.service import waits

FEE = 750_001  # of the network, as the desk quotes it
Decision = Callable[[Till, Payout], Callable[[Tx], Awaitable[Payout]]]


@pytest.fixture
async def till(database: Database) -> Till:
    return await Till.start(database)


def approve(till: Till, payout: Payout, by: str = "another") -> Callable[[Tx], Awaitable[Payout]]:
    return lambda tx: till.payouts().approve(tx, payout.payout_id, by=by)


def hold(till: Till, payout: Payout) -> Callable[[Tx], Awaitable[Payout]]:
    return lambda tx: till.payouts().hold(tx, payout.payout_id, reason="ask them first", by="another")


def reject(till: Till, payout: Payout) -> Callable[[Tx], Awaitable[Payout]]:
    return lambda tx: till.payouts().reject(tx, payout.payout_id, reason="not a customer", by="another")


def cancel(till: Till, payout: Payout) -> Callable[[Tx], Awaitable[Payout]]:
    return lambda tx: till.payouts().cancel(tx, payout.merchant_id, payout.kind, payout.source_id)


async def reviewed(till: Till, source_id: str = "reviewed", **changed: object) -> Payout:
    await till.terms(review_above_units=50 * UNIT)
    payout = await till.ask(source_id, "60", **changed)
    assert (payout.state, await till.queued(payout.payout_id)) == ("in_review", [])
    return payout


# --- every state and every decision


@pytest.mark.parametrize(
    ("decide", "allowed"),
    [
        (approve, {"in_review": "approved"}),
        (hold, {"approved": "in_review"}),
        (reject, {"in_review": "rejected"}),
        (cancel, {"in_review": "cancelled", "approved": "cancelled"}),
    ],
)
async def test_LED_09_a_decision_is_heard_in_its_states_and_leaves_no_trace_in_any_other(
    till: Till, decide: Decision, allowed: dict[str, str]
) -> None:
    for state in PayoutState:
        if state is PayoutState.IN_REVIEW:
            payout = await reviewed(till)
        else:
            payout = await till.ask(f"w-{state}")
            await till.put(payout, state)
        before = await till.everything()
        if state in allowed:
            decided = await till.database.unit(decide(till, payout))
            assert decided.state == allowed[state] == (await till.show(payout.payout_id)).state
        else:
            with pytest.raises(PayoutTooLate) as refused:
                await till.database.unit(decide(till, payout))
            assert refused.value.message == f"too late: the withdrawal is {state} already"
            assert await till.everything() == before


@pytest.mark.parametrize("decide", [approve, hold, reject, cancel])
async def test_a_decision_about_nobodys_payout_is_told_so(till: Till, decide: Decision) -> None:
    nobody = replace(await till.ask("w-1"), payout_id=PayoutId(new_uuid7()), source_id="w-2")
    before = await till.everything()
    named = "source_id" if decide is cancel else "id"
    with pytest.raises(PayoutNotFound, match=f"^no withdrawal with this {named}$"):
        await till.database.unit(decide(till, nobody))
    assert await till.everything() == before


@pytest.mark.parametrize("decide", [approve, reject, cancel])
async def test_a_decision_that_crashes_anywhere_was_never_made(till: Till, decide: Decision) -> None:
    payout = await reviewed(till)
    assert await till.crash_at_each_statement(decide(till, payout)) >= 8
    await till.check()


@pytest.mark.parametrize("decide", [hold, cancel])
async def test_a_payment_that_is_taken_out_of_its_queue_halfway_still_waits_there(till: Till, decide: Decision) -> None:
    payout = await till.ask("w-1")
    assert await till.crash_at_each_statement(decide(till, payout)) >= 8
    await till.check()


# --- held and let go again


async def test_a_payout_that_is_held_goes_on_at_its_old_place_with_every_step_noted(till: Till) -> None:
    payout = await till.ask("w-1")
    assert await till.queued(payout.payout_id) == [("payout", "queued", "")]
    asked_at = till.clock.now()
    till.clock.advance(timedelta(hours=1))
    held = await till.database.unit(hold(till, payout))
    assert (held.state, held.reason) == ("in_review", "ask them first")
    assert await till.queued(payout.payout_id) == [("payout", "held", "ask them first")]
    assert await till.money() == (980 * UNIT - FEE, 20 * UNIT + FEE)
    await till.check()
    released = await till.database.unit(approve(till, held))
    assert (released.state, released.reason) == ("approved", "")
    stored = await till.show(payout.payout_id)
    assert (stored.reason, stored.checker) == ("", "another")
    assert await till.queued(payout.payout_id) == [("payout", "queued", "")]
    async with till.database.reader() as tx:
        assert await tx.fetchval("select queued_at from sendings") == asked_at
    assert await till.events(payout.payout_id) == [
        ("requested", "approved", ""),
        ("held", "in_review", "another"),
        ("approved", "approved", "another"),
    ]
    await till.check()


@pytest.mark.parametrize(("decide", "state"), [(reject, "rejected"), (cancel, "cancelled")])
async def test_a_payout_that_was_held_gives_everything_back_with_its_payment(
    till: Till, decide: Decision, state: str
) -> None:
    payout = await till.ask("w-1")
    held = await till.database.unit(hold(till, payout))
    await till.database.unit(decide(till, held))
    assert (await till.show(payout.payout_id)).state == state
    assert [found[1] for found in await till.queued(payout.payout_id)] == ["cancelled"]
    assert await till.money() == (1_000 * UNIT, 0)
    await till.check()


async def test_PAY_43_who_asked_may_hold_and_reject_it_and_never_let_it_go(till: Till) -> None:
    payout = await reviewed(till, maker="operator")
    before = await till.everything()
    with pytest.raises(SamePerson) as refused:
        await till.database.unit(approve(till, payout, by="operator"))
    assert refused.value.message == "operator asked for this payout: another person has to approve it"
    assert await till.everything() == before
    await till.database.unit(approve(till, payout))
    held = await till.database.unit(hold(till, payout))
    with pytest.raises(SamePerson):  # nor is the approval of before his own now
        await till.database.unit(approve(till, held, by="operator"))
    assert await till.queued(payout.payout_id) == [("payout", "held", "ask them first")]
    assert (await till.show(payout.payout_id)).checker == "another"


async def test_what_waits_for_its_turn_only_waits_for_nothing(till: Till) -> None:
    waiting, held = await till.ask("w-1"), await till.ask("w-2")
    await till.database.unit(hold(till, held))
    async with till.database.transaction() as tx:
        assert await waits(tx, [waiting, held]) == {held.payout_id: "ask them first"}
        await tx.execute(
            "update sendings set reason = 'the wallet holds too little' where owner_id = $1", waiting.payout_id
        )
        assert await waits(tx, [waiting]) == {waiting.payout_id: "the wallet holds too little"}
        assert await waits(tx, []) == {}


# --- requests


async def test_a_request_that_crashes_anywhere_was_never_made(till: Till) -> None:
    payouts = till.payouts()
    draft = await payouts.prepare(till.new("w-1"))
    assert await till.crash_at_each_statement(lambda tx: payouts.request(tx, draft)) >= 20
    async with till.database.reader() as tx:
        assert await tx.fetchval("select count(*) from payouts") == 1
    assert await till.money() == (980 * UNIT - FEE, 20 * UNIT + FEE)
    await till.check()


async def test_PAY_04_of_two_requests_at_once_under_one_source_id_the_other_reserves_nothing(till: Till) -> None:
    payouts = till.payouts()
    drafts = [await payouts.prepare(till.new("w-1", amount)) for amount in ("20", "30")]
    answers = await asyncio.gather(
        *(till.database.unit(lambda tx, d=draft: payouts.request(tx, d)) for draft in drafts), return_exceptions=True
    )
    (made,) = [answer for answer in answers if isinstance(answer, Payout)]
    (refused,) = [answer for answer in answers if not isinstance(answer, Payout)]
    assert isinstance(refused, PayoutExistsDifferent)
    assert str(refused) == (
        "source_id 'w-1' was already used for a withdrawal with other parameters;"
        " repeat the same parameters or use a new source_id"
    )
    assert await till.money() == (1_000 * UNIT - made.reserved_units, made.reserved_units)
    await till.check()


async def test_PAY_04_a_repeat_that_waits_for_the_first_request_is_not_refused_by_the_limit_that_it_took(
    till: Till,
) -> None:
    await till.terms(day_max_units=30 * UNIT)
    payouts = till.payouts()
    drafts = [await payouts.prepare(till.new("w-1", "20")) for _ in range(2)]
    async with till.database.transaction() as tx:
        made = await payouts.request(tx, drafts[0])
        later = asyncio.create_task(till.database.unit(lambda tx: payouts.request(tx, drafts[1])))
        await until_someone_waits(till.database)
    assert await later == made
    await till.check()


@pytest.mark.parametrize("decide", [approve, reject, cancel])
async def test_a_decision_that_another_was_faster_than_is_told_what_became_of_the_payout(
    till: Till, decide: Decision
) -> None:
    payout = await reviewed(till)
    await till.database.unit(approve(till, payout))
    await till.database.unit(hold(till, payout))
    held = await till.show(payout.payout_id)
    async with till.database.transaction() as tx:
        await approve(till, held, by="a third")(tx)
        later = asyncio.create_task(till.database.unit(decide(till, held)))
        await until_someone_waits(till.database)
    with pytest.raises(PayoutTooLate) as refused:
        await later
    assert refused.value.message == "too late: the withdrawal is approved already"


@pytest.mark.parametrize("state", [PayoutState.REJECTED, PayoutState.CANCELLED, PayoutState.FAILED])
async def test_PAY_04_a_source_id_stays_used_by_what_came_to_nothing(till: Till, state: PayoutState) -> None:
    payout = await till.ask("w-1")
    await till.put(payout, state)
    before = await till.everything()
    assert (await till.ask("w-1")).state == state
    with pytest.raises(PayoutExistsDifferent):
        await till.ask("w-1", "21")
    assert await till.everything() == before


async def test_the_last_unit_of_a_balance_can_leave_and_not_one_more(till: Till) -> None:
    fits = Decimal(1_000) - Decimal(FEE) / UNIT
    before = await till.everything()
    with pytest.raises(BalanceTooLow) as refused:
        await till.ask("w-1", str(fits + Decimal("0.000001")))
    assert refused.value.message == "the balance holds 1000 usdt-tron, 1000.000001 are needed with fees"
    assert refused.value.param == "amount"
    assert await till.everything() == before
    await till.ask("w-1", str(fits))
    assert await till.money() == (0, 1_000 * UNIT)
    with pytest.raises(BalanceTooLow, match=r"^the balance holds 0 usdt-tron, 0\.760001 are needed with fees$"):
        await till.ask("w-2", "0.01")


async def test_a_balance_on_another_network_is_told_and_none_of_another_coin(till: Till) -> None:
    await till.give("usdt-ton", 5 * UNIT)
    await till.give("usdt-ethereum", 1)
    await till.give("trx-tron", 5 * UNIT)
    with pytest.raises(BalanceTooLow) as refused:
        await till.ask("w-1", "2000")
    assert refused.value.message == (
        "the balance holds 1000 usdt-tron, 2000.750001 are needed with fees; there is a balance in usdt-ethereum,"
        " usdt-ton, which would have to be exchanged first"
    )


async def test_a_merchant_whose_account_is_frozen_is_refused_and_nothing_stays(
    till: Till, schema_owner_dsn: str
) -> None:
    owner = await Database.connect(schema_owner_dsn, size=1)
    async with owner.transaction() as tx:
        name = f"merchant:{till.merchant.merchant_id.hex}:available"
        await tx.execute("update ledger_accounts set frozen_reason = 'differs' where name = $1", name)
    await owner.close()
    before = await till.everything()
    with pytest.raises(AccountFrozen, match="frozen until its difference is explained"):
        await till.ask("w-1")
    assert await till.everything() == before


@pytest.mark.parametrize(
    ("terms", "state", "reason"),
    [
        ({"review_above_units": 20 * UNIT}, "approved", ""),
        ({"review_above_units": 20 * UNIT - 1}, "in_review", "larger than what goes out without a review"),
        ({"review_above_units": 0}, "in_review", "larger than what goes out without a review"),
        ({"fresh_max_units": 0}, "approved", ""),  # the whole balance is no deposit of today
    ],
)
async def test_PAY_30_a_limit_of_review_lets_itself_through(
    till: Till, terms: dict[str, int], state: str, reason: str
) -> None:
    await till.terms(**terms)
    payout = await till.ask("w-1")
    assert (payout.state, payout.reason) == (state, reason)
    assert len(await till.queued(payout.payout_id)) == (state == "approved")
    assert await till.money() == (980 * UNIT - FEE, 20 * UNIT + FEE)  # held or not


async def test_a_payout_keeps_what_was_asked_for_and_what_it_costs(till: Till) -> None:
    await till.terms(fee_ppm=1_500, fee_flat_units=7)
    asked = till.new(
        "w-1", "20.000333", fiat_amount=Decimal(90), symbol="CNY", exchange_rate=Decimal("7.2"), maker="me"
    )
    draft = await till.payouts().prepare(asked)
    payout = await till.database.unit(lambda tx: till.payouts().request(tx, draft))
    assert await till.show(payout.payout_id) == payout
    assert payout.charge == Charge(30_000 + 7, FEE, 9_000_000)  # 0.0300004995 of a share, rounded down
    assert (payout.units, payout.reserved_units) == (20_000_333, 20_000_333 + 30_007 + FEE)
    assert (payout.fiat_amount, payout.symbol, payout.exchange_rate) == (Decimal(90), "CNY", Decimal("7.2"))
    assert (payout.maker, payout.checker, payout.deposit_id) == ("me", "", None)
    assert payout.callback_url == till.merchant.callback_url  # where the request names none
    assert (await till.ask("w-2", callback_url="https://shop.example/b")).callback_url == "https://shop.example/b"


# --- what it would cost


async def test_an_estimate_says_what_a_request_would_charge_and_stores_nothing(till: Till) -> None:
    await till.terms(fee_ppm=1_500, payment_max_units=2_000 * UNIT, day_max_units=25 * UNIT, review_above_units=0)
    await till.ask("w-1")
    before = await till.everything()

    async def estimate(amount: str, **changed: object) -> tuple[int, Charge]:
        draft: Draft | Repeat = await till.payouts().prepare(till.new("w-2", amount, **changed))
        async with till.database.reader() as tx:
            return await estimating.estimate(tx, REGISTRY, draft)

    assert await estimate("20") == (20 * UNIT, Charge(30_000, FEE, 9_000_000))  # the day so far is no part of it
    refusals: list[tuple[dict[str, object], type[Problem], str]] = [
        ({"amount": "26"}, AmountRefused, "the daily limit leaves 25 USDT for today"),
        ({"amount": "2001"}, AmountRefused, "the largest single withdrawal is 2000 USDT"),
        ({"amount": "1", "target": STRANGERS["evm"]}, AddressRefused, "the address can't be paid"),
        ({"amount": "1", "target": "T9yD14Nj9j7xAB4dbGeiX9h8unkKHxuWwb"}, AddressRefused, "nobody has its key"),
        ({"amount": "1", "target": REGISTRY.assets[ASSET].contract}, AddressRefused, "a token's contract"),
        ({"amount": "1", "tag": "7"}, Invalid, "this network knows no tags"),
    ]
    for changed, problem, says in refusals:
        with pytest.raises(problem, match=says):
            await estimate(**changed)  # type: ignore[arg-type]
    assert await till.everything() == before


async def test_a_settlement_is_estimated_by_its_own_terms(till: Till) -> None:
    await till.terms(fee_flat_units=7)
    draft = await till.payouts().prepare(till.new("w-1", kind=PayoutKind.SETTLEMENT))
    async with till.database.reader() as tx:
        assert await estimating.estimate(tx, REGISTRY, draft) == (20 * UNIT, Charge(0, FEE, 9_000_000))
        assert await store.find_by_source(tx, till.merchant.merchant_id, PayoutKind.SETTLEMENT, "w-1") is None
