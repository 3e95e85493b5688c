"""An HTTP proxy on loopback, as a second way out: what it is asked for somebody else's address it asks a node of its own."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Self

import aiohttp
from aiohttp import web


class Relay:
    """A forward proxy before a node that shows it another face than the one asked for; `asked` are the URLs it was sent."""

    def __init__(self, target: str) -> None:
        self.target = target
        self.url = ""
        self.asked: list[str] = []
        self.is_down = False
        self._session = aiohttp.ClientSession()

    @classmethod
    @asynccontextmanager
    async def start(cls, target: str) -> AsyncIterator[Self]:
        """Serve on a free port for the length of a `with` block."""
        relay = cls(target)
        runner = web.ServerRunner(web.Server(relay._handle), shutdown_timeout=0)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        relay.url = f"http://{host}:{port}"
        try:
            yield relay
        finally:
            await relay._session.close()
            await runner.cleanup()

    async def _handle(self, request: web.BaseRequest) -> web.Response:
        self.asked.append(str(request.url))
        if self.is_down:
            return web.Response(status=503)
        headers = {"content-type": "application/json"}
        async with self._session.post(self.target, data=await request.read(), headers=headers) as answer:
            return web.Response(status=answer.status, body=await answer.read(), headers=headers)
