"""An indexer that lies: HTTP on loopback before the real network, which alters, drops, stalls or breaks answers.

async with TonProxy.start(network.url) as proxy:
    proxy.edit = hide_last            # (path, query, answer) -> answer
    proxy.target = network.lagging(20)
"""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Self

import aiohttp
from aiohttp import web

Edit = Callable[[str, Mapping[str, object], dict], object]  # path, query or body, answer


class TonProxy:
    """One lying endpoint. Its switches may be changed at any time."""

    def __init__(self, target: str) -> None:
        self.target = target
        self.url = ""
        self.status = 0  # an HTTP status that replaces every answer
        self.raw: bytes | None = None  # a body that replaces every answer
        self.is_silent = False
        self.emulates = True
        self.edit: Edit | None = None
        self.calls: list[tuple[str, dict[str, object]]] = []
        self._closing = asyncio.Event()
        self._session = aiohttp.ClientSession()

    @classmethod
    @asynccontextmanager
    async def start(cls, target: str) -> AsyncIterator[Self]:
        """Serve on a free port of loopback for the length of a `with` block."""
        proxy = cls(target)
        app = web.Application(client_max_size=8 << 20)
        app.router.add_route("*", "/api/{api:v3|emulate/v1}/{path:.*}", proxy._handle)
        runner = web.AppRunner(app, shutdown_timeout=0, access_log=None)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            proxy.url = f"http://127.0.0.1:{runner.addresses[0][1]}/api/v3"
            yield proxy
        finally:
            proxy._closing.set()
            await runner.cleanup()
            await proxy._session.close()

    @property
    def counts(self) -> Counter[str]:
        """Return how many calls of each path passed."""
        return Counter(path for path, _ in self.calls)

    async def _handle(self, request: web.Request) -> web.Response:
        path = "/" + request.match_info["path"]
        body = await request.read()
        asked = json.loads(body) if body else dict(request.query)
        self.calls.append((path, asked))
        if self.is_silent:
            await self._closing.wait()
            return web.Response(status=503)  # to nobody; what was asked of it is passed on to nobody either
        api = request.match_info["api"]
        if self.status or not (self.emulates or api == "v3"):
            return web.Response(status=self.status or 404, text="refused")
        if self.raw is not None:
            return web.Response(body=self.raw, content_type="application/json")
        url = self.target.removesuffix("v3") + api + path
        async with self._session.request(request.method, url, params=request.query, data=body) as answer:
            told, status = await answer.json(), answer.status
        if self.edit is not None and status == 200:
            told = self.edit(path, asked, told)
        return web.json_response(told, status=status)
