"""The merchant's side in the demo: an HTTP endpoint on loopback that verifies and acknowledges callbacks."""

import asyncio
from datetime import UTC, datetime
from typing import Final, TypeVar

from aiohttp import web

from bitlinkpay.client.callbacks import ACKNOWLEDGED, BadCallback, verify_callback
from bitlinkpay.core.errors import Unavailable
from bitlinkpay.wm.answers import DepositCallback, WithdrawCallback

_WAIT_S: Final = 60
_Body = TypeVar("_Body")


class Receiver:
    """Listens on a free loopback port and keeps the callbacks whose signature was right."""

    def __init__(self) -> None:
        self.secret = ""
        self._deposits: asyncio.Queue[DepositCallback] = asyncio.Queue()
        self._withdrawals: asyncio.Queue[WithdrawCallback] = asyncio.Queue()
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

    async def next_deposit(self) -> DepositCallback:
        """Wait for an order's callback. Raises Unavailable after a minute."""
        return await _next(self._deposits)

    async def next_withdrawal(self) -> WithdrawCallback:
        """Wait for a withdrawal's callback. Raises Unavailable after a minute."""
        return await _next(self._withdrawals)

    async def _answer(self, request: web.Request) -> web.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        try:
            callback = verify_callback(self.secret, headers, await request.read(), now=datetime.now(UTC))
        except BadCallback as problem:
            return web.json_response({"code": 1, "msg": str(problem)})
        if isinstance(callback, WithdrawCallback):
            await self._withdrawals.put(callback)
        else:
            await self._deposits.put(callback)
        return web.Response(body=ACKNOWLEDGED, content_type="application/json")


async def _next(queue: asyncio.Queue[_Body]) -> _Body:
    try:
        async with asyncio.timeout(_WAIT_S):
            return await queue.get()
    except TimeoutError:
        raise Unavailable(f"no callback came within {_WAIT_S} s; see serve.log") from None
