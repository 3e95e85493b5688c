"""Every SQL statement about rates."""

from collections.abc import Sequence

from bitlinkpay.db.pool import Tx
from bitlinkpay.rates.model import Leg, LegKind


async def save(tx: Tx, legs: Sequence[Leg]) -> None:
    """Replace legs that are older than these."""
    ordered = sorted(legs, key=lambda leg: (leg.base, leg.quote))
    await tx.execute(
        """
        insert into rates as kept (base, quote, kind, value, observed_at, expires_at, reason, heard)
        select * from unnest($1::text[], $2::text[], $3::text[], $4::numeric[], $5::timestamptz[], $6::timestamptz[],
                             $7::text[], $8::jsonb[])
        on conflict (base, quote) do update
        set (kind, value, observed_at, expires_at, reason, heard, recorded_at)
            = (excluded.kind, excluded.value, excluded.observed_at, excluded.expires_at, excluded.reason,
               excluded.heard, now())
        where kept.kind <> excluded.kind or kept.observed_at <= excluded.observed_at
           or kept.expires_at < excluded.expires_at
        """,
        [leg.base for leg in ordered],
        [leg.quote for leg in ordered],
        [leg.kind.value for leg in ordered],
        [leg.value for leg in ordered],
        [leg.observed_at for leg in ordered],
        [leg.expires_at for leg in ordered],
        [leg.reason for leg in ordered],
        [dict(leg.heard) for leg in ordered],
    )


async def list_legs(tx: Tx) -> dict[tuple[str, str], Leg]:
    """Return every leg, by base and quote."""
    rows = await tx.fetch("select base, quote, kind, value, observed_at, expires_at, reason, heard from rates")
    return {
        (row["base"], row["quote"]): Leg(
            base=row["base"],
            quote=row["quote"],
            kind=LegKind(row["kind"]),
            value=row["value"],
            observed_at=row["observed_at"],
            expires_at=row["expires_at"],
            reason=row["reason"],
            heard=row["heard"],
        )
        for row in rows
    }
