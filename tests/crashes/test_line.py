"""The line of a schedule is cut as any connection is: what was under way is undone, and whoever held it has lost it."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import asyncpg
import pytest
from tests.crashes.line import WarmDatabase

from bitlinkpay.core.errors import Unavailable
from bitlinkpay.db.driver import Connection, Tx
from bitlinkpay.sending.stops import store as stops
from bitlinkpay.sending.stops.store import Scope, Stop

STOP = Stop(Scope.ALL, "", "test", datetime(2026, 3, 1, tzinfo=UTC))
PID = "select pg_backend_pid()"


@pytest.fixture
async def line(app_dsn: str) -> AsyncIterator[WarmDatabase]:
    found = await WarmDatabase.open(app_dsn)
    yield found
    await found.close()


async def count(line: WarmDatabase) -> object:
    async with line.reader() as tx:
        return await tx.fetchval("select count(*) from payment_stops")


def cut(tx: Tx) -> None:
    connection: Connection = tx  # type: ignore[assignment]
    connection.terminate()


async def test_what_was_under_way_at_a_cut_is_undone_and_done_again_as_a_whole(line: WarmDatabase) -> None:
    seen = []

    async def work(tx: Tx) -> None:
        seen.append(await tx.fetchval(PID))
        await stops.add(tx, STOP)
        if len(seen) == 1:
            cut(tx)
            raise ConnectionResetError("cut")

    await line.unit(work)
    assert await count(line) == 1
    assert len(seen) == 2
    assert seen[0] == seen[1], "the server's process is the same, with all that it has planned"


async def test_whoever_goes_on_with_a_lost_connection_gets_nowhere(line: WarmDatabase) -> None:
    async def deaf(tx: Tx) -> None:
        await stops.add(tx, STOP)
        cut(tx)
        with pytest.raises(asyncpg.InterfaceError, match="closed"):
            await tx.fetchval(PID)

    with pytest.raises(Unavailable, match="lost before COMMIT"):
        await line.unit(deaf)
    with pytest.raises(Unavailable, match="lost before COMMIT"):
        async with line.transaction() as tx:
            await deaf(tx)
    assert await count(line) == 0


async def test_readers_and_writers_take_turns(line: WarmDatabase) -> None:
    async with line.reader() as tx:
        await tx.fetchval(PID)
        with pytest.raises(TimeoutError):
            await line._pool.acquire(timeout=0.01)
        assert await tx.fetchval("select pg_current_xact_id_if_assigned() is null")
    await line.unit(lambda tx: stops.add(tx, STOP))
    assert await count(line) == 1
