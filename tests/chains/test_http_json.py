"""Plain HTTP paths against a node that misbehaves in every way a socket allows, beside answers that are right."""

import asyncio
import base64
from collections.abc import AsyncIterator
from datetime import timedelta

import msgspec
import pytest
from aiohttp import web

from bitlinkpay.chains.base import EndpointFailed
from bitlinkpay.chains.http_json import HttpJson
from bitlinkpay.chains.transport import (
    AnswerTooLarge,
    Endpoint,
    NoAnswerInTime,
    StatusRefused,
)

SECOND = 1_000_000_000


class Height(msgspec.Struct, frozen=True):
    """What these tests ask for."""

    height: int


HEIGHT = msgspec.json.Decoder(Height)


class Node:
    """One HTTP server that answers everything with `body` and `status`, and keeps what it was asked."""

    def __init__(self) -> None:
        self.url = ""
        self.body, self.status, self.headers = b'{"height":7}', 200, {}
        self.seen: list[web.BaseRequest] = []
        self.bodies: list[bytes] = []
        self.is_silent = False
        self.released = asyncio.Event()

    async def handle(self, request: web.BaseRequest) -> web.Response:
        self.seen.append(request)
        self.bodies.append(await request.read())
        if self.is_silent:
            await self.released.wait()
        return web.Response(body=self.body, status=self.status, headers=self.headers)

    def with_user(self, user: str, path: str = "") -> str:
        return self.url.replace("//", f"//{user}@") + path


@pytest.fixture
async def node() -> AsyncIterator[Node]:
    node = Node()
    runner = web.ServerRunner(web.Server(node.handle), shutdown_timeout=0)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        node.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield node
    finally:
        node.released.set()
        await runner.cleanup()


async def height(url: str, **limits: object) -> int:
    async with HttpJson(Endpoint(url, **limits), key_header="X-Node-Key") as http:
        return (await http.post("/wallet/getnowblock", {"visible": False}, HEIGHT)).height


async def test_a_post_and_a_get_go_to_paths_below_the_url(node: Node) -> None:
    async with HttpJson(Endpoint(node.url + "/base/")) as http:
        assert (await http.post("/wallet/getnowblock", {"num": 7}, HEIGHT)).height == 7
        assert (await http.get("/api/v3/blocks", [("hash", "a b+/="), ("hash", "c")], HEIGHT)).height == 7
        assert http.calls == 2
        assert http.connections == 1
    post, get = node.seen
    assert (post.method, post.path, node.bodies[0]) == ("POST", "/base/wallet/getnowblock", b'{"num":7}')
    assert post.headers["content-type"] == "application/json"
    assert (get.method, get.path) == ("GET", "/base/api/v3/blocks")
    assert get.query.getall("hash") == ["a b+/=", "c"]


async def test_a_query_of_the_url_goes_along_with_every_request(node: Node) -> None:
    async with HttpJson(Endpoint(node.url + "/v1?key=k1")) as http:
        await http.get("/blocks", [("n", "1")], HEIGHT)
        await http.post("/blocks", {}, HEIGHT)
    assert [request.path_qs for request in node.seen] == ["/v1/blocks?key=k1&n=1", "/v1/blocks?key=k1"]


async def test_user_info_without_a_password_is_the_key_of_the_named_header(node: Node) -> None:
    assert await height(node.with_user("ab%2Fc")) == 7
    assert node.seen[0].headers["X-Node-Key"] == "ab/c"
    assert "Authorization" not in node.seen[0].headers


async def test_user_and_password_are_basic_and_no_key(node: Node) -> None:
    assert await height(node.with_user("alice:secret")) == 7
    assert "X-Node-Key" not in node.seen[0].headers
    basic = node.seen[0].headers["Authorization"].removeprefix("Basic ")
    assert base64.b64decode(basic) == b"alice:secret"


async def test_without_user_info_no_key_is_sent(node: Node) -> None:
    assert await height(node.url) == 7
    assert not {"X-Node-Key", "Authorization", "Cookie"} & set(node.seen[0].headers)


async def test_credentials_are_in_no_error(node: Node) -> None:
    node.status = 500
    for url in (node.with_user("hidden-word"), node.url + "/hidden-word", "http://hidden-word@127.0.0.1:9"):
        with pytest.raises(EndpointFailed) as refusal:
            await height(url)
        assert "hidden-word" not in f"{refusal.value} {refusal.value!r}"
        assert refusal.value.__cause__ is None


@pytest.mark.parametrize("body", [b"", b"<html>down</html>", b'{"height":"7"}', b"[7]", b"null", b'{"a":' * 100_000])
async def test_NODE_09_an_answer_of_another_form_is_refused_and_the_node_rests(node: Node, body: bytes) -> None:
    node.body = body
    async with HttpJson(Endpoint(node.url), now_ns=lambda: 5 * SECOND) as http:  # the rest ends when we say so
        with pytest.raises(EndpointFailed, match="another form"):
            await http.post("/wallet/getnowblock", {}, HEIGHT)
        assert http.breaker.is_resting
        with pytest.raises(EndpointFailed, match="rests after"):
            await http.post("/wallet/getnowblock", {}, HEIGHT)
        node.body = b'{"height":8}'
        http.breaker.succeeded()
        assert (await http.post("/wallet/getnowblock", {}, HEIGHT)).height == 8
    assert len(node.seen) == 2


async def test_NODE_09_a_large_answer_is_cut_at_the_bound(node: Node) -> None:
    node.body = b'{"height":7}' + b" " * 5000
    with pytest.raises(AnswerTooLarge, match="more than 4096 bytes"):
        await height(node.url, answer_bytes_max=4096)
    assert await height(node.url, answer_bytes_max=8192) == 7


async def test_NODE_09_silence_ends_at_the_time_limit(node: Node) -> None:
    node.is_silent = True
    with pytest.raises(NoAnswerInTime, match="no answer in time"):
        await height(node.url, timeout=timedelta(milliseconds=200))


async def test_NODE_08_too_many_requests_rests_for_as_long_as_the_node_asks(node: Node) -> None:
    now = [5 * SECOND]
    node.status, node.headers = 429, {"Retry-After": "7"}
    async with HttpJson(Endpoint(node.url), now_ns=lambda: now[0]) as http:
        with pytest.raises(EndpointFailed, match="fewer calls"):
            await http.get("/", (), HEIGHT)
        now[0] += 6 * SECOND
        with pytest.raises(EndpointFailed, match="rests after"):
            await http.get("/", (), HEIGHT)
        node.status = 200
        now[0] += 2 * SECOND
        assert (await http.get("/", (), HEIGHT)).height == 7
    assert len(node.seen) == 2


async def test_another_status_carries_what_the_node_said(node: Node) -> None:
    node.status, node.body = 500, b'{"error":"cannot apply external message"}'
    with pytest.raises(StatusRefused, match="HTTP 500") as refusal:
        await height(node.url)
    assert (refusal.value.status, refusal.value.body) == (500, node.body)
    node.body = b"x" * 5000
    with pytest.raises(StatusRefused) as refusal:
        await height(node.url)
    assert refusal.value.body == b"", "a long page is no refusal that anybody reads"
    node.status = 413
    with pytest.raises(AnswerTooLarge):
        await height(node.url)


async def test_redirects_are_not_followed_and_the_environment_names_no_proxy(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    node.status, node.headers = 302, {"Location": "/elsewhere"}
    with pytest.raises(StatusRefused, match="HTTP 302"):
        await height(node.url)
    assert [request.path for request in node.seen] == ["/wallet/getnowblock"]


async def test_requests_are_paced(node: Node) -> None:
    async with HttpJson(Endpoint(node.url, calls_per_second=20, burst=1)) as http:
        started = asyncio.get_running_loop().time()
        for _ in range(5):
            await http.get("/", (), HEIGHT)
        assert asyncio.get_running_loop().time() - started >= 0.18
