"""From events to deliveries: what happened becomes what is owed, in one transaction, each exactly once."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Final

from bitlinkpay.core.errors import Unavailable
from bitlinkpay.core.ids import EventId
from bitlinkpay.db import outbox
from bitlinkpay.db.outbox import Event
from bitlinkpay.db.pool import Database, Tx
from bitlinkpay.webhooks import service
from bitlinkpay.webhooks.model import NewDelivery

_log = logging.getLogger(__name__)

SUBSCRIBER: Final = "deliveries"
BATCH: Final = 500
_POLL_S: Final = 1.0

Maker = Callable[[Event], NewDelivery | None]
"""Turns an event into the callback that it owes, or None; pure."""


async def fan_out(database: Database, makers: Mapping[str, Maker], *, limit: int = BATCH) -> int:
    """Turn up to `limit` waiting events into deliveries and return how many events are done with.

    An event whose maker fails stays waiting and is logged, the others go on: nothing is lost and nothing held up.
    """

    async def step(tx: Tx) -> int:
        events = await outbox.claim(tx, SUBSCRIBER, limit)
        owed: list[NewDelivery] = []
        done: list[EventId] = []
        for event in events:
            try:
                delivery = _make(makers, event)
            except Exception:  # noqa: BLE001 - what is wrong with one event must not stop the callbacks of others
                _log.exception("event %s (%s) cannot be told to its merchant", event.event_id, event.kind)
                continue
            done.append(event.event_id)
            if delivery is not None:
                owed.append(delivery)
        await service.enqueue(tx, owed)
        if done:
            await outbox.mark(tx, SUBSCRIBER, done)
        return len(done)

    return await database.unit(step)


def _make(makers: Mapping[str, Maker], event: Event) -> NewDelivery | None:
    maker = makers.get(event.kind)
    delivery = maker(event) if maker is not None else None
    if delivery is not None:
        assert delivery.merchant_id == event.merchant_id, "a callback goes to the merchant whose event it is"
        assert delivery.delivery_id == event.event_id, "an event owes one delivery under its own id"
    return delivery


class FanOut:
    """Runs `fan_out` until cancelled, at once when something happened; `on_owed` wakes the relay of this process."""

    def __init__(self, database: Database, makers: Mapping[str, Maker], on_owed: Callable[[], None]) -> None:
        self._database = database
        self._makers = makers
        self._on_owed = on_owed
        self._woken = asyncio.Event()

    async def run(self) -> None:
        """Fan out until cancelled."""
        await self._database.listen(outbox.CHANNEL, lambda _: self._woken.set())
        while True:
            self._woken.clear()
            try:
                while await fan_out(self._database, self._makers):
                    self._on_owed()
            except Unavailable as error:
                _log.warning("cannot read the outbox: %s", error)
            with suppress(TimeoutError):
                async with asyncio.timeout(_POLL_S):  # wait_for of Python 3.11 can swallow a cancellation
                    await self._woken.wait()
