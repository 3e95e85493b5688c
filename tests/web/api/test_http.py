"""What an experienced client expects of any HTTP API: dates, challenges, HEAD, Allow, pipelines, odd texts and numbers."""

import asyncio
import json
import re
import unicodedata
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from tests.web.api.platform import Rest, Signer
from tests.web.api.test_orders import order, refusal

from bitlinkpay.authorizations.model import LockedOut
from bitlinkpay.client.rest import RestClient
from bitlinkpay.web.api.refusals import headers_of
from bitlinkpay.web.api.shapes import OrderQuery

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


async def test_every_answer_is_dated_by_the_platforms_clock_and_has_its_own_number(
    rest: Rest, client: RestClient
) -> None:
    seen = set()
    for method, target in (
        ("GET", "/v1/balances"),
        ("GET", "/v1/openapi.json"),
        ("GET", "/v1/nothing"),
        ("PUT", "/v1/orders"),
        ("POST", "/v1/orders"),
    ):
        answer = await client.send(method, target)
        assert parsedate_to_datetime(answer.headers["date"]) == rest.wall.now().replace(microsecond=0)
        seen.add(answer.headers["request-id"])
    assert len(seen) == 5


async def test_a_clock_that_is_off_is_told_what_the_platforms_clock_shows(rest: Rest, client: RestClient) -> None:
    rest.wall.advance(timedelta(minutes=6))
    refused = await refusal(client.balances())
    assert (refused.status, refused.error.code) == (401, "signature.clock")
    assert f"which shows {int(rest.wall.now().timestamp())};" in refused.error.message
    (off_s,) = re.findall(r" (\d+) s off", refused.error.message)
    assert 300 < int(off_s) <= 360, "less what has passed since the platform's clock was set"


async def test_who_is_not_let_in_is_told_how_to_sign(client: RestClient, signer: Signer) -> None:
    for headers in ({"blp-key": "key_" + "0" * 32}, {"blp-time": "1000000000"}):
        answer = await client.send("GET", "/v1/balances", headers=headers)
        assert answer.status == 401
        assert answer.headers["www-authenticate"] == 'BLP-Signature realm="BitLink Pay"'
    good = client.sign("GET", "/v1/balances", b"")
    assert (await client.send("GET", "/v1/balances", headers=good)).status == 200
    again = await client.send("GET", "/v1/balances", headers=good)
    assert (again.status, json.loads(again.body)["code"]) == (401, "signature.replayed")
    assert "www-authenticate" in again.headers


def test_a_pause_is_told_in_whole_seconds_that_suffice() -> None:
    for left, told in (
        (timedelta(minutes=15), "900"),
        (timedelta(seconds=1, microseconds=1), "2"),
        (timedelta(microseconds=1), "1"),
        (timedelta(0), "1"),
        (timedelta(seconds=-5), "1"),
    ):
        assert headers_of(LockedOut(NOON + left), NOON) == {"retry-after": told}


async def test_what_can_be_read_can_be_asked_about_by_its_head(client: RestClient) -> None:
    made = await client.create_order(order())
    for target, status in (
        ("/v1/orders", 200),
        (f"/v1/orders/{made.id}", 200),
        ("/v1/openapi.json", 200),
        ("/v1/orders/pay_1", 404),
        ("/v1/orders?limit=0", 422),
        ("/v1/nothing", 404),
    ):
        read, head = await client.send("GET", target), await client.send("HEAD", target)
        assert (read.status, head.status, head.body) == (status, status, b""), target
        assert head.headers["content-length"] == read.headers["content-length"] == str(len(read.body)), target
    signed_as_get = client.sign("GET", "/v1/orders", b"")
    assert (await client.send("HEAD", "/v1/orders", headers=signed_as_get)).status == 401


async def test_API_41_a_method_that_a_path_does_not_answer_to_is_told_which_it_does(client: RestClient) -> None:
    for method, target, allowed in (
        ("DELETE", "/v1/orders", "GET, HEAD, POST"),
        ("OPTIONS", "/v1/orders", "GET, HEAD, POST"),
        ("PATCH", "/v1/orders/pay_1", "GET, HEAD"),
        ("GET", "/v1/payouts/batch/x", None),
        ("HEAD", "/v1/payouts/out_1/cancel", "POST"),
        ("PUT", "/v1/openapi.json", "GET, HEAD"),
        ("TRACE", "/v1/balances", "GET, HEAD"),
    ):
        answer = await client.send(method, target)
        assert (answer.status, answer.headers.get("allow")) == (405 if allowed else 404, allowed), (method, target)


async def test_pipelined_requests_are_answered_in_their_order(rest: Rest, client: RestClient) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", int(rest.url.rpartition(":")[2]))
    targets = ["/v1/balances", "/v1/nothing", "/v1/orders", "/v1/orders/pay_1"]
    for target in targets:
        head = [f"GET {target} HTTP/1.1", "host: x", *(f"{k}: {v}" for k, v in client.sign("GET", target, b"").items())]
        writer.write("\r\n".join([*head, "", ""]).encode())
    told = []
    for _ in targets:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        size = next(int(line.split(": ")[1]) for line in head.split("\r\n") if line.startswith("content-length"))
        told.append((int(head.split()[1]), sorted(json.loads(await reader.readexactly(size)))))
    page, error = ["data", "next_cursor"], ["code", "message", "param", "request_id", "type"]
    assert told == [(200, ["data"]), (404, error), (200, page), (404, error)]
    writer.close()


async def test_API_37_an_id_is_kept_letter_by_letter_and_never_made_equal_to_another(client: RestClient) -> None:
    composed, apart = (unicodedata.normalize(form, "Café-Ω-½") for form in ("NFC", "NFD"))
    texts = [
        composed,
        apart,
        "a",
        "A",
        "a ",
        "a\t",
        "а",
        "😀",
        "\u202ea",
        "'; drop table payins;--",
        "<b>",
        "%00",
        "a\r\nb: c",
    ]
    made = {text: await client.create_order(order(text)) for text in texts}
    assert len({one.id for one in made.values()}) == len(texts)
    for text, one in made.items():
        (found,) = (await client.list_orders(OrderQuery(source_id=text))).data
        assert (found.id, found.source_id) == (one.id, text)


async def test_numbers_beyond_all_measure_are_refused_at_once(client: RestClient) -> None:
    for target in ("limit=" + "9" * 400, "limit=1e3", "limit=-1", "limit=0x10", "limit=%D9%A1", "limit=NaN", "limit="):
        answer = await client.send("GET", f"/v1/orders?{target}")
        assert (answer.status, json.loads(answer.body)["param"]) == (422, "limit"), target
    for number in ("9" * 4000, "1e999", "-1", "1E400", '"' + "9" * 5000 + '"'):
        body = f'{{"source_id":"A-1","asset":"usdt-tron","fiat_amount":{number}}}'.encode()
        answer = await client.send("POST", "/v1/orders", body)
        assert (answer.status, json.loads(answer.body)["param"]) == (422, "fiat_amount"), number[:9]
