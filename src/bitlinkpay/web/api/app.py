"""The ASGI app of the REST API: route, read, let in, serve. Every answer is JSON, every error has one shape."""

import logging
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Final, assert_never

import msgspec

from bitlinkpay.core.clock import Clock, SystemClock
from bitlinkpay.core.errors import Kind, Problem
from bitlinkpay.core.ids import new_uuid7, show_id
from bitlinkpay.web.api.call import Call, Reply
from bitlinkpay.web.api.deeds import HEADER, key_of
from bitlinkpay.web.api.gate import Admitted, Gate, Knock
from bitlinkpay.web.api.operations import GET, HEAD, Operation, allowed, find_operation
from bitlinkpay.web.api.reading import read_query
from bitlinkpay.web.api.refusals import (
    Failed,
    MissingScope,
    NoRoute,
    TooLarge,
    TooSlow,
    Unreadable,
    WrongMediaType,
    WrongMethod,
    error_of,
    headers_of,
    status_of,
)
from bitlinkpay.web.wm.asgi import SPKI, HttpScope, Receive, Send
from bitlinkpay.web.wm.body import BodyLimits, Unread, read_body

PREFIX: Final = b"/v1/"
DOCUMENT: Final = "/v1/openapi.json"
_COMMON: Final[Mapping[str, str]] = {
    "content-type": "application/json",
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
}

_log: Final = logging.getLogger(__name__)


class ApiApp:
    """The REST API on a port; the same app serves ports with and without client certificates."""

    def __init__(
        self,
        gate: Gate,
        operations: Sequence[Operation],
        document: bytes,
        *,
        wall: Clock,
        limits: BodyLimits | None = None,
    ) -> None:
        """Build the app; `wall` is the clock that answers are dated by."""
        self._gate = gate
        self._wall = wall
        self._operations = operations
        self._document = document
        self._limits = limits or BodyLimits()

    async def __call__(self, scope: HttpScope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        assert scope["type"] == "http", "the listener speaks HTTP only"
        body = await read_body(receive, self._limits)
        match body:
            case bytes():
                await _send(send, await self._answer(scope, body))
            case Unread.TOO_LARGE:
                await _send(send, self._refused(TooLarge(self._limits.size), _new_id(), {"connection": "close"}))
            case Unread.TOO_SLOW:
                await _send(send, self._refused(TooSlow(), _new_id(), {"connection": "close"}))
            case Unread.GONE:
                return
            case _:
                assert_never(body)

    async def _answer(self, scope: HttpScope, body: bytes) -> Reply:
        """Serve. What nobody foresaw is logged under the request's id, and only the id is told."""
        request_id = _new_id()
        more: dict[str, str] = {}
        try:
            reply = await self._serve(scope, body, request_id, more)
        except Problem as problem:
            if problem.kind is Kind.UNAVAILABLE:
                _log.warning("request %s was not answered: %s", request_id, problem)
            return self._refused(problem, request_id, more)
        except Exception:  # noqa: BLE001 -- the edge: nothing that nobody foresaw may leave as it is
            _log.exception("request %s failed", request_id)
            return self._refused(Failed(), request_id, more)
        return _dressed(Reply(reply.status, reply.body, {**reply.headers, **more}), request_id, self._wall.now())

    def _refused(self, problem: Problem, request_id: str, more: Mapping[str, str]) -> Reply:
        return _refused(problem, request_id, more, self._wall.now())

    async def _serve(self, scope: HttpScope, body: bytes, request_id: str, more: dict[str, str]) -> Reply:
        """Serve one request; `more` gets the headers that are due whatever becomes of it."""
        path = _ascii(scope["raw_path"])
        if path == DOCUMENT:
            if scope["method"] not in {GET, HEAD}:
                raise WrongMethod(allowed({GET}))
            return Reply(200, self._document)
        operation, ids = find_operation(self._operations, scope["method"], path)
        knock = _knock(scope, path, body)
        admitted = await self._gate.admit(knock)
        more.update(admitted.headers)
        _check_scope(operation, admitted)
        _check_media_type(knock)
        call = Call(
            caller=admitted.caller,
            request_id=request_id,
            method=operation.method,
            target=knock.target,
            ids=ids,
            query=read_query(scope["query_string"]),
            body=body,
            idempotency_key=key_of(_all(scope["headers"], HEADER)) if operation.repeats else "",
        )
        return await operation.run(call)


def _knock(scope: HttpScope, path: str, body: bytes) -> Knock:
    spki = scope.get("state", {}).get(SPKI)
    assert spki is None or isinstance(spki, bytes)
    client, query = scope["client"], scope["query_string"].decode("latin-1")
    return Knock(
        spki=spki,
        peer=client[0] if client else "",
        method=scope["method"],
        target=f"{path}?{query}" if query else path,
        headers=_headers(scope["headers"]),
        body=body,
    )


def _headers(raw: Sequence[tuple[bytes, bytes]]) -> Mapping[str, str]:
    """Return headers by lower-case name; one that is sent twice is not there, for nobody can say which one counts."""
    names = [name for name, _ in raw]
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in raw if names.count(name) == 1}


def _all(raw: Sequence[tuple[bytes, bytes]], name: str) -> list[str]:
    return [value.decode("latin-1") for other, value in raw if other.decode("latin-1") == name]


def _ascii(raw_path: bytes) -> str:
    try:
        return raw_path.decode("ascii")
    except UnicodeDecodeError:
        raise NoRoute from None


def _check_scope(operation: Operation, admitted: Admitted) -> None:
    if not operation.scopes & admitted.caller.key.scopes:
        needed = " or ".join(sorted(operation.scopes))
        raise MissingScope(f"this key lacks the scope {needed}; ask the platform for a key that has it")


def _check_media_type(knock: Knock) -> None:
    if knock.body and knock.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise WrongMediaType


def _new_id() -> str:
    return show_id("req", new_uuid7())


def _refused(problem: Problem, request_id: str, more: Mapping[str, str], now: datetime) -> Reply:
    body = msgspec.json.encode(error_of(problem, request_id))
    return _dressed(Reply(status_of(problem), body, {**headers_of(problem, now), **more}), request_id, now)


def unreadable(why: str) -> Reply:
    """Return the answer to HTTP that could not be read far enough to be a request."""
    return _refused(Unreadable(why), _new_id(), {}, SystemClock().now())


def _dressed(reply: Reply, request_id: str, now: datetime) -> Reply:
    """Return a reply with the headers that every answer has; `date` lets a client find out how its clock is off."""
    date = format_datetime(now.astimezone(UTC), usegmt=True)
    return Reply(reply.status, reply.body, {**_COMMON, "date": date, "request-id": request_id, **reply.headers})


async def _send(send: Send, reply: Reply) -> None:
    headers = {**reply.headers, "content-length": str(len(reply.body))}
    raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": reply.status, "headers": raw})
    await send({"type": "http.response.body", "body": reply.body})
