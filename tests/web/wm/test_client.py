"""Our own client: what it sends, and what it makes of answers that are none."""

import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal

import pytest
from tests.web.wm.platform import MerchantApi

from bitlinkpay.client.wm import WmClient, WmRefused, WmTurnedAway, WmUnreachable
from bitlinkpay.web.wm.asgi import HttpScope, Receive, Send
from bitlinkpay.web.wm.listener import Listener
from bitlinkpay.wm.answers import OrderCreated, accept, refuse, turn_away
from bitlinkpay.wm.bodies import CreateOrder, parse_create_order
from bitlinkpay.wm.ids import OuterCode, Route
from bitlinkpay.wm.reading import StrangeAnswer

ORDER = CreateOrder(source_id="a", chain_id=1, coin_id=1, fiat_amount=Decimal("7.20"), symbol="USDT/CNY", lang="zh")
CREATED = OrderCreated(
    source_id="a",
    chain_id=1,
    coin_id=1,
    fiat_amount=Decimal("7.2"),
    symbol="USDT/CNY",
    order_id="0" * 32,
    exchange_rate=Decimal("7.2"),
    amount=Decimal(1),
    service_fee=Decimal("0.003"),
    url="https://pay.example/0",
)


class Scripted:
    """A platform that answers what it is told to; remembers what it was asked."""

    def __init__(self) -> None:
        self.status = 200
        self.answer = b""
        self.asked: list[tuple[HttpScope, bytes]] = []

    async def __call__(self, scope: HttpScope, receive: Receive, send: Send) -> None:
        message = await receive()
        self.asked.append((scope, message.get("body", b"")))
        headers = [(b"content-length", str(len(self.answer)).encode())]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": self.answer})


@pytest.fixture
async def platform() -> AsyncIterator[tuple[Scripted, WmClient]]:
    app = Scripted()
    listener = Listener(app, host="127.0.0.1", port=0, tls=None)
    url = f"http://127.0.0.1:{await listener.start()}/"
    async with WmClient.plain(url, "broker-1", timeout_s=60) as client:
        yield app, client
    await listener.stop(grace_s=1)


async def test_plain_mode_sends_what_the_go_sdk_sends(platform: tuple[Scripted, WmClient]) -> None:
    app, client = platform
    app.answer = accept(CREATED)
    assert await client.create_order(ORDER) == CREATED
    scope, body = app.asked[0]
    headers = dict(scope["headers"])
    assert (headers[b"w-broker"], headers[b"w-test"], headers[b"content-type"]) == (
        b"broker-1",
        b"1",
        b"application/json",
    )
    assert (scope["method"], scope["raw_path"]) == ("POST", Route.CREATE.encode())
    assert parse_create_order(body) == ORDER


async def test_refusals_keep_their_code_and_words(platform: tuple[Scripted, WmClient]) -> None:
    app, client = platform
    app.answer = refuse(409, "order.exists_different: other parameters")
    with pytest.raises(WmRefused, match="other parameters") as refused:
        await client.create_order(ORDER)
    assert refused.value.code == 409
    app.answer = turn_away(OuterCode.CLOCK, "your clock is wrong")
    with pytest.raises(WmTurnedAway, match="clock") as away:
        await client.cancel("a")
    assert away.value.code == OuterCode.CLOCK


async def test_cancel_has_no_content(platform: tuple[Scripted, WmClient]) -> None:
    app, client = platform
    app.answer = accept(None)
    await client.cancel("a")


@pytest.mark.parametrize(
    ("status", "answer"),
    [
        (500, b"Internal Server Error"),
        (302, b""),
        (200, b"<html>hello</html>"),
        (200, b""),
        (200, b'{"code":0,"msg":"","data":null}'),
        (200, b'{"code":0,"msg":"","data":{"code":0}}'),
        (200, b'{"code":0,"msg":"","data":"{}"}'),
        (200, accept(None)),
        (200, b"x" * 2_000_000),
    ],
)
async def test_an_answer_of_another_kind_is_strange_and_never_a_result(
    platform: tuple[Scripted, WmClient], status: int, answer: bytes
) -> None:
    app, client = platform
    app.status, app.answer = status, answer
    with pytest.raises(StrangeAnswer):
        await client.create_order(ORDER)


async def test_nobody_there_is_unreachable() -> None:
    async with WmClient.plain("http://127.0.0.1:9", "b", timeout_s=2) as client:
        with pytest.raises(WmUnreachable, match="no answer"):
            await client.detail("a")


async def test_a_platform_that_never_answers_is_unreachable() -> None:
    server = await asyncio.start_server(lambda _reader, _writer: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with WmClient.plain(f"http://127.0.0.1:{port}", "b", timeout_s=1) as client:
        with pytest.raises(WmUnreachable):
            await client.detail("a")
    server.close()


async def test_the_client_trusts_the_platforms_own_ca_only(api: MerchantApi, tmp_path) -> None:
    merchant = await api.merchant()
    merchant.files.ca.write_bytes(merchant.files.cert.read_bytes())
    async with api.client(merchant) as client:
        with pytest.raises(WmUnreachable):
            await client.detail("a")


async def test_every_envelope_has_a_secret_and_a_nonce_of_its_own(api: MerchantApi) -> None:
    merchant = await api.merchant()
    async with api.client(merchant) as client:
        sealed = [client._seal(merchant.broker, b"{}") for _ in range(50)]
    assert len({each.headers["w-secret"] for each in sealed}) == 50
    assert len({each.body for each in sealed}) == 50
    assert len({each.headers["w-nonce"] for each in sealed}) > 40
    assert all(len(each.headers["w-ts"]) == 13 and len(each.headers["w-nonce"]) == 6 for each in sealed)
