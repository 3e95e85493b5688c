"""The typed face of asyncpg, which comes without types: what stores may call, and how to get a connection."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Any, NamedTuple, Protocol

import asyncpg


class Row(Protocol):
    """One row, by column name or position. Columns come as PostgreSQL types say; stores turn them into values."""

    def __getitem__(self, key: str | int) -> Any: ...  # the column's type stands in the SQL beside it


class Tx(Protocol):
    """A connection inside a transaction. Parameters are `$1`, `$2`, ...; arrays are lists; jsonb is plain Python."""

    async def fetch(self, query: str, *args: object) -> Sequence[Row]:
        """Return all rows."""
        ...

    async def fetchrow(self, query: str, *args: object) -> Row | None:
        """Return the first row, or None."""
        ...

    async def fetchval(self, query: str, *args: object) -> Any:
        """Return the first column of the first row, or None."""
        ...

    async def execute(self, query: str, *args: object) -> str:
        """Run a statement and return its command tag, such as `UPDATE 1`."""
        ...

    async def executemany(self, query: str, args: Iterable[Sequence[object]]) -> None:
        """Run a statement once per sequence of arguments."""
        ...


class Connection(Tx, Protocol):
    """A connection as this package handles it."""

    def is_closed(self) -> bool:
        """Say whether it is gone."""
        ...

    def terminate(self) -> None:
        """Drop it at once."""
        ...

    async def close(self) -> None:
        """Say goodbye to the server and close."""
        ...

    def transaction(self) -> AbstractAsyncContextManager[object]:
        """Commit at the end of the block, roll back when it raises."""
        ...

    async def set_type_codec(
        self,
        typename: str,
        *,
        schema: str,
        encoder: Callable[[object], bytes],
        decoder: Callable[[bytes], object],
        format: str,  # noqa: A002 - the driver's own name
    ) -> None:
        """Translate a type."""
        ...

    async def add_listener(self, channel: str, callback: Callable[["Connection", int, str, str], None]) -> None:
        """LISTEN on a channel."""
        ...

    def add_termination_listener(self, callback: Callable[["Connection"], None]) -> None:
        """Call back once the connection is gone."""
        ...


class Pool(Protocol):
    """Connections for reuse."""

    async def acquire(self, *, timeout: float | None = None) -> Connection:  # noqa: ASYNC109 - the driver's own name
        """Take a connection."""
        ...

    async def release(self, connection: Connection) -> None:
        """Give it back."""
        ...

    async def close(self) -> None:
        """Close all once they are back."""
        ...

    def terminate(self) -> None:
        """Drop all at once."""
        ...


class _Statement(NamedTuple):
    """All that the driver asks of a statement that explained types: one without a name took another's place."""

    name: str


_Explained = tuple[Sequence[Row], _Statement]
_ask: Callable[["_Session", Iterable[int], float | None], Awaitable[_Explained]]
_ask = asyncpg.Connection._introspect_types  # noqa: SLF001 - the pin of asyncpg holds its shape, tests/db its effect
_explained: dict[frozenset[int], Sequence[Row]] = {}
_NONE_SENT = _Statement("none was sent")
_FIRST_OF_A_DATABASE = 10_000  # numbers below never change, see "OID Assignment" in PostgreSQL's documentation


class _Session(asyncpg.Connection):
    """A connection that has PostgreSQL's own array types explained to it once per process.

    The driver has each new connection ask at its first use of each: half a dozen questions of several milliseconds,
    within somebody's first transactions.
    """

    async def _introspect_types(
        self,
        typeoids: Iterable[int],
        timeout: float | None,  # noqa: ASYNC109 - the driver's own name
    ) -> _Explained:
        asked = frozenset(typeoids)
        if asked in _explained:
            return _explained[asked], _NONE_SENT
        rows, statement = await _ask(self, asked, timeout)
        if max(asked) < _FIRST_OF_A_DATABASE:
            _explained[asked] = rows
        return rows, statement


connect: Callable[..., Awaitable[Connection]] = asyncpg.connect
create_pool: Callable[..., Awaitable[Pool]] = partial(asyncpg.create_pool, connection_class=_Session)
