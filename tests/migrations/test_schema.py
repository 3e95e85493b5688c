"""Fresh schema equals migrated schema, equals the committed snapshot; each release stays compatible with the one before.

After adding a migration run `PYTHONPATH=src python -m tests.migrations.snapshot` and commit `schema.txt` with it.
"""

import re

import pytest
from tests.migrations.catalogue import catalogue
from tests.migrations.snapshot import SNAPSHOT, dump

from bitlinkpay.db.driver import connect
from bitlinkpay.db.migrate import Migration, list_migrations, migrate

# The newest migration of the last release: those up to it are history, later ones must be compatible with it.
RELEASED: str | None = None

MIGRATIONS = list_migrations()


async def schema(owner_dsn: str) -> list[str]:
    connection = await connect(owner_dsn)
    try:
        return await catalogue(connection)
    finally:
        await connection.close()


@pytest.fixture(scope="session")
def snapshot() -> list[str]:
    return SNAPSHOT.read_text().splitlines()


@pytest.mark.parametrize("prefix", range(1, len(MIGRATIONS)), ids=lambda prefix: MIGRATIONS[prefix - 1].name)
async def test_a_schema_migrated_from_each_earlier_release_equals_a_fresh_one(
    owner_dsn: str, snapshot: list[str], prefix: int
):
    assert await migrate(owner_dsn, MIGRATIONS[:prefix]) == [one.name for one in MIGRATIONS[:prefix]]
    assert await migrate(owner_dsn) == [one.name for one in MIGRATIONS[prefix:]]
    assert await schema(owner_dsn) == snapshot


async def test_a_schema_migrated_file_by_file_equals_a_fresh_one(owner_dsn: str, snapshot: list[str]):
    for count in range(1, len(MIGRATIONS) + 1):
        assert await migrate(owner_dsn, MIGRATIONS[:count]) == [MIGRATIONS[count - 1].name]
    assert await schema(owner_dsn) == snapshot


async def test_the_schema_equals_the_committed_snapshot(owner_dsn: str, snapshot: list[str]):
    fresh = (await dump(owner_dsn)).splitlines()
    assert fresh == snapshot, "run: PYTHONPATH=src python -m tests.migrations.snapshot"


async def test_migrating_again_does_nothing(owner_dsn: str, snapshot: list[str]):
    await migrate(owner_dsn)
    assert await migrate(owner_dsn) == []
    assert await schema(owner_dsn) == snapshot


def test_migrations_are_numbered_and_named():
    numbers = [re.fullmatch(r"(\d{4})_[a-z0-9_]+", one.name) for one in MIGRATIONS]
    assert all(numbers)
    assert len({match[1] for match in numbers if match}) == len(MIGRATIONS)


def test_migrations_leave_the_transaction_to_the_migrator():
    for one in MIGRATIONS:
        assert not re.search(r"^\s*(BEGIN|COMMIT|ROLLBACK)\s*;", one.sql, re.MULTILINE | re.IGNORECASE), one.name
        assert "CONCURRENTLY" not in one.sql.upper(), one.name


async def test_money_columns_hold_256_bits(owner_dsn: str, snapshot: list[str]):
    """Columns of base units are numeric(78,0); no column of the schema is a binary fraction."""
    columns = [line.removeprefix("column: ") for line in snapshot if line.startswith("column: ")]
    assert not [line for line in columns if re.search(r" (real|double precision|money)\b", line)]
    units = [line for line in columns if line.split(" ")[0].endswith("_units")]
    assert not [line for line in units if not re.search(r" numeric\(78,0\)", line)]


async def test_times_carry_their_zone(snapshot: list[str]):
    assert not [line for line in snapshot if line.startswith("column: ") and "without time zone" in line]


# --- LED-23: two releases side by side ---------------------------------------------------------------------------------


def broken_promises(before: list[str], after: list[str]) -> list[str]:
    """Say what a migration takes from the release before it, which still runs beside the new one.

    Nothing that was there may go or change; a column new on an old table must be fillable without being named; an old
    table gets no new constraint or trigger that the old release does not know to keep.
    """
    old, new = set(before), set(after)
    tables = {line.split(" ")[1] for line in before if line.startswith("table: ")}
    kept = {"index", "routine grant"}
    gone = [f"gone or changed: {line}" for line in old - new if line.split(": ")[0] not in kept]
    for line in new - old:
        kind, _, what = line.partition(": ")
        if what.split(".")[0] not in tables:
            continue
        if kind == "column" and " not null" in what and " default " not in what and " identity" not in what:
            gone.append(f"must be named: {line}")
        if kind in ("constraint", "trigger") or (kind == "index" and "UNIQUE" in what):
            gone.append(f"new rule: {line}")
    return sorted(gone)


async def changed(owner_dsn: str, sql: str) -> list[str]:
    base = [Migration("0001_base", "CREATE TABLE things (a int PRIMARY KEY, b text DEFAULT 'x')")]
    await migrate(owner_dsn, base)
    before = await schema(owner_dsn)
    await migrate(owner_dsn, [*base, Migration("0002_next", sql)])
    return broken_promises(before, await schema(owner_dsn))


@pytest.mark.parametrize(
    "sql",
    [
        "ALTER TABLE things ADD COLUMN c int",
        "ALTER TABLE things ADD COLUMN c int NOT NULL DEFAULT 0",
        "CREATE TABLE others (a int PRIMARY KEY REFERENCES things)",
        "CREATE INDEX things_by_b ON things (b)",
        "CREATE FUNCTION more() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    ],
)
async def test_LED_23_what_only_adds_is_compatible(owner_dsn: str, sql: str):
    assert await changed(owner_dsn, sql) == []


@pytest.mark.parametrize(
    "sql",
    [
        "ALTER TABLE things DROP COLUMN b",
        "ALTER TABLE things RENAME COLUMN b TO c",
        "ALTER TABLE things RENAME TO stuff",
        "ALTER TABLE things ALTER COLUMN b TYPE varchar(10)",
        "ALTER TABLE things ALTER COLUMN b SET NOT NULL",
        "ALTER TABLE things ALTER COLUMN b DROP DEFAULT",
        "ALTER TABLE things ADD COLUMN c int NOT NULL",
        "ALTER TABLE things ADD CONSTRAINT things_short CHECK (length(b) < 5)",
        "CREATE UNIQUE INDEX things_b_unique ON things (b)",
        "DROP TABLE things",
        """CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
           CREATE TRIGGER t BEFORE INSERT ON things FOR EACH ROW EXECUTE FUNCTION f()""",
    ],
)
async def test_LED_23_what_takes_or_tightens_is_found(owner_dsn: str, sql: str):
    assert await changed(owner_dsn, sql) != []


async def test_LED_23_migrations_after_the_last_release_are_compatible_with_it(owner_dsn: str):
    if RELEASED is None:
        return  # nothing was released yet, so that no older release can run beside this one
    released = [one for one in MIGRATIONS if one.name <= RELEASED]
    await migrate(owner_dsn, released)
    before = await schema(owner_dsn)
    await migrate(owner_dsn)
    assert broken_promises(before, await schema(owner_dsn)) == []


async def test_LED_23_an_older_release_starts_on_a_newer_schema(owner_dsn: str):
    newer = Migration("9999_of_the_next_release", "CREATE TABLE later (a int)")
    await migrate(owner_dsn, [*MIGRATIONS, newer])
    assert await migrate(owner_dsn) == []
