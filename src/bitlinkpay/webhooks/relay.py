"""The loop that sends what is owed: a continuous window, woken at once, never held up by one endpoint."""

import asyncio
import logging
import secrets
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Final, Protocol

from bitlinkpay import __version__
from bitlinkpay.core.clock import Clock, SystemClock
from bitlinkpay.core.errors import Problem, Unavailable
from bitlinkpay.core.ids import MerchantId, show_id
from bitlinkpay.db.batch import MicroBatch
from bitlinkpay.db.pool import Database, Tx
from bitlinkpay.webhooks import service
from bitlinkpay.webhooks.judge import decide, judge
from bitlinkpay.webhooks.lanes import FIRST_ROOM, Lanes
from bitlinkpay.webhooks.model import Answer, Claimed, Result
from bitlinkpay.webhooks.signature import signature_headers

_log = logging.getLogger(__name__)

WINDOW: Final = 512
POLL_S: Final = 1.0
_SECRETS_FOR_S: Final = 5.0
_DRAIN_S: Final = 20.0
_MILLION: Final = 1_000_000
_FIXED_HEADERS: Final = {
    "Content-Type": "application/json",
    "Accept": "application/json",
    "Accept-Encoding": "identity",
    "User-Agent": f"BitLinkPay/{__version__}",
}

Secrets = Callable[[Tx, Sequence[MerchantId]], Awaitable[Mapping[MerchantId, Sequence[str]]]]
"""`(tx, merchants) -> whsec_ secrets of each, newest first`; two while a rotation overlaps."""


class Transport(Protocol):
    """Sends one request; every failure is an answer with an error in words (`sender.Sender`)."""

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Post exactly `body`."""
        ...


@dataclass(frozen=True, slots=True)
class _Known:
    secrets: Sequence[str]
    until_s: float


class Relay:
    """Sends due deliveries until cancelled; any number of relays may run against one database.

    A delivery is leased, sent and recorded. Killed in between, it is sent again after its lease with the same id.
    Business time says what is due, the wall clock stands in signatures, the monotonic one measures.
    """

    def __init__(
        self,
        database: Database,
        transport: Transport,
        webhook_secrets: Secrets,
        *,
        clock: Clock,
        wall: Clock | None = None,
        window: int = WINDOW,
        jitter: Callable[[], int] = lambda: secrets.randbelow(_MILLION + 1),
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._transport = transport
        self._webhook_secrets = webhook_secrets
        self._clock = clock
        self._wall = wall or SystemClock()
        self._window = window
        self._jitter = jitter
        self._monotonic_s = monotonic_s
        self._lanes = Lanes()
        self._known: dict[MerchantId, _Known] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._woken = asyncio.Event()
        self._is_full = False
        self._recorder = MicroBatch[Result, None](self._record)

    def wake(self) -> None:
        """Look for due deliveries now."""
        self._woken.set()

    async def run(self) -> None:
        """Send until cancelled; then finish what is under way, within 20 s."""
        await self._database.listen(service.CHANNEL, lambda _: self.wake())
        try:
            while True:
                self._woken.clear()
                await self._fill()
                with suppress(TimeoutError):
                    async with asyncio.timeout(POLL_S):  # wait_for of Python 3.11 can swallow a cancellation
                        await self._woken.wait()
        finally:
            await self._drain()

    async def run_once(self) -> int:
        """Send what is due now, wait for all of it, return how many attempts were made."""
        total = 0
        while started := await self._fill():
            total += started
            await self._drain()
        return total

    async def _fill(self) -> int:
        """Claim as much as the window and the lanes have room for and start it."""
        free = self._window - len(self._tasks)
        if free <= 0:
            self._is_full = True
            return 0
        rooms = self._lanes.rooms(self._monotonic_s())
        try:
            claims, known = await self._database.unit(lambda tx: self._claim(tx, free, rooms))
        except Unavailable as error:
            _log.warning("cannot claim deliveries: %s", error)
            return 0
        self._is_full = len(claims) >= free
        for claimed in claims:
            self._lanes.start(claimed.endpoint)
            task = asyncio.create_task(self._attempt(claimed, known.get(claimed.merchant_id, ())))
            self._tasks.add(task)
            task.add_done_callback(self._finish)
        for endpoint, count in Counter(claimed.endpoint for claimed in claims).items():
            self._lanes.claimed(endpoint, count=count, room=rooms.get(endpoint, FIRST_ROOM))
        self._lanes.forget_idle(self._monotonic_s())
        return len(claims)

    async def _claim(
        self, tx: Tx, limit: int, rooms: Mapping[str, int]
    ) -> tuple[list[Claimed], Mapping[MerchantId, Sequence[str]]]:
        claims = await service.claim_due(tx, now=self._clock.now(), limit=limit, rooms=rooms, room_else=FIRST_ROOM)
        return claims, await self._secrets_of(tx, {claimed.merchant_id for claimed in claims})

    async def _secrets_of(self, tx: Tx, merchants: set[MerchantId]) -> Mapping[MerchantId, Sequence[str]]:
        now_s = self._monotonic_s()
        self._known = {merchant: known for merchant, known in self._known.items() if known.until_s > now_s}
        missing = [merchant for merchant in merchants if merchant not in self._known]
        if missing:
            found = await self._webhook_secrets(tx, missing)
            self._known |= {merchant: _Known(found[merchant], now_s + _SECRETS_FOR_S) for merchant in found}
        return {merchant: self._known[merchant].secrets for merchant in merchants if merchant in self._known}

    async def _attempt(self, claimed: Claimed, webhook_secrets: Sequence[str]) -> None:
        started_at, started_s = self._wall.now(), self._monotonic_s()
        headers, answer = await self._send(claimed, webhook_secrets, started_at)
        now_s = self._monotonic_s()
        took_s = now_s - started_s
        if _is_alive(answer):
            has_room = self._lanes.succeed(claimed.endpoint, took_s=took_s)
        else:
            has_room = self._lanes.fail(claimed.endpoint, took_s=took_s, now_s=now_s)
        if has_room:
            self.wake()
        finished_at = self._wall.now()
        judgement = judge(answer, now=finished_at)
        state, step, next_at = decide(claimed, judgement, now=self._clock.now(), jitter_ppm=self._jitter())
        result = Result(claimed, started_at, finished_at, headers, answer, judgement, state, step, next_at)
        await self._recorder.submit(result)

    async def _send(
        self, claimed: Claimed, webhook_secrets: Sequence[str], now: datetime
    ) -> tuple[Mapping[str, str], Answer]:
        message_id = show_id("evt", claimed.delivery_id)
        try:
            signed = signature_headers(message_id, claimed.body, secrets_of_merchant=webhook_secrets, now=now)
        except Problem as problem:
            return {}, Answer(None, {}, b"", problem.message)
        headers = _FIXED_HEADERS | signed
        return headers, await self._transport.post(claimed.url, headers, claimed.body)

    async def _record(self, results: Sequence[Result]) -> Sequence[Problem | None]:
        async def write(tx: Tx) -> None:
            await service.record(tx, results, now=self._clock.now())

        await self._database.unit(write)
        return [None] * len(results)

    def _finish(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            _log.error("an attempt was not recorded and will be made again after its lease: %s", error, exc_info=error)
        if self._is_full and 2 * len(self._tasks) <= self._window:
            self.wake()

    async def _drain(self) -> None:
        if self._tasks:
            _, late = await asyncio.wait(set(self._tasks), timeout=_DRAIN_S)
            for task in late:
                task.cancel()
        await self._recorder.drain()


def _is_alive(answer: Answer) -> bool:
    """Say whether the server is there and well, whatever it thinks of this delivery."""
    return (
        answer.status is not None
        and answer.status < HTTPStatus.INTERNAL_SERVER_ERROR
        and answer.status != HTTPStatus.TOO_MANY_REQUESTS
    )
