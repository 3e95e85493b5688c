"""The REST client: what it sends is what it signed, and what is no answer of the API is told apart."""

import json
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from bitlinkpay.client.rest import ApiRefused, ApiUnreachable, RestClient, StrangeAnswer, walk
from bitlinkpay.merchants.api_keys.signing import SignedText, is_ed25519, is_hmac, read_signature
from bitlinkpay.web.api.shapes import CreateOrder, OrderQuery, Page

SECRET = "a shared secret"
ERROR = {"type": "limited", "code": "request.too_many", "message": "wait", "param": None, "request_id": "req_1"}


class Echo:
    """A server that answers as it is told and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, dict[str, str], bytes]] = []
        self.answer: tuple[int, bytes, dict[str, str]] = (200, b'{"data":[],"next_cursor":null}', {})
        self.url = ""

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.asked.append((request.method, request.raw_path, headers, await request.read()))
        status, body, more = self.answer
        return web.Response(status=status, body=body, headers={"content-type": "application/json", **more})


@pytest.fixture
async def echo() -> AsyncIterator[Echo]:
    found = Echo()
    runner = web.ServerRunner(web.Server(found))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    found.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield found
    await runner.cleanup()


@pytest.fixture
async def client(echo: Echo) -> AsyncIterator[RestClient]:
    async with RestClient.hmac(echo.url + "/", "key_1", SECRET) as found:
        yield found


def text_of(asked: tuple[str, str, dict[str, str], bytes]) -> bytes:
    method, target, headers, body = asked
    return SignedText(method, target, headers["blp-time"], headers["blp-nonce"], body).encode()


async def test_what_is_sent_is_what_was_signed(echo: Echo, client: RestClient) -> None:
    await client.list_orders(OrderQuery(source_id="A 1/ü&%+?#", limit=3))
    echo.answer = (200, b"{}", {})
    with pytest.raises(StrangeAnswer):
        await client.create_order(CreateOrder(source_id="ü", asset="usdt-tron", fiat_amount="1"), idempotency_key="k")
    assert len(echo.asked) == 2
    for asked in echo.asked:
        assert is_hmac(SECRET, text_of(asked), read_signature(asked[2]["blp-signature"]))
    _, target, _, _ = echo.asked[0]
    assert target == "/v1/orders?limit=3&source_id=A+1%2F%C3%BC%26%25%2B%3F%23"
    method, target, headers, body = echo.asked[1]
    assert (method, target, headers["idempotency-key"]) == ("POST", "/v1/orders", "k")
    assert headers["content-type"] == "application/json"
    assert json.loads(body)["source_id"] == "ü"


async def test_every_request_has_a_nonce_of_its_own(echo: Echo, client: RestClient) -> None:
    for _ in range(5):
        await client.list_orders()
    nonces = {headers["blp-nonce"] for _, _, headers, _ in echo.asked}
    assert len(nonces) == 5
    assert all(len(nonce) == 22 for nonce in nonces)


async def test_an_ed25519_key_is_read_from_its_file(echo: Echo, tmp_path: Path) -> None:
    private = Ed25519PrivateKey.generate()
    path = tmp_path / "key.pem"
    path.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    async with RestClient.ed25519(echo.url, "key_1", path) as client:
        await client.list_orders()
    (asked,) = echo.asked
    assert is_ed25519(
        private.public_key().public_bytes_raw(), text_of(asked), read_signature(asked[2]["blp-signature"])
    )
    curve = ec.generate_private_key(ec.SECP256R1())
    path.write_bytes(curve.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    with pytest.raises(ValueError, match="Ed25519"):
        RestClient.ed25519(echo.url, "key_1", path)
    with pytest.raises(OSError, match="nowhere"):
        RestClient.ed25519(echo.url, "key_1", tmp_path / "nowhere.pem")


@pytest.mark.parametrize(("headers", "wait_s"), [({}, 0), ({"retry-after": "7"}, 7), ({"retry-after": "soon"}, 0)])
async def test_a_refusal_is_told_with_everything_in_it(
    echo: Echo, client: RestClient, headers: dict[str, str], wait_s: int
) -> None:
    echo.answer = (429, json.dumps(ERROR).encode(), headers)
    with pytest.raises(ApiRefused) as refused:
        await client.balances()
    assert (refused.value.status, refused.value.error.code, refused.value.retry_after_s) == (
        429,
        "request.too_many",
        wait_s,
    )
    assert str(refused.value) == "429 request.too_many: wait"


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, b""),
        (200, b"<html>"),
        (200, b"[]"),
        (200, b'{"data":[{"id":1}],"next_cursor":null}'),
        (302, b""),
        (404, b"not here"),
        (502, b"<html>bad gateway</html>"),
        (500, b'{"error":"x"}'),
    ],
)
async def test_an_answer_of_something_else_is_strange(echo: Echo, client: RestClient, status: int, body: bytes) -> None:
    echo.answer = (status, body, {"location": "/elsewhere"} if status == 302 else {})
    with pytest.raises(StrangeAnswer):
        await client.list_orders()
    assert len(echo.asked) == 1


async def test_an_answer_without_end_is_cut_off(echo: Echo, client: RestClient) -> None:
    echo.answer = (200, b" " * 8_388_609, {})
    with pytest.raises(StrangeAnswer, match="larger"):
        await client.list_orders()


async def test_nobody_there_is_told_as_such() -> None:
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        async with RestClient.hmac(f"http://127.0.0.1:{deaf.getsockname()[1]}", "key_1", SECRET) as client:
            with pytest.raises(ApiUnreachable):
                await client.list_orders()


async def test_walking_follows_the_cursors_to_the_end() -> None:
    pages = {"": (["a", "b"], "1"), "1": ([], "2"), "2": (["c"], None)}

    async def ask(cursor: str) -> Page[str]:
        data, after = pages[cursor]
        return Page(data=data, next_cursor=after)

    assert [one async for one in walk(ask)] == ["a", "b", "c"]
