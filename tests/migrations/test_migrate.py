"""The migrator: once each, in order, all or nothing, never in the way."""

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest
from asyncpg.exceptions import PostgresError, UndefinedTableError
from tests.support.server import TestServer

from bitlinkpay.core.errors import Conflict, Unavailable
from bitlinkpay.db.cluster import APP_ROLE
from bitlinkpay.db.driver import connect
from bitlinkpay.db.migrate import Migration, list_migrations, migrate

FIRST = Migration("0001_first", "CREATE TABLE first (a int); CREATE TABLE thing_events (a int)")
SECOND = Migration("0002_second", "CREATE TABLE second (a int)")


async def ask(dsn: str, question: str) -> object:
    connection = await connect(dsn)
    try:
        return await connection.fetchval(question)
    finally:
        await connection.close()


async def tables(dsn: str) -> set[str]:
    found = await ask(
        dsn,
        "SELECT array_agg(relname::text) FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'",
    )
    assert found is None or isinstance(found, list)
    return set(found or [])


async def test_files_are_applied_once_and_recorded(owner_dsn: str):
    assert await migrate(owner_dsn, [FIRST]) == ["0001_first"]
    assert await migrate(owner_dsn, [FIRST, SECOND]) == ["0002_second"]
    assert await migrate(owner_dsn, [FIRST, SECOND]) == []
    assert await ask(owner_dsn, "SELECT array_agg(name || ' ' || checksum ORDER BY name) FROM schema_migrations") == [
        f"{one.name} {one.checksum}" for one in (FIRST, SECOND)
    ]


async def test_a_changed_file_is_refused(owner_dsn: str):
    await migrate(owner_dsn, [FIRST])
    changed = Migration(FIRST.name, FIRST.sql + " ")
    with pytest.raises(Conflict, match="0001_first was changed"):
        await migrate(owner_dsn, [changed, SECOND])
    assert "second" not in await tables(owner_dsn)


async def test_a_file_that_sorts_before_an_applied_one_is_refused(owner_dsn: str):
    await migrate(owner_dsn, [FIRST, Migration("0003_third", "SELECT 1")])
    with pytest.raises(Conflict, match="0002_second appeared after 0003_third"):
        await migrate(owner_dsn, [FIRST, SECOND, Migration("0003_third", "SELECT 1")])


async def test_a_failing_file_leaves_nothing_of_itself_and_keeps_those_before(owner_dsn: str):
    broken = Migration("0002_broken", "CREATE TABLE half (a int); INSERT INTO no_such_table VALUES (1)")
    with pytest.raises(UndefinedTableError) as failed:
        await migrate(owner_dsn, [FIRST, broken])
    assert failed.value.__notes__ == ["in migration 0002_broken"]
    assert await tables(owner_dsn) == {"first", "thing_events", "schema_migrations"}
    assert await migrate(owner_dsn, [FIRST, SECOND]) == ["0002_second"]


async def test_many_migrators_at_once_apply_each_file_once(owner_dsn: str):
    plan = [
        Migration(f"{number:04}_n", f"CREATE TABLE t{number} (a int); SELECT pg_sleep(0.02)") for number in range(1, 8)
    ]
    found = await asyncio.gather(*(migrate(owner_dsn, plan) for _ in range(5)))
    assert sorted(name for names in found for name in names) == [one.name for one in plan]


async def test_a_table_in_use_makes_the_migrator_give_up_soon_and_undone(owner_dsn: str):
    await migrate(owner_dsn, [FIRST])
    slow = Migration("0002_alter", "CREATE TABLE more (a int); ALTER TABLE first ADD COLUMN b int")
    reader = await connect(owner_dsn)
    async with reader.transaction():
        await reader.fetch("SELECT * FROM first")
        async with asyncio.timeout(60):  # for ever, without a limit: the reader does not end
            with pytest.raises(Unavailable, match="in use"):
                await migrate(owner_dsn, [FIRST, slow], lock_timeout=timedelta(milliseconds=200))
            # Nobody else was held up for longer than that either.
            assert await ask(owner_dsn, "SELECT count(*) FROM first") == 0
    await reader.close()
    assert "more" not in await tables(owner_dsn)
    assert await migrate(owner_dsn, [FIRST, slow]) == ["0002_alter"]


async def rights(owner_dsn: str, table: str) -> str:
    found = await ask(
        owner_dsn,
        "SELECT string_agg(privilege_type, ' ' ORDER BY privilege_type) FROM information_schema.role_table_grants "
        f"WHERE table_name = '{table}' AND grantee = '{APP_ROLE}'",
    )
    return str(found)


async def test_the_application_may_only_add_to_tables_that_are_append_only(owner_dsn: str):
    commented = Migration(
        "0002_seals",
        "CREATE TABLE seals (a int); COMMENT ON TABLE seals IS 'append-only: evidence'; "
        "CREATE TABLE kinds (a int); COMMENT ON TABLE kinds IS 'read-only: changed by migrations'",
    )
    await migrate(owner_dsn, [FIRST, commented])
    assert await rights(owner_dsn, "first") == "DELETE INSERT SELECT UPDATE"
    assert await rights(owner_dsn, "thing_events") == "INSERT SELECT"
    assert await rights(owner_dsn, "seals") == "INSERT SELECT"
    assert await rights(owner_dsn, "kinds") == "SELECT"
    assert await rights(owner_dsn, "schema_migrations") == "SELECT"


async def test_every_run_restores_rights_that_were_widened_by_hand(owner_dsn: str):
    await migrate(owner_dsn, [FIRST])
    connection = await connect(owner_dsn)
    await connection.execute(f"GRANT ALL ON thing_events, schema_migrations TO {APP_ROLE}")
    await connection.close()
    await migrate(owner_dsn, [FIRST])
    assert await rights(owner_dsn, "thing_events") == "INSERT SELECT"
    assert await rights(owner_dsn, "schema_migrations") == "SELECT"


async def test_a_missing_role_that_may_not_be_created_is_reported(owner_dsn: str):
    with pytest.raises(Unavailable, match="let an administrator create it"):
        await migrate(owner_dsn, [FIRST], app_role="bitlinkpay_other")


async def test_nobody_at_the_other_end_is_unavailable(tmp_path: Path):
    with pytest.raises(Unavailable, match="owner"):
        await migrate(f"postgresql://x@/y?host={tmp_path}", [FIRST])


async def test_the_application_role_may_not_migrate(server: TestServer, database_name: str):
    with pytest.raises(PostgresError, match=r"permission denied|must be owner"):
        await migrate(
            server.dsn(APP_ROLE, database_name),
            [*list_migrations(), Migration("9999_mine", "CREATE TABLE mine (a int)")],
        )


def test_the_files_of_the_package_are_found_in_order():
    names = [one.name for one in list_migrations()]
    assert names[0] == "0001_foundation"
    assert names == sorted(names)
