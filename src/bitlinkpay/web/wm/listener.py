"""A port: accepts connections, bounds handshakes and connections, hands requests to the ASGI app."""

import asyncio
import errno
import logging
import socket
import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress
from enum import Enum
from typing import Final, TypeAlias

from uvicorn.config import Config
from uvicorn.server import ServerState

from bitlinkpay.web.wm.asgi import HttpScope, Receive, Send
from bitlinkpay.web.wm.protocol import ConnectionLimits, Idle, Unreadable, protocol_factory, unreadable_envelope

AsgiApp: TypeAlias = Callable[[HttpScope, Receive, Send], Awaitable[None]]

_log: Final = logging.getLogger(__name__)
_BACKLOG: Final = 1024
_PAUSE_S: Final = 0.05
_SHUTDOWN_S: Final = 2
_OUT_OF_FILES: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class Sharing(Enum):
    """Who may listen on the port."""

    ALONE = "alone"
    SIBLINGS = "siblings"  # processes of this user, all of one deployment: the kernel deals connections out


class Listener:
    """One listening port of an ASGI app, with mutual TLS or without TLS.

    `start` binds and returns the port; `stop` stops accepting, lets running requests end, closes the rest.
    """

    def __init__(
        self,
        app: AsgiApp,
        *,
        host: str,
        port: int,
        tls: ssl.SSLContext | None,
        limits: ConnectionLimits | None = None,
        sharing: Sharing = Sharing.ALONE,
        unreadable: Unreadable = unreadable_envelope,
    ) -> None:
        self._host = host
        self._port = port
        self._tls = tls
        self._sharing = sharing
        self._unreadable = unreadable
        self._limits = limits or ConnectionLimits()
        self._state = ServerState()
        self._idle = Idle()
        self._config = _config(app, self._limits)
        self._handshakes: dict[asyncio.Task[None], None] = {}
        self._socket: socket.socket | None = None
        self._accepting: asyncio.Task[None] | None = None

    async def start(self) -> int:
        """Bind and begin to accept; returns the port, of the system's choice where 0 was given.

        Raises:
            OSError: the address cannot be bound.
        """
        assert self._socket is None, "a listener starts once"
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        is_shared = self._sharing is Sharing.SIBLINGS
        self._socket = socket.create_server(
            (self._host, self._port), family=family, backlog=_BACKLOG, reuse_port=is_shared
        )
        self._socket.setblocking(False)
        self._accepting = asyncio.create_task(self._accept(self._socket))
        port: int = self._socket.getsockname()[1]
        return port

    @property
    def open_connections(self) -> int:
        """How many connections are past their handshake."""
        return len(self._state.connections)

    async def stop(self, *, grace_s: float = 10) -> None:
        """Stop accepting, wait up to `grace_s` for requests in work, then close what is left."""
        if self._accepting is None or self._socket is None:
            return
        self._accepting.cancel()
        for handshake in list(self._handshakes):
            handshake.cancel()
        await asyncio.gather(self._accepting, *self._handshakes, return_exceptions=True)
        self._socket.close()
        for connection in list(self._state.connections):
            connection.shutdown()
        with suppress(TimeoutError):
            async with asyncio.timeout(grace_s):
                await asyncio.gather(*self._state.tasks, return_exceptions=True)
        for connection in list(self._state.connections):
            connection.transport.abort()
        await asyncio.sleep(0)

    async def _accept(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, _ = await loop.sock_accept(listening)
            except OSError as error:
                await self._survive(error)
                continue
            self._make_room()
            task = loop.create_task(self._shake_hands(connection))
            self._handshakes[task] = None
            task.add_done_callback(self._handshakes.pop)

    async def _survive(self, error: OSError) -> None:
        """Go on accepting: a connection that went away costs nothing, a full file table costs an idle connection."""
        if error.errno in _OUT_OF_FILES:
            _log.warning("cannot accept a connection: %s", error)
            self._idle.close_longest()
            await asyncio.sleep(_PAUSE_S)

    def _make_room(self) -> None:
        if len(self._handshakes) >= self._limits.handshakes:
            next(iter(self._handshakes)).cancel()
        if len(self._state.connections) >= self._limits.connections:
            self._idle.close_longest()

    async def _shake_hands(self, connection: socket.socket) -> None:
        """Let TLS have the connection. A failed handshake gets no HTTP answer, whatever it sent."""
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        handshake_s, shutdown_s = (self._limits.handshake_s, _SHUTDOWN_S) if self._tls else (None, None)
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                protocol_factory(self._config, self._state, self._limits, self._idle, self._unreadable),
                connection,
                ssl=self._tls,
                ssl_handshake_timeout=handshake_s,
                ssl_shutdown_timeout=shutdown_s,
            )
        except (OSError, TimeoutError) as error:  # ssl.SSLError is an OSError
            _log.info("handshake failed: %s", error)
            connection.close()
        except asyncio.CancelledError:
            connection.close()
            raise


def _config(app: AsgiApp, limits: ConnectionLimits) -> Config:
    config = Config(
        app,
        http="httptools",
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        proxy_headers=False,
        server_header=False,
        date_header=False,
        timeout_keep_alive=limits.idle_s,
    )
    config.load()
    return config
