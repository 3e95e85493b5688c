"""The ASGI app of the SDK protocol: route, read, admit, serve. Every answer is HTTP 200 and JSON, whatever came in."""

import logging
from typing import Final

from bitlinkpay.core.errors import Problem
from bitlinkpay.core.ids import new_uuid7
from bitlinkpay.web.tls import NOBODY
from bitlinkpay.web.wm.asgi import SPKI, HttpScope, Receive, Send
from bitlinkpay.web.wm.body import BodyLimits, Unread, read_body
from bitlinkpay.web.wm.desk import Desk
from bitlinkpay.web.wm.gate import TEST_HEADER, Gate, Knock, TurnedAway
from bitlinkpay.wm.answers import turn_away
from bitlinkpay.wm.envelope import read_headers
from bitlinkpay.wm.ids import OuterCode, Route

ROUTES: Final = {route.value.encode(): route for route in Route}

_NO_ROUTE: Final = turn_away(OuterCode.ROUTE, "there is nothing here: POST to one of the documented paths")
_TOO_LARGE: Final = turn_away(OuterCode.SIZE, "the body is too large")
_TOO_SLOW: Final = turn_away(OuterCode.SIZE, "the body did not arrive in time")

_log: Final = logging.getLogger(__name__)


class WmApp:
    """A gate with the desk behind it: on the mutual TLS port, and with the plain gate on a sandbox's web port."""

    def __init__(self, gate: Gate, desk: Desk, *, limits: BodyLimits | None = None) -> None:
        self._gate = gate
        self._desk = desk
        self._limits = limits or BodyLimits()

    async def __call__(self, scope: HttpScope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        assert scope["type"] == "http", "the listener speaks HTTP only"
        route = ROUTES.get(scope["raw_path"]) if scope["method"] == "POST" and not scope["query_string"] else None
        body = await read_body(receive, self._limits)
        if isinstance(body, Unread):
            if body is not Unread.GONE:
                await _send(send, _TOO_LARGE if body is Unread.TOO_LARGE else _TOO_SLOW, is_last=True)
        elif route is None:
            await _send(send, _NO_ROUTE)
        else:
            await _send(send, await self._answer(route, scope, body))

    async def _answer(self, route: Route, scope: HttpScope, body: bytes) -> bytes:
        """Admit and serve. What nobody foresaw is logged under a number, and only the number is told."""
        try:
            admitted = await self._gate.admit(_knock(route, scope, body))
            if isinstance(admitted, TurnedAway):
                return turn_away(admitted.code, admitted.message)
            return await self._desk.serve(route, admitted)
        except Problem as problem:
            _log.warning("the gate could not decide: %s", problem)
            return turn_away(OuterCode.UNAVAILABLE, "the platform cannot answer now; send the request again later")
        except Exception:  # noqa: BLE001 -- the edge: nothing that nobody foresaw may leave as a 5xx
            number = new_uuid7().hex
            _log.exception("request %s to %s failed", number, route.value)
            return turn_away(OuterCode.UNAVAILABLE, f"something went wrong here; tell the platform number {number}")


def _knock(route: Route, scope: HttpScope, body: bytes) -> Knock:
    spki = scope.get("state", {}).get(SPKI, NOBODY)
    assert isinstance(spki, bytes)
    client = scope["client"]
    return Knock(
        spki=spki,
        peer=client[0] if client else "",
        path=route.value,
        headers=read_headers(scope["headers"]),
        has_test_header=any(name == TEST_HEADER for name, _ in scope["headers"]),
        body=body,
    )


async def _send(send: Send, body: bytes, *, is_last: bool = False) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if is_last:
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
