"""What a person decides about a difference: that it is over, or that the books take it in. Then payments go on."""

from dataclasses import replace
from datetime import datetime
from uuid import UUID

from bitlinkpay.db.driver import Tx
from bitlinkpay.ledger import service as ledger
from bitlinkpay.reconciliation.booking import posting_of
from bitlinkpay.reconciliation.differences import store
from bitlinkpay.reconciliation.model import (
    Difference,
    DifferenceEvent,
    DifferenceState,
    NothingToResolve,
    StillThere,
)
from bitlinkpay.reconciliation.service import stop_reason
from bitlinkpay.sending.stops import store as stops
from bitlinkpay.sending.stops.store import Scope


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
    posting = await posting_of(tx, found, found.sight, DifferenceEvent.BOOKED, now)
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


async def _lift(tx: Tx, found: Difference) -> None:
    """Let payments go on that differences of this asset had stopped, once none of them waits for a person any more."""
    if await store.count_unresolved(tx, found.sight.asset):
        return
    prefix = stop_reason(found).split("`", 1)[0]
    for stop in await stops.list_all(tx):
        is_ours = stop.reason.startswith(prefix)
        if is_ours and (stop.scope, stop.subject) == (Scope.ASSET, found.sight.asset):
            await stops.remove(tx, stop.scope, stop.subject)
