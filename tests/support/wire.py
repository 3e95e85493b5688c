"""A wire between the driver and PostgreSQL that tests can cut, delay or let lie: PostgreSQL protocol 3.0, chapter 54 of its manual.

Requests (one `Query`, or extended messages up to a `Sync` or a `Flush` after a `Describe`) are passed on one at a time. `Wire` keeps one server connection per client;
`Pooler` gives each transaction another server connection, as transaction poolers do.
"""

import asyncio
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]

_SSL_REQUEST = 80877103
_CANCEL_REQUEST = 80877102
_FLUSH = b"H\0\0\0\4"


class Fault(StrEnum):
    """What happens to one request. Five-letter values are SQLSTATEs that the wire answers in place of the server."""

    CUT_BEFORE = "cut before the server sees it"
    CUT_AFTER = "cut after the server has answered"
    SILENCE = "kept from the server, and never answered"
    SERIALIZATION = "40001"
    DEADLOCK = "40P01"
    DUPLICATE = "23505"


@dataclass
class Wire:
    """Passes requests on until `plan` names a fault for one.

    Attributes:
        target: the real server's socket.
        plan: called with the number of the request (counted by `reset`) and its bytes.
        requests: all requests since `reset`.
        fired: how many faults there were since `reset`.
    """

    target: Path
    plan: Callable[[int, bytes], Fault | None] = lambda _number, _request: None
    requests: list[bytes] = field(default_factory=list)
    fired: int = 0

    def arm(self, plan: Callable[[int, bytes], Fault | None]) -> None:
        self.plan = plan
        self.requests = []
        self.fired = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            startup = await _read_startup(reader)
            if startup is not None:
                server = await asyncio.open_unix_connection(str(self.target))
                try:
                    await self._converse((reader, writer), server, startup)
                finally:
                    server[1].close()
        except (asyncio.IncompleteReadError, ConnectionError, _CutError):
            pass
        finally:
            writer.close()

    async def _converse(self, client: Streams, server: Streams, startup: bytes) -> None:
        server[1].write(startup)
        await _relay_answer(server[0], client[1])
        while True:
            request = await _read_request(client[0])
            number = len(self.requests)
            self.requests.append(request)
            fault = self.plan(number, request)
            self.fired += fault is not None
            match fault:
                case None:
                    server[1].write(request)
                    await _relay_answer(server[0], client[1], request)
                case Fault.CUT_BEFORE:
                    raise _CutError
                case Fault.SILENCE:
                    await client[0].read()  # until the client gives up
                    raise _CutError
                case Fault.CUT_AFTER:
                    server[1].write(request)
                    await _relay_answer(server[0], None, request)
                    raise _CutError
                case _:
                    ready = b"" if request.endswith(_FLUSH) else _message(b"Z", b"E")
                    client[1].write(_error(fault.value) + ready)


@dataclass
class Pooler:
    """Hands every transaction to the next of `size` server connections, with one session state for all clients."""

    target: Path
    size: int = 3
    startup: bytes = b""
    greeting: bytes = b""
    idle: asyncio.Queue[Streams] = field(default_factory=asyncio.Queue)
    opened: list[Streams] = field(default_factory=list)
    transactions: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            startup = await _read_startup(reader)
            if startup is not None:
                await self._open(startup)
                writer.write(self.greeting)
                while True:
                    await self._transaction(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _open(self, startup: bytes) -> None:
        while len(self.opened) < self.size:
            streams = await asyncio.open_unix_connection(str(self.target))
            self.opened.append(streams)
            streams[1].write(startup)
            self.greeting = await _relay_answer(streams[0], None)
            self.idle.put_nowait(streams)

    async def _transaction(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await _read_request(reader)
        server = await self.idle.get()
        self.transactions += 1
        while True:
            server[1].write(request)
            answer = await _relay_answer(server[0], writer, request)
            if answer.endswith(b"Z\0\0\0\5I"):
                self.idle.put_nowait(server)
                return
            request = await _read_request(reader)


class _CutError(Exception):
    pass


@asynccontextmanager
async def listening(wire: Wire | Pooler, folder: Path) -> AsyncIterator[str]:
    """Serve on a socket in `folder` and yield the `host=` part of a connection string."""
    server = await asyncio.start_unix_server(wire.serve, str(folder / ".s.PGSQL.5432"))
    try:
        yield str(folder)
    finally:
        server.close()
        for _, writer in wire.opened if isinstance(wire, Pooler) else []:
            writer.close()


async def _read_startup(reader: asyncio.StreamReader) -> bytes | None:
    while True:
        head = await reader.readexactly(8)
        length, code = struct.unpack("!ii", head)
        body = await reader.readexactly(length - 8)
        if code == _CANCEL_REQUEST:
            return None
        assert code != _SSL_REQUEST, "sockets of this machine speak no TLS"
        return head + body


async def _read_message(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    head = await reader.readexactly(5)
    return head[:1], head + await reader.readexactly(struct.unpack("!i", head[1:])[0] - 4)


async def _read_request(reader: asyncio.StreamReader) -> bytes:
    request = b""
    while True:
        kind, message = await _read_message(reader)
        request += message
        if kind == b"X":
            raise ConnectionResetError("the client said goodbye")
        if kind in (b"Q", b"S", b"H"):
            return request


async def _relay_answer(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter | None, request: bytes = b""
) -> bytes:
    answer, is_flush = b"", request.endswith(_FLUSH)
    while True:
        kind, message = await _read_message(reader)
        answer += message
        # A flushed Describe ends with the rows' description (or none), anything else with "ready for query".
        if kind == b"Z" or (is_flush and kind in (b"T", b"n", b"E")):
            if writer is not None:
                writer.write(answer)
                await writer.drain()
            return answer


def _message(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("!i", len(body) + 4) + body


def _error(sqlstate: str) -> bytes:
    fields = {"S": "ERROR", "V": "ERROR", "C": sqlstate, "M": "injected", "n": "injected_unique"}
    return _message(b"E", b"".join(key.encode() + text.encode() + b"\0" for key, text in fields.items()) + b"\0")
