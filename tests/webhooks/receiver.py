"""Merchants' servers on loopback, kind and hostile."""

import asyncio
import ssl
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Self

from aiohttp import web

Script = Callable[["Hit"], Awaitable[web.StreamResponse] | web.StreamResponse]
Raw = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

SUCCESS = b'{"code": 0, "msg": "success"}'


@dataclass(frozen=True, slots=True)
class Hit:
    path: str
    headers: dict[str, str]
    body: bytes
    raw_headers: tuple[tuple[bytes, bytes], ...] = ()


@dataclass
class Receiver:
    """Keeps every request and answers by `script`."""

    url: str = ""
    hits: list[Hit] = field(default_factory=list)
    script: Script = lambda _: web.Response(body=SUCCESS, content_type="application/json")
    _came: asyncio.Event = field(default_factory=asyncio.Event)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        headers = {name.lower(): value for name, value in request.headers.items()}
        hit = Hit(request.path_qs, headers, await request.read(), request.raw_headers)
        self.hits.append(hit)
        self._came.set()
        answer = self.script(hit)
        return answer if isinstance(answer, web.StreamResponse) else await answer

    async def wait_for(self, count: int, *, within_s: float = 60) -> list[Hit]:
        async with asyncio.timeout(within_s):
            while len(self.hits) < count:
                self._came.clear()
                await self._came.wait()
        return self.hits


@asynccontextmanager
async def open_receiver(
    script: Script | None = None, *, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1"
) -> AsyncIterator[Receiver]:
    receiver = Receiver()
    if script is not None:
        receiver.script = script
    runner = web.ServerRunner(web.Server(receiver.handle), shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, host, 0, ssl_context=tls, reuse_address=True)
    await site.start()
    port = runner.addresses[0][1]
    receiver.url = f"{'https' if tls else 'http'}://{host}:{port}/callback"
    try:
        yield receiver
    finally:
        await runner.cleanup()


def status(code: int, body: bytes = b"", **headers: str) -> Script:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda _: web.Response(status=code, body=body, headers=named)


@asynccontextmanager
async def open_raw(serve: Raw) -> AsyncIterator[str]:
    """A server that speaks whatever `serve` writes, after it has read one request's head and body."""
    tasks: set[asyncio.Task[None]] = set()

    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await reader.readuntil(b"\r\n\r\n")
            await serve(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            tasks.discard(task)
            writer.close()

    server = await asyncio.start_server(once, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}/callback"
    finally:
        for task in list(tasks):
            task.cancel()
        server.close()


class Connects:
    """Every address that this process tries to connect to while it is open: the proof that nothing was touched."""

    _open: "list[Connects]" = []  # noqa: RUF012
    _is_hooked = False

    def __init__(self) -> None:
        self.addresses: list[str] = []

    def __enter__(self) -> Self:
        if not Connects._is_hooked:
            sys.addaudithook(Connects._hear)
            Connects._is_hooked = True
        Connects._open.append(self)
        return self

    def __exit__(self, *_: object) -> None:
        Connects._open.remove(self)

    @staticmethod
    def _hear(event: str, args: tuple[object, ...]) -> None:
        if event == "socket.connect":
            address = args[1]
            for connects in Connects._open:
                connects.addresses.append(str(address[0]) if isinstance(address, tuple) else str(address))
