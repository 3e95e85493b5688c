"""HTTP to merchants' URLs, which are hostile until proven otherwise: only vetted addresses, small and quick answers."""

import asyncio
import functools
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from bitlinkpay.core.errors import Problem
from bitlinkpay.webhooks.model import Answer
from bitlinkpay.webhooks.policy import UrlPolicy
from bitlinkpay.webhooks.urls import check_url

ANSWER_BYTES_MAX: Final = 65_536
TOTAL_S: Final = 15
CONNECT_S: Final = 5
_HEADER_BYTES_MAX: Final = 8_190
_HEADERS_MAX: Final = 100
_DNS_THREADS: Final = 16  # apart from the loop's own: a name that never resolves must not hold anybody else
_IDLE_S: Final = 60
_WINDOW_BYTES: Final = 16_384

_WORDS: Final = (
    (aiohttp.ClientSSLError, "the TLS handshake failed"),
    (aiohttp.ClientConnectorDNSError, "the host name does not resolve"),
    (aiohttp.ClientConnectorError, "the connection was refused or never made"),
    (aiohttp.ServerDisconnectedError, "the server closed the connection without an answer"),
    (aiohttp.ClientResponseError, "the answer is not valid HTTP"),
)

Lookup = Callable[[str, int], Awaitable[Sequence[str]]]
"""`(host, port) -> addresses` of a name, unvetted; raises OSError when it has none."""


class ForbiddenTarget(OSError):
    """The name leads to an address that the policy does not admit. Its text names no address: merchants see it."""

    def __init__(self) -> None:
        super().__init__("the host leads to an address that callbacks are not sent to")


class _VettingResolver(AbstractResolver):
    """Gives out vetted addresses only, so that what was checked is what is connected to."""

    def __init__(self, policy: UrlPolicy, lookup: Lookup) -> None:
        self._policy = policy
        self._lookup = lookup

    async def resolve(
        self,
        host: str,
        port: int = 0,
        family: socket.AddressFamily = socket.AF_UNSPEC,  # noqa: ARG002 (both families are looked up and vetted)
    ) -> list[ResolveResult]:
        found = await self._lookup(host, port)
        vetted = [address for address in found if self._policy.admits_address(address)]
        if not vetted:
            raise ForbiddenTarget if found else OSError("the host name has no address")
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=socket.IPPROTO_TCP,
                flags=socket.AI_NUMERICHOST,
            )
            for address in vetted
        ]

    async def close(self) -> None:
        """Nothing is held."""


class Sender:
    """Posts bodies to merchants' URLs. Make it inside a running event loop and close it with `aclose`.

    No redirect is followed, no proxy, cookie or credential of the environment is used, nothing is decompressed, and
    each connect is vetted twice: names when they resolve, and every socket (literals too) before it connects.
    """

    def __init__(
        self,
        policy: UrlPolicy,
        *,
        lookup: Lookup | None = None,
        tls: ssl.SSLContext | None = None,
        total_s: int = TOTAL_S,
    ) -> None:
        self._policy = policy
        self._total_s = total_s
        self._checked = functools.lru_cache(maxsize=4096)(functools.partial(check_url, policy=policy))
        self._threads = ThreadPoolExecutor(_DNS_THREADS, thread_name_prefix="callback-dns")
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                resolver=_VettingResolver(policy, lookup or self._lookup),
                socket_factory=self._socket,
                ssl=tls or ssl.create_default_context(),
                limit=0,  # the relay's lanes are the limit
                keepalive_timeout=_IDLE_S,
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=min(CONNECT_S, total_s)),
            skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding"),
            auto_decompress=False,
            trust_env=False,
            read_bufsize=_WINDOW_BYTES,
            max_line_size=_HEADER_BYTES_MAX,
            max_field_size=_HEADER_BYTES_MAX,
            max_headers=_HEADERS_MAX,
        )

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Post exactly `body` and return what came back; every failure is an `Answer` with an error in words."""
        try:
            target = self._checked(url)
            async with asyncio.timeout(self._total_s):
                return await self._exchange(target, headers, body)
        except Problem as problem:
            return Answer(None, {}, b"", problem.message)
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            return Answer(None, {}, b"", self._in_words(error))

    async def aclose(self) -> None:
        """Close all connections."""
        await self._session.close()
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _exchange(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        async with self._session.post(url, data=body, headers=headers, allow_redirects=False) as response:
            received = bytearray()
            async for chunk in response.content.iter_any():
                received += chunk
                if len(received) > ANSWER_BYTES_MAX:
                    response.close()
                    return Answer(response.status, dict(response.headers), b"", "the answer is longer than 64 kB")
            return Answer(response.status, dict(response.headers), bytes(received))

    def _in_words(self, error: BaseException) -> str:
        if any(isinstance(cause, ForbiddenTarget) for cause in _causes(error)):
            return str(ForbiddenTarget())
        if isinstance(error, TimeoutError):
            return f"no complete answer within {self._total_s} s"
        if isinstance(error, aiohttp.ClientConnectorCertificateError):
            return f"the TLS certificate is not valid: {error.certificate_error}"[:300]
        known = (words for kind, words in _WORDS if isinstance(error, kind))
        return next(known, f"the exchange broke off: {type(error).__name__}")

    def _socket(self, info: aiohttp.AddrInfoType) -> socket.socket:
        """Make the socket for one connect, or refuse: the last word, and the only one on address literals."""
        family, kind, protocol, _, place = info
        if not (self._policy.admits_address(place[0]) and self._policy.admits_port(place[1])):
            raise ForbiddenTarget
        return socket.socket(family, kind, protocol)

    async def _lookup(self, host: str, port: int) -> Sequence[str]:
        ask = functools.partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
        found = await asyncio.get_running_loop().run_in_executor(self._threads, ask)
        return list(dict.fromkeys(str(place[0]) for *_, place in found))


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
