"""Deliveries: owe them, claim them, record what came of them, look at them, send them again."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from bitlinkpay.core.ids import DeliveryId, EventId, MerchantId, new_uuid7, show_id
from bitlinkpay.db import outbox
from bitlinkpay.db.pool import Tx
from bitlinkpay.webhooks import store
from bitlinkpay.webhooks.lanes import FIRST_ROOM
from bitlinkpay.webhooks.model import (
    Attempt,
    Claimed,
    Delivery,
    DeliveryState,
    NewDelivery,
    Outcome,
    Result,
    UnknownDelivery,
)

CHANNEL: Final = store.CHANNEL
LEASE: Final = timedelta(seconds=60)
"""Longer than any attempt takes; a delivery whose worker died is sent again after it, with the same id."""

PARKED: Final = "delivery.parked"
"""Kind of the outbox event that tells a merchant that a callback could not be delivered."""

_PAGE_MAX: Final = 200


async def enqueue(tx: Tx, deliveries: Sequence[NewDelivery]) -> None:
    """Owe these callbacks, in the caller's transaction; relays wake when it commits. A repeated id changes nothing."""
    if deliveries:
        await store.insert(tx, deliveries)


async def claim_due(
    tx: Tx,
    *,
    now: datetime,
    limit: int,
    rooms: Mapping[str, int] | None = None,
    room_else: int = FIRST_ROOM,
    lease: timedelta = LEASE,
) -> list[Claimed]:
    """Lease at most `limit` due deliveries to the caller, who must `record` each within the lease.

    Args:
        tx: the transaction; commit it before sending.
        now: business time.
        limit: most deliveries.
        rooms: how many more each known endpoint may take; 0 leaves a busy or dead one out.
        room_else: the same for endpoints that are not known yet.
        lease: how long nobody else may send them.
    """
    return await store.claim(tx, now=now, limit=limit, rooms=rooms or {}, room_else=room_else, lease=lease)


async def record(tx: Tx, results: Sequence[Result], *, now: datetime) -> None:
    """Write attempts and move their deliveries.

    A 410 ends what else waits for the same order; a delivery that is parked is told of by an outbox event.
    """
    parked = set(await store.record(tx, results))
    ended = [result.claimed for result in results if result.judgement.outcome is Outcome.ENDED]
    if ended:
        await store.end_siblings(tx, ended, now)
    claims = [result.claimed for result in results if result.claimed.delivery_id in parked]
    await outbox.append(tx, [_parked(claimed, now) for claimed in claims])


def _parked(claimed: Claimed, now: datetime) -> outbox.Event:
    payload: dict[str, object] = {
        "delivery_id": claimed.delivery_id.hex,
        "subject_id": claimed.subject_id.hex,
        "kind": claimed.kind,
        "url": claimed.url,
        "attempts": claimed.attempt,
    }
    return outbox.Event(EventId(new_uuid7()), PARKED, claimed.merchant_id, claimed.delivery_id, payload, now)


async def resend(tx: Tx, delivery_id: DeliveryId, *, now: datetime, cause: str) -> None:
    """Send a delivery again, whatever its state: the same id and body, a fresh signature, the whole schedule.

    Raises:
        UnknownDelivery: there is none.
    """
    if not await store.restart(tx, delivery_id, now=now, cause=cause):
        raise UnknownDelivery(f"there is no callback {show_id('evt', delivery_id)}")


async def get_delivery(tx: Tx, delivery_id: DeliveryId) -> tuple[Delivery, list[Attempt]]:
    """Return a delivery and its attempts, oldest first.

    Raises:
        UnknownDelivery: there is none.
    """
    delivery = await store.find(tx, delivery_id)
    if delivery is None:
        raise UnknownDelivery(f"there is no callback {show_id('evt', delivery_id)}")
    return delivery, await store.list_attempts(tx, [delivery_id])


async def list_about(tx: Tx, merchant_id: MerchantId, subject_id: UUID) -> list[tuple[Delivery, list[Attempt]]]:
    """Return every delivery about one order with its attempts, oldest first."""
    deliveries = await store.list_of_subject(tx, merchant_id, subject_id)
    attempts = await store.list_attempts(tx, [delivery.delivery_id for delivery in deliveries])
    return [
        (delivery, [attempt for attempt in attempts if attempt.delivery_id == delivery.delivery_id])
        for delivery in deliveries
    ]


async def list_deliveries(
    tx: Tx,
    *,
    merchant_id: MerchantId | None = None,
    subject_id: UUID | None = None,
    state: DeliveryState | None = None,
    before: int | None = None,
    limit: int = 50,
) -> list[Delivery]:
    """Return a page of deliveries, newest first, of all merchants where none is named.

    Args:
        tx: the open transaction.
        merchant_id: whose.
        subject_id: the order or payout that they tell of.
        state: where they stand.
        before: the `sequence` of the last one seen.
        limit: how many, at most 200.
    """
    which = store.DeliveryFilter(merchant_id, subject_id, state)
    return await store.list_latest(tx, before=before, limit=max(1, min(limit, _PAGE_MAX)), which=which)
