"""What a person decides about a difference: that it is over, or that the books take it in. Then payments go on."""

from dataclasses import replace
from datetime import datetime
from uuid import UUID

from bitlinkpay.core.errors import Conflict
from bitlinkpay.db.driver import Tx
from bitlinkpay.ledger import chart_corrections as chart
from bitlinkpay.ledger import service as ledger
from bitlinkpay.ledger.model import Posting
from bitlinkpay.reconciliation.differences import store
from bitlinkpay.reconciliation.model import (
    COLD,
    Difference,
    DifferenceEvent,
    DifferenceState,
    NothingToResolve,
    Place,
    StillThere,
)
from bitlinkpay.reconciliation.service import stop_reason
from bitlinkpay.sending.stops import store as stops
from bitlinkpay.sending.stops.store import Scope


class BooksHoldLess(Conflict):
    """The books have changed since: there is less at the place than is missing."""

    code = "reconciliation.books_hold_less"

    def __init__(self) -> None:
        super().__init__("the books hold less there by now than is missing; let `bitlinkpay reconcile run` look again")


async def look_at(tx: Tx, difference_id: UUID, *, reason: str, by: str, now: datetime) -> Difference:
    """Close a difference that went by itself.

    Raises:
        DifferenceNotFound: nobody ever saw it.
        StillThere: books and chain still disagree.
        NothingToResolve: it never counted, or was resolved before.
    """
    found = await store.lock(tx, difference_id)
    if found.state is DifferenceState.OPEN:
        raise StillThere
    return await _end(tx, found, DifferenceEvent.LOOKED_AT, cause=f"{by}: {reason}", now=now)


async def book(tx: Tx, difference_id: UUID, *, reason: str, by: str, now: datetime) -> Difference:
    """Take a difference into the books: more is the company's own, less is its loss.

    Raises:
        DifferenceNotFound: nobody ever saw it.
        NothingToResolve: it never counted, went by itself, or was resolved before.
        BooksHoldLess: the books hold less at the place by now than is missing.
    """
    found = await store.lock(tx, difference_id)
    if found.state is not DifferenceState.OPEN:
        raise NothingToResolve(found.state)
    posting = await _posting(tx, found, now)
    ended = await _end(tx, found, DifferenceEvent.BOOKED, cause=f"{by}: {reason}", now=now)
    await ledger.post_all(tx, [posting])
    return ended


async def _end(tx: Tx, found: Difference, event: DifferenceEvent, *, cause: str, now: datetime) -> Difference:
    if found.state not in (DifferenceState.OPEN, DifferenceState.AGREED):
        raise NothingToResolve(found.state)
    after = await store.save(
        tx,
        found,
        event,
        sight=found.sight,
        evidence=found.evidence,
        is_explained=found.is_explained,
        cause=cause,
        now=now,
    )
    await _lift(tx, found)
    return replace(found, state=after)


async def _posting(tx: Tx, found: Difference, now: datetime) -> Posting:
    sight = found.sight
    place = Place(sight.place, () if sight.place == COLD else (sight.place,))
    held = await ledger.lock(tx, [(account, sight.asset) for account in place.accounts])
    if sight.difference_units > 0:
        opened = [account for account in place.accounts if (account, sight.asset) in held]
        return chart.surplus_found(
            found.difference_id,
            asset=sight.asset,
            account=(opened or place.accounts)[0],
            units=sight.difference_units,
            happened_at=now,
        )
    missing, parts = -sight.difference_units, list[tuple[str, int]]()
    for account in place.accounts:
        taken = min(missing, held.get((account, sight.asset), 0))
        missing -= taken
        parts += [(account, taken)] if taken else []
    if missing:
        raise BooksHoldLess
    return chart.shortage_written_off(found.difference_id, asset=sight.asset, parts=parts, happened_at=now)


async def _lift(tx: Tx, found: Difference) -> None:
    """Let payments go on that differences of this asset had stopped, once none of them waits for a person any more."""
    if await store.count_unresolved(tx, found.sight.asset):
        return
    prefix = stop_reason(found).split("`", 1)[0]
    for stop in await stops.list_all(tx):
        is_ours = stop.reason.startswith(prefix)
        if is_ours and (stop.scope, stop.subject) == (Scope.ASSET, found.sight.asset):
            await stops.remove(tx, stop.scope, stop.subject)
