"""Waiting until a transaction waits for another one, so that two at once meet where a test wants them to."""

import asyncio

from bitlinkpay.db.pool import Database


async def until_one_waits(database: Database) -> None:
    """Return once somebody waits for a lock; each look is a new transaction, which looks at the others once."""
    query = "select true from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock' limit 1"
    async with asyncio.timeout(4):
        while True:
            async with database.reader() as tx:
                if await tx.fetchval(query):
                    return
            await asyncio.sleep(0.01)
