"""Read statements, and close the days that are over."""

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Final

from bitlinkpay.core.ids import MerchantId
from bitlinkpay.db.driver import Tx
from bitlinkpay.db.pool import Database
from bitlinkpay.ledger import service as ledger
from bitlinkpay.statements import store
from bitlinkpay.statements.model import POTS, DayNotBegun, Line, Pots, Statement, StatementAstray

REST: Final = timedelta(minutes=5)
"""How long a day rests before it is sealed: a small step of the server's clock over midnight must stop no posting."""

MAX_LINES: Final = 1000
_DAY: Final = timedelta(days=1)


async def list_of_day(tx: Tx, merchant_id: MerchantId, assets: Sequence[str], day: date) -> list[Statement]:
    """Return one statement per asset, in the order of `assets`; the cost does not grow with the merchant's history.

    The day of today, or one that is not closed yet, shows what it stands at.

    Args:
        tx: an open transaction that sees one moment, such as `Database.reader`'s.
        merchant_id: the only merchant who is looked at.
        assets: ids of assets.
        day: a UTC day.

    Raises:
        DayNotBegun: it lies in the future.
        StatementAstray: one of them ends otherwise than the books do; none is returned.
    """
    days = await store.find_days(tx)
    if day > days.today:
        raise DayNotBegun(days.today)
    openings = await store.openings(tx, merchant_id, assets, day)
    movements = await store.list_movements(tx, merchant_id, assets, day)
    found = [
        Statement(
            merchant_id=merchant_id,
            asset=asset,
            day=day,
            is_closed=days.closed is not None and day <= days.closed,
            opening=openings.get(asset, Pots()),
            movements=tuple(movements.get(asset, ())),
        )
        for asset in assets
    ]
    if day == days.today:
        ends = await _standing(tx, merchant_id)
    else:
        ends = await store.openings(tx, merchant_id, assets, day + _DAY)
    for one in found:
        if one.closing != ends.get(one.asset, Pots()):
            raise StatementAstray(one)
    return found


async def _standing(tx: Tx, merchant_id: MerchantId) -> dict[str, Pots]:
    """Return what a merchant has by its accounts, which no statement is made from."""
    return {
        one.asset: Pots(**{pot: getattr(one, pot) for pot in POTS}) for one in await ledger.balances(tx, merchant_id)
    }


async def list_lines(
    tx: Tx, merchant_id: MerchantId, asset: str, day: date, *, after: Line | None = None
) -> list[Line]:
    """Return up to `MAX_LINES` postings of a merchant's day in one asset, in the order of recording, behind `after`."""
    return await store.list_lines(tx, merchant_id, asset, day, after=after, limit=MAX_LINES)


async def close_days(database: Database) -> bool:
    """Close the day that is over, once nobody writes into it any more; say whether one was closed.

    Each step is a transaction of its own: what is sealed must be seen by everybody before anybody waits for those who
    were writing while it was not. Several may call it at once; a day is closed once.
    """
    await database.unit(lambda tx: store.seal(tx, REST))
    await database.unit(store.await_writers)
    days = await database.unit(store.list_written)
    return any([await _close(database, day) for day in days])


async def _close(database: Database, day: date) -> bool:
    return await database.unit(lambda tx: store.close(tx, day))
