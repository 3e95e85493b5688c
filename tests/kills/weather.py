"""Bad weather between a deployment and its nodes: one HTTP proxy an endpoint, all of them under one sky.

    async with Weather.start(net.urls, dice, endpoints=3) as weather:
        weather.urls                    # what a deployment is given in place of the nodes' own
        weather.is_calm = True          # from here on everything passes as it is

It knows nothing of a family but which calls hand a transaction over: an answer of an older state is what the same
question was answered before, a known thing that is unknown is the same answer without its content.
"""

import asyncio
import json
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from random import Random
from typing import Final, Self
from urllib.parse import urlsplit, urlunsplit

import aiohttp
from aiohttp import web

WHOLE: Final = ("delay", "silence", "reset", "lost", "busy", "patience", "page", "truncated")
"""What may befall an HTTP exchange."""
SINGLE: Final = ("null", "empty", "stale", "frozen", "double", "error", "chain")
"""What may befall one answer."""
HANDED_OVER: Final = ("swallowed", "denied", "dropped")
"""What may befall a transaction: accepted and thrown away; passed on and called refused; passed on without an answer."""
SENDS: Final = frozenset({"eth_sendRawTransaction", "sendrawtransaction", "sendTransaction", "broadcasthex", "message"})
ERRORS: Final = (
    (-32000, "header not found"),
    (-32000, "missing trie node 0x00 (path 0x00)"),
    (-32603, "Internal error"),
    (-32601, "the method does not exist/is not available"),
    (-32005, "Node is behind by 153 slots"),
    (-28, "Loading block index..."),
    (-5, "No such mempool or blockchain transaction. Use gettransaction for wallet transactions."),
)
DENIALS: Final[Mapping[str, Sequence[object]]] = {
    "eth_sendRawTransaction": (
        {"code": -32000, "message": "already known"},
        {"code": -32000, "message": "nonce too low: next nonce 9, tx nonce 8"},
        {"code": -32000, "message": "insufficient funds for gas * price + value"},
        {"code": -32000, "message": "replacement transaction underpriced"},
        {"code": -32000, "message": "txpool is full"},
    ),
    "sendrawtransaction": (
        {"code": -27, "message": "Transaction outputs already in utxo set"},
        {"code": -26, "message": "insufficient fee, rejecting replacement"},
        {"code": -26, "message": "txn-mempool-conflict"},
        {"code": -25, "message": "bad-txns-inputs-missingorspent"},
        {"code": -26, "message": "min relay fee not met, 0 < 1000"},
    ),
    "sendTransaction": (
        {"code": -32002, "message": "Transaction simulation failed: This transaction has already been processed"},
        {"code": -32002, "message": "Transaction simulation failed: Blockhash not found"},
        {"code": -32005, "message": "Node is behind by 42 slots"},
    ),
    "broadcasthex": (
        {"code": "DUP_TRANSACTION_ERROR", "message": "647570"},
        {"code": "TAPOS_ERROR", "message": "5461706f73"},
        {"code": "SERVER_BUSY", "message": "62757379"},
        {"code": "TRANSACTION_EXPIRATION_ERROR", "message": "6f6c64"},
        {"code": "NO_CONNECTION", "message": "6e6f"},
    ),
    "message": ({"error": "LITE_SERVER_UNKNOWN: cannot apply external message to current state"},),
}
_PAGE = "<html><head><title>{0}</title></head><body><h1>{0}</h1><hr>nginx</body></html>"
_KEPT = 40  # answers of one question that are remembered
_LONGEST_S = 30.0


@dataclass
class Sky:
    """What all endpoints of a network have in common.

    Attributes:
        is_calm: whether nothing happens.
        storm_until: when the last storm over all endpoints ends, by the monotonic clock.
        kinds: what may happen; all of it by default.
        struck: how often what did.
        asked: how many requests came.
    """

    dice: Random
    is_calm: bool = True
    storm_until: float = 0.0
    kinds: frozenset[str] = frozenset(WHOLE + SINGLE + HANDED_OVER)
    clear_s: float = 12.0  # between two bursts of one endpoint, on the average
    struck: Counter[str] = field(default_factory=Counter)
    asked: int = 0


class Endpoint:
    """One proxy; clear for a while, then a burst of one kind or of all."""

    def __init__(self, sky: Sky, target: str) -> None:
        parts = urlsplit(target)
        self._bare = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], path="", query=""))
        self._parts, self._sky = parts, sky
        self._seen: dict[str, list[object]] = defaultdict(list)
        self._last: object = None
        self._burst: tuple[str, float, float] = ("", 0.0, 0.0)  # kind, how likely, until
        self._clear_until = 0.0
        self._session = aiohttp.ClientSession(auto_decompress=True)
        self.url = ""

    async def serve(self) -> web.AppRunner:
        app = web.Application(client_max_size=64 << 20)
        app.router.add_route("*", "/{path:.*}", self._handle)
        runner = web.AppRunner(app, shutdown_timeout=0, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        user = self._parts.netloc.rpartition("@")[0]
        self.url = urlunsplit(
            self._parts._replace(netloc=f"{user}@" * bool(user) + f"127.0.0.1:{runner.addresses[0][1]}")
        )
        return runner

    async def close(self) -> None:
        await self._session.close()

    # --- what befalls -------------------------------------------------------------------------------------------------

    def _draw(self) -> str:
        """Return what befalls now, "" for nothing."""
        sky, now = self._sky, time.monotonic()
        sky.asked += 1
        if sky.is_calm:
            return ""
        dice = sky.dice
        kind, likely, until = self._burst
        if now > until and now > self._clear_until:
            pure = dice.choice([*sorted(sky.kinds), "", "", "", "", ""])
            self._burst = kind, likely, until = pure, dice.uniform(0.4, 1.0), now + dice.expovariate(1 / 5)
            self._clear_until = until + dice.expovariate(1 / sky.clear_s)
        is_burst = now < until or now < sky.storm_until
        if dice.random() > (likely if is_burst else 0.03):
            return ""
        return kind if is_burst and kind else dice.choice(sorted(sky.kinds))

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        body, kind = await request.read(), self._draw()
        names = _names(request.path, body)
        if kind in HANDED_OVER and not names & SENDS:
            kind = ""
        if kind:
            self._sky.struck[kind] += 1
        before = await self._before(request, kind)
        if before is not None:
            return before
        if kind == "swallowed":
            return _json(_taken(names, body))
        status, text, headers = await self._forward(request, body)
        if kind in {"lost", "dropped"}:
            return _hang_up(request)
        if kind == "truncated":
            return web.Response(
                text=text[: self._sky.dice.randrange(1, max(2, len(text)))], content_type="application/json"
            )
        if kind == "denied":
            return self._deny(names, text)
        answer = json.dumps(self._alter(kind, request.path_qs, body, json.loads(text))) if _is_json(text) else text
        return web.Response(status=status, text=answer, headers=headers, content_type="application/json")

    async def _before(self, request: web.Request, kind: str) -> web.StreamResponse | None:
        dice = self._sky.dice
        match kind:
            case "delay":
                await asyncio.sleep(
                    min(_LONGEST_S, dice.uniform(0.1, 3) if dice.random() < 0.8 else dice.uniform(3, 30))
                )
            case "silence":
                await asyncio.sleep(_LONGEST_S)
                return _hang_up(request)
            case "reset":
                return _hang_up(request)
            case "busy":
                return web.Response(status=429, text="too many requests")
            case "patience":
                return web.Response(status=429, headers={"Retry-After": str(dice.randint(1, 8))}, text="slow down")
            case "page":
                status = dice.choice((500, 502, 503))
                return web.Response(status=status, text=_PAGE.format(status), content_type="text/html")
        return None

    async def _forward(self, request: web.Request, body: bytes) -> tuple[int, str, dict[str, str]]:
        headers = {
            k: v for k, v in request.headers.items() if k.lower() not in {"host", "content-length", "connection"}
        }
        url = self._bare + request.path_qs
        async with self._session.request(request.method, url, data=body or None, headers=headers) as answer:
            return answer.status, await answer.text(), {}

    # --- one answer ---------------------------------------------------------------------------------------------------

    def _alter(self, kind: str, path: str, body: bytes, answer: object) -> object:
        """Remember an answer, and return what is given in its place."""
        asked = json.loads(body) if body[:1] in {b"[", b"{"} else {}
        if isinstance(answer, list) and isinstance(asked, list) and asked and "method" in asked[0]:
            first = answer[0]
            changed = [self._one(kind, _key(path, call), one) for call, one in zip(asked, answer, strict=False)]
            return [{**first} for _ in changed] if kind == "double" and len(changed) > 1 else changed
        return self._one(kind, _key(path, asked), answer)

    def _one(self, kind: str, key: str, answer: object) -> object:
        dice, kept = self._sky.dice, self._seen[key]
        envelope = isinstance(answer, dict) and "result" in answer and "id" in answer
        result = answer["result"] if envelope else answer
        if kind == "chain" and _is_identity(key) and envelope:
            return {**answer, "result": "0x7a69f" if str(result).startswith("0x") else "0" * 64}
        kept.append(result)
        del kept[:-_KEPT]
        if kind == "error" and envelope:
            code, message = dice.choice(ERRORS)
            return {**answer, "result": None, "error": {"code": code, "message": message}}
        if kind in {"null", "empty", "stale", "frozen"}:
            result = _emptied(kind, result, envelope=envelope) if kind in {"null", "empty"} else self._older(kind, kept)
            return {**answer, "result": result} if envelope else result
        if kind == "double" and not envelope and self._last is not None:
            return self._last
        self._last = answer
        return answer

    def _older(self, kind: str, kept: list[object]) -> object:
        return kept[0] if kind == "frozen" else self._sky.dice.choice(kept)

    def _deny(self, names: set[str], text: str) -> web.Response:
        (name,) = names & SENDS
        said = self._sky.dice.choice(DENIALS[name])
        if name == "message":
            return web.json_response(said, status=500)
        if name == "broadcasthex":
            return web.json_response(said)
        answers = json.loads(text)
        replaced = [
            {**one, "result": None, "error": said} for one in (answers if isinstance(answers, list) else [answers])
        ]
        return web.json_response(replaced if isinstance(answers, list) else replaced[0])


def _names(path: str, body: bytes) -> set[str]:
    """Return the names of the calls of a request."""
    last = path.rstrip("/").rpartition("/")[2]
    if body[:1] not in {b"[", b"{"}:
        return {last}
    asked = json.loads(body)
    calls = asked if isinstance(asked, list) else [asked]
    return {str(call.get("method", last)) for call in calls if isinstance(call, dict)} | {last}


def _key(path: str, call: object) -> str:
    if isinstance(call, dict) and "params" in call:
        return json.dumps([path, call["method"], call["params"]])
    return json.dumps([path, call])


def _is_identity(key: str) -> bool:
    return any(name in key for name in ("eth_chainId", "getGenesisHash", '"getblockhash", [0]'))


def _is_json(text: str) -> bool:
    return text[:1] in {"[", "{"}


def _emptied(kind: str, result: object, *, envelope: bool) -> object:
    """Return an answer without its content."""
    if kind == "null":
        return None if envelope else {}
    if isinstance(result, dict):
        return {name: ([] if isinstance(value, list) else value) for name, value in result.items()}
    return []


def _taken(names: set[str], body: bytes) -> object:
    """Return the answer of an endpoint that took a transaction, by the transaction's own id."""
    asked = json.loads(body)
    calls = asked if isinstance(asked, list) else [asked]
    (name,) = names & SENDS
    if name in {"broadcasthex", "message"}:
        return {"result": True, "code": "SUCCESS", "txid": "", "message_hash": "", "message_hash_norm": ""}
    answers = [{"jsonrpc": "2.0", "id": call["id"], "result": "0" * 64, "error": None} for call in calls]
    return answers if isinstance(asked, list) else answers[0]


def _json(answer: object) -> web.Response:
    return web.json_response(answer)


def _hang_up(request: web.Request) -> web.Response:
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


class Weather:
    """The proxies of one network."""

    def __init__(self, sky: Sky, endpoints: list[Endpoint]) -> None:
        self.sky = sky
        self.endpoints = endpoints

    @property
    def urls(self) -> list[str]:
        return [endpoint.url for endpoint in self.endpoints]

    @classmethod
    @asynccontextmanager
    async def start(cls, targets: Sequence[str], dice: Random, *, endpoints: int) -> AsyncIterator[Self]:
        """Serve so many endpoints before the nodes, in turn, for the length of a `with` block; it begins calm."""
        sky = Sky(dice)
        async with AsyncExitStack() as stack:
            made = []
            for number in range(endpoints):
                made.append(Endpoint(sky, targets[number % len(targets)]))
                runner = await made[-1].serve()
                stack.push_async_callback(made[-1].close)
                stack.push_async_callback(runner.cleanup)
            yield cls(sky, made)

    async def change(self) -> None:
        """Let a storm over all endpoints come now and then, until cancelled."""
        sky = self.sky
        while True:
            await asyncio.sleep(sky.dice.expovariate(1 / 20))
            sky.storm_until = time.monotonic() + sky.dice.uniform(2, 15)


@asynccontextmanager
async def blowing(weather: Weather) -> AsyncIterator[None]:
    """Let it be bad for the length of a `with` block, and calm again after it."""
    weather.sky.is_calm = False
    storms = asyncio.create_task(weather.change())
    try:
        yield
    finally:
        storms.cancel()
        with suppress(asyncio.CancelledError):
            await storms
        weather.sky.is_calm = True
