"""What a transaction offers to stores: the typed part of a database connection."""

from collections.abc import Iterable, Sequence
from typing import Any, Protocol


class Row(Protocol):
    """One row, by column name or position. Columns come as PostgreSQL types say; stores turn them into values."""

    def __getitem__(self, key: str | int) -> Any: ...  # the column's type is in the SQL beside it


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
        """Run a statement once per sequence of arguments, in one round trip."""
        ...
