"""From events to deliveries: what happened becomes what is owed, each exactly once.

Who makes an event and knows what it owes `tell`s both in one transaction; `fan_out` sees to all other events.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

import msgspec

from bitlinkpay.core.errors import Unavailable
from bitlinkpay.core.ids import DeliveryId, MerchantId
from bitlinkpay.db import outbox
from bitlinkpay.db.outbox import Event
from bitlinkpay.db.pool import Database, Tx
from bitlinkpay.webhooks import service
from bitlinkpay.webhooks.model import NewDelivery
from bitlinkpay.webhooks.urls import endpoint_of

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
        made = _make_all(makers, await outbox.claim(tx, SUBSCRIBER, limit))
        await service.enqueue(tx, made.owed)
        if made.done:
            await outbox.mark(tx, SUBSCRIBER, [event.event_id for event in made.done])
        return len(made.done)

    return await database.unit(step)


async def tell(tx: Tx, events: Sequence[Event], maker: Maker) -> None:
    """Write events and the callbacks that they owe, so that the commit that makes them true wakes the relays.

    An event whose maker fails is left to `fan_out`: it holds up neither this transaction nor the other callbacks.
    """
    made = _make_all({event.kind: maker for event in events}, events)
    await outbox.append(tx, made.done, done_by=SUBSCRIBER)
    await outbox.append(tx, made.failed)
    await service.enqueue(tx, made.owed)


def delivery_of(event: Event) -> NewDelivery | None:
    """Return the callback that an event of an order or a payout owes, or None when nobody asked for it.

    Args:
        event: its payload says where to (`callback_url`, "" for nowhere) and what (`order`).
    """
    url = event.payload["callback_url"]
    assert isinstance(url, str)
    assert event.merchant_id is not None
    if not url:
        return None
    return NewDelivery(
        delivery_id=DeliveryId(event.event_id),
        merchant_id=MerchantId(event.merchant_id),
        subject_id=event.subject_id,
        kind=event.kind,
        url=url,
        body=msgspec.json.encode(event.payload["order"]),
        created_at=event.happened_at,
    )


@dataclass(frozen=True, slots=True)
class _Made:
    owed: list[NewDelivery] = field(default_factory=list)
    done: list[Event] = field(default_factory=list)
    failed: list[Event] = field(default_factory=list)


def _make_all(makers: Mapping[str, Maker], events: Sequence[Event]) -> _Made:
    made = _Made()
    for event in events:
        try:
            delivery = _make(makers, event)
        except Exception:  # noqa: BLE001 - what is wrong with one event must not stop the callbacks of others
            _log.exception("event %s (%s) cannot be told to its merchant", event.event_id, event.kind)
            made.failed.append(event)
            continue
        made.done.append(event)
        if delivery is not None:
            made.owed.append(delivery)
    return made


def _make(makers: Mapping[str, Maker], event: Event) -> NewDelivery | None:
    maker = makers.get(event.kind)
    delivery = maker(event) if maker is not None else None
    if delivery is not None:
        assert delivery.merchant_id == event.merchant_id, "a callback goes to the merchant whose event it is"
        assert delivery.delivery_id == event.event_id, "an event owes one delivery under its own id"
        assert endpoint_of(delivery.url), "a callback goes to a URL that was checked"
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
