"""The merchant API's port answers REST too: there the certificate must be of the key's own merchant."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from urllib.parse import urlsplit
from uuid import UUID

import pytest
from tests.support.sealing import SEALER
from tests.web.api.platform import ALL, Rest, Signer
from tests.web.wm.platform import MerchantApi, TestMerchant, order_url

from bitlinkpay.chains.registry import Registry
from bitlinkpay.client.rest import ApiUnreachable, RestClient
from bitlinkpay.core.clock import SystemClock
from bitlinkpay.core.mode import Mode
from bitlinkpay.db.pool import Database
from bitlinkpay.merchants import service as merchants
from bitlinkpay.merchants.api_keys import service as api_keys
from bitlinkpay.merchants.api_keys.service import Terms
from bitlinkpay.merchants.api_keys.signing import hmac_signer
from bitlinkpay.merchants.authority import Authority
from bitlinkpay.signer.keyring import KeyRing
from bitlinkpay.web.api.build import build_api
from bitlinkpay.web.site import Front, Site, is_rest, unreadable
from bitlinkpay.web.tls import TlsFiles, server_context
from bitlinkpay.web.wm.app import WmApp
from bitlinkpay.web.wm.gate import EncryptedGate, PlainGate
from bitlinkpay.web.wm.listener import Listener
from bitlinkpay.web.wm.opener import Opener
from bitlinkpay.wm.bodies import CreateOrder
from bitlinkpay.wm.ids import OuterCode


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.open(tmp_path_factory.mktemp("authority") / "keys", ["localhost"], now=datetime.now(UTC))


@pytest.fixture
async def both(
    database: Database, authority: Authority, registry: Registry, ring: KeyRing, tmp_path: Path
) -> AsyncIterator[tuple[MerchantApi, Rest]]:
    """Both faces of one platform: the mutual TLS port, and the web port."""
    async with (
        MerchantApi.start(database, authority, registry, ring, tmp_path) as api,
        Rest.start(database, registry, ring) as rest,
    ):
        app = build_api(rest.gate, rest.services)
        opener = Opener(authority.envelope)
        front = Front(WmApp(EncryptedGate(api.directory, opener, wall=SystemClock()), api.desk), app)
        files = TlsFiles(authority.server_certificate_path, authority.server_key_path, authority.ca_path)
        site = Site([], WmApp(PlainGate(api.directory, Mode.SANDBOX), api.desk), app)
        listeners = [
            Listener(front, host="127.0.0.1", port=0, tls=server_context(files), unreadable=unreadable),
            Listener(site, host="127.0.0.1", port=0, tls=None, unreadable=unreadable),
        ]
        api.url, rest.url = (
            f"https://localhost:{await listeners[0].start()}",
            f"http://127.0.0.1:{await listeners[1].start()}",
        )
        api.plain_url = rest.url
        yield api, rest
        for listener in listeners:
            await listener.stop(grace_s=1)
        await opener.close()


async def key_of(rest: Rest, owner: TestMerchant) -> Signer:
    async with rest.database.transaction() as tx:
        made = await api_keys.create_hmac(
            tx, SEALER, owner.merchant.merchant_id, Terms("tests", ALL), now=datetime.now(UTC)
        )
    return Signer(owner.merchant, made.key, hmac_signer(made.secret))


def context_of(owner: TestMerchant) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(owner.files.ca))
    context.load_cert_chain(owner.files.cert, owner.files.key)
    return context


async def test_both_ports_answer_both_protocols_about_the_same_orders(both: tuple[MerchantApi, Rest]) -> None:
    api, rest = both
    shop = await api.merchant()
    signer = await key_of(rest, shop)
    async with (
        api.client(shop) as wm,
        api.plain(shop) as plain,
        RestClient(api.url, signer.key_id, signer.sign, tls=context_of(shop)) as inside,
        rest.client(signer) as outside,
    ):
        made = await wm.create_order(CreateOrder("A-1", 1, 1, Decimal(72), "USDT/CNY"))
        (seen,) = (await inside.list_orders()).data
        assert seen.id == f"pay_{made.order_id}"
        assert seen.url == made.url == order_url(UUID(made.order_id))
        assert await outside.order(seen.id) == seen
        await outside.cancel_order(seen.id)
        assert (await plain.detail("A-1")).status_desc == "User Cancel"


async def test_API_02_a_key_under_another_merchants_certificate_is_refused(both: tuple[MerchantApi, Rest]) -> None:
    api, rest = both
    one, two = await api.merchant("One"), await api.merchant("Two")
    signer = await key_of(rest, one)
    async with RestClient(api.url, signer.key_id, signer.sign, tls=context_of(one)) as own:
        assert await own.balances() == []
        async with api.database.transaction() as tx:
            await merchants.revoke_certificate(tx, one.merchant.merchant_id, one.spki, now=datetime.now(UTC))
        api.directory.forget()
        rest.directory.forget()
        answer = await own.send("GET", "/v1/balances")
        assert (answer.status, json.loads(answer.body)["code"]) == (401, "signature.refused")
    async with RestClient(api.url, signer.key_id, signer.sign, tls=context_of(two)) as other:
        answer = await other.send("GET", "/v1/balances")
        assert (answer.status, json.loads(answer.body)["code"]) == (401, "signature.refused")


async def test_API_01_no_certificate_no_answer_on_the_merchant_apis_port(both: tuple[MerchantApi, Rest]) -> None:
    api, rest = both
    shop = await api.merchant()
    signer = await key_of(rest, shop)
    bare = ssl.create_default_context(cafile=str(shop.files.ca))
    async with RestClient(api.url, signer.key_id, signer.sign, tls=bare) as client:
        with pytest.raises(ApiUnreachable):
            await client.balances()


async def raw(url: str, request: bytes, tls: ssl.SSLContext | None) -> bytes:
    place = urlsplit(url)
    reader, writer = await asyncio.open_connection(place.hostname, place.port, ssl=tls)
    try:
        writer.write(request)
        async with asyncio.timeout(60):
            return await reader.read()
    finally:
        writer.close()


BROKEN = [
    b"x: a\x00b\r\n\r\n",
    b"idempotency-key: a\x01b\r\n\r\n",
    b"content-length: -2\r\n\r\n",
    b"x: " + b"a" * 33_000,
    b"transfer-encoding: chunked\r\n\r\nzz\r\n",
]


@pytest.mark.parametrize("broken", BROKEN, ids=["a NUL", "a control in a key", "a length", "too large", "a chunk"])
async def test_http_that_cannot_be_read_gets_the_answer_of_the_face_it_was_meant_for(
    both: tuple[MerchantApi, Rest], broken: bytes
) -> None:
    """A REST client that reads no more than the status must not take HTTP 200 for a payout that was cancelled."""
    api, _ = both
    tls = context_of(await api.merchant())
    for url, context in ((api.url, tls), (api.plain_url, None)):
        for target in (b"/v1/payouts/out_1/cancel", b"/v1/orders?limit=1"):
            got = await raw(url, b"POST " + target + b" HTTP/1.1\r\nhost: localhost\r\n" + broken, context)
            head, _, body = got.partition(b"\r\n\r\n")
            assert got.count(b"HTTP/1.1 ") == 1
            assert head.startswith(b"HTTP/1.1 400 Bad Request\r\n"), got
            assert b"\r\nconnection: close" in head
            told = json.loads(body)
            assert (told["type"], told["code"], told["param"]) == ("invalid", "request.malformed", None)
            assert f"request-id: {told['request_id']}".encode() in head
        for target in (b"/v1/api/broker/order/create", b"/pay/x"):
            got = await raw(url, b"POST " + target + b" HTTP/1.1\r\nhost: localhost\r\n" + broken, context)
            assert got.startswith(b"HTTP/1.1 200 OK\r\n"), got
            assert json.loads(got.partition(b"\r\n\r\n")[2])["code"] == OuterCode.ROUTE


async def test_http_without_a_target_is_answered_in_the_sdks_words(both: tuple[MerchantApi, Rest]) -> None:
    """Nothing of the request before on the connection counts: what names no path is nobody's."""
    _, rest = both
    before = b"GET /v1/openapi.json HTTP/1.1\r\nhost: localhost\r\n\r\n"
    got = await raw(rest.url, b"\x16\x03\x01 hello\r\n\r\n", None)
    assert got.startswith(b"HTTP/1.1 200 OK\r\n")
    place = urlsplit(rest.url)
    reader, writer = await asyncio.open_connection(place.hostname, place.port)
    writer.write(before)
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(int(line[15:]) for line in head.split(b"\r\n") if line.startswith(b"content-length:"))
    await reader.readexactly(length)
    writer.write(b"\x16\x03\x01 hello\r\n\r\n")
    last = await reader.read()
    assert last.startswith(b"HTTP/1.1 200 OK\r\n")
    assert json.loads(last.partition(b"\r\n\r\n")[2])["code"] == OuterCode.ROUTE
    writer.close()


@pytest.mark.parametrize(
    ("path", "is_ours"),
    [
        (b"/v1/orders", True),
        (b"/v1/", True),
        (b"/v1/openapi.json", True),
        (b"/v1/api/broker/order/create", False),
        (b"/v1/api/", False),
        (b"/v1", False),
        (b"/pay/x", False),
        (b"/", False),
    ],
)
def test_the_sdk_protocol_keeps_its_paths(path: bytes, is_ours: bool) -> None:
    scope = {"type": "http", "method": "GET", "raw_path": path, "query_string": b"", "headers": [], "client": None}
    assert is_rest(scope) is is_ours
