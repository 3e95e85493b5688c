"""The JSON-RPC client against a node that misbehaves in every way a socket allows (THREATS NODE-07 to NODE-09)."""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from tests.nodes.anvil import Anvil
from tests.nodes.proxy import Mode, Proxy, RpcError

from bitlinkpay.chains.base import ChainError, EndpointFailed
from bitlinkpay.chains.codec.text import printable
from bitlinkpay.chains.pacing import Breaker, Pace
from bitlinkpay.chains.rpc import Answer, Call, CallRefused, JsonRpc
from bitlinkpay.chains.transport import (
    AnswerTooLarge,
    Endpoint,
)
from bitlinkpay.core.errors import Invalid

SECOND = 1_000_000_000
PATIENCE = timedelta(seconds=60)
CALLS = [Call("eth_getBalance", ("0x" + f"{i:040x}", "latest")) for i in range(10)]


@pytest.fixture
async def proxy() -> AsyncIterator[Proxy]:
    async with Anvil.start() as node, Proxy.start(node.url) as running:
        yield running


def client(proxy: Proxy, *, now_ns: Callable[[], int] = time.monotonic_ns, **limits: object) -> JsonRpc:
    return JsonRpc(Endpoint(proxy.url, **({"timeout": PATIENCE} | limits)), now_ns=now_ns)


class Ticks:
    """A monotonic clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.ns = 5 * SECOND

    def __call__(self) -> int:
        return self.ns


def value(answer: Answer) -> str:
    return bytes(answer.result).decode()


async def test_a_batch_answers_in_order_over_one_connection(proxy: Proxy) -> None:
    async with client(proxy) as rpc:
        accounts = await rpc.batch([Call("eth_accounts")])
        assert b"0x" in bytes(accounts[0].result)
        answers = await rpc.batch([Call("eth_getBlockByNumber", ("0x0", False)), *CALLS])
        assert [value(answer) for answer in answers[1:]] == ['"0x0"'] * 10
        assert b'"number"' in bytes(answers[0].result)
    assert proxy.requests == 2
    assert rpc.connections == 1
    assert rpc.calls == 12


async def test_answers_that_come_in_another_order_are_matched_by_id(proxy: Proxy) -> None:
    proxy.edit = lambda method, params, _: params[0]
    garble = proxy._garble
    proxy._garble = lambda answers: list(reversed(garble(answers)))
    async with client(proxy) as rpc:
        answers = await rpc.batch(CALLS)
    assert [value(answer) for answer in answers] == [f'"{call.params[0]}"' for call in CALLS]


@pytest.mark.parametrize(
    "mode",
    [
        Mode.OBJECT,
        Mode.SHORT,
        Mode.EXTRA,
        Mode.WRONG_ID,
        Mode.DOUBLE_ID,
        Mode.GARBAGE,
        Mode.DEEP,
        Mode.RESET,
        Mode.REDIRECT,
    ],
)
async def test_NODE_09_malformed_answers_are_refused_whole(proxy: Proxy, mode: Mode) -> None:
    proxy.mode = mode
    async with client(proxy, now_ns=Ticks()) as rpc:
        with pytest.raises(EndpointFailed) as refusal:
            await rpc.batch(CALLS)
        assert not isinstance(refusal.value, AnswerTooLarge)
        assert rpc.breaker.is_resting
        proxy.mode = Mode.HONEST
        rpc.breaker.succeeded()
        assert len(await rpc.batch(CALLS)) == 10


async def test_NODE_09_a_huge_body_is_cut_at_the_bound(proxy: Proxy) -> None:
    proxy.mode = Mode.HUGE
    async with client(proxy, answer_bytes_max=1 << 20) as rpc:
        with pytest.raises(AnswerTooLarge, match="more than 1048576 bytes"):
            await rpc.batch(CALLS[:1])
    assert 1 << 20 <= proxy.streamed < 12 << 20, "what was read beyond the bound is what sockets hold"


@pytest.mark.parametrize("mode", [Mode.DRIP, Mode.SILENT])
async def test_NODE_09_a_slow_drip_or_silence_ends_at_the_time_limit(proxy: Proxy, mode: Mode) -> None:
    proxy.mode = mode
    async with client(proxy, timeout=timedelta(milliseconds=400)) as rpc:
        async with asyncio.timeout(PATIENCE.total_seconds()):
            with pytest.raises(EndpointFailed, match="no answer in time"):
                await rpc.batch(CALLS)


async def test_NODE_09_a_result_of_null_is_a_result_and_no_result_is_none(proxy: Proxy) -> None:
    proxy.edit = lambda *_: None
    async with client(proxy) as rpc:
        assert [value(answer) for answer in await rpc.batch(CALLS[:2])] == ["null", "null"]
        proxy._garble = lambda answers: [{"id": answer["id"]} for answer in answers]
        with pytest.raises(EndpointFailed, match="neither result nor error"):
            await rpc.batch(CALLS[:2])


async def test_NODE_08_too_many_requests_rests_for_as_long_as_the_node_asks() -> None:
    ticks = Ticks()
    async with Anvil.start() as node, Proxy.start(node.url, status=429, headers={"Retry-After": "7"}) as proxy:
        async with JsonRpc(Endpoint(proxy.url), now_ns=ticks) as rpc:
            with pytest.raises(EndpointFailed, match="fewer calls"):
                await rpc.batch(CALLS)
            ticks.ns += 6 * SECOND
            with pytest.raises(EndpointFailed, match="rests after"):
                await rpc.batch(CALLS)
            assert proxy.requests == 1
            proxy.status = 200
            ticks.ns += 2 * SECOND
            assert len(await rpc.batch(CALLS)) == 10


async def test_NODE_08_an_absurd_retry_after_is_bounded(proxy: Proxy) -> None:
    ticks = Ticks()
    proxy.status, proxy.headers = 429, {"Retry-After": "99999"}
    async with JsonRpc(Endpoint(proxy.url), now_ns=ticks) as rpc:
        with pytest.raises(EndpointFailed):
            await rpc.batch(CALLS)
        ticks.ns += 61 * SECOND
        assert not rpc.breaker.is_resting


def test_NODE_08_rests_double_with_jitter_and_end_with_a_success() -> None:
    ticks = Ticks()
    breaker = Breaker(ticks)
    rests = []
    for _ in range(12):
        breaker.failed("down")
        start = ticks.ns
        while breaker.is_resting:
            ticks.ns += SECOND // 100
        rests.append(ticks.ns - start)
    assert SECOND // 8 <= rests[0] <= SECOND // 4 + SECOND // 50
    assert 30 * SECOND <= rests[-1] <= 61 * SECOND
    breaker.failed("down")
    breaker.succeeded()
    assert not breaker.is_resting
    assert breaker.error == ""


def test_rests_differ_between_clients() -> None:
    ends = set()
    for _ in range(20):
        ticks = Ticks()
        breaker = Breaker(ticks)
        for _ in range(6):
            breaker.failed("down")
        ends.add(breaker._resting_until_ns)
    assert len(ends) > 10


def test_the_rate_budget_lets_a_burst_through_then_paces_every_call() -> None:
    ticks = Ticks()
    pace = Pace(per_second=10, burst=20, now_ns=ticks)
    assert pace.take(20) == 0
    assert pace.take(10) == SECOND
    assert pace.take(5) == SECOND + SECOND // 2
    ticks.ns += 60 * SECOND
    assert pace.take(20) == 0, "idle time fills the bucket, but no further than the burst"
    assert pace.take(1) > 0


async def test_the_client_waits_for_its_budget(proxy: Proxy) -> None:
    async with client(proxy, calls_per_second=50, burst=10) as rpc:
        started = asyncio.get_running_loop().time()
        await rpc.batch(CALLS)
        await rpc.batch(CALLS)
        assert asyncio.get_running_loop().time() - started >= 0.18


async def test_a_batch_that_is_too_large_is_halved_and_the_size_remembered(proxy: Proxy) -> None:
    proxy.batch_max = 3
    async with client(proxy) as rpc:
        assert len(await rpc.batch(CALLS)) == 10
        first = proxy.requests
        await rpc.batch(CALLS)
        assert proxy.requests - first < first


async def test_limit_errors_inside_a_batch_halve_it_too(proxy: Proxy) -> None:
    def stingy(method: str, params: list[object], result: object) -> object:
        if len(proxy.calls) - stingy.seen > 4:
            raise RpcError(-32005, "limit exceeded")
        return result

    stingy.seen = 0
    garble = proxy._garble

    def count(answers: list[dict[str, object]]) -> object:
        stingy.seen = len(proxy.calls)
        return garble(answers)

    proxy.edit, proxy._garble = stingy, count
    async with client(proxy) as rpc:
        assert len(await rpc.batch(CALLS)) == 10


async def test_http_413_and_hints_in_error_pages_halve_a_batch(proxy: Proxy) -> None:
    served = []

    async def handle(request: web.Request) -> web.Response:
        calls = await request.json()
        served.append(len(calls))
        if len(calls) > 4:
            status = 413 if len(calls) > 8 else 400
            return web.Response(status=status, text="batch size limit is 4")
        return web.json_response([{"jsonrpc": "2.0", "id": call["id"], "result": "0x1"} for call in calls])

    async with Served(handle) as url, JsonRpc(Endpoint(url)) as rpc:
        assert len(await rpc.batch(CALLS)) == 10
    assert served[:3] == [10, 5, 2]


async def test_a_single_call_that_is_too_large_is_not_tried_for_ever(proxy: Proxy) -> None:
    proxy.status = 413
    async with client(proxy, now_ns=Ticks()) as rpc:
        with pytest.raises(AnswerTooLarge):
            await rpc.batch(CALLS)
        assert rpc.breaker.is_resting
    assert proxy.requests == 4


async def test_a_timed_out_request_is_smaller_the_next_time(proxy: Proxy) -> None:
    proxy.mode = Mode.SILENT
    async with client(proxy, timeout=timedelta(milliseconds=200), batch_max=8) as rpc:
        with pytest.raises(EndpointFailed):
            await rpc.batch(CALLS)
        proxy.mode = Mode.HONEST
        rpc.breaker.succeeded()
        await rpc.aclose()
        rpc._transport.endpoint = replace(rpc.endpoint, timeout=PATIENCE)  # only the silent request is to fail
        before = proxy.requests
        assert len(await rpc.batch(CALLS)) == 10
        assert proxy.requests - before == 3  # 4, 5 and 1 calls


async def test_an_error_of_one_call_does_not_touch_the_others(proxy: Proxy) -> None:
    def one_bad(method: str, params: list[object], result: object) -> object:
        if params[0] == CALLS[3].params[0]:
            raise RpcError(-32000, "header not found")
        return result

    proxy.edit = one_bad
    async with client(proxy) as rpc:
        answers = await rpc.batch(CALLS)
    assert [answer.error is not None for answer in answers] == [i == 3 for i in range(10)]


async def test_redirects_are_not_followed(proxy: Proxy) -> None:
    proxy.mode = Mode.REDIRECT
    async with client(proxy) as rpc:
        with pytest.raises(EndpointFailed, match="HTTP 307"):
            await rpc.batch(CALLS)
    assert proxy.requests == 1


async def test_a_proxy_in_the_environment_is_ignored(proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    async with client(proxy) as rpc:
        assert len(await rpc.batch(CALLS)) == 10


async def test_connections_are_counted_so_that_a_new_one_is_noticed(proxy: Proxy) -> None:
    async with client(proxy) as rpc:
        await rpc.batch(CALLS)
        proxy.mode = Mode.RESET
        with pytest.raises(EndpointFailed):
            await rpc.batch(CALLS)
        proxy.mode = Mode.HONEST
        rpc.breaker.succeeded()
        before = rpc.connections
        await rpc.batch(CALLS)
        assert rpc.connections > before


async def test_NODE_07_a_certificate_that_does_not_verify_is_refused(tmp_path: Path) -> None:
    async def handle(request: web.Request) -> web.Response:
        calls = await request.json()
        return web.json_response([{"id": call["id"], "result": "0x1"} for call in calls])

    async with Served(handle, tls=self_signed(tmp_path)) as url:
        async with JsonRpc(Endpoint(url)) as rpc:
            with pytest.raises(EndpointFailed, match="Certificate"):
                await rpc.batch(CALLS[:1])
    async with Served(handle) as url, JsonRpc(Endpoint(url)) as rpc:
        assert len(await rpc.batch(CALLS[:1])) == 1


def test_credentials_of_a_url_are_never_shown() -> None:
    endpoint = Endpoint("https://user:secret@node.example:8443/v3/0123456789abcdef?key=s3cr3t#x")
    assert endpoint.label == "https://node.example:8443"
    assert endpoint.party == "node.example:8443"
    for text in (repr(endpoint), str(endpoint), endpoint.label, endpoint.party):
        assert "secret" not in text
        assert "0123456789abcdef" not in text
        assert "s3cr3t" not in text
    assert Endpoint("http://[::1]:8545/key").label == "http://[::1]:8545"


async def test_credentials_are_not_in_errors_either() -> None:
    for url in ("http://user:hidden-word@127.0.0.1:9/hidden-word", "http://127.0.0.1:9/hidden-word?hidden-word"):
        async with JsonRpc(Endpoint(url)) as rpc:
            for _ in range(2):
                with pytest.raises(EndpointFailed) as refusal:
                    await rpc.batch(CALLS)
                assert "hidden-word" not in str(refusal.value)
                assert refusal.value.__cause__ is None
            assert "hidden-word" not in rpc.breaker.error


@pytest.mark.parametrize(
    "url",
    [
        "",
        "ftp://node",
        "node:8545",
        "ws://127.0.0.1",
        "http://",
        "file:///etc/passwd",
        "http://h:99999",
        "http://[::1",
        "http://h:0",
        "http://h:port",
    ],
)
def test_an_endpoint_is_an_http_url(url: str) -> None:
    with pytest.raises(Invalid):
        Endpoint(url)


def test_limits_must_be_positive() -> None:
    for name in ("calls_per_second", "burst", "batch_max", "answer_bytes_max"):
        with pytest.raises(Invalid):
            Endpoint("http://127.0.0.1", **{name: 0})


def test_foreign_text_is_made_fit_for_a_log_line() -> None:
    assert printable("a\r\n\x1b[31mb" + "x" * 500) == "a???[31mb" + "x" * 151
    assert "\n" not in str(CallRefused("eth_call", 3, "reverted\nINFO forged line"))
    assert issubclass(EndpointFailed, ChainError)
    assert issubclass(CallRefused, ChainError)


class Served:
    """Serve one handler on loopback."""

    def __init__(self, handle: object, tls: ssl.SSLContext | None = None) -> None:
        app = web.Application()
        app.router.add_post("/", handle)
        self.runner, self.tls = web.AppRunner(app, shutdown_timeout=0), tls

    async def __aenter__(self) -> str:
        await self.runner.setup()
        await web.TCPSite(self.runner, "127.0.0.1", 0, ssl_context=self.tls).start()
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.runner.addresses[0][1]}"

    async def __aexit__(self, *_: object) -> None:
        await self.runner.cleanup()


def self_signed(folder: Path) -> ssl.SSLContext:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = x509.CertificateBuilder(
        name, name, key.public_key(), 7, now - timedelta(days=1), now + timedelta(days=1)
    ).sign(key, hashes.SHA256())
    (folder / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return context
