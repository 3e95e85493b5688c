"""Cursors, bodies, queries, ids and routes, without a server."""

from base64 import urlsafe_b64encode
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitlinkpay.authorizations.model import Shown
from bitlinkpay.chains.registry import load_registry
from bitlinkpay.core.errors import Invalid, NotFound, Problem
from bitlinkpay.core.ids import ApiKeyId, MerchantId, first_uuid7
from bitlinkpay.merchants.api_keys.model import Algorithm, ApiKey, Scope
from bitlinkpay.merchants.model import Merchant, MerchantState
from bitlinkpay.web.api.call import Call, Caller, Reply
from bitlinkpay.web.api.cursors import BadCursor, page_of, read_id, read_id_and_number, read_number, write_cursor
from bitlinkpay.web.api.home_shapes import Proof
from bitlinkpay.web.api.operations import Nothing, Operation, allowed, find_operation
from bitlinkpay.web.api.reading import (
    id_of,
    network_of,
    optional,
    positive,
    query_as,
    read_body,
    read_query,
    shown_of,
    some_id,
    span_of,
)
from bitlinkpay.web.api.refusals import (
    Failed,
    NoRoute,
    TooMany,
    Unreadable,
    Unsigned,
    WrongMethod,
    error_of,
    headers_of,
    status_of,
)
from bitlinkpay.web.api.shapes import CreateOrder, CreatePayoutBatch, ListQuery, OrderQuery, SpanQuery

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
PLACES = st.integers(0, 2**63 - 1)


@given(st.uuids(), PLACES)
def test_a_cursor_comes_back_as_it_went(id_: UUID, number: int) -> None:
    cursor = write_cursor("entries", id_=id_, number=number)
    assert cursor.isascii()
    assert len(cursor) <= 200
    assert read_id_and_number("entries", cursor) == (id_, number)
    assert read_number("entries", cursor) == number
    with pytest.raises(BadCursor):
        read_id("orders", cursor)


@given(st.text(max_size=200))
def test_a_text_that_is_no_cursor_is_refused_and_breaks_nothing(text: str) -> None:
    for read in (read_id, read_number, read_id_and_number):
        try:
            found = read("orders", text)
        except BadCursor:
            continue
        assert found is None or text


@pytest.mark.parametrize(
    "parts",
    ['["orders","",-1]', '["orders","",9223372036854775808]', '["orders","zz",0]', '["orders",0,0]', "{}", "1e9"],
)
def test_a_cursor_of_another_make_is_refused(parts: str) -> None:
    with pytest.raises(BadCursor):
        read_id("orders", urlsafe_b64encode(parts.encode()).decode())


@given(st.lists(st.integers(), max_size=12), st.integers(1, 10))
def test_a_page_goes_on_exactly_where_there_is_more(rows: list[int], limit: int) -> None:
    page = page_of(rows[: limit + 1], limit, str, lambda row: f"after {row}")
    assert page.data == [str(row) for row in rows[:limit]]
    assert page.next_cursor == (f"after {rows[limit - 1]}" if len(rows) > limit else None)


def test_a_query_is_read_strictly() -> None:
    assert read_query(b"") == {}
    assert read_query(b"limit=2&cursor=a%20b+c&source_id=") == {"limit": "2", "cursor": "a b c", "source_id": ""}
    for wrong in (b"a=1&a=2", b"a=%00", b"a=%f", b"a=%ff", b"\xff", b"&".join(b"a%d=1" % n for n in range(17))):
        with pytest.raises(Unreadable):
            read_query(wrong)


def test_a_query_has_only_what_is_documented() -> None:
    assert query_as({"limit": "7"}, ListQuery).limit == 7
    assert query_as({}, OrderQuery) == OrderQuery(limit=50, cursor="", source_id="")
    for wrong, param in (
        ({"limit": "x"}, "limit"),
        ({"limit": ""}, "limit"),
        ({"limit": "-1"}, "limit"),
        ({"page": "1"}, "page"),
        ({"source_id": "a" * 129}, "source_id"),
    ):
        with pytest.raises(Invalid) as refused:
            query_as(wrong, OrderQuery)
        assert refused.value.param == param


def test_a_body_where_none_belongs_may_be_empty() -> None:
    for empty in (b"", b"{}", b" {}\n"):
        assert read_body(empty, Nothing) == Nothing()
    for wrong in (b"null", b"[]", b'{"a":1}', b"x"):
        with pytest.raises(Unreadable):
            read_body(wrong, Nothing)


@given(st.binary(max_size=300))
def test_bytes_are_a_body_or_a_problem(body: bytes) -> None:
    for kind in (CreateOrder, CreatePayoutBatch):
        try:
            read_body(body, kind)
        except Problem as problem:
            assert status_of(problem) in {400, 422}


@pytest.mark.parametrize(("text", "value"), [("12.50", "12.5"), ("1", "1"), ("0.000000000000000001", "1E-18")])
def test_amounts_are_compared_by_value(text: str, value: str) -> None:
    assert positive(text, "amount") == Decimal(value)
    assert str(positive(text, "amount")) == str(positive(text.rstrip("0") if "." in text else text, "amount"))
    assert optional(None, "amount") is None


@pytest.mark.parametrize("text", ["0", "0.0", "-1", "1e3", "", " 1", "1" * 23, "0." + "1" * 19, "1_000", "٣"])
def test_what_is_no_amount_names_its_field(text: str) -> None:
    with pytest.raises(Invalid) as refused:
        positive(text, "fiat_amount")
    assert refused.value.param == "fiat_amount"


def test_an_id_of_nothing_reads_as_missing() -> None:
    missing = NotFound("no such thing")
    assert id_of("pay", "pay_" + "0" * 32, missing) == id_of("pay", "0" * 32, missing) == UUID(int=0)
    for wrong in ("", "pay_", "out_" + "0" * 32, "0" * 31, "0" * 33, "G" * 32, "A" * 32):
        with pytest.raises(NotFound) as refused:
            id_of("pay", wrong, missing)
        assert refused.value is missing


def operation(method: str, path: str) -> Operation:
    async def run(_: Call) -> Reply:
        return Reply(200, b"{}")

    return Operation(
        f"{method} {path}",
        method,
        path,
        "",
        frozenset({Scope.READ}),
        Nothing,
        200,
        Nothing,
        Nothing,
        repeats=False,
        run=run,
    )


OPERATIONS = [
    operation("GET", "/v1/things"),
    operation("POST", "/v1/things"),
    operation("POST", "/v1/things/batch"),
    operation("GET", "/v1/things/{thing_id}"),
    operation("POST", "/v1/things/{thing_id}/cancel"),
]


@pytest.mark.parametrize(
    ("method", "path", "name", "ids"),
    [
        ("GET", "/v1/things", "GET /v1/things", ()),
        ("POST", "/v1/things", "POST /v1/things", ()),
        ("POST", "/v1/things/batch", "POST /v1/things/batch", ()),
        ("GET", "/v1/things/batch", "GET /v1/things/{thing_id}", ("batch",)),
        ("GET", "/v1/things/a_1", "GET /v1/things/{thing_id}", ("a_1",)),
        ("POST", "/v1/things/a_1/cancel", "POST /v1/things/{thing_id}/cancel", ("a_1",)),
    ],
)
def test_a_path_leads_to_its_operation(method: str, path: str, name: str, ids: tuple[str, ...]) -> None:
    found, given_ids = find_operation(OPERATIONS, method, path)
    assert (found.name, given_ids) == (name, ids)


@pytest.mark.parametrize(
    "path",
    ["", "/", "/v1/things/", "/v1/thing", "/V1/things", "/v1/things/a/b", "/v1/things/" + "a" * 65, "/v1/things\n"],
)
def test_another_path_leads_nowhere(path: str) -> None:
    with pytest.raises(NoRoute):
        find_operation(OPERATIONS, "GET", path)


def test_a_head_is_answered_by_what_is_read_and_by_nothing_that_changes() -> None:
    operation, ids = find_operation(OPERATIONS, "HEAD", "/v1/things/a")
    assert (operation, ids) == find_operation(OPERATIONS, "GET", "/v1/things/a")
    assert allowed({"POST"}) == "POST"
    assert allowed({"GET"}) == "GET, HEAD"
    assert allowed({"POST", "GET"}) == "GET, HEAD, POST"


def test_another_method_is_told_which_ones_there_are() -> None:
    with pytest.raises(WrongMethod) as refused:
        find_operation(OPERATIONS, "DELETE", "/v1/things/batch")
    assert headers_of(refused.value, NOW) == {"allow": "GET, HEAD, POST"}


def test_every_refusal_has_the_one_shape() -> None:
    for problem, status, kind in (
        (Unsigned(), 401, "unauthenticated"),
        (NoRoute(), 404, "not_found"),
        (TooMany(7), 429, "limited"),
        (Failed(), 500, "unavailable"),
        (Invalid("x", param="coin_id"), 422, "invalid"),
    ):
        body = error_of(problem, "req_1")
        assert (status_of(problem), body.type, body.request_id) == (status, kind, "req_1")
    assert headers_of(TooMany(7), NOW) == {"retry-after": "7"}
    assert error_of(Invalid("x", param="coin_id"), "").param == "asset"
    assert error_of(Invalid("x", param="symbol"), "").param == "currency"
    assert error_of(Invalid("x"), "").param is None


# --- what lists are asked for

LATER = NOW + timedelta(hours=1)
BERLIN = timezone(timedelta(hours=1))


@pytest.mark.parametrize(
    ("query", "since", "until"),
    [
        (SpanQuery(), None, None),
        (SpanQuery(since=NOW), NOW, None),
        (SpanQuery(until=NOW), None, NOW),
        (SpanQuery(since=NOW, until=LATER), NOW, LATER),
        (SpanQuery(since=NOW, until=NOW + timedelta(microseconds=1)), NOW, NOW + timedelta(microseconds=1)),
        (SpanQuery(since=NOW.astimezone(BERLIN)), NOW, None),
    ],
)
def test_a_time_is_that_of_utc_wherever_it_was_written(
    query: SpanQuery, since: datetime | None, until: datetime | None
) -> None:
    span = span_of(query)
    assert (span.since, span.until) == (since, until)
    assert span.since is None or span.since.tzinfo is UTC


@pytest.mark.parametrize(
    ("query", "param"),
    [
        (SpanQuery(since=NOW, until=NOW), "until"),
        (SpanQuery(since=LATER, until=NOW), "until"),
        (SpanQuery(since=datetime(1, 1, 1, tzinfo=BERLIN)), "since"),
        (SpanQuery(until=datetime(1, 1, 1, tzinfo=BERLIN)), "since"),
        (SpanQuery(until=datetime(9999, 12, 31, 23, 30, tzinfo=timezone(-timedelta(hours=1)))), "since"),
    ],
)
def test_a_time_that_has_no_beginning_or_no_end_is_refused(query: SpanQuery, param: str) -> None:
    with pytest.raises(Invalid) as refused:
        span_of(query)
    assert refused.value.param == param


@pytest.mark.parametrize(
    ("ahead", "first"),
    [
        (timedelta(days=3), NOW - timedelta(days=3)),
        (timedelta(0), NOW),
        (-timedelta(days=3), NOW),
    ],
)
def test_business_time_that_is_ahead_widens_what_ids_are_looked_at_and_one_that_is_behind_does_not(
    ahead: timedelta, first: datetime
) -> None:
    assert span_of(SpanQuery(since=NOW), ahead).first_id == first_uuid7(first, later=-timedelta(minutes=15))


ID = UUID("01a213a8f3357e5398974844a379b7df")


@pytest.mark.parametrize(
    ("text", "found"), [("", None), (ID.hex, ID), (f"out_{ID.hex}", ID), (f"dep_{ID.hex}", ID), (f"pay_{ID.hex}", ID)]
)
def test_an_id_of_a_query_is_found_with_and_without_what_it_is_of(text: str, found: UUID | None) -> None:
    assert some_id(text) == found


def test_a_network_that_is_off_is_not_offered_nor_one_that_is_unknown() -> None:
    registry = load_registry()
    assert network_of(registry, "tron").title == "TRON"
    off = replace(registry, switched_off=frozenset({"tron"}))
    for where, network_id in ((registry, "mars"), (registry, ""), (registry, "TRON"), (off, "tron")):
        with pytest.raises(Invalid) as refused:
            network_of(where, network_id)
        assert (refused.value.code, refused.value.param) == ("network.not_offered", "network")


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"state": "lost"}, "'lost' is none of the words that may stand here; /v1/openapi.json lists them"),
        ({"state": "Paid"}, "'Paid' is none of the words that may stand here; /v1/openapi.json lists them"),
        ({"state": ""}, "'' is none of the words that may stand here; /v1/openapi.json lists them"),
    ],
)
def test_a_word_that_is_none_is_refused_and_says_where_the_words_are(query: dict[str, str], message: str) -> None:
    with pytest.raises(Invalid) as refused:
        query_as(query, OrderQuery)
    assert (refused.value.message, refused.value.param) == (message, "state")


def test_what_a_person_shows_is_taken_as_it_came_with_where_it_came_from() -> None:
    proof = Proof(device="d", password="p", code="c")
    owner = Merchant(MerchantId(ID), "0" * 16, "Tea", MerchantState.ACTIVE, NOW)
    key = ApiKey(ApiKeyId(ID), owner.merchant_id, "k", Algorithm.HMAC_SHA256, b"", frozenset(), (), NOW)
    call = Call(Caller(key, owner, "203.0.113.7"), "req_1", "POST", "/v1/x", (), {}, b"")
    assert shown_of(call, proof) == Shown(peer="203.0.113.7", device="d", password="p", answer="c")
