"""The edges of what may be asked: cursors, days, times, links, and what a refusal leaves behind."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from tests.authorizations.people import PASSWORD, Person
from tests.web.api.platform import Rest, Signer
from tests.web.api.test_orders import order, refusal
from tests.web.api.test_payouts import USDT, payout
from tests.web.wm.test_withdrawals import TARGET

from bitlinkpay.client.rest import RestClient
from bitlinkpay.core.ids import new_uuid7
from bitlinkpay.web.api.cursors import write_cursor
from bitlinkpay.web.api.home_shapes import AddRule, Proof, QuoteSettlement, SettlementQuery, StatementQuery
from bitlinkpay.web.api.shapes import (
    CreatePayoutBatch,
    CreatePreOrder,
    EntryQuery,
    EventQuery,
    Money,
    OrderQuery,
    PayoutQuery,
    QuoteFees,
    ValidateAddress,
)

FARTHEST = 2**63 - 1
TABLES = ("payins", "payouts", "sendings", "settlements", "settlement_rules")


async def nothing_stored(rest: Rest) -> bool:
    return [await rest.count(table) for table in TABLES] == [0] * len(TABLES)


# --- cursors


async def test_no_number_that_a_cursor_can_hold_breaks_a_list(rest: Rest, signer: Signer, client: RestClient) -> None:
    await rest.give(signer.merchant, USDT, 5_000_000)
    (entry,) = (await client.list_entries()).data
    posting = msgspec.convert(entry.posting_id.removeprefix("pst_"), type=type(new_uuid7()))
    no = int(entry.id.rpartition("_")[2])
    for number, seen in (
        (0, []),
        (no, []),
        (no + 1, [entry]),
        (2**31 - 1, [entry]),
        (2**31, [entry]),
        (FARTHEST, [entry]),
    ):
        cursor = write_cursor("entries", id_=posting, number=number)
        assert (await client.list_entries(EntryQuery(cursor=cursor))).data == seen, number
    for target in ("events", "callbacks"):
        answer = await client.send("GET", f"/v1/{target}?cursor={write_cursor(target, number=FARTHEST)}")
        assert (answer.status, json.loads(answer.body)["data"]) == (200, [])


KINDS = ("orders", "payouts", "settlements", "entries", "callbacks", "events")


@pytest.mark.parametrize("asked", KINDS)
async def test_a_cursor_goes_on_in_its_own_list_only(client: RestClient, asked: str) -> None:
    for kind in KINDS:
        cursor = write_cursor(kind, id_=new_uuid7(), number=1)
        answer = await client.send("GET", f"/v1/{asked}?cursor={cursor}")
        assert answer.status == (200 if kind == asked else 422), kind
        if kind != asked:
            assert json.loads(answer.body)["code"] == "cursor.invalid"


async def test_a_cursor_opens_nothing_of_another_merchant(rest: Rest, signer: Signer, client: RestClient) -> None:
    await rest.give(signer.merchant, USDT, 100_000_000)
    for n in range(2):
        await client.create_order(order(f"A-{n}"))
        await client.create_payout(payout(f"W-{n}", amount="1"))
    cursors = {
        "orders": (await client.list_orders(OrderQuery(limit=1))).next_cursor,
        "payouts": (await client.list_payouts(PayoutQuery(limit=1))).next_cursor,
        "entries": (await client.list_entries(EntryQuery(limit=1))).next_cursor,
        "events": (await client.list_events(EventQuery(limit=1))).next_cursor,
    }
    async with rest.client(await rest.signer()) as stranger:
        for kind, cursor in cursors.items():
            answer = await stranger.send("GET", f"/v1/{kind}?cursor={cursor}")
            assert (answer.status, json.loads(answer.body)["data"]) == (200, []), kind


async def test_the_one_of_a_source_id_is_a_list_that_ends(rest: Rest, signer: Signer, client: RestClient) -> None:
    await rest.give(signer.merchant, USDT, 100_000_000)
    made = [await client.create_order(order(f"A-{n}")) for n in range(3)]
    paid = [await client.create_payout(payout(f"W-{n}", amount="1")) for n in range(3)]
    found = await client.list_orders(OrderQuery(source_id="A-1", limit=1))
    assert (found.data, found.next_cursor) == ([made[1]], None)
    sent = await client.list_payouts(PayoutQuery(source_id="W-1", limit=1))
    assert (sent.data, sent.next_cursor) == ([paid[1]], None)
    assert (await client.list_orders(OrderQuery(source_id="W-1"))).data == []
    assert (await client.list_payouts(PayoutQuery(source_id="A-1"))).data == []
    assert (await client.list_orders(OrderQuery(source_id="a-1"))).data == [], "letters count"


# --- days


async def test_days_at_both_ends_of_the_calendar(rest: Rest, signer: Signer, client: RestClient) -> None:
    await rest.give(signer.merchant, USDT, 100_000_000)
    today = datetime.now(UTC).date()
    for day, status in (
        ("0001-01-01", 200),
        (str(today), 200),
        (str(today + timedelta(days=2)), 422),
        ("9999-12-31", 422),
        ("", 422),
        ("20260131", 422),
        ("2026-1-31", 422),
        ("2026-02-29", 422),
        ("2026-01-31T00:00:00Z", 422),
        ("today", 422),
    ):
        answer = await client.send("GET", f"/v1/statements?day={day}")
        assert answer.status == status, (day, answer.body)
        if status != 200:
            assert json.loads(answer.body)["param"] == "day", day
    answer = await client.send("GET", "/v1/statements")
    assert (answer.status, json.loads(answer.body)["param"]) == (422, "day")
    refused = await refusal(client.statements(StatementQuery(day=today, asset="usdt-mars")))
    assert (refused.status, refused.error.code, refused.error.param) == (422, "asset.not_offered", "asset")


async def test_a_day_has_a_statement_for_each_asset_that_moved(rest: Rest, signer: Signer, client: RestClient) -> None:
    await rest.give(signer.merchant, USDT, 5_000_000)
    await rest.give(signer.merchant, "btc-bitcoin", 1)
    today = datetime.now(UTC).date()
    found = {one.asset: one for one in await client.statements(StatementQuery(day=today))}
    assert found.keys() == {USDT, "btc-bitcoin"}
    assert {asset: (one.opening.available, one.closing.available) for asset, one in found.items()} == {
        USDT: ("0", "5"),
        "btc-bitcoin": ("0", "0.00000001"),
    }
    balances = {one.asset: one.available for one in await client.balances()}
    assert balances == {USDT: "5", "btc-bitcoin": "0.00000001"}


# --- times and terms of rules


async def rule(client: RestClient, person: Person, **fields: object) -> tuple[int, str | None]:
    """Ask for a rule as it stands on the wire; return status and field."""
    shown = {"device": person.device, "password": PASSWORD, "code": "000000"}
    body = json.dumps({"asset": USDT, "proof": shown, **fields}).encode()
    answer = await client.send("POST", "/v1/settlement-rules", body)
    return answer.status, json.loads(answer.body)["param"]


def daily(**changed: object) -> dict[str, object]:
    return {"cadence": "daily", "at": "09:30", "zone": "UTC", **changed}


WRONG_RULES: Sequence[tuple[dict[str, object], str]] = (
    ({"schedule": daily(at="09:30\n")}, "schedule.at"),
    ({"schedule": daily(at="24:00")}, "schedule.at"),
    ({"schedule": daily(at="9:30")}, "schedule.at"),
    ({"schedule": daily(at="09:30:00")}, "schedule.at"),
    ({"schedule": daily(at=930)}, "schedule.at"),
    ({"schedule": daily(zone="")}, "schedule.zone"),
    ({"schedule": daily(zone="../../etc/passwd")}, "zone"),
    ({"schedule": daily(zone="/etc/localtime")}, "zone"),
    ({"schedule": daily(zone="UTC\n")}, "zone"),
    ({"schedule": daily(zone="America")}, "zone"),
    ({"schedule": daily(cadence="hourly")}, "schedule.cadence"),
    ({"schedule": daily(day=1)}, "day"),
    ({"schedule": daily(day=-1)}, "schedule.day"),
    ({"schedule": daily(day=32)}, "schedule.day"),
    ({"schedule": daily(cadence="weekly")}, "day"),
    ({"schedule": daily(cadence="weekly", day=8)}, "day"),
    ({"schedule": daily(cadence="monthly")}, "day"),
    ({"schedule": daily(every="day")}, "schedule.every"),
    ({"schedule": daily(), "threshold": "5"}, "threshold"),
    ({"schedule": daily(), "reserve": "-1"}, "reserve"),
    ({"schedule": daily(), "reserve": "0.0000001"}, "reserve"),
    ({"schedule": daily(), "fee_max": "1e3"}, "fee_max"),
    ({"schedule": daily(), "fee_max": "0.0000001"}, "fee_max"),
    ({"threshold": "5", "reserve": "5"}, "threshold"),
    ({"threshold": None}, "threshold"),
    ({}, "threshold"),
)


async def test_a_rule_that_makes_no_sense_names_its_field_and_costs_no_try(
    rest: Rest, signer: Signer, client: RestClient
) -> None:
    person = await Person.of(rest.database, signer.merchant, rest.wall)
    for fields, param in WRONG_RULES:
        assert await rule(client, person, **fields) == (422, param), fields
    assert await rest.count("settlement_rules") == 0
    asked = AddRule(asset=USDT, threshold="5", proof=Proof(device=person.device, password=PASSWORD, code=person.code()))
    assert (await client.add_settlement_rule(asked)).threshold == Money(amount="5", asset=USDT), "the code is unspent"


async def test_a_rule_of_what_is_not_offered_is_refused(rest: Rest, signer: Signer, client: RestClient) -> None:
    person = await Person.of(rest.database, signer.merchant, rest.wall)
    assert await rule(client, person, asset="usdt-mars", threshold="5") == (422, "asset")
    for missing in ("device", "password", "code"):
        shown = {"device": "d", "password": "p", "code": "c"}
        del shown[missing]
        assert await rule(client, person, threshold="5", proof=shown) == (422, f"proof.{missing}")
    assert await rule(client, person, threshold="5", proof={}) == (422, "proof.device")
    assert await rule(client, person, threshold="5", proof=None) == (422, "proof")
    assert await nothing_stored(rest)


# --- settlements


@pytest.mark.parametrize(
    ("changed", "param"),
    [
        ({"asset": "usdt-mars"}, "asset"),
        ({"amount": "0"}, "amount"),
        ({"amount": "-1"}, "amount"),
        ({"amount": ""}, "amount"),
        ({"address": ""}, "address"),
        ({"address": "x" * 300}, "address"),
        ({"tag": "x" * 300}, "tag"),
        ({"id": "set_1"}, "id"),
        ({"id": "set_" + "0" * 32 + "\n"}, None),
        ({"id": "pay_" + "0" * 32}, "id"),
        ({"merchant": "x"}, "merchant"),
    ],
)
async def test_a_settlement_that_makes_no_sense_is_refused_before_it_is_proven(
    rest: Rest, client: RestClient, changed: dict[str, str], param: str | None
) -> None:
    body = {
        "id": "set_" + "1" * 32,
        "asset": USDT,
        "address": TARGET,
        "amount": "1",
        "proof": {"device": "", "password": "", "code": ""},
    }
    answer = await client.send("POST", "/v1/settlements", json.dumps(body | changed).encode())
    told = json.loads(answer.body)
    assert (answer.status, told["param"]) == (422, param), told
    assert await nothing_stored(rest)


async def test_runs_are_listed_by_the_id_of_a_rule_only(client: RestClient) -> None:
    assert (await client.list_settlements(SettlementQuery(rule_id="rul_" + "0" * 32))).data == []
    for wrong in ("x", "rul_", "set_" + "0" * 32, "rul_" + "0" * 33, "rul_" + "0" * 32 + "%0a"):
        answer = await client.send("GET", f"/v1/settlements?rule_id={wrong}")
        assert (answer.status, json.loads(answer.body)["code"]) == (422, "request.invalid"), wrong


async def test_quotes_hold_nothing_back(rest: Rest, signer: Signer, client: RestClient) -> None:
    await rest.give(signer.merchant, USDT, 100_000_000)
    quoted = [
        await client.quote_settlement(QuoteSettlement(asset=USDT, address=TARGET, amount="20")),
        await client.quote_fees(QuoteFees(asset=USDT, address=TARGET, amount="20")),
    ]
    for one in quoted:
        assert {part.asset for part in (one.amount, one.fee, one.network_fee, one.total)} == {USDT}
        assert one.amount == Money(amount="20", asset=USDT)
    (balance,) = await client.balances()
    assert (balance.available, balance.reserved) == ("100", "0")
    for asked, told in (
        (QuoteFees(asset=USDT, address=TARGET, amount="0.001"), (422, "payout.amount_refused", "amount")),
        (QuoteFees(asset=USDT, address="x", amount="1"), (422, "payout.address_refused", "address")),
        (QuoteFees(asset="usdt-mars", address=TARGET, amount="1"), (422, "asset.not_offered", "asset")),
        (QuoteFees(asset=USDT, address=TARGET, amount="0"), (422, "request.invalid", "amount")),
    ):
        refused = await refusal(client.quote_fees(asked))
        assert (refused.status, refused.error.code, refused.error.param) == told
    assert await nothing_stored(rest)


# --- orders and payouts


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"coin": "XYZ"}, (422, "coin")),
        ({"coin": ""}, (422, "coin")),
        ({"fiat_amount": "0"}, (422, "fiat_amount")),
        ({"success_url": "javascript:alert(1)"}, (422, "success_url")),
        ({"home_url": "https://user@shop.example/"}, (422, "home_url")),
        ({"failure_url": "//shop.example/"}, (422, "failure_url")),
        ({"failure_url": "https://shop.example:99999/"}, (422, "failure_url")),
        ({"callback_url": "ftp://shop.example/"}, (422, "callback_url")),
        ({"home_url": "https://shop.example/" + "a" * 3000}, (422, "home_url")),
        ({"lang": "x" * 100}, (422, "lang")),
        ({"source_id": ""}, (422, "source_id")),
    ],
)
async def test_a_pre_order_that_cannot_be_kept_names_its_field(
    rest: Rest, client: RestClient, changed: dict[str, str], told: tuple[int, str]
) -> None:
    fields = {"source_id": "P-1", "coin": "USDT", "fiat_amount": "72"} | changed
    refused = await refusal(client.create_pre_order(CreatePreOrder(**fields)))
    assert (refused.status, refused.error.param) == told, refused
    assert await nothing_stored(rest)
    assert (await client.create_pre_order(CreatePreOrder(source_id="P-1", coin="USDT", fiat_amount="72"))).id


async def test_links_of_a_pre_order_lead_to_the_listed_hosts_only(rest: Rest) -> None:
    signer = await rest.signer(return_hosts=("shop.example",))
    async with rest.client(signer) as client:
        for url in ("https://evil.example/", "https://shop.example.evil.example/", "https://www.shop.example/"):
            asked = CreatePreOrder(source_id="P-1", coin="USDT", fiat_amount="72", success_url=url)
            refused = await refusal(client.create_pre_order(asked))
            assert (refused.status, refused.error.param) == (422, "success_url"), url
            assert "return hosts" in refused.error.message
        asked = CreatePreOrder(source_id="P-1", coin="USDT", fiat_amount="72", success_url="https://shop.example/x?y#z")
        assert (await client.create_pre_order(asked)).state == "created"


async def test_a_batch_of_refusals_reserves_nothing_and_is_one_answer(
    rest: Rest, signer: Signer, client: RestClient
) -> None:
    await rest.give(signer.merchant, USDT, 10_000_000)
    wrong = [
        payout("B-1", amount="0"),
        payout("B-2", amount="11"),
        payout("B-3", callback_url="javascript:1"),
        payout("B-4", tag="7"),
        payout("B-5", asset="usdt-mars"),
    ]
    told = await client.create_payouts(CreatePayoutBatch(payouts=wrong), idempotency_key="k")
    assert [(one.source_id, one.error.type, one.error.code, one.error.param) for one in told.results if one.error] == [
        ("B-1", "invalid", "request.invalid", "amount"),
        ("B-2", "conflict", "payout.balance_too_low", "amount"),
        ("B-3", "invalid", "callback_url.forbidden", "callback_url"),
        ("B-4", "invalid", "request.invalid", "tag"),
        ("B-5", "invalid", "asset.not_offered", "asset"),
    ]
    assert [one.payout for one in told.results] == [None] * 5
    assert await nothing_stored(rest)
    await rest.give(signer.merchant, USDT, 90_000_000)
    assert await client.create_payouts(CreatePayoutBatch(payouts=wrong), idempotency_key="k") == told
    assert (await client.create_payouts(CreatePayoutBatch(payouts=wrong[1:2]))).results[0].payout is not None


async def test_a_suspended_merchant_is_told_so_by_every_door(rest: Rest, signer: Signer, client: RestClient) -> None:
    made = await client.create_order(order())
    await rest.suspend(signer.merchant)
    for call in (client.balances(), client.order(made.id), client.cancel_order(made.id), client.list_events()):
        refused = await refusal(call)
        assert (refused.status, refused.error.type) == (403, "forbidden"), refused
    async with rest.database.reader() as tx:
        assert await tx.fetchval("select state from payins") == "created"


@pytest.mark.parametrize("network", ["", "TRON", "tron\n", "tron;", "mars", "x" * 25])
async def test_addresses_are_looked_at_on_networks_of_ours_only(client: RestClient, network: str) -> None:
    refused = await refusal(client.validate_address(ValidateAddress(network=network, address=TARGET)))
    assert (refused.status, refused.error.param) == (422, "network"), refused


async def test_every_spelling_of_an_address_is_shown_in_its_usual_one(client: RestClient) -> None:
    checksummed = "0x52908400098527886E0F7030069857D2E4169EE7"
    for address, shown in (
        (checksummed, checksummed),
        (checksummed.lower(), checksummed),
        ("0x" + checksummed[2:].lower().replace("e", "E", 1), ""),
        (TARGET, ""),
    ):
        found = await client.validate_address(ValidateAddress(network="ethereum", address=address))
        assert (found.is_payable, found.address) == (bool(shown), shown), address
        assert bool(found.reason) == (not shown)
