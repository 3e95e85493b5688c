"""The sandbox's business clock: wall time plus an offset that lives in the database and only grows."""

import asyncio
import logging
from datetime import UTC, datetime, timedelta

from bitlinkpay.core.errors import Unavailable
from bitlinkpay.db.pool import Database
from bitlinkpay.sandbox import store

_POLL_S = 1.0
_log = logging.getLogger(__name__)


class SandboxClock:
    """Business time of a sandbox process: a `Clock` that follows what `sandbox.service.advance` writes."""

    def __init__(self, offset: timedelta = timedelta(0)) -> None:
        self.offset = offset

    def now(self) -> datetime:
        """Return the current business time, timezone-aware, UTC."""
        return datetime.now(UTC) + self.offset

    async def refresh(self, database: Database) -> None:
        """Read the offset once. It never goes back, whatever a stale answer says.

        Raises:
            Unavailable: the database does not answer.
        """
        self.offset = max(self.offset, await database.unit(store.find_offset))

    async def follow(self, database: Database) -> None:
        """Keep the offset fresh until cancelled: at each notification, and once a second without one."""
        moved = asyncio.Event()
        await database.listen(store.CLOCK_CHANNEL, lambda _: moved.set())
        while True:
            moved.clear()
            try:
                await self.refresh(database)
            except Unavailable as error:
                _log.warning("business time may lag behind the sandbox clock: %s", error)
            try:
                async with asyncio.timeout(_POLL_S):
                    await moved.wait()
            except TimeoutError:
                continue
