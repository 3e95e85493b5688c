"""Refunds at their edges: what fees leave, whose word lets them go, how often, and what comes back where nothing was paid."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from tests.deposits.test_store import deposit
from tests.flows.paying import STRANGERS
from tests.payouts.till import ASSET, UNIT, Till
from tests.support.locks import until_someone_waits

from bitlinkpay.core.errors import Invalid, NotFound, Problem
from bitlinkpay.core.ids import MerchantId, new_uuid7, show_id
from bitlinkpay.db.driver import Tx
from bitlinkpay.db.pool import Database
from bitlinkpay.deposits.changes import store as changes
from bitlinkpay.deposits.model import Deposit, DepositChange, DepositEvent, DepositState
from bitlinkpay.ledger import accounts
from bitlinkpay.ledger import service as ledger
from bitlinkpay.ledger.model import LedgerEvent, Move, Posting
from bitlinkpay.payouts.drafting import QUOTE_LIFE, Draft, Repeat
from bitlinkpay.payouts.model import (
    AddressRefused,
    AddressUnconfirmed,
    AmountRefused,
    Charge,
    NothingToConfirm,
    Payout,
    PayoutExistsDifferent,
    PayoutNotFound,
    PayoutsStopped,
    PayoutState,
    PayoutTooLate,
    QuoteExpired,
    SamePerson,
)
from bitlinkpay.sending.stops import store as stops
from bitlinkpay.sending.stops.store import Scope, Stop

FEE = 750_001  # of the network, as the desk quotes it
ODD = 40 * UNIT
OTHER = "TNPeeaaFB7K9cmo4uQpcU32zGK8G1NYqeL"


@pytest.fixture
async def till(database: Database) -> Till:
    return await Till.start(database)


async def odd(till: Till, units: int = ODD, number: int = 1) -> Deposit:
    """Return unassigned money of the merchant, with its place in the books."""
    merchant_id = till.merchant.merchant_id
    made = deposit(number, merchant_id=merchant_id, state=DepositState.UNASSIGNED, units=units, label="short")
    seen = DepositChange(made.deposit_id, DepositEvent.SEEN, made.state, made.state, made.label)
    place = accounts.unassigned(merchant_id, made.deposit_id)
    booked = Posting(
        key=f"odd:{made.deposit_id.hex}",
        event=LedgerEvent.HOT_WALLET_FUNDED,
        asset=ASSET,
        moves=(Move(accounts.hot_custody("hot"), place, units),),
        merchant_id=merchant_id,
        happened_at=till.clock.now(),
    )
    async with till.database.transaction() as tx:
        await changes.insert(tx, [made], [seen], till.clock.now())
        await ledger.post_all(tx, [booked])
    return made


async def draft(till: Till, of: Deposit, target: str = "", maker: str = "") -> Draft | Repeat:
    return await till.payouts().refunds.prepare(till.merchant, of, target=target or STRANGERS["tron"], maker=maker)


async def refund(till: Till, of: Deposit, target: str = "", maker: str = "") -> Payout:
    drafted = await draft(till, of, target, maker)
    return await till.database.unit(lambda tx: till.payouts().refunds.request(tx, drafted, of.deposit_id))


def reject(till: Till, payout: Payout) -> Callable[[Tx], Awaitable[Payout]]:
    return lambda tx: till.payouts().reject(tx, payout.payout_id, reason="not theirs", by="another")


def confirm(till: Till, payout: Payout, address: str = "", by: str = "another") -> Callable[[Tx], Awaitable[Payout]]:
    return lambda tx: till.payouts().confirm(tx, payout.payout_id, address or STRANGERS["tron"], by=by)


async def places(till: Till, of: Deposit) -> tuple[str, int, int, int]:
    """Return the deposit's state, and what is odd, reserved and available in the books."""
    async with till.database.reader() as tx:
        state = await tx.fetchval("select state from deposits where deposit_id = $1", of.deposit_id)
        (found,) = [b for b in await ledger.balances(tx, till.merchant.merchant_id) if b.asset == ASSET]
    return state, found.unassigned_units, found.reserved_units, found.available_units - 1_000 * UNIT


# --- what leaves


async def test_the_whole_deposit_is_reserved_and_the_fees_come_out_of_it(till: Till) -> None:
    await till.terms(fee_ppm=1_500, fee_flat_units=7, payment_max_units=1, day_max_units=1)
    of = await odd(till)
    payout = await refund(till, of)
    assert payout.charge == Charge(60_000 + 7, FEE, 9_000_000)  # a share of all of it
    assert (payout.units, payout.reserved_units) == (ODD - 60_007 - FEE, ODD)
    assert (payout.state, payout.deposit_id) == ("approved", of.deposit_id)  # limits are for money of the balance
    assert payout.source_id == show_id("dep", of.deposit_id)
    assert await places(till, of) == ("refunded", 0, ODD, 0)
    assert await till.queued(payout.payout_id) == [("refund", "queued", "")]


LITTLE = "the smallest withdrawal is 0.01 USDT"
EATEN = f"0.750001 of fees leave too little of it: {LITTLE}"


@pytest.mark.parametrize(
    ("units", "left", "says"),
    [
        (FEE + 10_000, 10_000, ""),
        (FEE + 9_999, 0, EATEN),
        (FEE, 0, EATEN),
        (FEE - 1, 0, EATEN),
        (10_000, 0, EATEN),
        (9_999, 0, LITTLE),  # no payment could be of so little, whatever it costs
        (1, 0, LITTLE),
    ],
)
async def test_the_smallest_refund_is_the_networks_smallest_payment_after_fees(
    till: Till, units: int, left: int, says: str
) -> None:
    of = await odd(till, units)
    if left:
        assert (await refund(till, of)).units == left
        return
    before = await till.everything()
    with pytest.raises(AmountRefused) as refused:
        await refund(till, of)
    assert refused.value.message == says
    assert await till.everything() == before


# --- how often


async def test_each_try_has_a_source_id_of_its_own_and_any_of_them_may_go_elsewhere(till: Till) -> None:
    of = await odd(till)
    name = show_id("dep", of.deposit_id)
    for number, target in enumerate((STRANGERS["tron"], OTHER, STRANGERS["tron"]), start=1):
        payout = await refund(till, of, target, maker="operator")
        assert payout.source_id == (name if number == 1 else f"{name}.{number}")
        assert (await refund(till, of, target, maker="operator")) == payout
        with pytest.raises(PayoutExistsDifferent, match=f"source_id '{payout.source_id}' was already used"):
            await refund(till, of, OTHER if target != OTHER else STRANGERS["tron"])
        assert await places(till, of) == ("refunded", 0, ODD, 0)
        await till.database.unit(reject(till, payout))
        assert await places(till, of) == ("unassigned", ODD, 0, 0)


@pytest.mark.parametrize("state", [s for s in PayoutState if s not in {"rejected", "cancelled", "failed"}])
async def test_PAY_04_a_refund_that_has_not_come_to_nothing_answers_for_its_deposit(
    till: Till, state: PayoutState
) -> None:
    of = await odd(till)
    payout = await refund(till, of)
    await till.put(payout, state)
    before = await till.everything()
    assert (await refund(till, of)).payout_id == payout.payout_id
    with pytest.raises(PayoutExistsDifferent):
        await refund(till, of, OTHER)
    assert await till.everything() == before


@pytest.mark.parametrize("target", [STRANGERS["tron"], OTHER])
async def test_PAY_04_of_two_requests_at_once_for_one_deposit_one_refund_is_made(till: Till, target: str) -> None:
    of = await odd(till)
    drafts = [await draft(till, of), await draft(till, of, target)]
    refunds = till.payouts().refunds
    async with till.database.transaction() as tx:
        made = await refunds.request(tx, drafts[0], of.deposit_id)
        later = asyncio.create_task(till.database.unit(lambda tx: refunds.request(tx, drafts[1], of.deposit_id)))
        await until_someone_waits(till.database)
    if target == OTHER:
        with pytest.raises(PayoutExistsDifferent):
            await later
    else:
        assert await later == made
    assert await places(till, of) == ("refunded", 0, ODD, 0)


async def test_a_refund_made_and_rejected_while_another_request_waits_leaves_it_the_next_place(till: Till) -> None:
    of = await odd(till)
    drafts = [await draft(till, of), await draft(till, of, OTHER)]
    refunds, payouts = till.payouts().refunds, till.payouts()
    async with till.database.transaction() as tx:
        first = await refunds.request(tx, drafts[0], of.deposit_id)
        later = asyncio.create_task(till.database.unit(lambda tx: refunds.request(tx, drafts[1], of.deposit_id)))
        await until_someone_waits(till.database)
        await payouts.cancel(tx, first.merchant_id, first.kind, first.source_id)
    assert (await later).source_id == f"{first.source_id}.2"
    assert await places(till, of) == ("refunded", 0, ODD, 0)


@pytest.mark.parametrize("state", [s for s in DepositState if s is not DepositState.UNASSIGNED])
async def test_money_that_is_not_odd_is_not_refunded(till: Till, state: DepositState) -> None:
    of = await odd(till)
    async with till.database.transaction() as tx:
        await tx.execute("update deposits set state = $2 where deposit_id = $1", of.deposit_id, state)
    before = await till.everything()
    with pytest.raises(NotFound, match="no unassigned money with this id"):
        await refund(till, of)
    assert await till.everything() == before


# --- whose word lets it go


async def test_PAY_43_only_another_persons_word_on_the_right_address_lets_it_go(till: Till) -> None:
    of = await odd(till)
    payout = await refund(till, of, maker="operator")
    before = await till.everything()
    refusals: list[tuple[Callable[[Tx], Awaitable[Payout]], type[Problem], str]] = [
        (lambda tx: till.payouts().approve(tx, payout.payout_id, by="another"), AddressUnconfirmed, "has to confirm"),
        (confirm(till, payout, by="operator"), SamePerson, "operator asked for this payout"),
        (confirm(till, payout, OTHER), AddressRefused, f"this refund goes to {STRANGERS['tron']}"),
        (confirm(till, payout, "nobody"), Invalid, "a TRON address is"),
    ]
    for work, problem, says in refusals:
        with pytest.raises(problem, match=says):
            await till.database.unit(work)
        assert await till.everything() == before
    confirmed = await till.database.unit(confirm(till, payout))
    assert (confirmed.state, confirmed.reason) == ("approved", "")
    assert await till.queued(payout.payout_id) == [("refund", "queued", "")]
    with pytest.raises(PayoutTooLate, match="approved already"):
        await till.database.unit(confirm(till, payout))


async def test_a_refund_held_after_its_confirmation_needs_no_second_one(till: Till) -> None:
    payout = await refund(till, await odd(till), maker="operator")
    await till.database.unit(confirm(till, payout))
    payouts = till.payouts()
    await till.database.unit(lambda tx: payouts.hold(tx, payout.payout_id, reason="wait", by="operator"))
    released = await till.database.unit(lambda tx: payouts.approve(tx, payout.payout_id, by="another"))
    assert released.state == "approved"
    assert await till.queued(payout.payout_id) == [("refund", "queued", "")]


async def test_a_merchants_own_refund_that_screening_held_is_approved_like_any_payout(till: Till) -> None:
    till.desk.providers[0].is_down = True
    payout = await refund(till, await odd(till))
    assert (payout.state, payout.reason) == ("in_review", "screening by lists gave no answer")
    approved = await till.database.unit(lambda tx: till.payouts().approve(tx, payout.payout_id, by="operator"))
    assert approved.state == "approved"


@pytest.mark.parametrize("maker", ["", "operator"])
async def test_PAY_29_a_large_refund_by_a_key_alone_or_to_a_look_alike_waits_for_a_person(
    till: Till, maker: str
) -> None:
    await till.terms(review_above_units=ODD - FEE - 1)
    large = await refund(till, await odd(till), maker=maker)
    await till.terms(review_above_units=ODD - FEE)
    usual = await refund(till, await odd(till, number=2), maker=maker)
    own_word = "the merchant has to confirm the address"
    assert large.reason == ("larger than what goes out without a review" if not maker else own_word)
    assert (usual.state, usual.reason) == (("approved", "") if not maker else ("in_review", own_word))
    if not maker:
        async with till.database.transaction() as tx:  # as if one had been paid that begins and ends as this one
            twin = STRANGERS["tron"][:6] + "x" * 20 + STRANGERS["tron"][-6:]
            await tx.execute("update payouts set target = $2 where payout_id = $1", usual.payout_id, twin)
        alike = await refund(till, await odd(till, number=3))
        assert (alike.state, alike.reason) == (
            "in_review",
            f"looks like {twin}, which was paid before, and is another address",
        )


async def test_PAY_43_a_merchants_word_that_comes_while_our_people_decide_is_too_late(till: Till) -> None:
    """Confirmed by us, and held again by a look at its address: the merchant's word was on something else."""
    payout = await refund(till, await odd(till), maker="operator")
    payouts, address = till.payouts(), STRANGERS["tron"]
    async with till.database.transaction() as tx:
        await payouts.confirm(tx, payout.payout_id, address, by="another")
        await payouts.hold(tx, payout.payout_id, reason="listed", by="another")
        own = asyncio.create_task(
            till.database.unit(lambda tx: payouts.confirm_own(tx, till.merchant, payout.payout_id, address))
        )
        await until_someone_waits(till.database)
    with pytest.raises(PayoutTooLate):
        await own
    assert (await till.queued(payout.payout_id))[0][1] == "held"


@pytest.mark.parametrize("state", list(PayoutState))
async def test_a_merchants_word_lets_a_refund_go_from_its_review_only(till: Till, state: PayoutState) -> None:
    payout = await refund(till, await odd(till), maker="operator")
    await till.put(payout, state)
    payouts, address = till.payouts(), STRANGERS["tron"]

    async def confirm_own(tx: Tx) -> Payout:
        return await payouts.confirm_own(tx, till.merchant, payout.payout_id, address)

    if state is PayoutState.IN_REVIEW:
        assert (await till.database.unit(confirm_own)).state == "approved"
        return
    before = await till.everything()
    with pytest.raises(NothingToConfirm, match=f"this refund is {state} and waits for no confirmation"):
        await till.database.unit(confirm_own)
    assert await till.everything() == before


async def test_a_merchants_word_is_heard_about_its_own_refunds_only(till: Till) -> None:
    payout = await refund(till, await odd(till), maker="operator")
    await till.terms(review_above_units=0)
    mine = await till.ask("w-1", "1")
    stranger = replace(till.merchant, merchant_id=MerchantId(new_uuid7()))
    payouts, address = till.payouts(), STRANGERS["tron"]
    before = await till.everything()
    refusals: list[tuple[Callable[[Tx], Awaitable[Payout]], type[Problem]]] = [
        (lambda tx: payouts.confirm_own(tx, stranger, payout.payout_id, address), PayoutNotFound),
        (lambda tx: payouts.confirm_own(tx, till.merchant, new_uuid7(), address), PayoutNotFound),
        (lambda tx: payouts.confirm_own(tx, till.merchant, mine.payout_id, address), NothingToConfirm),
        (lambda tx: payouts.confirm_own(tx, till.merchant, payout.payout_id, OTHER), AddressRefused),
        (lambda tx: payouts.confirm_own(tx, till.merchant, payout.payout_id, "nobody"), Invalid),
    ]
    for work, problem in refusals:
        with pytest.raises(problem):
            await till.database.unit(work)
        assert await till.everything() == before
    confirm_own = lambda tx: payouts.confirm_own(tx, till.merchant, payout.payout_id, address)  # noqa: E731
    assert await till.crash_at_each_statement(confirm_own) >= 5
    assert await till.queued(payout.payout_id) == [("refund", "queued", "")]


@pytest.mark.parametrize(
    ("units", "terms", "left", "fee"),
    [
        (ODD, {}, ODD - FEE, 0),
        (ODD, {"fee_ppm": 1_500, "fee_flat_units": 7}, ODD - 60_007 - FEE, 60_007),
        (FEE + 10_000, {}, 10_000, 0),
    ],
)
async def test_an_estimate_is_what_the_refund_then_comes_to_and_reserves_nothing(
    till: Till, units: int, terms: dict[str, int], left: int, fee: int
) -> None:
    await till.terms(**terms)
    of = await odd(till, units)
    drafted, refunds = await draft(till, of), till.payouts().refunds
    before = await till.everything()
    told = await till.database.unit(lambda tx: refunds.estimate(tx, drafted, of))
    assert told == (left, Charge(fee, FEE, 9_000_000))
    assert await till.everything() == before
    payout = await refund(till, of)
    assert (payout.units, payout.charge) == told


async def test_an_estimate_is_refused_for_what_the_refund_would_be(till: Till) -> None:
    little, usual = await odd(till, FEE), await odd(till, number=2)
    refunds = till.payouts().refunds
    for of, target, problem in (
        (little, "", AmountRefused),
        (usual, "nobody", AddressRefused),
        (usual, "T9yD14Nj9j7xAB4dbGeiX9h8unkKHxuWwb", AddressRefused),
    ):
        drafted = await draft(till, of, target)
        with pytest.raises(problem):
            await till.database.unit(lambda tx, d=drafted, o=of: refunds.estimate(tx, d, o))
    async with till.database.transaction() as tx:
        await stops.add(tx, Stop(Scope.ALL, "", "trouble", till.clock.now()))
    drafted = await draft(till, usual)
    with pytest.raises(PayoutsStopped):
        await till.database.unit(lambda tx: refunds.estimate(tx, drafted, usual))


# --- what speaks against it


async def test_OPS_17_a_kill_switch_and_an_old_quote_leave_the_money_where_it_is(till: Till) -> None:
    of = await odd(till)
    async with till.database.transaction() as tx:
        await stops.add(tx, Stop(Scope.ASSET, ASSET, "trouble", till.clock.now()))
    before = await till.everything()
    with pytest.raises(PayoutsStopped, match="withdrawals of usdt-tron are stopped"):
        await refund(till, of)
    async with till.database.transaction() as tx:
        assert await stops.remove(tx, Scope.ASSET, ASSET)
    drafted = await draft(till, of)
    till.clock.advance(QUOTE_LIFE + timedelta(microseconds=1))
    with pytest.raises(QuoteExpired, match="nothing was reserved, ask again"):
        await till.database.unit(lambda tx: till.payouts().refunds.request(tx, drafted, of.deposit_id))
    assert await till.everything() == before


# --- what comes back


async def test_money_whose_deposit_left_the_chain_meanwhile_goes_back_to_the_balance_and_not_to_odd_money(
    till: Till,
) -> None:
    """Its merchant owes it already, so that what comes back has to stand against that debt."""
    of = await odd(till)
    payout = await refund(till, of, maker="operator")
    async with till.database.transaction() as tx:
        await tx.execute("update deposits set state = 'reversed' where deposit_id = $1", of.deposit_id)
    await till.database.unit(reject(till, payout))
    assert await places(till, of) == ("reversed", 0, 0, ODD)


async def test_a_refund_that_crashes_anywhere_was_neither_asked_for_nor_refused(till: Till) -> None:
    of = await odd(till)
    drafted = await draft(till, of, maker="operator")
    refunds = till.payouts().refunds
    assert await till.crash_at_each_statement(lambda tx: refunds.request(tx, drafted, of.deposit_id)) >= 15
    payout = await refund(till, of, maker="operator")
    assert await till.crash_at_each_statement(reject(till, payout)) >= 12
    assert await places(till, of) == ("unassigned", ODD, 0, 0)
