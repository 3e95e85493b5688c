"""Events as a merchant reads them: in one order that never changes, without a gap before any place.

The outbox numbers events when they are written, and a transaction may commit after one with a higher number. So
committed events get a place of their own, in batches, under a lock that makes places commit in their order.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from bitlinkpay.db.driver import Tx
from bitlinkpay.db.outbox import Event, event_of

BATCH: Final = 1000


@dataclass(frozen=True, slots=True)
class Placed:
    """An event at its place."""

    place: int
    event: Event


async def place(tx: Tx, limit: int = BATCH) -> int:
    """Give up to `limit` events their places, the lowest numbers first; return how many. Commit soon: others wait."""
    last = await tx.fetchval("SELECT last FROM outbox_places FOR UPDATE")
    tag = await tx.execute(
        """
        UPDATE outbox SET place = $1::bigint + fresh.step
        FROM (
            SELECT seq, row_number() OVER (ORDER BY seq) AS step FROM (
                SELECT seq FROM outbox WHERE place IS NULL AND merchant_id IS NOT NULL ORDER BY seq LIMIT $2
            ) waiting
        ) fresh WHERE outbox.seq = fresh.seq
        """,
        last,
        limit,
    )
    placed = int(tag.rpartition(" ")[2])
    if placed:
        await tx.execute("UPDATE outbox_places SET last = $1", last + placed)
    return placed


async def read(tx: Tx, merchant_id: UUID, *, after: int, limit: int) -> Sequence[Placed]:
    """Return a merchant's events after a place, the oldest first."""
    rows = await tx.fetch(
        "SELECT * FROM outbox WHERE merchant_id = $1 AND place > $2 ORDER BY place LIMIT $3", merchant_id, after, limit
    )
    return [Placed(row["place"], event_of(row)) for row in rows]
