"""Settlements, their rules and statements over the REST API: the four checks hold with every key."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from tests.authorizations.people import PASSWORD, Person
from tests.web.api.platform import Rest, Signer
from tests.web.api.test_orders import refusal
from tests.web.api.test_payouts import USDT, payout
from tests.web.wm.test_withdrawals import TARGET

from bitlinkpay.client.rest import RestClient, walk
from bitlinkpay.core.ids import new_uuid7, show_id
from bitlinkpay.merchants.api_keys.model import Scope
from bitlinkpay.settlements.model import Cause
from bitlinkpay.settlements.rules.schedule import Cadence
from bitlinkpay.web.api.home_shapes import (
    AddRule,
    Proof,
    QuoteSettlement,
    RequestSettlement,
    ScheduleBody,
    SettlementQuery,
    StatementQuery,
)
from bitlinkpay.web.api.shapes import Money


@pytest.fixture
async def person(rest: Rest, signer: Signer) -> Person:
    await rest.give(signer.merchant, USDT, 100_000_000)
    return await Person.of(rest.database, signer.merchant, rest.wall)


def proof(person: Person, **changed: str) -> Proof:
    return Proof(**({"device": person.device, "password": PASSWORD, "code": person.code()} | changed))


def asked(person: Person, **changed: object) -> RequestSettlement:
    fields: dict[str, object] = {
        "id": show_id("set", new_uuid7()),
        "asset": USDT,
        "address": TARGET,
        "amount": "20",
        "proof": proof(person),
    }
    return RequestSettlement(**(fields | changed))


async def test_a_settlement_is_made_once_shown_and_called_back(rest: Rest, client: RestClient, person: Person) -> None:
    ask = asked(person)
    made = await client.request_settlement(ask)
    assert (made.id, made.cause, made.state) == (ask.id, Cause.MANUAL, "approved")
    assert (made.amount, made.address, made.rule_id, made.trigger) == (Money(amount="20", asset=USDT), TARGET, "", "")
    assert await client.request_settlement(ask) == made
    assert await client.settlement(made.id) == made
    assert (await client.list_settlements()).data == [made]
    assert await rest.count("settlements") == await rest.count("payouts") == 1
    gone = await client.cancel_settlement(made.id)
    assert gone.state == "cancelled"
    (balance,) = await client.balances()
    assert (balance.available, balance.reserved) == ("100", "0")


async def test_the_same_id_for_something_else_is_refused(client: RestClient, person: Person) -> None:
    ask = asked(person)
    await client.request_settlement(ask)
    refused = await refusal(client.request_settlement(asked(person, id=ask.id, amount="21")))
    assert (refused.status, refused.error.code) == (409, "settlement.exists_different")


async def test_without_the_four_checks_nothing_goes_home(rest: Rest, client: RestClient, person: Person) -> None:
    for changed in ({"device": "unknown"}, {"password": "wrong"}, {"code": "000000"}, {"code": ""}):
        refused = await refusal(client.request_settlement(asked(person, proof=proof(person, **changed))))
        assert refused.status in {403, 409, 422, 429}, changed
        assert refused.error.code.startswith("authorization."), refused.error
    assert await rest.count("settlements") == 0
    assert await rest.count("api_answers") == 0  # no answer is kept whose request held a password


async def test_a_code_moves_money_once(client: RestClient, person: Person) -> None:
    shown = proof(person)
    await client.request_settlement(asked(person, proof=shown))
    refused = await refusal(client.request_settlement(asked(person, proof=shown)))
    assert refused.error.code.startswith("authorization.")


async def test_a_key_without_the_scope_settles_nothing(rest: Rest, signer: Signer, person: Person) -> None:
    reader = await rest.signer(signer.merchant, scopes=frozenset({Scope.READ, Scope.PAYIN}))
    async with rest.client(reader) as client:
        refused = await refusal(client.request_settlement(asked(person)))
        assert (refused.status, refused.error.code) == (403, "api_key.missing_scope")
        assert (await client.list_settlements()).data == []
        assert (await client.quote_settlement(QuoteSettlement(asset=USDT, address=TARGET, amount="1"))).total.amount


async def test_a_quote_says_what_everything_comes_to(client: RestClient, person: Person) -> None:
    quoted = await client.quote_settlement(QuoteSettlement(asset=USDT, address=TARGET))
    assert quoted.total == Money(amount="100", asset=USDT)
    made = await client.request_settlement(asked(person, amount=None))
    assert (made.amount, made.network_fee) == (quoted.amount, quoted.network_fee)
    refused = await refusal(client.quote_settlement(QuoteSettlement(asset=USDT, address=TARGET)))
    assert (refused.status, refused.error.code) == (409, "settlement.nothing_to_settle")


async def test_API_31_another_merchants_settlement_and_rule_read_as_missing(
    rest: Rest, client: RestClient, person: Person
) -> None:
    made = await client.request_settlement(asked(person))
    rest.wall.advance(timedelta(minutes=1))
    rule = await client.add_settlement_rule(AddRule(asset=USDT, threshold="50", proof=proof(person)))
    async with rest.client(await rest.signer()) as stranger:
        for call in (
            stranger.settlement(made.id),
            stranger.cancel_settlement(made.id),
            stranger.settlement("set_" + "0" * 32),
            stranger.settlement("x"),
        ):
            refused = await refusal(call)
            assert (refused.status, refused.error.code) == (404, "settlement.not_found")
        for rule_id in (rule.id, "rul_" + "0" * 32, "x"):
            refused = await refusal(stranger.remove_settlement_rule(rule_id))
            assert (refused.status, refused.error.code) == (404, "settlement.rule_not_found")
        assert (await stranger.list_settlements()).data == []
        assert await stranger.settlement_rules() == []
        assert (await stranger.list_settlements(SettlementQuery(rule_id=rule.id))).data == []
    assert [one.id for one in await client.settlement_rules()] == [rule.id]


async def test_rules_come_and_go(rest: Rest, client: RestClient, person: Person) -> None:
    plan = ScheduleBody(cadence=Cadence.WEEKLY, at="09:30", zone="Asia/Shanghai", day=1)
    first = await client.add_settlement_rule(AddRule(asset=USDT, schedule=plan, reserve="5", proof=proof(person)))
    assert (first.schedule, first.threshold, first.reserve) == (plan, None, Money(amount="5", asset=USDT))
    assert first.next_due_at is not None
    assert (first.next_due_at.weekday(), first.next_due_at.hour, first.next_due_at.minute) == (0, 1, 30)
    rest.wall.advance(timedelta(minutes=1))
    asked_for = AddRule(asset=USDT, threshold="50", fee_max="1.5", proof=proof(person))
    second = await client.add_settlement_rule(asked_for)
    assert (second.threshold, second.fee_max) == (Money(amount="50", asset=USDT), Money(amount="1.5", asset=USDT))
    assert await client.settlement_rules() == [first, second]
    gone = await client.remove_settlement_rule(first.id, idempotency_key="1")
    assert gone.ended_at is not None
    assert await client.settlement_rules() == [second]
    assert await client.remove_settlement_rule(first.id, idempotency_key="1") == gone
    assert (await refusal(client.remove_settlement_rule(first.id))).error.code == "settlement.rule_not_found"


async def test_a_rule_that_could_never_settle_is_refused_before_a_code_is_spent(
    client: RestClient, person: Person
) -> None:
    plan = ScheduleBody(cadence=Cadence.DAILY, at="09:30", zone="Mars/Olympus")
    for changed, param in (
        ({}, "threshold"),
        ({"schedule": plan}, "zone"),
        ({"threshold": "0.001"}, "threshold"),
        ({"threshold": "0.0000001"}, "threshold"),
    ):
        refused = await refusal(client.add_settlement_rule(AddRule(asset=USDT, proof=proof(person), **changed)))
        assert (refused.status, refused.error.param) == (422, param), changed
    assert (await client.add_settlement_rule(AddRule(asset=USDT, threshold="50", proof=proof(person)))).threshold


async def test_settlements_are_listed_newest_first(rest: Rest, client: RestClient, person: Person) -> None:
    made = []
    for _ in range(3):
        made.append((await client.request_settlement(asked(person, amount="1"))).id)
        rest.wall.advance(timedelta(minutes=1))
    found = [
        one.id async for one in walk(lambda cursor: client.list_settlements(SettlementQuery(limit=2, cursor=cursor)))
    ]
    assert found == made[::-1]


async def test_a_day_adds_up_from_opening_to_closing(rest: Rest, signer: Signer, client: RestClient) -> None:
    await rest.give(signer.merchant, USDT, 100_000_000)
    await rest.give(await rest.merchant(), USDT, 5_000_000)
    await client.create_payout(payout())
    today = datetime.now(UTC).date()
    (shown,) = await client.statements(StatementQuery(day=today))
    (balance,) = await client.balances()
    assert (shown.asset, shown.day, shown.is_closed) == (USDT, today, False)
    assert (shown.closing.available, shown.closing.reserved) == (balance.available, balance.reserved)
    assert {one.event: one.postings for one in shown.movements} == {"hot_wallet_funded": 1, "payout_reserved": 1}
    for pot in ("available", "reserved"):
        moved = sum(Decimal(getattr(one.change, pot)) for one in shown.movements)
        assert Decimal(getattr(shown.opening, pot)) + moved == Decimal(getattr(shown.closing, pot))
    assert await client.statements(StatementQuery(day=today, asset=USDT)) == [shown]
    assert await client.statements(StatementQuery(day=today, asset="trx-tron")) == []
    assert await client.statements(StatementQuery(day=today - timedelta(days=1))) == []
    refused = await refusal(client.statements(StatementQuery(day=today + timedelta(days=2))))
    assert (refused.status, refused.error.code, refused.error.param) == (422, "statement.day_not_begun", "day")
    answer = await client.send("GET", "/v1/statements?day=2026-02-30")
    assert answer.status == 422
