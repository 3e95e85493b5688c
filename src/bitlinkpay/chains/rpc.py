"""JSON-RPC 2.0 over HTTP to nodes that may be slow, broken or hostile: batches, budgets, bounds, one error family.

Every refusal is a `ChainError`. No redirect is followed and no proxy is taken from the environment; a URL's
credentials (user info, path, query) never reach a message, a log or a status.
"""

import asyncio
import re
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from types import SimpleNamespace
from typing import Self
from urllib.parse import urlsplit

import aiohttp
import msgspec

from bitlinkpay.chains.base import ChainError
from bitlinkpay.core.errors import Invalid

_SECOND_NS = 1_000_000_000
_REST_FIRST_NS = _SECOND_NS // 4
_REST_LONGEST_NS = 60 * _SECOND_NS
_HINT_BYTES = 4096
_MESSAGE_CHARS = 160
_OK, _TOO_LARGE, _TOO_MANY = 200, 413, 429
_LIMIT_CODES = frozenset({-32005, -32029, 429})  # EIP-1474 "limit exceeded" and what providers use beside it
_METHOD_MISSING = -32601
_TOO_MUCH = re.compile(r"too (large|many|big|long)|exceed|limit|size", re.IGNORECASE)
_RETRY_AFTER = re.compile(r"[0-9]{1,5}", re.ASCII)


class EndpointFailed(ChainError):
    """An endpoint gave no usable answer: transport, status, malformed content, or it rests after failures."""


class AnswerTooLarge(EndpointFailed):
    """The endpoint will not, or may not, answer that much at once; asking for less may work."""


class CallRefused(ChainError):
    """The node answered a call with a JSON-RPC error."""

    def __init__(self, method: str, code: int, message: str) -> None:
        super().__init__(f"{method}: {printable(message)} ({code})")
        self.code = code

    @property
    def is_unsupported(self) -> bool:
        """Say whether the endpoint lacks the method."""
        return self.code == _METHOD_MISSING


def printable(text: str) -> str:
    """Return foreign text fit for one log line: printable characters only, cut short."""
    return "".join(c if c.isprintable() else "?" for c in text[:_MESSAGE_CHARS])


def _is_http(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One RPC address and how hard it may be asked.

    Attributes:
        url: where to post; may carry credentials, so it is never shown: `label` is.
        operator: who runs it; endpoints of one operator count once toward a quorum. "" means the host and port.
        calls_per_second: rate budget in calls, not in HTTP requests.
        burst: how many calls the budget may run ahead.
        batch_max: the most calls in one HTTP request; learned downwards where the endpoint refuses.
        answer_bytes_max: bound on one HTTP answer.
        timeout: bound on one HTTP exchange, body included.
    """

    url: str = field(repr=False)
    operator: str = ""
    calls_per_second: int = 200
    burst: int = 1000
    batch_max: int = 500
    answer_bytes_max: int = 64 * 1024 * 1024
    timeout: timedelta = timedelta(seconds=20)

    def __post_init__(self) -> None:
        if not _is_http(self.url):
            raise Invalid("an RPC endpoint is an http or https URL with a host")
        if min(self.calls_per_second, self.burst, self.batch_max, self.answer_bytes_max) < 1:
            raise Invalid(f"the limits of endpoint {self.label} must be positive")

    @property
    def label(self) -> str:
        """Return scheme, host and port: what may be shown."""
        parts = urlsplit(self.url)
        host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
        return f"{parts.scheme}://{host}" + (f":{parts.port}" if parts.port else "")

    @property
    def party(self) -> str:
        """Return the operator, by default the host and port."""
        return self.operator or self.label.partition("//")[2]


@dataclass(frozen=True, slots=True)
class Call:
    """One method call with positional parameters."""

    method: str
    params: tuple[object, ...] = ()


class Fault(msgspec.Struct, frozen=True):
    """The error object of JSON-RPC 2.0, section 5.1."""

    code: int
    message: str = ""


class Answer(msgspec.Struct, frozen=True):
    """One response of a batch; `result` is undecoded JSON, empty where the node gave an error instead."""

    id: int | str | None = None
    result: msgspec.Raw = msgspec.Raw()
    error: Fault | None = None


class _Request(msgspec.Struct, frozen=True):
    id: int
    method: str
    params: tuple[object, ...]
    jsonrpc: str = "2.0"


_BATCH = msgspec.json.Decoder(list[Answer])
_SINGLE = msgspec.json.Decoder(Answer)


class Pace:
    """A token bucket in virtual time: who takes too much waits, in order, and nobody polls."""

    def __init__(self, *, per_second: int, burst: int, now_ns: Callable[[], int]) -> None:
        self._cost_ns = max(1, _SECOND_NS // per_second)
        self._ahead_ns = self._cost_ns * burst
        self._now_ns = now_ns
        self._spent_until_ns = 0

    def take(self, calls: int) -> int:
        """Take the budget of `calls` calls and return the nanoseconds to wait before making them."""
        now = self._now_ns()
        self._spent_until_ns = max(self._spent_until_ns, now) + calls * self._cost_ns
        return max(0, self._spent_until_ns - self._ahead_ns - now)


class Breaker:
    """Rests after failures, each time twice as long, with jitter, up to a minute; one success ends it."""

    def __init__(self, now_ns: Callable[[], int]) -> None:
        self._now_ns = now_ns
        self._failures = 0
        self._resting_until_ns = 0
        self.error = ""

    @property
    def is_resting(self) -> bool:
        """Say whether asking is refused without trying."""
        return self._now_ns() < self._resting_until_ns

    def failed(self, error: str, *, at_least_ns: int = 0) -> None:
        """Count a failure and rest."""
        rest = min(_REST_LONGEST_NS, _REST_FIRST_NS << min(self._failures, 16))
        rest = rest // 2 + secrets.randbelow(rest // 2 + 1)
        self._failures += 1
        self._resting_until_ns = self._now_ns() + max(rest, min(at_least_ns, _REST_LONGEST_NS))
        self.error = error

    def succeeded(self) -> None:
        """Forget failures."""
        self._failures = 0
        self._resting_until_ns = 0
        self.error = ""


class JsonRpc:
    """The connection to one endpoint. Not safe for more than one event loop."""

    def __init__(self, endpoint: Endpoint, *, now_ns: Callable[[], int] = time.monotonic_ns) -> None:
        self.endpoint = endpoint
        self.breaker = Breaker(now_ns)
        self.connections = 0  # how many were ever opened: a new one may lead to another node behind the same name
        self.calls = 0  # how many were ever made, for status and for tests that count
        self._pace = Pace(per_second=endpoint.calls_per_second, burst=endpoint.burst, now_ns=now_ns)
        self._batch_max: dict[str, int] = {}
        self._next_id = 1
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def batch(self, calls: Sequence[Call]) -> list[Answer]:
        """Make calls of one kind and return their answers in order; a call's own error is in its answer.

        The calls travel in as few HTTP requests as the endpoint takes; when it calls a request too large, the
        request is halved and the smaller size remembered.

        Raises:
            EndpointFailed: transport, time, status, or an answer that does not fit what was asked.
            AnswerTooLarge: even a single call is too much for it.
        """
        answers: list[Answer] = []
        while len(answers) < len(calls):
            kind = calls[len(answers)].method
            size = self._batch_max.get(kind, self.endpoint.batch_max)
            chunk = calls[len(answers) : len(answers) + size]
            try:
                answers += await self._guarded(chunk)
            except AnswerTooLarge:
                if len(chunk) == 1:
                    raise
                self._batch_max[kind] = len(chunk) // 2
                continue
            if len(chunk) == size < self.endpoint.batch_max:
                self._batch_max[kind] = size + 1
        return answers

    async def _guarded(self, calls: Sequence[Call]) -> list[Answer]:
        if self.breaker.is_resting:
            raise EndpointFailed(f"{self.endpoint.label} rests after: {self.breaker.error}")
        if wait_ns := self._pace.take(len(calls)):
            await asyncio.sleep(wait_ns / _SECOND_NS)
        try:
            answers = await self._exchange(calls)
        except AnswerTooLarge as error:
            if len(calls) == 1:
                self.breaker.failed(str(error))
            raise
        except EndpointFailed as error:
            if not self.breaker.is_resting:
                self.breaker.failed(str(error))
            raise
        self.breaker.succeeded()
        return answers

    async def _exchange(self, calls: Sequence[Call]) -> list[Answer]:
        first = self._next_id
        self._next_id += len(calls)
        self.calls += len(calls)
        requests = [_Request(first + i, call.method, call.params) for i, call in enumerate(calls)]
        body = await self._post(msgspec.json.encode(requests), calls[0].method)
        return self._match(self._parse(body), first, len(calls))

    def _fail(self, what: str) -> EndpointFailed:
        return EndpointFailed(f"{self.endpoint.label}: {what}")

    async def _post(self, body: bytes, method: str) -> bytes:
        try:
            async with self._open().post(
                self.endpoint.url, data=body, headers={"content-type": "application/json"}, allow_redirects=False
            ) as response:
                if response.status == _OK:
                    return await self._read(response, self.endpoint.answer_bytes_max)
                raise await self._refusal(response)
        except TimeoutError:
            # Half as much may come in time, but a silent node would cost that wait again: only the next one is smaller.
            self._batch_max[method] = max(1, self._batch_max.get(method, self.endpoint.batch_max) // 2)
            raise self._fail("no answer in time") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise self._fail(type(error).__name__) from None

    async def _read(self, response: aiohttp.ClientResponse, most: int) -> bytes:
        parts: list[bytes] = []
        size = 0
        async for part in response.content.iter_any():
            size += len(part)
            if size > most:
                response.close()
                raise AnswerTooLarge(f"{self.endpoint.label}: more than {most} bytes in one answer")
            parts.append(part)
        return b"".join(parts)

    async def _refusal(self, response: aiohttp.ClientResponse) -> EndpointFailed:
        status = response.status
        if status == _TOO_MANY:
            return self._rate_limited(response.headers.get("Retry-After", ""))
        try:
            hint = (await self._read(response, _HINT_BYTES)).decode("ascii", "replace")
        except AnswerTooLarge:
            hint = ""
        if status == _TOO_LARGE or (status >= 400 and _TOO_MUCH.search(hint)):  # noqa: PLR2004
            return AnswerTooLarge(f"{self.endpoint.label}: HTTP {status}, too much at once")
        return self._fail(f"HTTP {status}")

    def _rate_limited(self, retry_after: str) -> EndpointFailed:
        error = self._fail("asks for fewer calls (429)")
        seconds = int(retry_after) if _RETRY_AFTER.fullmatch(retry_after) else 0
        self.breaker.failed(str(error), at_least_ns=seconds * _SECOND_NS)
        return error

    def _parse(self, body: bytes) -> list[Answer]:
        try:
            if body.lstrip()[:1] == b"{":
                return [_SINGLE.decode(body)]
            return _BATCH.decode(body)
        except (msgspec.DecodeError, ValueError, RecursionError) as error:
            raise self._fail(f"not a JSON-RPC answer ({type(error).__name__})") from None

    def _match(self, answers: list[Answer], first: int, count: int) -> list[Answer]:
        """Return the answers in the order of the calls: exactly one for each id that was sent."""
        for answer in answers:
            if answer.error is not None and answer.error.code in _LIMIT_CODES:
                raise AnswerTooLarge(f"{self.endpoint.label}: limit exceeded ({answer.error.code})")
        if len(answers) != count:
            only = answers[0].error if len(answers) == 1 else None
            if only is not None and _TOO_MUCH.search(only.message):
                raise AnswerTooLarge(f"{self.endpoint.label}: {printable(only.message)}")
            raise self._fail(f"{len(answers)} answers to {count} calls")
        by_id = {answer.id: answer for answer in answers}
        try:
            ordered = [by_id[first + i] for i in range(count)]
        except KeyError:
            raise self._fail("answers with other ids than the calls") from None
        if not all(answer.error is not None or len(answer.result) for answer in ordered):
            raise self._fail("an answer has neither result nor error")
        return ordered

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None or self._session.closed:
            trace = aiohttp.TraceConfig()
            trace.on_connection_create_end.append(self._connected)
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=8),
                timeout=aiohttp.ClientTimeout(total=self.endpoint.timeout.total_seconds()),
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=False,
                trace_configs=[trace],
            )
        return self._session

    async def _connected(
        self, _session: aiohttp.ClientSession, _context: SimpleNamespace, _end: aiohttp.TraceConnectionCreateEndParams
    ) -> None:
        self.connections += 1
