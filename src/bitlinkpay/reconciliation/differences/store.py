"""Every SQL statement about differences. A state never changes without its event: one statement writes both."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec

from bitlinkpay.core.ids import new_uuid7
from bitlinkpay.db.driver import Row, Tx
from bitlinkpay.reconciliation.model import (
    DIFFERENCE,
    LIVING,
    UNRESOLVED,
    Difference,
    DifferenceEvent,
    DifferenceNotFound,
    DifferenceState,
    Evidence,
    Sight,
)

_LIVING: Final = [state.value for state in LIVING]
_UNRESOLVED: Final = [state.value for state in UNRESOLVED]


def _difference(row: Row) -> Difference:
    return Difference(
        difference_id=row["difference_id"],
        sight=Sight(
            network=row["network"],
            asset=row["asset"],
            place=row["place"],
            height=row["height"],
            books_units=int(row["books_units"]),
            chain_units=int(row["chain_units"]),
        ),
        state=DifferenceState(row["state"]),
        is_explained=row["is_explained"],
        evidence=tuple(msgspec.convert(row["evidence"], list[Evidence])),
        seen_at=row["seen_at"],
        updated_at=row["updated_at"],
    )


async def suspect(tx: Tx, sight: Sight, now: datetime) -> None:
    """Note a difference that nobody saw before; another one who notes the same place at the same time is enough."""
    await tx.execute(
        """
        with seen as (
            insert into differences (difference_id, network, asset, place, height, books_units, chain_units, state,
                seen_at, updated_at)
            values ($1, $2, $3, $4, $5, $6, $7, 'suspected', $8, $8)
            on conflict (asset, place) where state in ('suspected', 'open') do nothing
            returning difference_id
        )
        insert into difference_events (difference_id, seq, event, from_state, to_state, cause, at)
        select difference_id, 1, 'seen', '', 'suspected', $9, $8 from seen
        """,
        new_uuid7(),
        sight.network,
        sight.asset,
        sight.place,
        sight.height,
        sight.books_units,
        sight.chain_units,
        now,
        _cause(sight),
    )


async def save(
    tx: Tx,
    difference: Difference,
    event: DifferenceEvent,
    *,
    sight: Sight,
    evidence: Sequence[Evidence],
    is_explained: bool,
    cause: str,
    now: datetime,
) -> DifferenceState:
    """Move a difference along its state table, with its newest sight and what is known about it; return its new state.

    Where books and chain agree, the sight that they last differed at is kept.

    Raises:
        IllegalMove: the table has no such move.
        AssertionError: it was not in that state any more.
    """
    after = DIFFERENCE.next(difference.state, event)
    shown = sight if sight.difference_units else difference.sight
    moved = await tx.fetchval(
        """
        with moved as (
            update differences set state = $3, height = $4, books_units = $5, chain_units = $6, evidence = $7,
                is_explained = $8, updated_at = $9
            where difference_id = $1 and state = $2 returning difference_id
        ), noted as (
            insert into difference_events (difference_id, seq, event, from_state, to_state, cause, at)
            select $1, (select max(seq) + 1 from difference_events where difference_id = $1), $10, $2, $3, $11, $9
            from moved
        )
        select true from moved
        """,
        difference.difference_id,
        difference.state.value,
        after.value,
        shown.height,
        shown.books_units,
        shown.chain_units,
        msgspec.to_builtins(evidence),
        is_explained,
        now,
        event.value,
        cause or _cause(sight),
    )
    assert moved, f"difference {difference.difference_id} is not {difference.state} any more"
    return after


def _cause(sight: Sight) -> str:
    return f"books {sight.books_units}, chain {sight.chain_units} at {sight.height}"


async def list_living(tx: Tx, asset: str, limit: int) -> dict[str, Difference]:
    """Return the oldest differences of an asset that are suspected or open, by place."""
    rows = await tx.fetch(
        "select * from differences where asset = $1 and state = any($2::text[]) order by difference_id limit $3",
        asset,
        _LIVING,
        limit,
    )
    return {found.sight.place: found for found in map(_difference, rows)}


async def list_newest(tx: Tx, limit: int) -> list[Difference]:
    """Return differences that ever counted or are suspected now, those that wait for a person first."""
    rows = await tx.fetch(
        """
        select * from differences where state <> 'passed'
        order by state = any($1::text[]) desc, difference_id desc limit $2
        """,
        _UNRESOLVED,
        limit,
    )
    return [_difference(row) for row in rows]


async def count_unresolved(tx: Tx, asset: str) -> int:
    """Return how many unexplained differences of an asset wait for a person."""
    return (
        await tx.fetchval(
            "select count(*) from differences where asset = $1 and state = any($2::text[]) and not is_explained",
            asset,
            _UNRESOLVED,
        )
        or 0
    )


async def drifted_units(tx: Tx, asset: str, since: datetime) -> int:
    """Return how much of an asset went missing since a moment and was booked without a person."""
    found = await tx.fetchval(
        """
        select coalesce(sum(d.books_units - d.chain_units), 0)
        from differences d join difference_events e using (difference_id)
        where d.asset = $1 and d.chain_units < d.books_units and e.event = $2 and e.at > $3
        """,
        asset,
        DifferenceEvent.DRIFTED.value,
        since,
    )
    return int(found)


async def lock(tx: Tx, difference_id: UUID) -> Difference:
    """Lock and return one difference.

    Raises:
        DifferenceNotFound: nobody ever saw it.
    """
    row = await tx.fetchrow("select * from differences where difference_id = $1 for update", difference_id)
    if row is None:
        raise DifferenceNotFound
    return _difference(row)


async def list_events(tx: Tx, difference_id: UUID) -> list[tuple[str, str, str, datetime]]:
    """Return the history of a difference: event, state after it, cause, time."""
    rows = await tx.fetch(
        "select event, to_state, cause, at from difference_events where difference_id = $1 order by seq", difference_id
    )
    return [(row["event"], row["to_state"], row["cause"], row["at"]) for row in rows]
