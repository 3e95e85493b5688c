"""Connections, limits, types and notifications."""

import asyncio
import contextlib
import os
import signal
import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from uuid import UUID

import pytest
import uvloop
from asyncpg.exceptions import InsufficientPrivilegeError, ReadOnlySQLTransactionError
from tests.support.embedded import until
from tests.support.server import TestServer
from tests.support.wire import Pooler, listening

from bitlinkpay.core.errors import Kind, Problem, Unavailable
from bitlinkpay.core.ids import new_uuid7
from bitlinkpay.db.cluster import APP_ROLE
from bitlinkpay.db.driver import connect
from bitlinkpay.db.listen import Listener
from bitlinkpay.db.pool import Database, Limits, OutcomeUnknown, Tx

_LIVES = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $1)"


async def one(tx: Tx) -> int:
    found = await tx.fetchval("SELECT 1")
    assert isinstance(found, int)
    return found


# --- types -------------------------------------------------------------------------------------------------------------


async def test_json_comes_and_goes_as_plain_python_without_floats(database: Database):
    value = {"text": "通道", "list": [1, None, True], "nested": {"amount": "12.50"}, "big": 2**60}
    async with database.transaction() as tx:
        for type_name in ("jsonb", "json"):
            assert await tx.fetchval(f"SELECT $1::{type_name}", value) == value
        assert await tx.fetchval("SELECT '{\"n\": 12.50}'::jsonb") == {"n": Decimal("12.50")}
        assert await tx.fetchval("SELECT $1::jsonb[]", [value, {}]) == [value, {}]
        assert await tx.fetchval("SELECT $1::jsonb IS NULL", None) is True
        assert await tx.fetchval("SELECT $1::jsonb ->> 'id'", {"id": UUID(int=7)}) == str(UUID(int=7))


async def test_units_of_78_digits_are_exact(database: Database):
    for units in (0, 1, 10**18 + 1, 2**256 - 1, 10**78 - 1):
        async with database.transaction() as tx:
            found = await tx.fetchval("SELECT $1::numeric(78,0)", units)
        assert int(found) == units


async def test_times_are_utc_and_aware(database: Database):
    at = datetime(2026, 3, 29, 1, 30, tzinfo=UTC)
    async with database.transaction() as tx:
        assert await tx.fetchval("SELECT $1::timestamptz", at) == at
        assert (await tx.fetchval("SELECT now()")).tzinfo is not None
        assert await tx.fetchval("SHOW timezone") == "UTC"


# --- limits ------------------------------------------------------------------------------------------------------------


async def test_every_transaction_has_its_limits_and_leaves_none_behind(app_dsn: str):
    database = await Database.connect(
        app_dsn, size=1, limits=Limits(timedelta(seconds=7), timedelta(seconds=3), timedelta(seconds=9))
    )
    names = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout")
    for opened in (database.transaction(), database.reader()):
        async with opened as tx:
            assert [await tx.fetchval(f"SHOW {name}") for name in names] == ["7s", "3s", "9s"]
    connection = await database._pool.acquire()
    assert await connection.fetchval("SHOW statement_timeout") == "0"
    await database._pool.release(connection)
    await database.close()


async def test_what_the_server_says_on_several_lines_is_one_record_of_a_log(database: Database):
    full = "RAISE EXCEPTION 'could not extend file' USING ERRCODE = '53100', DETAIL = 'no room', HINT = 'make some'"

    async def fill(tx: Tx) -> None:
        await tx.execute(f"DO $$ BEGIN {full}; END $$")

    with pytest.raises(Unavailable) as caught:
        await database.unit(fill)
    assert caught.value.message == "the database is busy: could not extend file; DETAIL:  no room; HINT:  make some"


async def test_a_statement_that_takes_too_long_makes_the_database_unavailable(app_dsn: str):
    database = await Database.connect(app_dsn, limits=Limits(statement=timedelta(milliseconds=100)))
    runs: list[int] = []

    async def work(tx: Tx) -> None:
        runs.append(1)
        await tx.execute("SELECT pg_sleep(10)")

    with pytest.raises(Unavailable, match="busy"):
        await database.unit(work)
    assert len(runs) == 1, "trying again at once would make it worse"
    async with asyncio.timeout(60):
        while True:  # a stall of a tenth of a second ends this one too
            with contextlib.suppress(Unavailable):
                assert await database.unit(one) == 1
                break
    await database.close()


async def test_a_lock_that_is_held_too_long_makes_the_database_unavailable(app_dsn: str, database: Database):
    impatient = await Database.connect(app_dsn, limits=Limits(lock=timedelta(milliseconds=100)))

    async def lock(tx: Tx) -> None:
        await tx.execute("LOCK TABLE envelope_seals IN EXCLUSIVE MODE")

    async with database.transaction() as holder:
        await lock(holder)
        with pytest.raises(Unavailable, match="busy"):
            await impatient.unit(lock)
    await impatient.unit(lock)
    await impatient.close()


async def test_an_idle_transaction_is_ended_by_the_server_and_its_unit_rerun(app_dsn: str):
    database = await Database.connect(app_dsn)
    runs: list[int] = []

    async def work(tx: Tx) -> int:
        runs.append(1)
        if len(runs) == 1:
            backend = await tx.fetchval("SELECT pg_backend_pid()")
            await tx.execute("SET LOCAL idle_in_transaction_session_timeout = 100")  # no later run is to be idle
            while await database.unit(lambda tx: tx.fetchval(_LIVES, backend)):
                await asyncio.sleep(0.02)
        return await one(tx)

    assert await database.unit(work) == 1
    assert len(runs) == 2
    await database.close()


async def test_more_work_than_connections_waits_its_turn(app_dsn: str):
    database = await Database.connect(app_dsn, size=2)
    assert await asyncio.gather(*(database.unit(one) for _ in range(50))) == [1] * 50
    await database.close()


async def test_a_reader_sees_one_moment_and_writes_nothing(database: Database):
    async with database.reader() as tx:
        assert await tx.fetchval("SELECT count(*) FROM envelope_seals") == 0
        async with database.transaction() as other:
            await other.execute("INSERT INTO envelope_seals VALUES ($1, now())", b"0" * 32)
        assert await tx.fetchval("SELECT count(*) FROM envelope_seals") == 0
        with pytest.raises(ReadOnlySQLTransactionError):
            await tx.execute("DELETE FROM envelope_seals")
    async with database.reader() as tx:
        assert await tx.fetchval("SELECT count(*) FROM envelope_seals") == 1


# --- connections -------------------------------------------------------------------------------------------------------


async def test_nobody_at_the_other_end_is_unavailable(folder: Path):
    with pytest.raises(Unavailable):
        await Database.connect(f"postgresql://{APP_ROLE}@/bitlinkpay?host={folder}")


async def test_a_wrong_role_or_database_is_unavailable(server: TestServer):
    for role, name in (("stranger", "bitlinkpay"), (APP_ROLE, "no_such_database")):
        with pytest.raises(Unavailable) as refused:
            await Database.connect(server.dsn(role, name))
        assert refused.value.kind is Kind.UNAVAILABLE


async def test_external_postgresql_over_tcp_with_a_scram_password(
    server: TestServer, database_name: str, schema_owner_dsn: str
):
    owner = await connect(schema_owner_dsn)
    await owner.execute("CREATE TABLE mine (a int); GRANT SELECT ON mine TO bitlinkpay_app")
    await owner.close()
    database = await Database.connect(
        f"postgresql://{APP_ROLE}:{server.password}@127.0.0.1:{server.port}/{database_name}"
    )
    async with database.transaction() as tx:
        assert await tx.fetchval("SELECT inet_client_addr()::text") == "127.0.0.1/32"
        assert await tx.fetchval("SELECT count(*) FROM mine") == 0
    await database.close()
    with pytest.raises(Unavailable):
        await Database.connect(f"postgresql://{APP_ROLE}:wrong@127.0.0.1:{server.port}/{database_name}")


async def test_terminated_idle_connections_are_replaced_without_a_failed_unit(
    database: Database, schema_owner_dsn: str
):
    await asyncio.gather(*(database.unit(one) for _ in range(8)))
    owner = await connect(schema_owner_dsn)
    count = await owner.fetchval(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = 'bitlinkpay_app' AND datname = current_database()"
    )
    await owner.close()
    assert count >= 1
    assert await asyncio.gather(*(database.unit(one) for _ in range(8))) == [1] * 8


@pytest.mark.parametrize("does_the_loop_see_it", [True, False])
async def test_a_session_ended_between_two_statements_reruns_the_unit(
    database: Database, schema_owner_dsn: str, does_the_loop_see_it: bool
):
    """The server's goodbye comes while nothing is asked; the driver may find it only within the next statement."""
    owner = await connect(schema_owner_dsn)
    runs: list[int] = []

    async def work(tx: Tx) -> int:
        runs.append(1)
        backend = await tx.fetchval("SELECT pg_backend_pid()")
        if len(runs) == 1:
            await owner.execute("SELECT pg_terminate_backend($1, 5000)", backend)
            (await asyncio.sleep(0.1)) if does_the_loop_see_it else time.sleep(0.1)
        return await one(tx)

    assert await database.unit(work) == 1
    assert len(runs) == 2
    await owner.close()


@pytest.mark.parametrize("does_the_loop_see_it", [True, False])
@pytest.mark.parametrize("kind", ["reader", "transaction"])
async def test_a_session_ended_within_a_block_makes_the_database_unavailable_and_only_that_block_fails(
    database: Database, schema_owner_dsn: str, kind: str, does_the_loop_see_it: bool
):
    """What cuts connections is no fault of ours: no trace in the log, and the caller is told to come again."""
    owner = await connect(schema_owner_dsn)
    block = database.reader if kind == "reader" else database.transaction
    with pytest.raises(Unavailable, match="the database went away"):
        async with block() as tx:
            backend = await tx.fetchval("SELECT pg_backend_pid()")
            await owner.execute("SELECT pg_terminate_backend($1, 5000)", backend)
            (await asyncio.sleep(0.1)) if does_the_loop_see_it else time.sleep(0.1)
            await one(tx)
    async with block() as tx:
        assert await one(tx) == 1
    await owner.close()


@pytest.mark.parametrize("does_the_loop_see_it", [True, False])
async def test_sessions_ended_while_nobody_asked_are_lost_or_replaced_and_never_a_fault_of_ours(
    database: Database, schema_owner_dsn: str, does_the_loop_see_it: bool
):
    owner = await connect(schema_owner_dsn)
    for _ in range(5):
        async with database.reader() as tx:
            backend = await tx.fetchval("SELECT pg_backend_pid()")
        await owner.execute("SELECT pg_terminate_backend($1, 5000)", backend)
        (await asyncio.sleep(0.1)) if does_the_loop_see_it else time.sleep(0.1)
        with contextlib.suppress(Unavailable):
            async with database.reader() as tx:
                assert await one(tx) == 1
        async with database.reader() as tx:
            assert await one(tx) == 1
    await owner.close()


async def test_close_is_quick_and_twice_is_fine(app_dsn: str):
    for _ in range(5):  # one of them is, even on a machine that stalls
        database = await Database.connect(app_dsn)
        await database.listen("outbox", lambda _payload: None)
        started = time.monotonic()
        await database.close()
        await database.close()
        if time.monotonic() - started < 3:
            return
    pytest.fail("it waited for its connections in vain and cut them off")


@pytest.mark.parametrize("delay_s", [0.0, 0.001, 0.005, 0.02, 0.05])
async def test_a_cancelled_unit_gives_its_connection_back_clean(app_dsn: str, delay_s: float):
    database = await Database.connect(app_dsn, size=1)

    async def work(tx: Tx) -> None:
        await tx.execute("INSERT INTO envelope_seals VALUES ($1, now())", b"1" * 32)
        await tx.execute("SELECT pg_sleep(0.03)")
        await asyncio.sleep(0.2)

    task = asyncio.create_task(database.unit(work))
    await asyncio.sleep(delay_s)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with asyncio.timeout(60):
        assert await database.unit(one) == 1
        async with database.reader() as tx:
            assert await tx.fetchval("SELECT count(*) FROM envelope_seals") == 0
    await database.close()


def test_runs_on_uvloop(app_dsn: str):
    async def main() -> int:
        database = await Database.connect(app_dsn)
        heard = asyncio.Event()
        await database.listen("outbox", lambda _payload: heard.set())
        async with asyncio.timeout(60):
            await heard.wait()
        found = await database.unit(one)
        await database.close()
        return found

    assert uvloop.run(main()) == 1


async def test_behind_a_transaction_pooler_every_transaction_stands_alone(
    server: TestServer, folder: Path, database_name: str, app_dsn: str
):
    """Each transaction gets another server connection; only BEGIN to COMMIT may be taken to be one session."""
    pooler = Pooler(Path(server.host) / f".s.PGSQL.{server.port}")
    async with listening(pooler, folder) as host:
        database = await Database.connect(
            f"postgresql://{APP_ROLE}@/{database_name}?host={host}", statement_cache_size=0, listen_dsn=app_dsn
        )
        backends: set[int] = set()

        async def work(tx: Tx) -> None:
            backends.add(await tx.fetchval("SELECT pg_backend_pid()"))
            assert await tx.fetchval("SHOW lock_timeout") == "5s"
            key = new_uuid7().bytes
            await tx.execute("INSERT INTO envelope_seals (digest, seen_at) VALUES ($1, now())", key)
            assert await tx.fetchval("SELECT $1::jsonb", {"a": 1}) == {"a": 1}

        await asyncio.gather(*(database.unit(work) for _ in range(40)))
        heard = asyncio.Event()
        await database.listen("outbox", lambda _payload: heard.set())
        async with asyncio.timeout(60):
            await heard.wait()
        async with database.reader() as tx:
            assert await tx.fetchval("SELECT count(*) FROM envelope_seals") == 40
        assert len(backends) == pooler.size
        await database.close()


# --- notifications -----------------------------------------------------------------------------------------------------


async def test_a_notification_arrives_after_commit_and_not_after_rollback(database: Database):
    heard: list[str] = []
    await database.listen("outbox", heard.append)
    await until(lambda: heard == [""])
    with pytest.raises(ValueError, match="undone"):
        async with database.transaction() as tx:
            await tx.execute("SELECT pg_notify('outbox', 'rolled back')")
            raise ValueError("undone")
    async with database.transaction() as tx:
        await tx.execute("SELECT pg_notify('outbox', 'committed')")
        await asyncio.sleep(0.1)
        assert heard == [""]
    await until(lambda: heard == ["", "committed"])


async def test_listening_survives_the_loss_of_its_connection_and_says_so(database: Database, schema_owner_dsn: str):
    heard: list[str] = []
    await database.listen("outbox", heard.append)
    await until(lambda: heard == [""])
    owner = await connect(schema_owner_dsn)
    for round_number in (1, 2):
        await owner.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'bitlinkpay listen' AND datname = current_database()"
        )
        await until(lambda round_number=round_number: heard == [""] * (round_number + 1))
    await owner.execute("SELECT pg_notify('outbox', 'still here')")
    await until(lambda: heard[-1] == "still here")
    await owner.close()


async def test_a_failing_callback_does_not_deafen_the_others(database: Database, caplog: pytest.LogCaptureFixture):
    def fail(_payload: str) -> None:
        raise ValueError("of this callback")

    heard: list[str] = []
    await database.listen("outbox", fail)
    await database.listen("outbox", heard.append)
    await until(lambda: heard == [""])
    async with database.transaction() as tx:
        await tx.execute("SELECT pg_notify('outbox', 'x')")
    await until(lambda: heard == ["", "x"])
    assert "of this callback" in caplog.text


async def test_a_callback_added_to_a_channel_in_use_is_told_to_look_too(database: Database):
    first: list[str] = []
    second: list[str] = []
    await database.listen("outbox", first.append)
    await until(lambda: first == [""])
    await database.listen("outbox", second.append)
    assert second == [""]
    assert first == [""]


async def test_channels_are_kept_apart_and_may_be_added_later(database: Database):
    first: list[str] = []
    second: list[str] = []
    await database.listen("first", first.append)
    await until(lambda: first == [""])
    await database.listen("second", second.append)
    await until(lambda: second == [""])
    async with database.transaction() as tx:
        await tx.execute("SELECT pg_notify('first', '1'), pg_notify('second', '2')")
    await until(lambda: second == ["", "2"])
    assert first == ["", "1"]


async def test_listening_starts_before_the_server_does(
    app_dsn: str, folder: Path, server: TestServer, caplog: pytest.LogCaptureFixture
):
    """A process that starts first connects once the server is there, and tells once that it is not."""
    heard: list[str] = []
    listener = Listener(app_dsn.replace(server.host, str(folder)))
    listener.add("outbox", heard.append)
    await asyncio.sleep(0.2)
    (folder / f".s.PGSQL.{server.port}").symlink_to(Path(server.host) / f".s.PGSQL.{server.port}")
    await until(lambda: heard == [""])
    await listener.close()
    assert [record.levelname for record in caplog.records] == ["WARNING"]


async def test_problems_of_this_package_carry_their_code():
    assert OutcomeUnknown.code == "database.outcome_unknown"
    assert issubclass(OutcomeUnknown, Problem)


async def test_the_application_role_may_not_change_the_schema(database: Database):
    for statement in (
        "CREATE TABLE mine (a int)",
        "DROP TABLE outbox",
        "ALTER TABLE outbox ADD a int",
        "TRUNCATE outbox",
    ):
        with pytest.raises(InsufficientPrivilegeError):
            async with database.transaction() as tx:
                await tx.execute(statement)


def test_an_interrupted_process_leaves_nothing_locked(app_dsn: str):
    """kill -9 in the middle of a transaction: the server undoes it and frees its locks."""
    child = os.fork()
    if child == 0:

        async def main() -> None:
            database = await Database.connect(app_dsn)
            async with database.transaction() as tx:
                await tx.execute("LOCK TABLE envelope_seals IN ACCESS EXCLUSIVE MODE")
                os.kill(os.getpid(), signal.SIGKILL)

        try:
            asyncio.run(main())
        finally:
            os._exit(1)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL

    async def check() -> int:
        database = await Database.connect(app_dsn)
        async with asyncio.timeout(60), database.transaction() as tx:
            await tx.execute("LOCK TABLE envelope_seals IN ACCESS EXCLUSIVE MODE")
        await database.close()
        return 1

    assert asyncio.run(check()) == 1
