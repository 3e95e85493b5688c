"""Two at once in the database: how the first one knows that the second has begun."""

import asyncio

from bitlinkpay.db.pool import Database

PATIENCE_S = 60
_ASKED = "select true from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock' limit 1"


async def until_someone_waits(database: Database) -> None:
    """Return once somebody waits for a lock here; each look is a new transaction, which sees the others once."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            async with database.reader() as tx:
                if await tx.fetchval(_ASKED):
                    return
            await asyncio.sleep(0.01)
