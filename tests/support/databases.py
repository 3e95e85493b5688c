"""The databases of tests: made and dropped over one connection a process, because a connection costs half of a database."""

import asyncio
import itertools
import os
from typing import Self

import asyncpg
from tests.support.server import TestServer

from bitlinkpay.db.cluster import OWNER_ROLE

_numbers = itertools.count()


class Databases:
    """Not for use inside a running loop: each test has a loop of its own, and this connection outlives them all."""

    def __init__(self, server: TestServer) -> None:
        self._dsn = server.dsn(OWNER_ROLE, "bitlinkpay")
        self._loop = asyncio.new_event_loop()
        self._connection: asyncpg.Connection | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._connection is not None:
            self._loop.run_until_complete(self._connection.close())
        self._loop.close()

    def create(self, template: str) -> str:
        """Copy a database and return the copy's name."""
        name = f"test_{os.getpid()}_{next(_numbers)}"
        self._run(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")
        return name

    def drop(self, name: str) -> None:
        """Remove a database, whoever is still connected."""
        self._run(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def _run(self, statement: str) -> None:
        self._loop.run_until_complete(self._execute(statement))

    async def _execute(self, statement: str) -> None:
        if self._connection is None or self._connection.is_closed():
            self._connection = await asyncpg.connect(self._dsn)
        await self._connection.execute(statement)
