"""Faults between any two steps: a fuse that blows at the n-th statement, chain call, or on either side of a COMMIT."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

from bitlinkpay.chains.base import Block, Chain, EndpointStatus, Fate, Head, Transfer
from bitlinkpay.core.assets import Asset
from bitlinkpay.db.driver import Connection, Row, Tx
from bitlinkpay.db.pool import Database

T = TypeVar("T")


class Crash(BaseException):
    """The process ends here, whatever the code around would like to do about it."""


class Fault(StrEnum):
    """How it ends."""

    KILL = "kill"  # the process is gone: nothing after this line happens
    CUT = "cut"  # the connection to the database is gone, the process goes on


@dataclass
class Fuse:
    """Blows once, at the n-th tick; 0 never."""

    at: int = 0
    fault: Fault = Fault.KILL
    ticks: int = 0
    has_blown: bool = False

    def tick(self, tx: Tx | None = None) -> None:
        self.ticks += 1
        if self.ticks != self.at:
            return
        self.has_blown = True
        if self.fault is Fault.CUT and tx is not None:
            _cut(tx)
            raise ConnectionResetError("cut")
        raise Crash(f"at step {self.ticks}")


def _cut(tx: Tx) -> None:
    connection: Connection = tx  # type: ignore[assignment]
    connection.terminate()


class FaultyTx:
    """A transaction whose every statement may be the last: the fuse ticks before it and after it."""

    def __init__(self, tx: Tx, fuse: Fuse) -> None:
        self._tx = tx
        self._fuse = fuse

    async def _run(self, call: Callable[[], Awaitable[T]]) -> T:
        self._fuse.tick(self._tx)
        answer = await call()
        self._fuse.tick(self._tx)
        return answer

    async def fetch(self, query: str, *args: object) -> Sequence[Row]:
        return await self._run(lambda: self._tx.fetch(query, *args))

    async def fetchrow(self, query: str, *args: object) -> Row | None:
        return await self._run(lambda: self._tx.fetchrow(query, *args))

    async def fetchval(self, query: str, *args: object) -> object:
        return await self._run(lambda: self._tx.fetchval(query, *args))

    async def execute(self, query: str, *args: object) -> str:
        return await self._run(lambda: self._tx.execute(query, *args))

    async def executemany(self, query: str, args: Iterable[Sequence[object]]) -> None:
        return await self._run(lambda: self._tx.executemany(query, args))


class FaultyDatabase:
    """A database that the fuse reaches into; after COMMIT it ticks once more, where the outcome is not yet known."""

    def __init__(self, database: Database, fuse: Fuse) -> None:
        self._database = database
        self._fuse = fuse

    async def unit(
        self,
        work: Callable[[Tx], Awaitable[T]],
        *,
        races: Collection[str] = (),
        resolve: Callable[[Tx], Awaitable[T | None]] | None = None,
    ) -> T:
        done = await self._database.unit(lambda tx: work(FaultyTx(tx, self._fuse)), races=races, resolve=resolve)
        self._fuse.tick()
        return done

    @asynccontextmanager
    async def reader(self) -> AsyncIterator[Tx]:
        async with self._database.reader() as tx:
            yield FaultyTx(tx, self._fuse)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Tx]:
        async with self._database.transaction() as tx:
            yield FaultyTx(tx, self._fuse)


class FaultyChain:
    """A chain whose every answer may be the last thing that the process hears."""

    def __init__(self, chain: Chain, fuse: Fuse) -> None:
        self.network = chain.network
        self._chain = chain
        self._fuse = fuse

    async def _run(self, call: Callable[[], Awaitable[T]]) -> T:
        self._fuse.tick()
        answer = await call()
        self._fuse.tick()
        return answer

    async def head(self) -> Head:
        return await self._run(self._chain.head)

    async def block_hash(self, height: int) -> str | None:
        return await self._run(lambda: self._chain.block_hash(height))

    async def scan(self, first: int, last: int) -> Sequence[Block]:
        return await self._run(lambda: self._chain.scan(first, last))

    async def balances(self, asset: Asset, addresses: Sequence[str], height: int) -> Sequence[int]:
        return await self._run(lambda: self._chain.balances(asset, addresses, height))

    async def locate(self, asset: Asset, address: str, first: int, last: int) -> Sequence[tuple[Block, Transfer]]:
        return await self._run(lambda: self._chain.locate(asset, address, first, last))

    async def fate(self, txid: str) -> Fate:
        return await self._run(lambda: self._chain.fate(txid))

    async def endpoints(self) -> Sequence[EndpointStatus]:
        return await self._chain.endpoints()

    async def aclose(self) -> None:
        await self._chain.aclose()


class AnsweringChain(FaultyChain):
    """A chain that answers `scan` and `balances` as the test says, once for each prepared answer."""

    def __init__(self, chain: Chain) -> None:
        super().__init__(chain, Fuse())
        self.scan_failures: list[Exception] = []
        self.balance_failures: list[Exception] = []
        self.missing_units = 0
        self.pause: asyncio.Event | None = None
        self.is_asked = False  # for balances

    async def scan(self, first: int, last: int) -> Sequence[Block]:
        if self.scan_failures:
            raise self.scan_failures.pop(0)
        return await super().scan(first, last)

    async def balances(self, asset: Asset, addresses: Sequence[str], height: int) -> Sequence[int]:
        if self.balance_failures:
            raise self.balance_failures.pop(0)
        found = await super().balances(asset, addresses, height)
        self.is_asked = True
        if self.pause is not None:
            await self.pause.wait()
        return [units - self.missing_units for units in found]
