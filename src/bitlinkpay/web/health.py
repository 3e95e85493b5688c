"""Whether an API process may answer: `/healthz` for load balancers, and a closed door while its clock is wrong.

A wrong clock lets orders expire early, takes old signatures for fresh ones and seals answers that no client accepts.
The clock that all processes share is the database's: who is too far from it answers nothing (THREATS API-46).
"""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Final

import msgspec

from bitlinkpay.core.clock import Clock
from bitlinkpay.core.errors import Unavailable
from bitlinkpay.core.ids import new_uuid7, show_id
from bitlinkpay.db.clock import read_clock
from bitlinkpay.db.pool import Database
from bitlinkpay.web.errors import problem_body, public_message
from bitlinkpay.web.wm.app import ROUTES
from bitlinkpay.web.wm.asgi import HttpScope, Receive, Send
from bitlinkpay.wm.answers import turn_away
from bitlinkpay.wm.ids import OuterCode

log = logging.getLogger(__name__)

PATH: Final = b"/healthz"
APART_MAX: Final = timedelta(minutes=1)
"""A fifth of what signed requests may be off (PROTOCOL.md): a client that is right is never called wrong."""
LOOK_EVERY: Final = timedelta(seconds=10)

_NO_DATABASE: Final = "the database does not answer"


def apart(before: datetime, shown: datetime, after: datetime) -> timedelta:
    """Return how far another clock is off at least, that was read between two looks at ours."""
    return max(before - shown, shown - after, timedelta(0))


@dataclass
class Health:
    """What an API process knows of itself.

    Attributes:
        reason: why load should go elsewhere, "" for a healthy process.
        is_open: whether requests are answered at all: a database that is away is told request by request.
    """

    database: Database
    wall: Clock
    reason: str = ""
    is_open: bool = True

    async def look(self) -> bool:
        """Hold our clock against the database's; False, as the step of a loop that has nothing else to do.

        Raises:
            Unavailable: the database does not answer.
        """
        before = self.wall.now()
        try:
            shown = await read_clock(self.database)
        except Unavailable:
            self.reason = self.reason or _NO_DATABASE
            raise
        off = apart(before, shown, self.wall.now())
        self.reason = f"its clock is {off.total_seconds():.0f} s off the database's" if off > APART_MAX else ""
        if self.is_open and self.reason:
            log.critical("nothing is answered here: this machine's clock is %s off the database's; set it right", off)
        elif not self.is_open and not self.reason:
            log.warning("this machine's clock is right again; requests are answered")
        self.is_open = not self.reason
        return False


class Door:
    """An ASGI app that tells how the process is, and lets through to another app what may be answered."""

    def __init__(self, health: Health, app: Callable[[HttpScope, Receive, Send], Awaitable[None]]) -> None:
        self._health = health
        self._app = app

    async def __call__(self, scope: HttpScope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["raw_path"] == PATH:
            await self._tell(send)
        elif self._health.is_open:
            await self._app(scope, receive, send)
        elif scope["raw_path"] in ROUTES:  # the SDKs read nothing but answers of HTTP 200
            refusal = turn_away(OuterCode.UNAVAILABLE, public_message(Unavailable(self._health.reason)))
            await _send(send, HTTPStatus.OK, refusal)
        else:
            body = problem_body(Unavailable(self._health.reason), show_id("req", new_uuid7()))
            await _send(send, HTTPStatus.SERVICE_UNAVAILABLE, msgspec.json.encode(body))

    async def _tell(self, send: Send) -> None:
        reason = self._health.reason
        status = HTTPStatus.SERVICE_UNAVAILABLE if reason else HTTPStatus.OK
        await _send(
            send, status, msgspec.json.encode({"status": "unhealthy" if reason else "healthy", "reason": reason})
        )


async def _send(send: Send, status: HTTPStatus, body: bytes) -> None:
    """Answer and close: whoever asks again may come to a healthy process."""
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
        (b"retry-after", str(int(LOOK_EVERY.total_seconds())).encode()),
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
