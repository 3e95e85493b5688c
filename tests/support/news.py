"""Notifications of the database: how a test knows that the earlier ones have been heard, however long they travel."""

import asyncio
import contextlib
import secrets

from bitlinkpay.db.pool import Database

PATIENCE_S = 60
_AGAIN_S = 0.5


async def until_heard(database: Database, channel: str) -> None:
    """Return once this process listens to a channel and has heard of all that is committed by now.

    Notifications arrive in the order of their commits, so that one of our own is the last of them; it is sent again
    until it arrives, because the first may be gone before anybody listens.
    """
    heard, mark = asyncio.Event(), secrets.token_hex(16)
    await database.listen(channel, lambda payload: heard.set() if payload == mark else None)
    async with asyncio.timeout(PATIENCE_S):
        while not heard.is_set():
            async with database.transaction() as tx:
                await tx.execute("select pg_notify($1, $2)", channel, mark)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(heard.wait(), _AGAIN_S)
