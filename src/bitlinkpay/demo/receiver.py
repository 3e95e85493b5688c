"""The merchant's side in the demo: an HTTP endpoint on loopback that verifies and acknowledges callbacks."""

import asyncio
from datetime import UTC, datetime

from aiohttp import web

from bitlinkpay.client.callbacks import ACKNOWLEDGED, BadCallback, verify_callback
from bitlinkpay.wm.answers import DepositCallback


class Receiver:
    """Listens on a free loopback port; `received` holds the callbacks whose signature was right."""

    def __init__(self) -> None:
        self.secret = ""
        self.received: asyncio.Queue[DepositCallback] = asyncio.Queue()
        self.refused = 0
        self._runner: web.AppRunner | None = None

    async def start(self) -> str:
        """Begin to listen and return the URL."""
        app = web.Application()
        app.router.add_post("/callback", self._answer)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        return f"http://{host}:{port}/callback"

    async def stop(self) -> None:
        """Stop listening."""
        if self._runner:
            await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        try:
            callback = verify_callback(self.secret, headers, await request.read(), now=datetime.now(UTC))
        except BadCallback as problem:
            self.refused += 1
            return web.json_response({"code": 1, "msg": str(problem)})
        await self.received.put(callback)
        return web.Response(body=ACKNOWLEDGED, content_type="application/json")
