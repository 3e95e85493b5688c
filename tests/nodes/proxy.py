"""A node that lies: an HTTP server on loopback before a real node, which lags, alters, drops, stalls or breaks answers.

    async with Proxy.start(node.url) as proxy:
        proxy.edit = drop_logs            # (method, params, result) -> result
        proxy.lag = 20                    # pretends to be 20 blocks behind
        proxy.mode = Mode.SILENT          # takes requests and never answers

Every call that passes is recorded in `calls`.
"""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from enum import StrEnum
from typing import Self

import aiohttp
from aiohttp import web

Edit = Callable[[str, list[object], object], object]
_TAGS = ("latest", "safe", "finalized", "pending")


class Mode(StrEnum):
    """How the proxy treats whole HTTP exchanges."""

    HONEST = "honest"
    SILENT = "silent"  # accepts and never answers
    DRIP = "drip"  # answers one byte at a time
    HUGE = "huge"  # a body without end
    RESET = "reset"  # closes the connection and passes nothing on
    LOST = "lost"  # passes everything on and closes the connection in place of an answer
    GARBAGE = "garbage"  # not JSON
    DEEP = "deep"  # JSON nested beyond reason
    OBJECT = "object"  # one object for a batch
    SHORT = "short"  # leaves out the last answer of a batch
    EXTRA = "extra"  # answers a question that nobody asked
    WRONG_ID = "wrong id"
    DOUBLE_ID = "double id"  # the first answer in place of all
    REDIRECT = "redirect"


class RpcError(Exception):
    """Raised by an `edit` to answer a call with a JSON-RPC error."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.body = {"code": code, "message": message}


class Proxy:
    """One lying node. Its switches may be changed at any time."""

    def __init__(self, target: str) -> None:
        self.target = target
        self.url = ""
        self.mode = Mode.HONEST
        self.status = 200  # an HTTP status other than 200 replaces all answers
        self.headers: dict[str, str] = {}
        self.edit: Edit | None = None
        self.lag = 0
        self.batch_max = 0  # refuses larger batches as providers do; 0 for none
        self.calls: list[tuple[str, list[object]]] = []
        self.requests = 0
        self.streamed = 0  # bytes of endless bodies
        self._closing = asyncio.Event()
        self._session = aiohttp.ClientSession()

    @classmethod
    @asynccontextmanager
    async def start(cls, target: str, **switches: object) -> AsyncIterator[Self]:
        """Serve on a free port of loopback for the length of a `with` block."""
        proxy = cls(target)
        for name, value in switches.items():
            setattr(proxy, name, value)
        app = web.Application(client_max_size=64 << 20)
        app.router.add_post("/{path:.*}", proxy._handle)
        runner = web.AppRunner(app, shutdown_timeout=0)
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            proxy.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            yield proxy
        finally:
            proxy._closing.set()
            await runner.cleanup()
            await proxy._session.close()

    @property
    def counts(self) -> Counter[str]:
        """Return how many calls of each method passed."""
        return Counter(method for method, _ in self.calls)

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        self.requests += 1
        body = json.loads(await request.read())
        calls = body if isinstance(body, list) else [body]
        self.calls += [(call["method"], call["params"]) for call in calls]
        if self.status != 200:
            return web.Response(status=self.status, headers=self.headers, text="refused")
        if self.batch_max and len(calls) > self.batch_max:
            return web.json_response(
                {"jsonrpc": "2.0", "id": None, "error": {"code": -32600, "message": "batch too large"}}
            )
        broken = await self._break(request)
        if broken is not None:
            return broken
        answers = [await self._answer(call) for call in calls]
        return self._hang_up(request) if self.mode is Mode.LOST else web.json_response(self._garble(answers))

    async def _break(self, request: web.Request) -> web.StreamResponse | None:
        match self.mode:
            case Mode.SILENT | Mode.RESET as mode:
                if mode is Mode.SILENT:
                    await self._closing.wait()
                return self._hang_up(request)
            case Mode.GARBAGE:
                return web.Response(text="<html>down for maintenance</html>")
            case Mode.DEEP:
                return web.Response(text='[{"id":1,"result":' + "[" * 200_000)
            case Mode.REDIRECT:
                return web.Response(status=307, headers={"Location": self.target})
            case Mode.HUGE | Mode.DRIP:
                return await self._stream(request)
        return None

    @staticmethod
    def _hang_up(request: web.Request) -> web.Response:
        """Close the connection; what is returned reaches nobody."""
        if request.transport is not None:  # else the other side was first
            request.transport.abort()
        return web.Response()

    def _garble(self, answers: list[dict[str, object]]) -> object:
        match self.mode:
            case Mode.OBJECT:
                return answers[0]
            case Mode.SHORT:
                return answers[:-1]
            case Mode.EXTRA:
                return [*answers, {"jsonrpc": "2.0", "id": 10**9, "result": None}]
            case Mode.WRONG_ID:
                return [answer | {"id": answer["id"] + 1} for answer in answers]
            case Mode.DOUBLE_ID:
                return [answers[0]] * len(answers)
        return answers

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while not self._closing.is_set():
                piece = b" " * (1 if self.mode is Mode.DRIP else 1 << 16)
                await response.write(piece)
                self.streamed += len(piece)
                await asyncio.sleep(0.05 if self.mode is Mode.DRIP else 0)
        except ConnectionError:
            pass
        return response

    async def _answer(self, call: dict[str, object]) -> dict[str, object]:
        method, params = call["method"], list(call["params"])
        head = {"jsonrpc": "2.0", "id": call["id"]}
        try:
            result = await self._lagging(method, params) if self.lag else await self.forward(method, params)
            if self.edit is not None:
                result = self.edit(method, params, result)
        except RpcError as error:
            return head | {"error": error.body}
        return head | {"result": result}

    async def forward(self, method: str, params: list[object]) -> object:
        """Return what the real node answers."""
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        async with self._session.post(self.target, json=body) as response:
            answer = await response.json(content_type=None)
        if "error" in answer:
            raise RpcError(answer["error"]["code"], answer["error"]["message"])
        return answer["result"]

    async def _lagging(self, method: str, params: list[object]) -> object:
        head = int(await self.forward("eth_blockNumber", []), 16) - self.lag
        if method == "eth_blockNumber":
            return hex(head)
        if method == "eth_getBlockByNumber":
            if params[0] in _TAGS:
                real = await self.forward(method, [params[0], False])
                params[0] = hex(max(0, int(real["number"], 16) - self.lag))
            return None if int(params[0], 16) > head else await self.forward(method, params)
        result = await self.forward(method, params)
        if isinstance(result, list) and result and "blockNumber" in result[0]:
            return None if int(result[0]["blockNumber"], 16) > head else result
        if isinstance(result, dict) and result.get("blockNumber"):
            return None if int(result["blockNumber"], 16) > head else result
        return result
