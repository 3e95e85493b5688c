"""Connections, transactions and the one retry helper.

Nothing here relies on the state of a session, so that transaction poolers work: every transaction opens with its own
limits.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Self, TypeVar

import msgspec
from asyncpg.exceptions import InterfaceError, PostgresError, UniqueViolationError

from bitlinkpay.core.errors import Unavailable
from bitlinkpay.db.driver import Connection, Pool, Tx, create_pool
from bitlinkpay.db.failures import DRIVER_ERRORS, Failure, classify, failure_at_commit, one_line
from bitlinkpay.db.listen import Listener

__all__ = ["Database", "Limits", "OutcomeUnknown", "Tx", "savepoint"]

T = TypeVar("T")

_ATTEMPTS = 6
_PAUSE_S = 0.02
_CONNECT_S = 10.0
_from_json = msgspec.json.Decoder(float_hook=Decimal)
_JSONB_VERSION = b"\x01"


class OutcomeUnknown(Unavailable):
    """The connection was lost while COMMIT was under way: all of the work is done or none; only its key can tell."""

    code = "database.outcome_unknown"


@dataclass(frozen=True, slots=True)
class Limits:
    """How long one transaction may take, enforced by the server; and how long we wait for a server that says nothing.

    Attributes:
        answer: longer than a living server takes to refuse a statement. One that is stopped, or whose machine is gone
            without a word, would be waited for without end: TCP alone notices after a quarter of an hour, or never.
    """

    statement: timedelta = timedelta(seconds=15)
    lock: timedelta = timedelta(seconds=5)
    idle: timedelta = timedelta(seconds=15)
    answer: timedelta = timedelta(seconds=30)


class Database:
    """A pool of connections to one database as one role."""

    def __init__(self, pool: Pool, listener: Listener, limits: Limits) -> None:
        self._pool = pool
        self._listener = listener
        settings = _local_settings(limits)
        self._begin = f"BEGIN; {settings}"
        self._begin_reader = f"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; {settings}"

    @classmethod
    async def connect(
        cls,
        dsn: str,
        *,
        size: int = 4,
        limits: Limits | None = None,
        statement_cache_size: int = 200,
        listen_dsn: str | None = None,
        application_name: str = "bitlinkpay",
    ) -> Self:
        """Connect to PostgreSQL 15 or later, embedded or external.

        Args:
            dsn: `postgresql://role:password@host:port/database?...`, or `?host=/folder` for a socket.
            size: most connections; small pools are faster here than large ones.
            limits: limits of each transaction.
            statement_cache_size: 0 behind a transaction pooler that cannot keep prepared statements apart.
            listen_dsn: a direct connection string for LISTEN where `dsn` leads to a pooler.
            application_name: what the server shows in `pg_stat_activity`.

        Raises:
            Unavailable: nobody answers, or the role may not connect.
        """
        limits = limits or Limits()
        try:
            pool = await create_pool(
                dsn,
                min_size=0,
                init_size=1,
                max_size=size,
                timeout=_CONNECT_S,
                command_timeout=limits.answer.total_seconds(),
                statement_cache_size=statement_cache_size,
                max_inactive_connection_lifetime=300,
                init=teach_json,
                reset=_leave_as_is,
                server_settings={"application_name": application_name, "timezone": "UTC"},
            )
        except (OSError, TimeoutError, PostgresError, InterfaceError) as error:
            raise Unavailable(f"cannot connect to PostgreSQL: {one_line(error)}") from error
        return cls(pool, Listener(listen_dsn or dsn), limits)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Tx]:
        """Run the block in one transaction: commit at its end, roll back when it raises. No retry.

        Raises:
            OutcomeUnknown: the connection was lost at COMMIT.
            Unavailable: no connection within 10 s, it was lost before COMMIT, or a limit of time was hit.
        """
        async with self._begun(self._begin) as connection:
            try:
                yield connection
            except BaseException:
                await _rollback(connection)
                raise
            await _commit(connection)

    @asynccontextmanager
    async def reader(self) -> AsyncIterator[Tx]:
        """Run the block in a read-only transaction that sees one moment throughout.

        Raises:
            Unavailable: no connection within 10 s, it was lost, or a limit of time was hit.
        """
        async with self._begun(self._begin_reader) as connection:
            try:
                yield connection
            finally:
                await _rollback(connection)

    @asynccontextmanager
    async def _begun(self, begin: str) -> AsyncIterator[Connection]:
        connection = await self._acquire()
        try:
            await connection.execute(begin)
            yield connection
        except DRIVER_ERRORS as error:
            failure = classify(error, is_closed=_is_gone(connection))
            is_ours = isinstance(error, OSError) and not _is_gone(connection)  # it says nothing of the database
            if is_ours or failure not in (Failure.LOST, Failure.BUSY):
                raise
            _drop(connection)
            what = "is busy" if failure is Failure.BUSY else "went away"
            raise Unavailable(f"the database {what}: {one_line(error)}") from error
        finally:
            await self._pool.release(connection)

    async def unit(
        self,
        work: Callable[[Tx], Awaitable[T]],
        *,
        races: Collection[str] = (),
        resolve: Callable[[Tx], Awaitable[T | None]] | None = None,
    ) -> T:
        """Run `work` in a transaction, and again as a whole when the server undid it or went away; return its result.

        At most six tries with growing pauses, and none once COMMIT was sent. `work` must not do anything outside of the
        transaction.

        Args:
            work: the unit of work.
            races: names of unique constraints whose violation means that another was faster, so that a second run finds
                its row.
            resolve: looks the work up by its idempotency key after a COMMIT of unknown outcome; what it finds is the
                result.

        Raises:
            OutcomeUnknown: COMMIT was sent, no answer came and `resolve` did not find the work.
            Unavailable: the tries are used up, a limit of time was hit, or no connection could be had.
        """
        last: BaseException | None = None
        for attempt in range(_ATTEMPTS):
            if attempt:
                await _pause(attempt)
            try:
                return await self._once(work, races)
            except _Again as again:
                last = again.__cause__
            except _Unreachable as unreachable:
                last = unreachable
            except OutcomeUnknown:
                found = await self._find(resolve)
                if found is None:
                    raise
                return found
        raise Unavailable(f"the database refused the work {_ATTEMPTS} times: {last}") from last

    async def listen(self, channel: str, callback: Callable[[str], None]) -> None:
        """Call `callback(payload)` at each notification, and with "" after each connect. Only a hint: keep polling."""
        self._listener.add(channel, callback)

    async def close(self) -> None:
        """Close all connections; a second call does nothing."""
        await self._listener.close()
        try:
            async with asyncio.timeout(5):
                await self._pool.close()
        except TimeoutError:
            self._pool.terminate()

    async def _find(self, resolve: Callable[[Tx], Awaitable[T | None]] | None) -> T | None:
        if resolve is None:
            return None
        try:
            return await self.unit(resolve)
        except Unavailable:
            return None

    async def _once(self, work: Callable[[Tx], Awaitable[T]], races: Collection[str]) -> T:
        connection = await self._acquire()
        try:
            try:
                await connection.execute(self._begin)
                result = await work(connection)
                await _commit(connection)
            except BaseException as error:
                failure = classify(error, is_closed=_is_gone(connection))
                await _rollback(connection)
                if failure is Failure.BUSY:
                    raise Unavailable(f"the database is busy: {one_line(error)}") from error
                if failure in (Failure.RERUN, Failure.LOST) or _lost_race(error, races):
                    raise _Again from error
                raise
            return result
        finally:
            await self._pool.release(connection)

    async def _acquire(self) -> Connection:
        try:
            return await self._pool.acquire(timeout=_CONNECT_S)
        except TimeoutError as error:
            raise Unavailable(f"no connection to the database became free within {_CONNECT_S:.0f} s") from error
        except (OSError, PostgresError) as error:
            raise _Unreachable(f"cannot reach the database: {one_line(error)}") from error


@asynccontextmanager
async def savepoint(tx: Tx) -> AsyncIterator[None]:
    """Undo only the block's own statements when it raises; the transaction goes on."""
    await tx.execute("SAVEPOINT step")
    try:
        yield
    except BaseException:
        with suppress(*DRIVER_ERRORS):
            await tx.execute("ROLLBACK TO SAVEPOINT step; RELEASE SAVEPOINT step")
        raise
    await tx.execute("RELEASE SAVEPOINT step")


class _Again(Exception):
    """The unit of work may run again; the cause says why."""


class _Unreachable(Unavailable):
    """No connection could be made."""


def _lost_race(error: BaseException, races: Collection[str]) -> bool:
    return isinstance(error, UniqueViolationError) and getattr(error, "constraint_name", None) in races


async def _commit(connection: Connection) -> None:
    if _is_gone(connection):
        raise ConnectionResetError("the connection was lost before COMMIT")
    try:
        tag = await connection.execute("COMMIT")
    except (*DRIVER_ERRORS, TimeoutError) as error:
        if failure_at_commit(error) is Failure.UNKNOWN:
            _drop(connection)
            raise OutcomeUnknown(f"the connection was lost at COMMIT: {one_line(error)}") from error
        raise
    assert tag == "COMMIT", "the work went on after a failed statement, so the server rolled it back"


def _is_gone(connection: Connection) -> bool:
    """Say whether the connection is lost; the driver takes a lost one back into its pool by itself."""
    try:
        return connection.is_closed()
    except InterfaceError:
        return True


def _drop(connection: Connection) -> None:
    with suppress(InterfaceError):
        connection.terminate()


async def _rollback(connection: Connection) -> None:
    try:
        if not _is_gone(connection):
            await connection.execute("ROLLBACK")
    except BaseException as error:
        _drop(connection)
        if not isinstance(error, DRIVER_ERRORS):
            raise


async def _pause(attempt: int) -> None:
    longest_ms = int(_PAUSE_S * 1000) << attempt
    await asyncio.sleep((longest_ms + secrets.randbelow(longest_ms + 1)) / 2000)


def _local_settings(limits: Limits) -> str:
    values = {
        "statement_timeout": limits.statement,
        "lock_timeout": limits.lock,
        "idle_in_transaction_session_timeout": limits.idle,
    }
    return "; ".join(f"SET LOCAL {name} = {value // timedelta(milliseconds=1)}" for name, value in values.items())


async def teach_json(connection: Connection) -> None:
    """Let a connection take and give JSON as plain Python."""
    await connection.set_type_codec(
        "jsonb",
        schema="pg_catalog",
        encoder=lambda value: _JSONB_VERSION + msgspec.json.encode(value),
        decoder=lambda data: _from_json.decode(data[1:]),
        format="binary",
    )
    await connection.set_type_codec(
        "json", schema="pg_catalog", encoder=msgspec.json.encode, decoder=_from_json.decode, format="binary"
    )


async def _leave_as_is(_connection: Connection) -> None:
    """Skip the driver's reset of the session: no transaction leaves anything behind in it."""
