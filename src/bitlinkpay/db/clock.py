"""The database's clock: the one that all processes of a deployment share, on whichever machine they run."""

from datetime import datetime

from bitlinkpay.db.pool import Database


async def read_clock(database: Database) -> datetime:
    """Return what the database's clock shows now, UTC.

    Raises:
        Unavailable: the database does not answer.
    """
    async with database.reader() as tx:
        shown = await tx.fetchval("select clock_timestamp()")
    assert isinstance(shown, datetime)
    return shown
