"""What a new connection asks the server before it does anybody's work: no more than it must."""

import asyncio
from collections.abc import AsyncIterator, Callable

import asyncpg
import pytest

from bitlinkpay.core.ids import new_uuid7
from bitlinkpay.db.driver import create_pool

ARRAYS = {
    "int8[]": [1, 2**62],
    "int4[]": [1, -1],
    "bool[]": [True, None],
    "text[]": ["a", "通道"],
    "uuid[]": [new_uuid7(), new_uuid7()],
    "bytea[]": [b"\0", b""],
}


@pytest.fixture
async def fresh(owner_dsn: str) -> AsyncIterator[Callable]:
    """Return new connections of pools as the platform makes them, each with the list of what it sends."""
    pools = []

    async def connect(*, cached: int = 200) -> tuple[asyncpg.Connection, list[str]]:
        pool = await create_pool(owner_dsn, min_size=0, max_size=1, statement_cache_size=cached)
        pools.append(pool)
        connection, sent = await pool.acquire(), []
        connection.add_query_logger(lambda record: sent.append(record.query))
        return connection, sent

    yield connect
    for pool in pools:
        pool.terminate()


async def asked(sent: list[str]) -> list[str]:
    await asyncio.sleep(0)  # the driver tells its loggers a moment later
    return [query for query in sent if "pg_catalog.pg_type" in query]


async def use(connection: asyncpg.Connection) -> None:
    for name, value in ARRAYS.items():
        assert await connection.fetchval(f"SELECT $1::{name}", value) == value


@pytest.mark.parametrize("cached", [200, 0], ids=["statements are kept", "behind a pooler"])
async def test_arrays_are_explained_to_the_first_connection_of_a_process_alone(fresh: Callable, cached: int) -> None:
    first, _ = await fresh()
    await use(first)
    second, sent = await fresh(cached=cached)
    await use(second)
    assert await asked(sent) == []
    assert len(sent) == len(ARRAYS)


async def test_a_databases_own_types_are_asked_about_by_each(fresh: Callable) -> None:
    """Their numbers stay while their shapes change, and mean something else in another database."""
    first, sent = await fresh()
    await first.execute("CREATE TYPE colour AS (shade text)")
    assert await first.fetchval("SELECT $1::colour[]", [("red",)]) == [("red",)]
    assert len(await asked(sent)) == 1
    await first.execute("ALTER TYPE colour ADD ATTRIBUTE depth int")
    second, sent = await fresh()
    assert await second.fetchval("SELECT $1::colour[]", [("red", 7)]) == [("red", 7)]
    assert len(await asked(sent)) == 1


async def test_own_and_builtin_types_in_one_statement(fresh: Callable) -> None:
    for _ in range(2):
        connection, _ = await fresh()
        await connection.execute("DROP TYPE IF EXISTS mood; CREATE TYPE mood AS ENUM ('good')")
        row = await connection.fetchrow("SELECT $1::mood[] AS mood, $2::int2[] AS small", ["good"], [1, 2])
        assert dict(row) == {"mood": ["good"], "small": [1, 2]}
