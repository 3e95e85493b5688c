"""Take a difference into the books: what is too much is the company's own, what is missing its loss, or its gas."""

from collections.abc import Sequence
from datetime import datetime

from bitlinkpay.core.errors import Conflict
from bitlinkpay.db.driver import Tx
from bitlinkpay.ledger import chart_corrections as chart
from bitlinkpay.ledger import service as ledger
from bitlinkpay.ledger.model import Posting
from bitlinkpay.reconciliation.model import COLD, Difference, DifferenceEvent, Place, Sight


class BooksHoldLess(Conflict):
    """The books have changed since: there is less at the place than is missing."""

    code = "reconciliation.books_hold_less"

    def __init__(self) -> None:
        super().__init__("the books hold less there by now than is missing; let `bitlinkpay reconcile run` look again")


async def posting_of(tx: Tx, found: Difference, sight: Sight, event: DifferenceEvent, now: datetime) -> Posting:
    """Return the posting that makes the books say what was seen; the accounts stay locked.

    Raises:
        BooksHoldLess: the books hold less at the place by now than is missing.
    """
    place = Place(sight.place, () if sight.place == COLD else (sight.place,))
    held = await ledger.lock(tx, [(account, sight.asset) for account in place.accounts])
    units = {account: held[account, sight.asset] for account in place.accounts if (account, sight.asset) in held}
    if sight.difference_units > 0:
        return chart.surplus_found(
            found.difference_id,
            asset=sight.asset,
            account=next(iter(units), place.accounts[0]),
            units=sight.difference_units,
            happened_at=now,
        )
    parts = _parts(-sight.difference_units, list(units.items()))
    book = chart.upkeep_spent if event is DifferenceEvent.DRIFTED else chart.shortage_written_off
    return book(found.difference_id, asset=sight.asset, parts=parts, happened_at=now)


def _parts(missing: int, held: Sequence[tuple[str, int]]) -> list[tuple[str, int]]:
    parts: list[tuple[str, int]] = []
    for account, units in held:
        taken = min(missing, units)
        missing -= taken
        parts += [(account, taken)] if taken else []
    if missing:
        raise BooksHoldLess
    return parts
