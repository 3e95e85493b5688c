"""The REST client against the API itself: every call leads to its operation, and every refusal comes back as one."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from datetime import UTC, date, datetime, timedelta

import msgspec
import pytest
import uvloop
from tests.authorizations.people import PASSWORD, Person
from tests.client import test_rest
from tests.client.test_rest import Echo, text_of
from tests.web.api.platform import Rest, Signer
from tests.web.wm.test_withdrawals import TARGET

from bitlinkpay.chains.registry import load_registry
from bitlinkpay.client.rest import ApiRefused, ApiUnreachable, RestClient, StrangeAnswer, walk
from bitlinkpay.core.ids import new_uuid7, show_id
from bitlinkpay.db.pool import Database
from bitlinkpay.merchants.api_keys.model import Scope
from bitlinkpay.merchants.api_keys.signing import hmac_signer, is_hmac, read_signature
from bitlinkpay.payins.model import Label
from bitlinkpay.settlements.rules.schedule import Cadence
from bitlinkpay.signer.keys import derive_keyring
from bitlinkpay.web.api.build import operations_of
from bitlinkpay.web.api.home_shapes import (
    AddRule,
    BindAddress,
    HomeAddressQuery,
    Proof,
    QuoteSettlement,
    RequestSettlement,
    ScheduleBody,
    SettlementQuery,
    StatementQuery,
)
from bitlinkpay.web.api.odd_shapes import ConfirmRefund, RefundUnassigned, UnassignedQuery
from bitlinkpay.web.api.sandbox_shapes import AdvanceClock, MineBlocks, PayOrder
from bitlinkpay.web.api.shapes import (
    CallbackQuery,
    CreateOrder,
    CreatePayout,
    CreatePayoutBatch,
    CreatePreOrder,
    EntryQuery,
    EventQuery,
    OrderQuery,
    PayoutQuery,
    QuoteFees,
    ValidateAddress,
)
from bitlinkpay.web.api.shop_shapes import PickAsset, QuoteOrder

listener = test_rest.echo
"""A fixture: a server that answers as it is told."""

USDT, DAY, MIDNIGHT = "usdt-tron", date(2026, 1, 31), datetime(2026, 1, 31, tzinfo=UTC)
ORDER = CreateOrder(source_id="A-1", asset=USDT, fiat_amount="72")
PAYOUT = CreatePayout(source_id="W-1", asset=USDT, address=TARGET, amount="20")
PROOF = Proof(device="d", password="p", code="1")

Ask = Callable[[RestClient], Coroutine[object, object, object]]

HOME = BindAddress(network="tron", address=TARGET, proof=PROOF)
REFUND = RefundUnassigned(address=TARGET)

CALLS: Mapping[str, tuple[str, str, Ask]] = {
    "payOrder": ("POST", "/v1/sandbox/payments", lambda c: c.pay_order(PayOrder(order_id="pay_1"))),
    "mineBlocks": ("POST", "/v1/sandbox/blocks", lambda c: c.mine_blocks(MineBlocks(network="tron"))),
    "advanceClock": ("POST", "/v1/sandbox/clock", lambda c: c.advance_clock(AdvanceClock(seconds=1))),
    "getMerchant": ("GET", "/v1/merchant", lambda c: c.merchant()),
    "listAssets": ("GET", "/v1/assets", lambda c: c.assets()),
    "quoteOrder": ("POST", "/v1/orders/quote", lambda c: c.quote_order(QuoteOrder(asset=USDT, fiat_amount="72"))),
    "pickAsset": ("POST", "/v1/orders/pay_1/pick", lambda c: c.pick_asset("pay_1", PickAsset(asset=USDT))),
    "listUnassigned": (
        "GET",
        "/v1/unassigned?limit=50&since=2026-01-31T00%3A00%3A00Z&state=quarantined&label=late",
        lambda c: c.list_unassigned(UnassignedQuery(state="quarantined", label=Label.LATE, since=MIDNIGHT)),
    ),
    "getUnassigned": ("GET", "/v1/unassigned/dep_1", lambda c: c.unassigned("dep_1")),
    "acceptUnassigned": ("POST", "/v1/unassigned/dep_1/accept", lambda c: c.accept_unassigned("dep_1")),
    "creditUnassigned": ("POST", "/v1/unassigned/dep_1/credit", lambda c: c.credit_unassigned("dep_1")),
    "refundUnassigned": ("POST", "/v1/unassigned/dep_1/refund", lambda c: c.refund_unassigned("dep_1", REFUND)),
    "quoteRefund": ("POST", "/v1/unassigned/dep_1/refund/quote", lambda c: c.quote_refund("dep_1", REFUND)),
    "confirmRefund": (
        "POST",
        "/v1/payouts/out_1/confirm",
        lambda c: c.confirm_refund("out_1", ConfirmRefund(address=TARGET)),
    ),
    "bindAddress": ("POST", "/v1/settlement-addresses", lambda c: c.bind_address(HOME)),
    "listAddresses": (
        "GET",
        "/v1/settlement-addresses?limit=50&network=tron",
        lambda c: c.list_addresses(HomeAddressQuery(network="tron")),
    ),
    "removeAddress": ("POST", "/v1/settlement-addresses/adr_1/remove", lambda c: c.remove_address("adr_1")),
    "createOrder": ("POST", "/v1/orders", lambda c: c.create_order(ORDER)),
    "createPreOrder": (
        "POST",
        "/v1/pre-orders",
        lambda c: c.create_pre_order(CreatePreOrder(source_id="P-1", coin="USDT", fiat_amount="72")),
    ),
    "getOrder": ("GET", "/v1/orders/pay_1", lambda c: c.order("pay_1")),
    "listOrders": ("GET", "/v1/orders?limit=50&source_id=A-1", lambda c: c.list_orders(OrderQuery(source_id="A-1"))),
    "cancelOrder": ("POST", "/v1/orders/pay_1/cancel", lambda c: c.cancel_order("pay_1")),
    "createPayout": ("POST", "/v1/payouts", lambda c: c.create_payout(PAYOUT)),
    "createPayoutBatch": (
        "POST",
        "/v1/payouts/batch",
        lambda c: c.create_payouts(CreatePayoutBatch(payouts=[PAYOUT])),
    ),
    "getPayout": ("GET", "/v1/payouts/out_1", lambda c: c.payout("out_1")),
    "listPayouts": ("GET", "/v1/payouts?limit=7&cursor=x", lambda c: c.list_payouts(PayoutQuery(limit=7, cursor="x"))),
    "cancelPayout": ("POST", "/v1/payouts/out_1/cancel", lambda c: c.cancel_payout("out_1")),
    "requestSettlement": (
        "POST",
        "/v1/settlements",
        lambda c: c.request_settlement(RequestSettlement(id="set_1", asset=USDT, address=TARGET, proof=PROOF)),
    ),
    "quoteSettlement": (
        "POST",
        "/v1/settlements/quote",
        lambda c: c.quote_settlement(QuoteSettlement(asset=USDT, address=TARGET)),
    ),
    "getSettlement": ("GET", "/v1/settlements/set_1", lambda c: c.settlement("set_1")),
    "listSettlements": (
        "GET",
        "/v1/settlements?limit=50&rule_id=rul_1",
        lambda c: c.list_settlements(SettlementQuery(rule_id="rul_1")),
    ),
    "cancelSettlement": ("POST", "/v1/settlements/set_1/cancel", lambda c: c.cancel_settlement("set_1")),
    "addSettlementRule": (
        "POST",
        "/v1/settlement-rules",
        lambda c: c.add_settlement_rule(AddRule(asset=USDT, threshold="5", proof=PROOF)),
    ),
    "listSettlementRules": ("GET", "/v1/settlement-rules", lambda c: c.settlement_rules()),
    "removeSettlementRule": ("POST", "/v1/settlement-rules/rul_1/remove", lambda c: c.remove_settlement_rule("rul_1")),
    "listStatements": (
        "GET",
        "/v1/statements?day=2026-01-31&asset=usdt-tron",
        lambda c: c.statements(StatementQuery(day=DAY, asset=USDT)),
    ),
    "validateAddress": (
        "POST",
        "/v1/addresses/validate",
        lambda c: c.validate_address(ValidateAddress(network="tron", address=TARGET)),
    ),
    "quoteFees": (
        "POST",
        "/v1/addresses/quote",
        lambda c: c.quote_fees(QuoteFees(asset=USDT, address=TARGET, amount="1")),
    ),
    "listBalances": ("GET", "/v1/balances", lambda c: c.balances()),
    "listEntries": ("GET", "/v1/entries?limit=50&asset=usdt-tron", lambda c: c.list_entries(EntryQuery(asset=USDT))),
    "listCallbacks": (
        "GET",
        "/v1/callbacks?limit=50&state=parked",
        lambda c: c.list_callbacks(CallbackQuery(state="parked")),
    ),
    "getCallback": ("GET", "/v1/callbacks/evt_1", lambda c: c.callback("evt_1")),
    "resendCallback": ("POST", "/v1/callbacks/evt_1/resend", lambda c: c.resend_callback("evt_1")),
    "listEvents": ("GET", "/v1/events?limit=1", lambda c: c.list_events(EventQuery(limit=1))),
}


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture
async def rest(database: Database) -> AsyncIterator[Rest]:
    async with Rest.start(database, load_registry(), derive_keyring(bytes(range(64)))) as found:
        yield found


@pytest.fixture
async def signer(rest: Rest) -> Signer:
    found = await rest.signer()
    await rest.give(found.merchant, USDT, 100_000_000)
    return found


@pytest.fixture
async def client(rest: Rest, signer: Signer) -> AsyncIterator[RestClient]:
    async with rest.client(signer) as found:
        yield found


async def refusal(call: Coroutine[object, object, object]) -> ApiRefused:
    with pytest.raises(ApiRefused) as caught:
        await call
    return caught.value


async def test_every_operation_of_the_api_has_its_call(rest: Rest) -> None:
    offered = {one.name: (one.method, one.pattern) for one in operations_of(rest.services)}
    assert offered.keys() == CALLS.keys()
    for name, (method, target, _) in CALLS.items():
        expected, pattern = offered[name]
        assert (method, bool(pattern.fullmatch(target.partition("?")[0]))) == (expected, True), name


@pytest.mark.parametrize("name", CALLS)
async def test_a_call_asks_for_what_its_name_says(listener: Echo, name: str) -> None:
    method, target, ask = CALLS[name]
    listener.answer = (418, b"", {})
    async with RestClient.hmac(listener.url, "key_1", "s") as client:
        with pytest.raises(StrangeAnswer):
            await ask(client)
    (asked,) = listener.asked
    assert (asked[0], asked[1]) == (method, target)
    assert "idempotency-key" not in asked[2]
    assert is_hmac("s", text_of(asked), read_signature(asked[2]["blp-signature"]))
    assert (asked[2].get("content-type") == "application/json") == bool(asked[3])


REPEATED: Mapping[str, Ask] = {
    "/v1/orders": lambda c: c.create_order(ORDER, idempotency_key="k"),
    "/v1/pre-orders": lambda c: c.create_pre_order(
        CreatePreOrder(source_id="P-1", coin="USDT", fiat_amount="72"), idempotency_key="k"
    ),
    "/v1/orders/x/cancel": lambda c: c.cancel_order("x", idempotency_key="k"),
    "/v1/orders/x/pick": lambda c: c.pick_asset("x", PickAsset(asset=USDT), idempotency_key="k"),
    "/v1/unassigned/x/accept": lambda c: c.accept_unassigned("x", idempotency_key="k"),
    "/v1/unassigned/x/credit": lambda c: c.credit_unassigned("x", idempotency_key="k"),
    "/v1/unassigned/x/refund": lambda c: c.refund_unassigned("x", REFUND, idempotency_key="k"),
    "/v1/payouts/x/confirm": lambda c: c.confirm_refund("x", ConfirmRefund(address=TARGET), idempotency_key="k"),
    "/v1/settlement-addresses/x/remove": lambda c: c.remove_address("x", idempotency_key="k"),
    "/v1/payouts": lambda c: c.create_payout(PAYOUT, idempotency_key="k"),
    "/v1/payouts/batch": lambda c: c.create_payouts(CreatePayoutBatch(payouts=[PAYOUT]), idempotency_key="k"),
    "/v1/payouts/x/cancel": lambda c: c.cancel_payout("x", idempotency_key="k"),
    "/v1/settlements/x/cancel": lambda c: c.cancel_settlement("x", idempotency_key="k"),
    "/v1/settlement-rules/x/remove": lambda c: c.remove_settlement_rule("x", idempotency_key="k"),
    "/v1/callbacks/x/resend": lambda c: c.resend_callback("x", idempotency_key="k"),
}


async def test_what_may_be_repeated_carries_its_idempotency_key(rest: Rest, listener: Echo) -> None:
    listener.answer = (418, b"", {})
    async with RestClient.hmac(listener.url, "key_1", "s") as client:
        for ask in REPEATED.values():
            with pytest.raises(StrangeAnswer):
                await ask(client)
    assert [(target, headers["idempotency-key"]) for _, target, headers, _ in listener.asked] == [
        (target, "k") for target in REPEATED
    ]
    heeded = [one for one in operations_of(rest.services) if one.repeats]
    assert all(any(one.pattern.fullmatch(target) for target in REPEATED) for one in heeded)
    assert len(heeded) == len(REPEATED)


ODD_IDS = [
    "",
    "x",
    "a b",
    "é",
    "x?limit=1",
    "x#y",
    "a\r\nblp-key: other",
    "../payouts",
    "%41",
    "a/cancel",
    ".",
    "x" * 65,
]


@pytest.mark.parametrize("odd", ODD_IDS)
async def test_an_odd_id_reads_as_missing_and_leads_nowhere_else(client: RestClient, odd: str) -> None:
    made = await client.create_order(ORDER)
    for call in (
        client.order(odd),
        client.payout(odd),
        client.settlement(odd),
        client.callback(odd),
        client.cancel_order(odd),
        client.cancel_payout(odd),
        client.cancel_settlement(odd),
        client.remove_settlement_rule(odd),
        client.resend_callback(odd),
        client.pick_asset(odd, PickAsset(asset=USDT)),
        client.unassigned(odd),
        client.accept_unassigned(odd),
        client.credit_unassigned(odd),
        client.refund_unassigned(odd, REFUND),
        client.quote_refund(odd, REFUND),
        client.confirm_refund(odd, ConfirmRefund(address=TARGET)),
        client.remove_address(odd),
    ):
        refused = await refusal(call)
        assert refused.status == 404, refused
    assert (await client.order(made.id)).state == "created"


async def test_lists_walk_to_the_end_in_pages_of_one(rest: Rest, signer: Signer, client: RestClient) -> None:
    for n in range(3):
        await client.create_order(msgspec.structs.replace(ORDER, source_id=f"A-{n}", callback_url="https://a.example"))
        await client.create_payout(msgspec.structs.replace(PAYOUT, source_id=f"W-{n}", amount="1"))
    async with rest.database.transaction() as tx:
        await tx.execute("update merchants set callback_statuses = '{12}'")
    for order in (await client.list_orders()).data:
        await client.cancel_order(order.id)
    orders = [one.source_id async for one in walk(lambda at: client.list_orders(OrderQuery(limit=1, cursor=at)))]
    payouts = [one.source_id async for one in walk(lambda at: client.list_payouts(PayoutQuery(limit=1, cursor=at)))]
    entries = [one.id async for one in walk(lambda at: client.list_entries(EntryQuery(limit=1, cursor=at)))]
    sent = [one.id async for one in walk(lambda at: client.list_callbacks(CallbackQuery(limit=1, cursor=at)))]
    assert (orders, payouts) == (["A-2", "A-1", "A-0"], ["W-2", "W-1", "W-0"])
    assert entries == [one.id for one in (await client.list_entries()).data]
    assert sent == [one.id for one in (await client.list_callbacks()).data]
    assert (len(entries), len(sent)) == (1 + 3 * 2, 3)
    for cursors in (client.list_orders(OrderQuery(limit=3)), client.list_payouts(PayoutQuery(limit=3))):
        assert (await cursors).next_cursor is None


async def test_refusals_are_told_apart_by_status_type_and_code(rest: Rest, signer: Signer, client: RestClient) -> None:
    order = await client.create_order(ORDER)
    for call, told in (
        (client.order("pay_" + "0" * 32), (404, "not_found", "order.not_found", "order_id")),
        (
            client.create_order(msgspec.structs.replace(ORDER, fiat_amount="73")),
            (409, "conflict", "order.exists_different", "source_id"),
        ),
        (client.list_orders(OrderQuery(limit=0)), (422, "invalid", "request.invalid", "limit")),
        (
            client.create_order(msgspec.structs.replace(ORDER, source_id="A-2", currency="XTS")),
            (503, "unavailable", "rate.no_quote", None),
        ),
        (client.create_order(ORDER, idempotency_key="a key"), (400, "invalid", "request.malformed", "idempotency-key")),
    ):
        refused = await refusal(call)
        error = refused.error
        assert (refused.status, error.type, error.code, error.param) == told
        assert str(refused) == f"{refused.status} {error.code}: {error.message}"
        assert refused.retry_after_s == (1 if refused.status == 503 else 0)
    reader = await rest.signer(signer.merchant, scopes=frozenset({Scope.READ}))
    async with rest.client(reader) as stranger:
        refused = await refusal(stranger.cancel_order(order.id))
        assert (refused.status, refused.error.type, refused.error.code) == (403, "forbidden", "api_key.missing_scope")


async def test_who_signs_wrongly_is_told_nothing_but_that(rest: Rest, signer: Signer, client: RestClient) -> None:
    told = set()
    for key_id, sign in (
        (signer.key_id, hmac_signer("another secret")),
        ("key_" + "0" * 32, signer.sign),
        ("", signer.sign),
    ):
        async with RestClient(rest.url, key_id, sign) as stranger:
            refused = await refusal(stranger.balances())
            told.add((refused.status, msgspec.structs.replace(refused.error, request_id="")))
    assert len(told) == 1
    ((status, error),) = told
    assert (status, error.type, error.code) == (401, "unauthenticated", "signature.refused")


@pytest.mark.parametrize(("seconds", "is_told"), [(240, False), (-240, False), (360, True), (-360, True)])
async def test_a_clock_that_is_off_is_told_by_how_much(
    rest: Rest, client: RestClient, seconds: int, is_told: bool
) -> None:
    rest.wall.set(datetime.now(UTC) + timedelta(seconds=seconds))
    if not is_told:
        assert [one.asset for one in await client.balances()] == [USDT]
        return
    refused = await refusal(client.balances())
    assert (refused.status, refused.error.code, refused.error.param) == (401, "signature.clock", "blp-time")


async def test_home_goes_what_a_person_proves_and_rules_say_when(
    rest: Rest, signer: Signer, client: RestClient
) -> None:
    person = await Person.of(rest.database, signer.merchant, rest.wall)
    proof = Proof(device=person.device, password=PASSWORD, code=person.code())
    ask = RequestSettlement(id=show_id("set", new_uuid7()), asset=USDT, address=TARGET, amount="20.000000", proof=proof)
    made = await client.request_settlement(ask)
    assert (made.amount.amount, made.tag, made.txid, made.reason, made.detail) == ("20", "", "", "", "")
    assert (await client.list_settlements(SettlementQuery(limit=1))).data == [made]
    (found,) = (await client.list_payouts()).data
    assert (found.kind, found.amount, found.fee, found.address) == ("settlement", made.amount, made.fee, TARGET)
    rest.wall.advance(timedelta(minutes=1))
    plan = ScheduleBody(cadence=Cadence.MONTHLY, at="23:59", zone="Europe/Berlin", day=31)
    proof = Proof(device=person.device, password=PASSWORD, code=person.code())
    rule = await client.add_settlement_rule(AddRule(asset=USDT, schedule=plan, fee_max="0", proof=proof))
    assert (rule.schedule, rule.reserve.amount, rule.fee_max.amount, rule.ended_at) == (plan, "0", "0", None)
    assert (await client.list_settlements(SettlementQuery(rule_id=rule.id))).data == []
    assert await client.settlement_rules() == [rule]


async def test_an_answer_that_breaks_off_is_no_answer() -> None:
    async def broken(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{")
        writer.close()

    server = await asyncio.start_server(broken, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with RestClient.hmac(f"http://127.0.0.1:{port}", "key_1", "s") as client:
        with pytest.raises(ApiUnreachable, match=f"no answer from http://127.0.0.1:{port}"):
            await client.balances()
    server.close()


async def test_an_answer_that_does_not_come_in_time_is_no_answer() -> None:
    held = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await held.wait()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with RestClient(f"http://127.0.0.1:{port}", "key_1", hmac_signer("s"), timeout_s=1) as client:
        with pytest.raises(ApiUnreachable):
            await client.balances()
    held.set()
    server.close()


async def test_a_platform_whose_certificate_nobody_signed_is_not_spoken_to(listener: Echo) -> None:
    url = listener.url.replace("http://", "https://")
    for tls in (None, ssl.create_default_context()):
        async with RestClient.hmac(url, "key_1", "s", tls=tls) as client:
            with pytest.raises(ApiUnreachable):
                await client.balances()
    assert listener.asked == []


async def test_a_client_that_was_closed_connects_again(client: RestClient) -> None:
    await client.close()
    await client.close()
    assert len(await client.balances()) == 1


async def test_an_answer_of_exactly_the_largest_size_is_read(listener: Echo) -> None:
    body = b'{"data":[],"next_cursor":null}'
    async with RestClient.hmac(listener.url, "key_1", "s") as client:
        listener.answer = (201, body.ljust(8_388_608), {})
        assert (await client.list_orders()).data == []
        listener.answer = (201, body.ljust(8_388_609), {})
        with pytest.raises(StrangeAnswer, match="8388608 bytes"):
            await client.list_orders()


@pytest.mark.parametrize("status", [202, 204, 301, 400, 500])
async def test_only_200_and_201_are_answers(listener: Echo, status: int) -> None:
    listener.answer = (status, b"" if status == 204 else b'{"data":[],"next_cursor":null}', {})
    async with RestClient.hmac(listener.url, "key_1", "s") as client:
        with pytest.raises(StrangeAnswer, match=f"HTTP {status}"):
            await client.list_orders()


async def test_walking_stops_with_the_first_refusal_and_keeps_what_came(client: RestClient) -> None:
    for n in range(2):
        await client.create_order(msgspec.structs.replace(ORDER, source_id=f"A-{n}"))
    seen: list[str] = []

    async def ask(cursor: str) -> object:
        return await client.list_orders(OrderQuery(limit=1, cursor=cursor and "x"))

    refused = None
    try:
        async for one in walk(ask):
            seen.append(one.source_id)
    except ApiRefused as error:
        refused = error
    assert seen == ["A-1"]
    assert refused is not None
    assert refused.error.code == "cursor.invalid"
