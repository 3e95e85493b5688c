"""What is refused, in which words, before or after a code is spent, and that nothing at all was stored by it."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product

import pytest
from tests.flows.harness import REGISTRY
from tests.flows.settling import USDT, Office, units

from bitlinkpay.core.errors import Kind, Problem
from bitlinkpay.core.ids import new_uuid7
from bitlinkpay.core.money import parse_decimal
from bitlinkpay.ledger import accounts
from bitlinkpay.ledger import service as ledger
from bitlinkpay.ledger.model import LedgerEvent, Move, Posting
from bitlinkpay.merchants.model import MerchantState
from bitlinkpay.payouts.model import PayoutTooLate, SamePerson
from bitlinkpay.sending.stops import store as stops
from bitlinkpay.sending.stops.store import Scope, Stop
from bitlinkpay.settlements.addresses.model import HomeNotFound, HomeOnHold
from bitlinkpay.settlements.model import (
    Ask,
    InDebt,
    MerchantInactive,
    NothingToSettle,
    SettlementExistsDifferent,
    SettlementId,
    SettlementNotFound,
)
from bitlinkpay.settlements.rules.model import RuleNotFound, Terms, TooManyRules

ASSET = REGISTRY.assets[USDT]
SOON = datetime(2026, 3, 2, 12, 0, 59, tzinfo=UTC)
TABLES = (
    "settlements", "settlement_events", "payouts", "payout_events", "ledger_postings", "ledger_entries", "transactions",
    "outbox", "authorizations where used_at is not null",
)  # fmt: skip


@pytest.mark.parametrize(
    ("problem", "code", "kind", "param", "message"),
    [
        (SettlementNotFound(), "settlement.not_found", Kind.NOT_FOUND, None, "no settlement with this id"),
        (
            SettlementExistsDifferent(),
            "settlement.exists_different",
            Kind.CONFLICT,
            None,
            "this settlement id was used with other parameters; repeat the same ones or use a new id",
        ),
        (
            MerchantInactive(),
            "settlement.merchant_inactive",
            Kind.FORBIDDEN,
            None,
            "the merchant is suspended or revoked; resume it first",
        ),
        (
            InDebt(ASSET, 1_500_000),
            "settlement.in_debt",
            Kind.CONFLICT,
            None,
            "1.5 USDT are owed, because a credit was undone that had been spent; settle once later credits have repaid it",
        ),
        (
            NothingToSettle(ASSET),
            "settlement.nothing_to_settle",
            Kind.CONFLICT,
            "amount",
            "the balance of usdt-tron does not cover its fees and the smallest settlement",
        ),
        (
            HomeNotFound("tron", ""),
            "settlement.address_not_found",
            Kind.NOT_FOUND,
            "label",
            "no address is bound on tron",
        ),
        (
            HomeNotFound("ton", "safe"),
            "settlement.address_not_found",
            Kind.NOT_FOUND,
            "label",
            "no address 'safe' is saved on ton",
        ),
        (
            HomeOnHold(SOON),
            "settlement.address_on_hold",
            Kind.CONFLICT,
            "label",
            "this address is new and rests until 2026-03-02T12:00+00:00; name it in full to settle there now",
        ),
        (
            RuleNotFound(),
            "settlement.rule_not_found",
            Kind.NOT_FOUND,
            "rule_id",
            "no such settlement rule, or it was removed already",
        ),
        (
            TooManyRules(),
            "settlement.too_many_rules",
            Kind.CONFLICT,
            None,
            "50 rules are in force; remove one first",
        ),
    ],
)
def test_a_problem_has_its_code_and_says_what_to_change(
    problem: Problem, code: str, kind: Kind, param: str | None, message: str
) -> None:
    assert (problem.code, problem.kind, problem.param, problem.message) == (code, kind, param, message)


# --- requests that come to nothing


async def stop_network(office: Office) -> None:
    async with office.world.database.transaction() as tx:
        await stops.add(tx, Stop(Scope.NETWORK, "tron", "trouble", office.world.clock.now()))


async def cap_one(office: Office) -> None:
    await office.charge(payment_max_units=units("20") - 1)


async def cap_day(office: Office) -> None:
    await office.charge(day_max_units=units("35"))
    await office.settle("15.000001")


async def owe(office: Office) -> None:
    """Put one unit of debt into the books, as a credit does that was undone after it was spent."""
    merchant_id = office.world.merchant.merchant_id
    moves = (Move(accounts.debt(merchant_id), accounts.available(merchant_id), 1),)
    undone = Posting("debt", LedgerEvent.UNASSIGNED_ACCEPTED, USDT, moves, merchant_id, office.world.clock.now())
    async with office.world.database.transaction() as tx:
        await ledger.post_all(tx, [undone])


async def nothing(_: Office) -> None:
    return


def suspended(ask: Ask) -> Ask:
    return replace(ask, merchant=replace(ask.merchant, state=MerchantState.SUSPENDED))


def revoked(ask: Ask) -> Ask:
    return replace(ask, merchant=replace(ask.merchant, state=MerchantState.REVOKED))


def to(target: str) -> Callable[[Ask], Ask]:
    return lambda ask: replace(ask, target=target)


def of(amount: str) -> Callable[[Ask], Ask]:
    return lambda ask: replace(ask, amount=parse_decimal(amount))


def same(ask: Ask) -> Ask:
    return ask


async def stored(office: Office) -> list[int]:
    return [int(str((await office.world.rows(f"select count(*) from {table}"))[0][0])) for table in TABLES]


WRONG: tuple[tuple[Callable[[Ask], Ask], str], ...] = (
    (suspended, "suspended or revoked"),
    (revoked, "suspended or revoked"),
    (to("nowhere"), "address"),
    (to(""), "address"),
    (lambda ask: replace(ask, tag="7"), "this network knows no tags"),
    (of("0"), "the smallest withdrawal is"),
    (of("0.000001"), "the smallest withdrawal is"),
    (of("20.0000001"), "of USDT"),
)


async def test_what_is_wrong_in_itself_is_refused_by_quote_and_request_alike_and_spends_no_code(office: Office) -> None:
    before, shown = await stored(office), office.shown()
    for change, words in WRONG:
        ask, told = change(office.ask("20")), []
        for step in (office.settlements.quote(ask), office.settlements.request(ask, shown)):
            with pytest.raises(Problem, match=words) as refused:
                await step
            told.append((refused.value.code, refused.value.message))
        assert told[0] == told[1]
    assert await stored(office) == before
    await office.settlements.request(office.ask("20"), shown)  # with the same code


@pytest.mark.parametrize(
    ("trouble", "change", "words"),
    [
        (nothing, of("99.8"), "balance"),
        (nothing, to("T9yD14Nj9j7xAB4dbGeiX9h8unkKHxuWwb"), "the money would be burnt"),
        (nothing, to(ASSET.contract or ""), "it is a token's contract"),
        (stop_network, same, "trouble|stopped|paused"),
        (cap_one, same, "the largest single withdrawal is 19.999999 USDT"),
        (cap_day, same, "the daily limit leaves 19.999999 USDT for today"),
        (owe, same, "0.000001 USDT are owed"),
    ],
)
async def test_what_stands_in_the_way_is_told_by_a_quote_too_reserves_nothing_and_leaves_no_trace(
    office: Office, trouble: Callable[[Office], Awaitable[None]], change: Callable[[Ask], Ask], words: str
) -> None:
    await trouble(office)
    before, balance, ask, told = await stored(office), await office.world.balance(), change(office.ask("20")), []
    for step in (office.settlements.quote(ask), office.settlements.request(ask, office.shown())):
        with pytest.raises(Problem, match=words) as refused:
            await step
        told.append((refused.value.code, refused.value.message))
    assert told[0] == told[1]
    assert await stored(office) == before
    assert await office.world.balance() == balance


async def test_a_listed_recipient_is_refused_before_a_code_is_spent(office: Office) -> None:
    ask, shown = office.ask("20"), office.shown()
    office.world.lists.listed.add(ask.target)
    before = await stored(office)
    with pytest.raises(Problem, match="sanctions list"):
        await office.settlements.request(ask, shown)
    assert await stored(office) == before
    office.world.lists.listed.clear()
    await office.settlements.request(ask, shown)


@pytest.mark.parametrize("is_close", [False, True])
async def test_everything_is_nothing_once_fees_are_taken(office: Office, *, is_close: bool) -> None:
    """Also where it is the network's own fee that leaves one unit less than the smallest settlement."""
    network_fee_units = (await office.settlements.quote(office.ask(None))).network_fee_units
    rest = network_fee_units + ASSET.minimum_units
    flat = await office.available() - (rest - 1 if is_close else 0)
    await office.charge(fee_flat_units=flat)
    for step in (office.settlements.quote(office.ask(None)), office.settle(None)):
        with pytest.raises(NothingToSettle):
            await step
    assert await office.listed() == []
    if is_close:
        await office.charge(fee_flat_units=flat - 1)
        assert (await office.settlements.quote(office.ask(None))).units == ASSET.minimum_units


# --- what a person may still decide


async def decide(office: Office, name: str, settlement_id: SettlementId, by: str = "alice") -> None:
    merchant_id = office.world.merchant.merchant_id
    steps = {
        "approve": lambda tx: office.settlements.approve(tx, settlement_id, by=by),
        "reject": lambda tx: office.settlements.reject(tx, settlement_id, reason="no", by=by),
        "cancel": lambda tx: office.settlements.cancel(tx, merchant_id, settlement_id),
    }
    await office.world.database.unit(steps[name])


STEPS = ("approve", "reject", "cancel")
ENDS = {"approve": "approved", "reject": "rejected", "cancel": "cancelled"}


async def test_after_one_decision_only_an_approved_one_can_be_called_back(office: Office) -> None:
    await office.charge(review_above_units=0)
    before, kept = await office.available(), 0
    for first, second in product(STEPS, STEPS):
        settlement, expected = await office.settle("5"), ENDS[first]
        await decide(office, first, settlement.settlement_id)
        if (first, second) == ("approve", "cancel"):
            await decide(office, second, settlement.settlement_id)
            expected = "cancelled"
        else:
            with pytest.raises(PayoutTooLate):
                await decide(office, second, settlement.settlement_id)
        payout = await office.payout(settlement)
        assert payout.state == expected
        kept += payout.reserved_units if expected == "approved" else 0
        assert await office.available() == before - kept


async def test_what_was_skipped_or_never_was_cannot_be_decided(office: Office) -> None:
    await office.rule(Terms(threshold_units=units("50")))
    assert await office.step() == (1, 1)
    (run,) = await office.listed()
    assert run.settlement.reason == "no_address"
    for step, settlement_id in product(STEPS, (run.settlement.settlement_id, SettlementId(new_uuid7()))):
        with pytest.raises(SettlementNotFound):
            await decide(office, step, settlement_id)


async def test_who_typed_it_does_not_let_it_go(office: Office) -> None:
    await office.charge(review_above_units=0)
    ask = replace(office.ask("20"), maker="bob")
    settlement = await office.settlements.request(ask, office.shown())
    with pytest.raises(SamePerson):
        await decide(office, "approve", settlement.settlement_id, by="bob")
    assert (await office.payout(settlement)).state == "in_review"
    await decide(office, "approve", settlement.settlement_id, by="alice")
    assert (await office.payout(settlement)).state == "approved"


async def test_the_same_person_again_is_the_same_settlement_whoever_typed_it(office: Office) -> None:
    """An authorization covers what is paid, not who typed it in: the repeat changes nothing."""
    ask = replace(office.ask("20"), maker="bob")
    first = await office.settlements.request(ask, office.shown())
    assert await office.settlements.request(replace(ask, maker="alice"), office.shown()) == first


async def test_an_address_that_rests_is_refused_until_the_very_moment(office: Office) -> None:
    merchant_id = office.world.merchant.merchant_id
    saved = await office.bind(label="safe")
    office.world.clock.set(saved.usable_at - timedelta(microseconds=1))
    async with office.world.database.reader() as tx:
        with pytest.raises(HomeOnHold):
            await office.homes.get_usable(tx, merchant_id, "tron", "safe")
        office.world.clock.set(saved.usable_at)
        assert await office.homes.get_usable(tx, merchant_id, "tron", "safe") == saved
        for network, label in (("ton", "safe"), ("tron", "Safe"), ("tron", "")):
            with pytest.raises(HomeNotFound):
                await office.homes.get_usable(tx, merchant_id, network, label)
