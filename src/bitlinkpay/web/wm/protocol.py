"""uvicorn's HTTP protocol with the peer's certificate in the scope, and with a limit on everything it leaves open.

Stock uvicorn puts no limit on the time or size of request headers and lets a fresh connection idle for ever.
"""

import asyncio
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import TypeAlias

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from bitlinkpay.web.tls import peer_spki
from bitlinkpay.web.wm.asgi import SPKI
from bitlinkpay.web.wm.cork import Corked
from bitlinkpay.wm.answers import turn_away
from bitlinkpay.wm.ids import OuterCode


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """What one port allows.

    Attributes:
        connections: open connections; beyond them the one that idled longest is closed.
        handshakes: TLS handshakes under way; beyond them the oldest is dropped.
        handshake_s: seconds for a handshake.
        head_s: seconds from a request's first byte (or from connect) to the end of its headers.
        head_bytes: size of request line and headers.
        idle_s: seconds that a connection may idle between requests.
    """

    connections: int = 2000
    handshakes: int = 512
    handshake_s: int = 5
    head_s: int = 10
    head_bytes: int = 32_768
    idle_s: int = 75


@dataclass(frozen=True, slots=True)
class LastWord:
    """What is answered to HTTP that cannot be read; then the connection ends."""

    status: int
    headers: Mapping[str, str]
    body: bytes


Unreadable: TypeAlias = Callable[[bytes, str], LastWord]
"""Says what to answer, by the target as far as it was read (b"" for not at all), and by what is wrong."""


def unreadable_envelope(_: bytes, why: str) -> LastWord:
    """Answer as the SDK protocol answers everything: at HTTP 200."""
    return LastWord(200, {"content-type": "application/json"}, turn_away(OuterCode.ROUTE, why))


class Idle:
    """Connections with no request in work, longest idle first."""

    def __init__(self) -> None:
        self._waiting: dict[HttpToolsProtocol, None] = {}

    def enter(self, connection: HttpToolsProtocol) -> None:
        """Note that a connection has nothing to do."""
        self._waiting.pop(connection, None)
        self._waiting[connection] = None

    def leave(self, connection: HttpToolsProtocol) -> None:
        """Note that a connection works or is gone."""
        self._waiting.pop(connection, None)

    def close_longest(self) -> bool:
        """Close the connection that idles longest; False when none idles."""
        longest = next(iter(self._waiting), None)
        if longest is None:
            return False
        self.leave(longest)
        longest.transport.close()
        return True


class WmProtocol(HttpToolsProtocol):
    """One connection: identity read once, from TLS; head bounded in time and size."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        *,
        limits: ConnectionLimits,
        idle: Idle,
        unreadable: Unreadable,
    ) -> None:
        super().__init__(config, server_state, {})
        self.access_log = False
        self.url = b""
        self._unreadable = unreadable
        self._limits = limits
        self._idle = idle
        self._deadline: asyncio.TimerHandle | None = None
        self._head_bytes = 0
        self._is_in_head = True

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Read who the peer is and start the clock on its first request."""
        super().connection_made(Corked(transport, self.loop))
        ssl_object: ssl.SSLObject | None = transport.get_extra_info("ssl_object")
        if ssl_object is not None:
            self.app_state = {SPKI: peer_spki(ssl_object)}
        self._idle.enter(self)
        self._arm()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop every clock."""
        self._disarm()
        self._idle.leave(self)
        super().connection_lost(exc)
        self._unset_keepalive_if_required()

    def data_received(self, data: bytes) -> None:
        """Parse; a head that is too large or never ends is answered and closed."""
        if self._is_in_head:
            self._head_bytes += len(data)
        super().data_received(data)
        if self.transport.is_closing():
            return
        if self._is_in_head and self._head_bytes > self._limits.head_bytes:
            self.send_400_response("The headers are too large.")
        elif self._is_in_head and self._deadline is None and self.timeout_keep_alive_task is None:
            self._arm()  # stray line ends before a request line begin no message

    def on_message_begin(self) -> None:
        """A request's first byte."""
        super().on_message_begin()
        self._is_in_head = True
        if self._deadline is None:
            self._arm()

    def on_headers_complete(self) -> None:
        """A request's head is in: the application's own limits take over."""
        self._disarm()
        self._is_in_head = False
        self._head_bytes = 0
        self._idle.leave(self)
        super().on_headers_complete()

    def on_response_complete(self) -> None:
        """An answer is out."""
        super().on_response_complete()
        if not self.pipeline:
            self._is_in_head = True
            self._idle.enter(self)

    def send_400_response(self, msg: str) -> None:
        """Answer what cannot be read, and hang up.

        Nothing is written while an earlier request of the connection is owed its answer: answers keep their places.
        """
        if self._is_owed_nothing():
            last = self._unreadable(self.url, msg)
            headers = {**last.headers, "content-length": str(len(last.body)), "connection": "close"}
            lines = [f"HTTP/1.1 {last.status} {HTTPStatus(last.status).phrase}"]
            lines += [f"{name}: {value}" for name, value in headers.items()]
            self.transport.write("\r\n".join([*lines, "", ""]).encode() + last.body)
        self.transport.close()

    def _is_owed_nothing(self) -> bool:
        cycle = self.cycle
        if cycle is None or cycle.response_complete:
            return True
        if self.pipeline or cycle.response_started or not cycle.more_body:
            return False
        cycle.disconnected = True  # the broken request is this one: it gets this answer, the app's would be a second
        cycle.message_event.set()
        return True

    def _arm(self) -> None:
        self._deadline = self.loop.call_later(self._limits.head_s, self._late)

    def _disarm(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _late(self) -> None:
        self._deadline = None
        if not self.transport.is_closing():
            self.transport.abort()


def protocol_factory(
    config: Config, state: ServerState, limits: ConnectionLimits, idle: Idle, unreadable: Unreadable
) -> Callable[[], WmProtocol]:
    """Return what makes one protocol a connection."""

    def make() -> WmProtocol:
        return WmProtocol(config, state, limits=limits, idle=idle, unreadable=unreadable)

    return make
