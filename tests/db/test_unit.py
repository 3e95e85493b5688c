"""The retry helper, with faults at every request of a unit of work, on a real server."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from asyncpg.exceptions import CheckViolationError, DeadlockDetectedError, SerializationError, UniqueViolationError
from tests.support.wire import Fault, Wire, listening

from bitlinkpay.core.errors import Unavailable
from bitlinkpay.core.ids import EventId, new_uuid7
from bitlinkpay.db import outbox
from bitlinkpay.db.cluster import APP_ROLE
from bitlinkpay.db.driver import connect
from bitlinkpay.db.pool import Database, Limits, OutcomeUnknown, Tx, savepoint

EACH_FAULT = pytest.mark.parametrize("fault", [Fault.SERIALIZATION, Fault.DEADLOCK, Fault.CUT_BEFORE, Fault.CUT_AFTER])


def deposit(key: str, clock, *, runs: list[int]):
    """A unit of work with a keyed row, a shared total, a read and an event."""

    async def work(tx: Tx) -> str:
        runs.append(1)
        if await tx.fetchval("SELECT 1 FROM work WHERE key = $1", key):
            return key
        await tx.execute("INSERT INTO work (key, amount) VALUES ($1, 5)", key)
        await tx.execute("UPDATE totals SET amount = amount + 5 WHERE name = 'all'")
        subject = new_uuid7()
        await outbox.append(
            tx, [outbox.Event(EventId(new_uuid7()), "work.done", None, subject, {"key": key}, clock.now())]
        )
        return key

    return work


async def found(database: Database, key: str) -> tuple[int, int, int]:
    async with database.reader() as tx:
        return (
            await tx.fetchval("SELECT count(*) FROM work WHERE key = $1", key),
            int(await tx.fetchval("SELECT amount FROM totals")),
            await tx.fetchval("SELECT count(*) FROM outbox WHERE payload ->> 'key' = $1", key),
        )


def is_commit(request: bytes) -> bool:
    return request.startswith(b"Q") and b"COMMIT" in request


@EACH_FAULT
async def test_LED_07_a_fault_at_every_request_before_commit_reruns_the_whole_unit(
    wire: Wire, wired: Database, database, clock, fault
):
    number = 0
    while True:
        key, runs = f"{fault.name}-{number}", []
        wire.arm(lambda at, request, number=number: fault if at == number and not is_commit(request) else None)
        assert await wired.unit(deposit(key, clock, runs=runs)) == key
        assert await found(database, key) == (1, 5 * (number + 1), 1)
        if not wire.fired:
            break
        assert len(runs) == (2 if number else 1), "request 0 is BEGIN, before the work"
        number += 1
    assert number >= 5, "every statement was hit"


@pytest.mark.parametrize("fault", [Fault.SERIALIZATION, Fault.DEADLOCK])
async def test_LED_07_a_refusal_at_commit_reruns_the_whole_unit(wire: Wire, wired: Database, database, clock, fault):
    hits = []
    wire.arm(lambda _at, request: fault if is_commit(request) and not hits and not hits.append(1) else None)
    runs: list[int] = []
    await wired.unit(deposit("k", clock, runs=runs))
    assert wire.fired == 1
    assert len(runs) == 2
    assert await found(database, "k") == (1, 5, 1)


@EACH_FAULT
async def test_LED_07_retries_are_bounded(wire: Wire, wired: Database, database, clock, fault):
    runs: list[int] = []
    wire.arm(lambda _at, request: fault if b"INSERT INTO work" in request or b"totals" in request else None)
    with pytest.raises(Unavailable) as refused:
        await wired.unit(deposit("k", clock, runs=runs))
    assert len(runs) == 6
    assert refused.value.__cause__ is not None
    assert await found(database, "k") == (0, 0, 0)


async def test_LED_07_a_named_unique_constraint_is_a_lost_race_and_reruns(wire: Wire, wired: Database, database, clock):
    runs: list[int] = []
    wire.arm(lambda at, _request: Fault.DUPLICATE if at == 3 else None)
    await wired.unit(deposit("k", clock, runs=runs), races=["injected_unique"])
    assert wire.fired == 1
    assert len(runs) == 2
    assert await found(database, "k") == (1, 5, 1)


async def test_LED_07_another_unique_constraint_is_raised_at_once(wire: Wire, wired: Database, clock):
    runs: list[int] = []
    wire.arm(lambda at, _request: Fault.DUPLICATE if at == 3 else None)
    with pytest.raises(UniqueViolationError):
        await wired.unit(deposit("k", clock, runs=runs), races=["other_unique"])
    assert len(runs) == 1


async def test_LED_07_parallel_units_on_one_key_have_one_effect(database: Database, work_table, clock):
    runs: list[int] = []
    keys = await asyncio.gather(
        *(database.unit(deposit("same", clock, runs=runs), races=["work_pkey"]) for _ in range(30))
    )
    assert set(keys) == {"same"}
    assert await found(database, "same") == (1, 5, 1)


async def test_LED_07_a_real_deadlock_is_rerun(database: Database, work_table, schema_owner_dsn):
    owner = await connect(schema_owner_dsn)
    await owner.execute("INSERT INTO totals VALUES ('other', 0)")
    await owner.close()
    both_hold_one = asyncio.Barrier(2)
    runs: list[str] = []

    async def add(first: str, second: str) -> None:
        async def work(tx: Tx) -> None:
            runs.append(first)
            await tx.execute("UPDATE totals SET amount = amount + 1 WHERE name = $1", first)
            if runs.count(first) == 1:
                await both_hold_one.wait()
            await tx.execute("UPDATE totals SET amount = amount + 1 WHERE name = $1", second)

        await database.unit(work)

    await asyncio.gather(add("all", "other"), add("other", "all"))
    assert len(runs) == 3, "the victim ran twice"
    async with database.reader() as tx:
        assert [int(row["amount"]) for row in await tx.fetch("SELECT amount FROM totals")] == [2, 2]


async def test_LED_07_a_real_write_skew_is_rerun(database: Database, work_table):
    both_have_read = asyncio.Barrier(2)
    runs: list[str] = []

    async def insert_if_empty(key: str) -> None:
        async def work(tx: Tx) -> None:
            runs.append(key)
            await tx.execute("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE")
            count = await tx.fetchval("SELECT count(*) FROM work")
            if runs.count(key) == 1:
                await both_have_read.wait()
            if count == 0:
                await tx.execute("INSERT INTO work VALUES ($1, 1)", key)

        await database.unit(work)

    await asyncio.gather(insert_if_empty("a"), insert_if_empty("b"))
    async with database.reader() as tx:
        assert await tx.fetchval("SELECT count(*) FROM work") == 1


@pytest.mark.parametrize("fault", [Fault.CUT_BEFORE, Fault.CUT_AFTER])
async def test_LED_08_lost_at_commit_without_a_lookup_is_never_redone(
    wire: Wire, wired: Database, database, clock, fault
):
    runs: list[int] = []
    wire.arm(lambda _at, request: fault if is_commit(request) else None)
    with pytest.raises(OutcomeUnknown):
        await wired.unit(deposit("k", clock, runs=runs))
    assert len(runs) == 1
    is_done = fault is Fault.CUT_AFTER
    assert await found(database, "k") == ((1, 5, 1) if is_done else (0, 0, 0))
    # The caller's own retry with the same key settles it.
    wire.arm(lambda _at, _request: None)
    await wired.unit(deposit("k", clock, runs=runs))
    assert await found(database, "k") == (1, 5, 1)


async def test_LED_08_a_lookup_by_key_resolves_a_lost_commit(wire: Wire, wired: Database, clock, database):
    async def by_key(tx: Tx) -> str | None:
        return await tx.fetchval("SELECT key FROM work WHERE key = 'k'")

    hits: list[int] = []
    wire.arm(lambda _at, request: Fault.CUT_AFTER if is_commit(request) and not hits and not hits.append(1) else None)
    runs: list[int] = []
    assert await wired.unit(deposit("k", clock, runs=runs), resolve=by_key) == "k"
    assert len(runs) == 1
    assert await found(database, "k") == (1, 5, 1)


async def test_LED_08_a_lookup_that_finds_nothing_leaves_the_outcome_unknown(
    wire: Wire, wired: Database, clock, database
):
    async def by_key(tx: Tx) -> str | None:
        return await tx.fetchval("SELECT key FROM work WHERE key = 'k'")

    hits: list[int] = []
    wire.arm(lambda _at, request: Fault.CUT_BEFORE if is_commit(request) and not hits and not hits.append(1) else None)
    runs: list[int] = []
    with pytest.raises(OutcomeUnknown):
        await wired.unit(deposit("k", clock, runs=runs), resolve=by_key)
    assert len(runs) == 1
    assert await found(database, "k") == (0, 0, 0)


async def test_LED_08_a_lookup_that_cannot_run_leaves_the_outcome_unknown(wire: Wire, wired: Database, clock):
    async def by_key(tx: Tx) -> str | None:
        return await tx.fetchval("SELECT key FROM work WHERE key = 'k'")

    lost: list[int] = []

    def plan(_at: int, request: bytes) -> Fault | None:
        lost.extend([1] if is_commit(request) else [])
        return Fault.CUT_BEFORE if lost else None

    wire.arm(plan)
    with pytest.raises(OutcomeUnknown):
        await wired.unit(deposit("k", clock, runs=[]), resolve=by_key)


async def test_LED_08_a_plain_transaction_says_that_it_does_not_know(wire: Wire, wired: Database):
    wire.arm(lambda _at, request: Fault.CUT_AFTER if is_commit(request) else None)
    with pytest.raises(OutcomeUnknown):
        async with wired.transaction() as tx:
            await tx.execute("INSERT INTO work VALUES ('k', 1)")


@contextlib.asynccontextmanager
async def impatient(wire: Wire, folder: Path, name: str, answer: timedelta) -> AsyncIterator[Database]:
    """The test's database, for somebody who waits no longer than this for an answer."""
    async with listening(wire, folder) as host:
        dsn, found = f"postgresql://{APP_ROLE}@/{name}?host={host}", None
        while found is None:  # a stall of this machine may take longer
            with contextlib.suppress(Unavailable):
                found = await Database.connect(dsn, size=2, limits=Limits(answer=answer))
        yield found
        await found.close()


@pytest.mark.parametrize("door", ["unit", "transaction", "reader"])
async def test_a_server_that_says_nothing_is_not_waited_for_without_end(wire, folder, database_name, work_table, door):
    async def count(tx: Tx) -> int:
        return await tx.fetchval("SELECT count(*) FROM work")

    async def ask(found: Database) -> int:
        if door == "unit":
            return await found.unit(count)
        async with found.transaction() if door == "transaction" else found.reader() as tx:
            return await count(tx)

    async with impatient(wire, folder, database_name, timedelta(milliseconds=200)) as found:
        wire.arm(lambda _at, request: Fault.SILENCE if b"FROM work" in request else None)
        with pytest.raises(Unavailable, match="no answer in time"):
            await ask(found)
        wire.arm(lambda _at, _request: None)
        answer = None
        while answer is None:
            with contextlib.suppress(Unavailable):
                answer = await ask(found)
        assert answer == 0


@pytest.mark.usefixtures("work_table")
async def test_LED_08_a_server_that_says_nothing_to_commit_leaves_the_outcome_unknown(
    wire, folder, database_name, database, clock
):
    async with impatient(wire, folder, database_name, timedelta(seconds=4)) as silenced:
        wire.arm(lambda _at, request: Fault.SILENCE if is_commit(request) else None)
        with pytest.raises(OutcomeUnknown, match="no answer in time"):
            await silenced.unit(deposit("k", clock, runs=[]))
    assert await found(database, "k") == (0, 0, 0)


async def test_LED_08_the_server_killing_the_session_at_commit_is_unknown(
    database: Database, schema_owner_dsn, work_table
):
    """A deferred constraint trigger ends its own backend while COMMIT runs, as a failing-over server does."""
    owner = await connect(schema_owner_dsn)
    await owner.execute("""
        CREATE FUNCTION die() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); PERFORM pg_sleep(5); RETURN NULL; END $$;
        CREATE CONSTRAINT TRIGGER dies AFTER INSERT ON work DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION die();
    """)
    await owner.close()
    runs: list[int] = []

    async def work(tx: Tx) -> None:
        runs.append(1)
        await tx.execute("INSERT INTO work VALUES ('k', 1)")

    with pytest.raises(OutcomeUnknown):
        await database.unit(work)
    assert len(runs) == 1


async def test_LED_20_no_event_without_its_row_after_a_cut_at_any_request(wire: Wire, wired: Database, database, clock):
    for fault in (Fault.CUT_BEFORE, Fault.CUT_AFTER):
        number = 0
        while True:
            wire.arm(lambda at, _request, number=number, fault=fault: fault if at == number else None)
            key = f"{fault.name}-{number}"
            try:
                async with wired.transaction() as tx:
                    await deposit(key, clock, runs=[])(tx)
            except Exception:
                assert wire.fired == 1
            rows, _, events = await found(database, key)
            assert rows == events
            if not wire.fired:
                assert rows == 1
                break
            number += 1
        assert number >= 6
    async with database.reader() as tx:
        assert await tx.fetchval("SELECT count(*) FROM work") == await tx.fetchval("SELECT count(*) FROM outbox")


async def test_work_that_swallows_a_failed_statement_is_found_out(database: Database, work_table):
    async def work(tx: Tx) -> None:
        await tx.execute("INSERT INTO work VALUES ('k', 1)")
        try:
            await tx.execute("UPDATE totals SET amount = -1")
        except CheckViolationError:
            pass

    with pytest.raises(AssertionError, match="rolled it back"):
        await database.unit(work)


async def test_a_savepoint_undoes_only_its_block(database: Database, work_table):
    async def work(tx: Tx) -> None:
        await tx.execute("INSERT INTO work VALUES ('outer', 1)")
        for key in ("first", "second"):
            with pytest.raises(CheckViolationError):
                async with savepoint(tx):
                    await tx.execute("INSERT INTO work VALUES ($1, 1)", key)
                    await tx.execute("UPDATE totals SET amount = -1")
        async with savepoint(tx):
            await tx.execute("INSERT INTO work VALUES ('inner', 1)")

    await database.unit(work)
    async with database.reader() as tx:
        assert [row["key"] for row in await tx.fetch("SELECT key FROM work ORDER BY key")] == ["inner", "outer"]


@pytest.mark.parametrize("error", [SerializationError("x"), DeadlockDetectedError("x"), ValueError("x")])
async def test_a_plain_transaction_never_retries(database: Database, work_table, error):
    with pytest.raises(type(error)):
        async with database.transaction() as tx:
            await tx.execute("INSERT INTO work VALUES ('k', 1)")
            raise error
    async with database.reader() as tx:
        assert await tx.fetchval("SELECT count(*) FROM work") == 0


async def test_a_deferred_constraint_refused_at_commit_is_raised_as_it_is(
    database: Database, schema_owner_dsn, work_table
):
    owner = await connect(schema_owner_dsn)
    await owner.execute("ALTER TABLE work ADD CONSTRAINT one_amount UNIQUE (amount) DEFERRABLE INITIALLY DEFERRED")
    await owner.close()
    runs: list[int] = []

    async def work(tx: Tx) -> None:
        runs.append(1)
        await tx.execute("INSERT INTO work VALUES ('a', 1), ('b', $1)", Decimal(len(runs)))

    with pytest.raises(UniqueViolationError):
        await database.unit(work)
    assert len(runs) == 1
    runs.clear()
    await database.unit(work, races=["one_amount"])
    assert len(runs) == 2


async def test_a_schema_change_under_a_prepared_statement_is_rerun(database: Database, schema_owner_dsn, work_table):
    """What happens to running processes when the next release migrates."""

    async def read(tx: Tx) -> list[str]:
        await tx.execute("SELECT 1")
        return [str(row["key"]) for row in await tx.fetch("SELECT * FROM work")]

    async def write(tx: Tx) -> None:
        await tx.execute("INSERT INTO work VALUES ('k', 1)")

    await database.unit(write)
    for _ in range(2):
        assert await database.unit(read) == ["k"]
    owner = await connect(schema_owner_dsn)
    await owner.execute("ALTER TABLE work ADD COLUMN note text")
    await owner.close()
    assert await database.unit(read) == ["k"]
