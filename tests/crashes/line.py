"""One connection for all that a schedule asks of its database. It stays warm: where it is cut, nothing is planned anew.

A schedule does one thing after another, so that nobody writes while one reads: a reader needs no transaction to see one
moment. A third of all statements would open and close those.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from bitlinkpay.db.driver import Connection, Tx
from bitlinkpay.db.listen import Listener
from bitlinkpay.db.pool import Database, Limits, teach_json


class WarmConnection(asyncpg.Connection):
    """Once it is cut it is lost to whoever holds it, and refuses every statement; the server's process lives on."""

    __slots__ = ("is_cut",)

    def __init__(self, *args: object) -> None:
        super().__init__(*args)
        self.is_cut = False

    def terminate(self) -> None:
        self.is_cut = True

    def is_closed(self) -> bool:
        return self.is_cut or super().is_closed()

    async def restore(self) -> None:
        """Undo what was under way when it was cut, as the server does for a connection that it has lost."""
        self.is_cut = False
        await self.execute("ROLLBACK")


class Line:
    """A `Pool` of one warm connection, taken by one task after the other."""

    def __init__(self, connection: WarmConnection) -> None:
        self._connection = connection
        self._turn = asyncio.Lock()

    async def acquire(self, *, timeout: float | None = None) -> Connection:
        if self._turn.locked():
            await asyncio.wait_for(self._turn.acquire(), timeout)
        else:
            await self._turn.acquire()
        return self._connection  # type: ignore[return-value]

    async def release(self, connection: WarmConnection) -> None:
        try:
            if connection.is_cut:
                await connection.restore()
        finally:
            self._turn.release()

    async def close(self) -> None:
        await self._connection.close()

    def terminate(self) -> None:
        asyncpg.Connection.terminate(self._connection)


class WarmDatabase(Database):
    """A `Database` on a line."""

    @classmethod
    async def open(cls, dsn: str) -> "WarmDatabase":
        connection = await asyncpg.connect(
            dsn, connection_class=WarmConnection, statement_cache_size=1_000, server_settings={"timezone": "UTC"}
        )
        await teach_json(connection)
        return cls(Line(connection), Listener(dsn), Limits())  # type: ignore[arg-type]

    @asynccontextmanager
    async def reader(self) -> AsyncIterator[Tx]:
        connection = await self._acquire()
        try:
            yield connection
        finally:
            await self._pool.release(connection)
