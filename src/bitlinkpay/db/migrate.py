"""Schema migrations: numbered SQL files of the package, each applied once, in order, in a transaction of its own.

A file that was applied never changes: its SHA-256 is recorded and compared at every start. Files must stay compatible
with the release before them (add, never rename or drop in the same release), because both run side by side during a
deployment.
"""

import hashlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from fnmatch import fnmatchcase
from importlib.resources import files

from asyncpg.exceptions import InsufficientPrivilegeError, LockNotAvailableError, PostgresError

from bitlinkpay.core.errors import Conflict, Unavailable
from bitlinkpay.db.cluster import APP_ROLE
from bitlinkpay.db.driver import Connection, connect
from bitlinkpay.db.failures import one_line

# Tables that the platform only ever adds to, or only reads. A table's comment may say so too: the words `append-only`
# or `read-only` at its start.
_APPEND_ONLY = ("ledger_entries", "ledger_postings", "*_events", "delivery_attempts")
_READ_ONLY = ("schema_migrations",)
_TURN_KEY = 0x426974_4C696E6B  # any constant that all migrators share: "BitLink"
_TURN_S = 60
_STATEMENT_S = 600

_RECORD = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    name text PRIMARY KEY,
    checksum text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
)
"""


@dataclass(frozen=True, slots=True)
class Migration:
    """One file.

    Attributes:
        name: file name without its ending, such as `0001_foundation`.
        sql: its statements.
    """

    name: str
    sql: str

    @property
    def checksum(self) -> str:
        """SHA-256 of the statements, in hex."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


def list_migrations() -> list[Migration]:
    """Return the migrations of this release in order, read from the installed package."""
    folder = files("bitlinkpay.db") / "migrations"
    found = [file for file in folder.iterdir() if file.name.endswith(".sql")]
    return sorted(
        (Migration(file.name.removesuffix(".sql"), file.read_text(encoding="utf-8")) for file in found),
        key=lambda migration: migration.name,
    )


async def migrate(
    owner_dsn: str,
    migrations: Sequence[Migration] | None = None,
    *,
    app_role: str = APP_ROLE,
    lock_timeout: timedelta = timedelta(seconds=3),
) -> list[str]:
    """Bring the schema up to this release, renew the grants of the application role, return the names applied now.

    Several may call it at once: each file is applied by one of them. Names that only the database knows belong to a
    newer release beside us.

    Args:
        owner_dsn: connection string of the role that owns the schema, direct, not through a pooler.
        migrations: the files; those of the package by default.
        app_role: the role that the platform works as; created if it is missing and the owner may.
        lock_timeout: how long a statement may wait for a table in use before the file is given up, undone.

    Raises:
        Conflict: an applied file was changed, or a new file sorts before an applied one.
        Unavailable: the database cannot be reached, a table stayed locked, or the role is missing and the owner may not
            create it.
    """
    plan = list(list_migrations() if migrations is None else migrations)
    try:
        connection = await connect(owner_dsn, timeout=10, server_settings={"application_name": "bitlinkpay migrate"})
    except (OSError, TimeoutError, PostgresError) as error:
        raise Unavailable(f"cannot connect to PostgreSQL as the schema's owner: {one_line(error)}") from error
    try:
        return await _catch_up(connection, plan, app_role, lock_timeout)
    except LockNotAvailableError as error:
        raise Unavailable(
            f"a table that a migration changes is in use ({one_line(error)}); that file was undone, try again"
        ) from error
    finally:
        await connection.close()


async def _catch_up(
    connection: Connection, plan: Sequence[Migration], app_role: str, lock_timeout: timedelta
) -> list[str]:
    applied: list[str] = []
    while (name := await _apply_next(connection, plan, lock_timeout)) is not None:
        applied.append(name)
    async with _turn(connection, lock_timeout):
        await _ensure_role(connection, app_role)
        await _grant(connection, app_role)
    return applied


@asynccontextmanager
async def _turn(connection: Connection, lock_timeout: timedelta) -> AsyncIterator[None]:
    """Open a transaction that no other migrator's overlaps."""
    async with connection.transaction():
        await connection.execute(
            f"SET LOCAL statement_timeout = '{_STATEMENT_S}s'; SET LOCAL lock_timeout = '{_TURN_S}s'"
        )
        await connection.execute("SELECT pg_advisory_xact_lock($1)", _TURN_KEY)
        await connection.execute(f"SET LOCAL lock_timeout = {lock_timeout // timedelta(milliseconds=1)}")
        yield


async def _apply_next(connection: Connection, plan: Sequence[Migration], lock_timeout: timedelta) -> str | None:
    async with _turn(connection, lock_timeout):
        await connection.execute(_RECORD)
        rows = await connection.fetch("SELECT name, checksum FROM schema_migrations")
        pending = _check({row["name"]: row["checksum"] for row in rows}, plan)
        if pending is None:
            return None
        try:
            await connection.execute(pending.sql)
        except PostgresError as error:
            error.add_note(f"in migration {pending.name}")
            raise
        await connection.execute(
            "INSERT INTO schema_migrations (name, checksum) VALUES ($1, $2)", pending.name, pending.checksum
        )
        return pending.name


def _check(applied: dict[str, str], plan: Sequence[Migration]) -> Migration | None:
    """Return the first file that is not applied yet."""
    known = {migration.name for migration in plan}
    newest = max((name for name in applied if name in known), default="")
    for migration in plan:
        checksum = applied.get(migration.name)
        if checksum is None and migration.name < newest:
            raise Conflict(f"migration {migration.name} appeared after {newest} was applied; give it a higher number")
        if checksum is not None and checksum != migration.checksum:
            raise Conflict(
                f"migration {migration.name} was changed after it was applied; restore it and add a new file"
            )
    return next((migration for migration in plan if migration.name not in applied), None)


async def _ensure_role(connection: Connection, role: str) -> None:
    if await connection.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", role):
        return
    try:
        await connection.execute(f"CREATE ROLE {_identifier(role)} LOGIN")
    except InsufficientPrivilegeError as error:
        raise Unavailable(
            f"the role {role} is missing and this user may not create it; let an administrator create it"
        ) from error


async def _grant(connection: Connection, role: str) -> None:
    rows = await connection.fetch(
        """SELECT relname, coalesce(obj_description(oid, 'pg_class'), '') AS comment FROM pg_class
           WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') ORDER BY relname"""
    )
    name = _identifier(role)
    statements = [f"GRANT USAGE ON SCHEMA public TO {name}"]
    for row in rows:
        table = f"public.{_identifier(row['relname'])}"
        statements.append(f"REVOKE ALL ON {table} FROM {name}")
        statements.append(f"GRANT {_rights(row['relname'], row['comment'])} ON {table} TO {name}")
    statements.append(f"GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO {name}")
    await connection.execute(";\n".join(statements))


def _rights(table: str, comment: str) -> str:
    if comment.startswith("read-only") or any(fnmatchcase(table, pattern) for pattern in _READ_ONLY):
        return "SELECT"
    if comment.startswith("append-only") or any(fnmatchcase(table, pattern) for pattern in _APPEND_ONLY):
        return "SELECT, INSERT"
    return "SELECT, INSERT, UPDATE, DELETE"


def _identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
