"""Every SQL statement about the reviews of assets."""

from collections.abc import Collection
from dataclasses import asdict
from datetime import datetime

import msgspec

from bitlinkpay.chains.token import TokenFacts
from bitlinkpay.db.driver import Row, Tx
from bitlinkpay.deposits.assets.model import Review, ReviewState, Turn


def _review(row: Row) -> Review:
    return Review(
        asset=row["asset"],
        state=ReviewState(row["state"]),
        reason=row["reason"],
        seen=msgspec.convert(row["seen"], TokenFacts),
        accepted=msgspec.convert(row["accepted"], TokenFacts) if row["accepted"] else None,
        version=row["version"],
    )


async def find(tx: Tx, asset: str) -> Review | None:
    """Return an asset's review, None before the first look at its contract."""
    row = await tx.fetchrow("select * from asset_facts where asset = $1", asset)
    return _review(row) if row else None


async def list_accepted(tx: Tx, assets: Collection[str]) -> set[str]:
    """Return those of the assets that were looked at and are not on hold."""
    rows = await tx.fetch("select asset from asset_facts where asset = any($1::text[]) and state = 'accepted'", assets)
    return {row["asset"] for row in rows}


async def list_held(tx: Tx) -> dict[str, str]:
    """Return why assets are on hold, by asset."""
    rows = await tx.fetch("select asset, reason from asset_facts where state = 'held' order by asset")
    return {row["asset"]: row["reason"] for row in rows}


async def save(tx: Tx, turn: Turn, *, actor: str, now: datetime) -> bool:
    """Write a step and its event, unless the row has moved on since it was decided; say whether it was written."""
    review = turn.after
    written: str | None = await tx.fetchval(
        """
        insert into asset_facts as f (asset, state, reason, seen, accepted, version, updated_at)
        values ($1, $2, $3, $4, $5, $6, $7)
        on conflict (asset) do update
        set state = excluded.state, reason = excluded.reason, seen = excluded.seen, accepted = excluded.accepted,
            version = excluded.version, updated_at = excluded.updated_at
        where f.version = excluded.version - 1
        returning asset
        """,
        review.asset,
        review.state.value,
        review.reason,
        asdict(review.seen),
        asdict(review.accepted) if review.accepted else None,
        review.version,
        now,
    )
    if written is None:
        return False
    await tx.execute(
        """
        insert into asset_events (asset, seq, event, from_state, to_state, actor, cause, facts, at)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
        """,
        review.asset,
        review.version,
        turn.event.value,
        turn.before,
        review.state.value,
        actor,
        review.reason or review.seen.symbol,
        asdict(review.seen),
        now,
    )
    return True
