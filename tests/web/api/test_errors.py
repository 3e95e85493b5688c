"""One shape for every error, whatever is wrong with a request; nothing inside is told, and nothing is a 5xx."""

import asyncio
import json
import re

import pytest
from tests.web.api.platform import Rest, Signer

from bitlinkpay.chains.registry import Registry
from bitlinkpay.client.rest import RawAnswer, RestClient
from bitlinkpay.db.pool import Database
from bitlinkpay.signer.keyring import KeyRing
from bitlinkpay.web.wm.body import BodyLimits

ORDER = b'{"source_id":"A-1","asset":"usdt-tron","fiat_amount":"72"}'
FIELDS = {"type", "code", "message", "param", "request_id"}


def error(answer: RawAnswer) -> dict[str, str]:
    found = json.loads(answer.body)
    assert set(found) == FIELDS, found
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["request-id"] == found["request_id"]
    assert re.fullmatch(r"req_[0-9a-f]{32}", found["request_id"])
    return found


NOWHERE = [
    ("GET", "/v1/", 404, "request.no_route"),
    ("GET", "/v1/nothing", 404, "request.no_route"),
    ("GET", "/v1/orders/", 404, "request.no_route"),
    ("GET", "/v1//orders", 404, "request.no_route"),
    ("GET", "/v1/%6frders", 404, "request.no_route"),
    ("GET", "/v1/orders/pay_1/cancel/x", 404, "request.no_route"),
    ("GET", "/v1/orders/a-b", 404, "request.no_route"),
    ("PUT", "/v1/orders", 405, "request.wrong_method"),
    ("DELETE", "/v1/orders/pay_1", 405, "request.wrong_method"),
    ("GET", "/v1/orders/pay_1/cancel", 405, "request.wrong_method"),
    ("POST", "/v1/openapi.json", 405, "request.wrong_method"),
    ("GET", "/v1/orders?limit=0", 422, "request.invalid"),
    ("GET", "/v1/orders?limit=101", 422, "request.invalid"),
    ("GET", "/v1/orders?status=paid", 422, "request.invalid"),
    ("GET", "/v1/orders?state=lost", 422, "request.invalid"),
    ("GET", "/v1/orders?since=yesterday", 422, "request.invalid"),
    ("OPTIONS", "/v1/orders", 405, "request.wrong_method"),
    ("GET", "/v1/orders?limit=1&limit=2", 400, "request.malformed"),
    ("GET", "/v1/orders?source_id=%00", 400, "request.malformed"),
    ("GET", "/v1/orders?source_id=%ff", 400, "request.malformed"),
    ("GET", "/v1/orders?source_id=%zz", 400, "request.malformed"),
    ("GET", "/v1/entries?asset=x;drop", 422, "request.invalid"),
    ("GET", "/v1/callbacks?state=lost", 422, "request.invalid"),
]


async def test_API_41_paths_methods_and_queries_that_are_none_of_ours(client: RestClient) -> None:
    for method, target, status, code in NOWHERE:
        answer = await client.send(method, target)
        assert (answer.status, error(answer)["code"]) == (status, code), target
        assert ("allow" in answer.headers) == (status == 405), target


BAD = [
    (b"", 400, None),
    (b"{", 400, None),
    (b"[]", 400, None),
    (b"null", 400, None),
    (b'"text"', 400, None),
    (b"\xef\xbb\xbf" + ORDER, 400, None),
    (ORDER.decode().encode("utf-16"), 400, None),
    (ORDER[:-1] + b',"source_id":"A-2"}', 400, None),
    (ORDER + b"x", 400, None),
    (b'{"a":' * 10_000 + b"1" + b"}" * 10_000, 400, None),
    (ORDER.replace(b"A-1", b"\\u0000"), 400, None),
    (ORDER.replace(b"A-1", b"\\ud800"), 400, None),
    (ORDER.replace(b'"72"', b"NaN"), 400, None),
    (ORDER.replace(b'"72"', b"72"), 422, "fiat_amount"),
    (ORDER.replace(b'"A-1"', b"1"), 422, "source_id"),
    (ORDER.replace(b'"A-1"', b"null"), 422, "source_id"),
    (ORDER.replace(b"A-1", b"a" * 129), 422, "source_id"),
    (ORDER.replace(b"A-1", b""), 422, "source_id"),
    (ORDER[:-1] + b',"merchant_id":"x"}', 422, "merchant_id"),
    (ORDER[:-1] + b',"state":"paid"}', 422, "state"),
    (b'{"asset":"usdt-tron","fiat_amount":"72"}', 422, "source_id"),
]


async def test_API_28_API_29_bodies_that_are_none_of_ours_are_refused_before_any_work(
    rest: Rest, client: RestClient
) -> None:
    for body, status, param in BAD:
        answer = await client.send("POST", "/v1/orders", body)
        found = error(answer)
        assert (answer.status, found["param"]) == (status, param), body[:80]
        assert found["code"] == ("request.malformed" if status == 400 else "request.invalid")
    assert await rest.count("payins") == 0


ODD = [*"1e3,NaN,Infinity,-0,+1, 1,1 ,1.,.5,١٢,01,0x1,1\n,0,-1".split(","), "1,000", "9" * 400, ""]


async def test_API_24_an_amount_outside_the_strict_grammar_is_refused(client: RestClient) -> None:
    for amount in ODD:
        body = json.dumps({"source_id": "A-1", "asset": "usdt-tron", "fiat_amount": amount}).encode()
        answer = await client.send("POST", "/v1/orders", body)
        assert (answer.status, error(answer)["param"]) == (422, "fiat_amount"), amount


async def test_a_field_inside_a_list_is_named_by_its_place(client: RestClient) -> None:
    one = {"source_id": "W-1", "asset": "usdt-tron", "address": "x", "amount": "1"}
    body = json.dumps({"payouts": [one, {**one, "amount": 1}]}).encode()
    answer = await client.send("POST", "/v1/payouts/batch", body)
    assert (answer.status, error(answer)["param"]) == (422, "payouts[1].amount")


async def test_a_body_that_is_not_said_to_be_json_is_refused(client: RestClient) -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded", "application/jsonx", ""):
        answer = await client.send("POST", "/v1/orders", ORDER, headers={"content-type": kind})
        assert (answer.status, error(answer)["code"]) == (415, "request.wrong_media_type")
    good = await client.send("POST", "/v1/orders", ORDER, headers={"content-type": "Application/JSON; charset=utf-8"})
    assert good.status == 201


async def test_a_body_where_none_belongs_is_refused(client: RestClient) -> None:
    made = json.loads((await client.send("POST", "/v1/orders", ORDER)).body)
    for target in (f"/v1/orders/{made['id']}/cancel", f"/v1/orders/{made['id']}/cancel?x=1"):
        answer = await client.send("POST", target, b'{"source_id":"A-1"}' if "?" not in target else b"")
        assert answer.status in {400, 422}
        error(answer)
    assert (await client.send("POST", f"/v1/orders/{made['id']}/cancel", b"{}")).status == 200


async def test_API_28_a_body_that_is_too_large_or_too_slow_is_refused(
    database: Database, registry: Registry, ring: KeyRing
) -> None:
    async with Rest.start(database, registry, ring, limits=BodyLimits(size=1000, time_s=1)) as rest:
        async with rest.client(await rest.signer()) as client:
            answer = await client.send("POST", "/v1/orders", b" " * 1001)
            assert (answer.status, error(answer)["code"]) == (413, "request.too_large")
        reader, writer = await asyncio.open_connection("127.0.0.1", int(rest.url.rpartition(":")[2]))
        writer.write(b"POST /v1/orders HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\n{")
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 408 ")
        assert b'"code":"request.too_slow"' in await reader.read()
        writer.close()


async def test_API_42_a_database_that_is_gone_is_told_in_plain_words_only(
    rest: Rest, client: RestClient, signer: Signer
) -> None:
    assert (await client.send("GET", "/v1/balances")).status == 200
    async with rest.database.transaction() as tx:
        await tx.execute("lock table envelope_seals in access exclusive mode")
        answer = await client.send("GET", "/v1/balances")
    found = error(answer)
    assert (answer.status, found["type"], found["code"]) == (503, "unavailable", "service.unavailable")
    assert answer.headers["retry-after"] == "1"
    assert "lock" not in found["message"]


async def test_API_42_what_nobody_foresaw_is_told_by_its_number_only(
    rest: Rest, client: RestClient, signer: Signer, caplog: pytest.LogCaptureFixture
) -> None:
    await rest.give(signer.merchant, "gone-tron", 42_000_000)  # an asset that the registry does not know
    answer = await client.send("GET", "/v1/balances")
    found = error(answer)
    assert (answer.status, found["code"], found["type"]) == (500, "request.failed", "unavailable")
    assert b"gone" not in answer.body
    assert found["request_id"] in caplog.text
    assert "KeyError" in caplog.text


async def test_every_answer_says_that_it_is_not_to_be_kept_or_guessed_at(client: RestClient) -> None:
    for target in ("/v1/balances", "/v1/nothing", "/v1/openapi.json"):
        answer = await client.send("GET", target)
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"
