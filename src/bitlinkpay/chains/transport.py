"""HTTP to nodes that may be slow, broken or hostile: budgets, bounds, rests after failures, one error family.

`chains.rpc` (JSON-RPC) and `chains.http_json` (plain paths) speak through it. Every refusal is a `ChainError`. No
redirect is followed and no proxy is taken from the environment; a URL's credentials (user info, path, query) never
reach a message, a log or a status.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from types import MappingProxyType, SimpleNamespace
from typing import Final, Self
from urllib.parse import unquote, urlsplit, urlunsplit

import aiohttp

from bitlinkpay.chains.base import EndpointFailed
from bitlinkpay.chains.pacing import Breaker, Pace
from bitlinkpay.core.errors import Invalid

_SECOND_NS = 1_000_000_000
_SECOND_WAY = " by the second way"
_HINT_BYTES = 4096
_OK, _TOO_LARGE, _TOO_MANY = 200, 413, 429
_RETRY_AFTER = re.compile(r"[0-9]{1,5}", re.ASCII)

JSON: Final = MappingProxyType({"content-type": "application/json"})
"""The headers of a request without a key."""


class AnswerTooLarge(EndpointFailed):
    """The endpoint will not, or may not, answer that much at once; asking for less may work."""


class NoAnswerInTime(EndpointFailed):
    """The endpoint was silent or slow beyond its time limit; whether it took the request is not known."""


class StatusRefused(EndpointFailed):
    """The endpoint answered with another HTTP status than 200.

    Attributes:
        status: the status.
        body: the start of what came with it: foreign, for a family that knows the form of its nodes' refusals.
    """

    def __init__(self, label: str, status: int, body: bytes) -> None:
        super().__init__(f"{label}: HTTP {status}")
        self.status = status
        self.body = body


def _is_http(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _without_credentials(url: str) -> tuple[str, Mapping[str, str]]:
    """Split a URL's user and password off into a Basic header in UTF-8 (aiohttp alone would write Latin-1)."""
    parts = urlsplit(url)
    if parts.username is None:
        return url, {}
    user, password = unquote(parts.username), unquote(parts.password or "")
    header = {"authorization": aiohttp.encode_basic_auth(user, password, "utf-8")}
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2])), header


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
        egress: an HTTP proxy that the endpoint is asked through, "" for straight; may carry credentials. Who is asked
            both ways cannot tell us from others by our address, and lie to us alone (THREATS NODE-04).
    """

    url: str = field(repr=False)
    operator: str = ""
    calls_per_second: int = 200
    burst: int = 1000
    batch_max: int = 500
    answer_bytes_max: int = 64 * 1024 * 1024
    timeout: timedelta = timedelta(seconds=20)
    egress: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        if not _is_http(self.url):
            raise Invalid("an RPC endpoint is an http or https URL with a host")
        if self.egress and not _is_http(self.egress):
            raise Invalid("an egress is the http or https URL of a proxy")
        if min(self.calls_per_second, self.burst, self.batch_max, self.answer_bytes_max) < 1:
            raise Invalid(f"the limits of endpoint {self.label} must be positive")

    @property
    def label(self) -> str:
        """Return scheme, host and port, and whether it is asked by the second way: what may be shown."""
        return self._address + (_SECOND_WAY if self.egress else "")

    @property
    def party(self) -> str:
        """Return the operator, by default the host and port; by the second way it counts beside itself."""
        operator = self.operator or self._address.partition("//")[2]
        return operator + (_SECOND_WAY if self.egress else "")

    @property
    def _address(self) -> str:
        parts = urlsplit(self.url)
        host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
        return f"{parts.scheme}://{host}" + (f":{parts.port}" if parts.port else "")


def endpoints_of(urls: Sequence[str], egress: str) -> list[Endpoint]:
    """Return the endpoints of URLs; with an egress each of them twice, straight and by the second way."""
    ways = ("", egress) if egress else ("",)
    return [Endpoint(url, egress=way) for url in urls for way in ways]


def count_operators(urls: Sequence[str]) -> int:
    """Return how many operators run the endpoints of URLs."""
    return len({Endpoint(url).party for url in urls})


def fewest_operators(endpoints: Sequence[Endpoint], votes: int) -> int:
    """Return how many operators at least stand behind so many equal answers: who is asked by two ways may give two."""
    ways = len({endpoint.egress for endpoint in endpoints})
    return -(-votes // ways)


class Transport:
    """The connections to one endpoint. Not safe for more than one event loop."""

    def __init__(self, endpoint: Endpoint, now_ns: Callable[[], int]) -> None:
        self.endpoint = endpoint
        self.breaker = Breaker(now_ns)
        self.connections = 0  # how many were ever opened: a new one may lead to another node behind the same name
        self.calls = 0  # how many were ever made, for status and for tests that count
        self._pace = Pace(per_second=endpoint.calls_per_second, burst=endpoint.burst, now_ns=now_ns)
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

    @asynccontextmanager
    async def guarded(self, calls: int = 1) -> AsyncIterator[None]:
        """Hold an exchange of `calls` calls, decoding included, to the rate budget and to the rests after failures.

        Raises:
            EndpointFailed: the endpoint rests.
        """
        if self.breaker.is_resting:
            raise EndpointFailed(f"{self.endpoint.label} rests after: {self.breaker.error}")
        if wait_ns := self._pace.take(calls):
            await asyncio.sleep(wait_ns / _SECOND_NS)
        self.calls += calls
        try:
            yield
        except AnswerTooLarge as error:
            if calls == 1:
                self.breaker.failed(str(error))
            raise
        except EndpointFailed as error:
            if not self.breaker.is_resting:
                self.breaker.failed(str(error))
            raise
        self.breaker.succeeded()

    def failure(self, what: str) -> EndpointFailed:
        """Return the error that says of this endpoint, by its label, what went wrong."""
        return EndpointFailed(f"{self.endpoint.label}: {what}")

    async def post(self, url: str, body: bytes, headers: Mapping[str, str] = JSON) -> bytes:
        """Post `body` to `url`, an address of this endpoint, and return the answer; call it inside `guarded`.

        Raises:
            EndpointFailed: no answer, or none that may be used.
            NoAnswerInTime, AnswerTooLarge, StatusRefused: for these reasons.
        """
        return await self._exchange("POST", url, body, headers)

    async def get(self, url: str, headers: Mapping[str, str] = JSON) -> bytes:
        """Get `url`, an address of this endpoint; otherwise as `post`."""
        return await self._exchange("GET", url, None, headers)

    async def _exchange(self, method: str, url: str, body: bytes | None, headers: Mapping[str, str]) -> bytes:
        bare, credentials = _without_credentials(url)
        try:
            async with self._open().request(
                method,
                bare,
                data=body,
                headers={**headers, **credentials},
                allow_redirects=False,
                proxy=self.endpoint.egress or None,
            ) as response:
                if response.status == _OK:
                    return await self._read(response, self.endpoint.answer_bytes_max)
                raise await self._refusal(response)
        except TimeoutError:
            raise NoAnswerInTime(f"{self.endpoint.label}: no answer in time") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise self.failure(type(error).__name__) from None

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
            body = await self._read(response, _HINT_BYTES)
        except AnswerTooLarge:
            body = b""
        if status == _TOO_LARGE:
            return AnswerTooLarge(f"{self.endpoint.label}: HTTP {status}, too much at once")
        return StatusRefused(self.endpoint.label, status, body)

    def _rate_limited(self, retry_after: str) -> EndpointFailed:
        error = self.failure("asks for fewer calls (429)")
        seconds = int(retry_after) if _RETRY_AFTER.fullmatch(retry_after) else 0
        self.breaker.failed(str(error), at_least_ns=seconds * _SECOND_NS)
        return error

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
