"""Events written in the transaction that made them true, handed to each subscriber at least once.

Every subscriber has a row per event it has not marked yet. No reader remembers the highest `seq` it saw: transactions
commit in another order than they take numbers, and an event with a lower number may appear later.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from bitlinkpay.core.ids import EventId
from bitlinkpay.db.driver import Row, Tx

CHANNEL = "outbox"


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened.

    Attributes:
        event_id: made by the writer; unique.
        kind: `noun.happened`, such as `payin.paid`.
        merchant_id: whose event it is, None for the platform's own.
        subject_id: the object it happened to.
        payload: JSON object; money as strings.
        happened_at: business time.
    """

    event_id: EventId
    kind: str
    merchant_id: UUID | None
    subject_id: UUID
    payload: dict[str, object]
    happened_at: datetime


async def append(tx: Tx, events: Sequence[Event], *, done_by: str = "") -> None:
    """Write events for all subscribers and wake them at commit: one statement, one notification.

    Events of one call get rising numbers in their order. An `event_id` that exists already is a broken belief
    (a unique violation on `outbox_event_unique`).

    Args:
        tx: the transaction that makes them true.
        events: what happened.
        done_by: a subscriber whose work on them is done in this very transaction; it is not handed them.
    """
    if not events:
        return
    await tx.execute(
        """
        WITH written AS (
            INSERT INTO outbox (event_id, kind, merchant_id, subject_id, payload, happened_at)
            SELECT event_id, kind, merchant_id, subject_id, payload, happened_at
            FROM unnest($1::uuid[], $2::text[], $3::uuid[], $4::uuid[], $5::jsonb[], $6::timestamptz[])
                WITH ORDINALITY AS event (event_id, kind, merchant_id, subject_id, payload, happened_at, place)
            ORDER BY place
            RETURNING seq
        ), handed AS (
            INSERT INTO outbox_pending (subscriber, seq)
            SELECT subscriber, seq FROM outbox_subscribers CROSS JOIN written WHERE subscriber <> $8
            RETURNING seq
        )
        SELECT pg_notify($7, '') WHERE $8 = '' OR EXISTS (SELECT FROM handed)
        """,
        [event.event_id for event in events],
        [event.kind for event in events],
        [event.merchant_id for event in events],
        [event.subject_id for event in events],
        [event.payload for event in events],
        [event.happened_at for event in events],
        CHANNEL,
        done_by,
    )


async def subscribe(tx: Tx, subscriber: str) -> None:
    """Make a subscriber known: it gets every event that is still in the outbox and all later ones.

    Cheap when it is known. The first time waits for running writers and holds back new ones until the transaction ends.
    """
    if await tx.fetchval("SELECT 1 FROM outbox_subscribers WHERE subscriber = $1", subscriber):
        return
    await tx.execute("LOCK TABLE outbox IN SHARE ROW EXCLUSIVE MODE")
    is_new = await tx.fetchval(
        "INSERT INTO outbox_subscribers (subscriber) VALUES ($1) ON CONFLICT DO NOTHING RETURNING true", subscriber
    )
    if is_new:  # otherwise another made it known while we waited, and may have marked events since
        await tx.execute("INSERT INTO outbox_pending (subscriber, seq) SELECT $1, seq FROM outbox", subscriber)


async def claim(tx: Tx, subscriber: str, limit: int) -> list[Event]:
    """Lock and return up to `limit` events that the subscriber has not marked, oldest number first.

    Rows locked by another claimer are passed over, so two claimers never share an event. The claim lasts as long as the
    transaction: mark the events in it, or they are free again. An unknown subscriber is made known.
    """
    rows = await tx.fetch(_CLAIM, subscriber, limit)
    if not rows:
        await subscribe(tx, subscriber)
        rows = await tx.fetch(_CLAIM, subscriber, limit)
    return [event_of(row) for row in rows]


async def mark(tx: Tx, subscriber: str, event_ids: Sequence[EventId]) -> None:
    """Say that the subscriber is done with these events; a second time does nothing."""
    await tx.execute(
        """DELETE FROM outbox_pending USING outbox
           WHERE subscriber = $1 AND outbox_pending.seq = outbox.seq AND event_id = ANY ($2::uuid[])""",
        subscriber,
        list(event_ids),
    )


async def prune(tx: Tx, before: datetime) -> int:
    """Delete events recorded before a moment and marked by all, at most 10,000 per call; return how many."""
    tag = await tx.execute(
        """DELETE FROM outbox WHERE seq IN (
               SELECT seq FROM outbox
               WHERE recorded_at < $1 AND NOT EXISTS (SELECT FROM outbox_pending WHERE outbox_pending.seq = outbox.seq)
               ORDER BY seq LIMIT 10000)""",
        before,
    )
    return int(tag.rpartition(" ")[2])


_CLAIM = """
SELECT event_id, kind, merchant_id, subject_id, payload, happened_at
FROM outbox_pending JOIN outbox USING (seq)
WHERE subscriber = $1
ORDER BY seq
LIMIT $2
FOR UPDATE OF outbox_pending SKIP LOCKED
"""


def event_of(row: Row) -> Event:
    """Return an event from its row."""
    return Event(
        event_id=EventId(row["event_id"]),
        kind=row["kind"],
        merchant_id=row["merchant_id"],
        subject_id=row["subject_id"],
        payload=row["payload"],
        happened_at=row["happened_at"],
    )
