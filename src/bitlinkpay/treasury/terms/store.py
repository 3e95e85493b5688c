"""Every SQL statement about when outputs of hot wallets are joined."""

from datetime import datetime
from typing import Final

from bitlinkpay.db.driver import Tx
from bitlinkpay.treasury.model import JoinTerms

STANDARD: Final = JoinTerms(low_rate=5_000, least=20, keep=10)
"""Of a network for which none were set: half of what spending an output is assumed to cost later."""


async def find(tx: Tx, network: str) -> JoinTerms | None:
    """Return when outputs are joined, as it was set for a network."""
    row = await tx.fetchrow("select * from treasury_join_terms where network = $1", network)
    return JoinTerms(row["low_rate"], row["least"], row["keep"]) if row else None


async def set_terms(tx: Tx, network: str, terms: JoinTerms, *, by: str, now: datetime) -> None:
    """Set when outputs of a network's hot wallet are joined."""
    await tx.execute(
        """
        insert into treasury_join_terms (network, low_rate, least, keep, set_by, set_at)
        values ($1, $2, $3, $4, $5, $6)
        on conflict (network) do update set low_rate = excluded.low_rate, least = excluded.least,
            keep = excluded.keep, set_by = excluded.set_by, set_at = excluded.set_at
        """,
        network,
        terms.low_rate,
        terms.least,
        terms.keep,
        by,
        now,
    )
