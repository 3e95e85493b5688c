"""Seals of request envelopes: each may be answered once, on whichever node, before or after a restart."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from bitlinkpay.db.driver import Tx


@dataclass(frozen=True, slots=True)
class Seal:
    """One received envelope.

    Attributes:
        digest: hash over what makes the envelope unique, 16 to 64 bytes.
        seen_at: wall time of its arrival.
    """

    digest: bytes
    seen_at: datetime


async def claim(tx: Tx, seals: Sequence[Seal]) -> set[bytes]:
    """Record the seals and return the digests that nobody had recorded before; the others are replays.

    A digest twice in one call is one seal. Waits for another transaction that is recording the same digest.
    """
    if not seals:
        return set()
    firsts = {seal.digest: seal.seen_at for seal in reversed(seals)}
    digests = sorted(firsts)  # one order for all writers, so that two batches never wait for each other
    rows = await tx.fetch(
        """INSERT INTO envelope_seals (digest, seen_at) SELECT * FROM unnest($1::bytea[], $2::timestamptz[])
           ON CONFLICT (digest) DO NOTHING RETURNING digest""",
        digests,
        [firsts[digest] for digest in digests],
    )
    return {row["digest"] for row in rows}


async def purge(tx: Tx, before: datetime) -> int:
    """Forget seals seen before a moment, at most 10,000 per call, and return how many went.

    Only envelopes too old to be accepted anyway may be forgotten.
    """
    tag = await tx.execute(
        """DELETE FROM envelope_seals WHERE digest IN
           (SELECT digest FROM envelope_seals WHERE seen_at < $1
            ORDER BY seen_at LIMIT 10000 FOR UPDATE SKIP LOCKED)""",
        before,
    )
    return int(tag.rpartition(" ")[2])
