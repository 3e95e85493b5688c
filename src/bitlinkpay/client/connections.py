"""What every client of the platform does alike: connect at the first request, read answers within bounds, close."""

import ssl
from types import TracebackType
from typing import Self

import aiohttp


class Connections:
    """A client's connections to one address; use the client as an async context manager, or call `close`."""

    def __init__(self, url: str, tls: ssl.SSLContext | None, timeout_s: int) -> None:
        """Build it; nothing is connected yet. Without `tls`, https trusts what the system trusts."""
        self._url = url.rstrip("/")
        self._tls = tls
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def __aenter__(self) -> Self:
        """Return the client itself."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connections."""
        await self.close()

    def _connected(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = aiohttp.TCPConnector(ssl=self._tls if self._tls is not None else True)
            self._session = aiohttp.ClientSession(connector=connector, timeout=self._timeout, trust_env=False)
        return self._session


async def read_within(answer: aiohttp.ClientResponse, most: int) -> bytes | None:
    """Return the body of an answer, or None as soon as it is larger than `most` bytes."""
    parts = bytearray()
    async for part in answer.content.iter_any():
        parts += part
        if len(parts) > most:
            return None
    return bytes(parts)
