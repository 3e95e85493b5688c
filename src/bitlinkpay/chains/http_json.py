"""JSON over plain HTTP paths, as the nodes of TRON and TON speak it, over the guarded transport.

The endpoint's URL is the base of every path. Its query goes along with every request, and so does its user info:
`https://user:password@node` as HTTP Basic, `https://KEY@node` as an API key in the header that the family names.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Self, TypeVar
from urllib.parse import quote, unquote, urlencode, urlsplit

import msgspec

from bitlinkpay.chains.transport import JSON, Endpoint, Transport

T = TypeVar("T")


class HttpJson:
    """The connection to one endpoint. Not safe for more than one event loop."""

    def __init__(
        self, endpoint: Endpoint, *, key_header: str = "", now_ns: Callable[[], int] = time.monotonic_ns
    ) -> None:
        """Connect lazily.

        Args:
            endpoint: base address and limits; every request counts as one call.
            key_header: the header that carries an API key given in the URL, "" where the network knows none: then
                user info without a password is HTTP Basic too.
            now_ns: monotonic time.
        """
        self.endpoint = endpoint
        self._transport = Transport(endpoint, now_ns)
        self.breaker = self._transport.breaker
        self._base, self._query, self._headers = _address(endpoint.url, key_header)

    @property
    def connections(self) -> int:
        """Return how many connections were ever opened: a new one may lead to another node."""
        return self._transport.connections

    @property
    def calls(self) -> int:
        """Return how many calls were ever made."""
        return self._transport.calls

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close all connections."""
        await self._transport.aclose()

    async def post(self, path: str, body: object, decoder: "msgspec.json.Decoder[T]") -> T:
        """Post `body` as JSON to a path like `/wallet/getnowblock` and return the typed answer.

        Raises:
            EndpointFailed: no answer, or one of another form.
            StatusRefused: another status than 200; it carries what the node said.
        """
        async with self._transport.guarded():
            answer = await self._transport.post(self._url(path, ()), msgspec.json.encode(body), self._headers)
            return self._decode(answer, path, decoder)

    async def get(self, path: str, query: Sequence[tuple[str, str]], decoder: "msgspec.json.Decoder[T]") -> T:
        """Get a path with query parameters, which may repeat, and return the typed answer; raises as `post`."""
        async with self._transport.guarded():
            answer = await self._transport.get(self._url(path, query), self._headers)
            return self._decode(answer, path, decoder)

    def _url(self, path: str, query: Sequence[tuple[str, str]]) -> str:
        assert path.startswith("/"), f"no path: {path}"
        whole = "&".join(filter(None, (self._query, urlencode(query, quote_via=quote))))
        return self._base + path + (f"?{whole}" if whole else "")

    def _decode(self, body: bytes, path: str, decoder: "msgspec.json.Decoder[T]") -> T:
        try:
            return decoder.decode(body)
        except (msgspec.DecodeError, ValueError, RecursionError) as error:
            raise self._transport.failure(f"the answer to {path} has another form ({type(error).__name__})") from None


def _address(url: str, key_header: str) -> tuple[str, str, Mapping[str, str]]:
    """Split a URL into the base of all paths, the query of all requests and their headers."""
    parts = urlsplit(url)
    has_key = bool(key_header and parts.username) and parts.password is None
    netloc = parts.netloc.rpartition("@")[2] if has_key else parts.netloc
    headers = MappingProxyType({**JSON, key_header: unquote(parts.username or "")}) if has_key else JSON
    return f"{parts.scheme}://{netloc}{parts.path.rstrip('/')}", parts.query, headers
