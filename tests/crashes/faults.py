"""One process of a schedule under a fuse: it dies, loses an answer or falls asleep at its n-th statement, call or file write."""

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

from bitlinkpay.chains.base import Block, Chain, ChainError, EndpointStatus, Fate, Head, Transfer
from bitlinkpay.chains.outgoing import Broadcast, FeeQuote, Intent, Lane, Outcome, Purpose, Sent, Signed, Slot, Unspent
from bitlinkpay.chains.outgoing import Wallet as PayingWallet
from bitlinkpay.chains.simulated_plan import SimulatedPlan
from bitlinkpay.chains.simulated_sender import SimulatedSender
from bitlinkpay.core.assets import Asset
from bitlinkpay.db.driver import Connection, Row, Tx
from bitlinkpay.db.pool import Database, OutcomeUnknown
from bitlinkpay.webhooks.model import Answer
from bitlinkpay.webhooks.relay import Transport

T = TypeVar("T")


class Crash(BaseException):
    """The process ends here, whatever the code around would like to do about it."""


class Fault(StrEnum):
    """What happens to a process at the place of its fuse."""

    KILL = "kill"  # it is gone: nothing after this line happens
    CUT = "cut"  # the answer is lost: of the database, a node, the signer
    SLEEP = "sleep"  # it sleeps so long that its leases go to others; then it goes on as if nothing had been


class Place(StrEnum):
    """Where a fuse ticks: before and after each of these."""

    STATEMENT = "statement"
    COMMIT = "commit"
    CALL = "call"
    SIGNER = "signer"
    FILE = "file"
    POST = "post"


async def _nobody() -> None:
    return


@dataclass
class Fuse:
    """Blows once, at the n-th tick; 0 never. A process sleeps only where it holds no lock: between its transactions."""

    at: int = 0
    fault: Fault = Fault.KILL
    others: Callable[[], Awaitable[None]] = _nobody
    ticks: int = 0
    blown: str = ""

    def strikes(self, place: Place, what: str, query: str = "") -> bool:
        """Count a tick; say whether the process is struck here. A kill does not return."""
        self.ticks += 1
        if self.ticks != self.at:
            return False
        if self.fault is Fault.SLEEP and place not in (Place.CALL, Place.SIGNER):
            self.at += 1
            return False
        self.blown = f"{self.fault} at {place} {what}{' '.join(query.split())[:48]} ({self.ticks})"
        if self.fault is Fault.KILL:
            raise Crash(self.blown)
        return True

    async def pass_by(self, place: Place, what: str, lost: Callable[[], Exception]) -> None:
        """Tick outside of any transaction: an answer is lost with this error, or others work while we sleep."""
        if not self.strikes(place, what):
            return
        if self.fault is Fault.SLEEP:
            await self.others()
            return
        raise lost()


@dataclass
class FaultyTx:
    """A transaction whose every statement may be the last: the fuse ticks before it and after it."""

    tx: Tx
    fuse: Fuse

    async def _run(self, query: str, call: Callable[[], Awaitable[T]]) -> T:
        self._tick("before ", query)
        answer = await call()
        self._tick("after ", query)
        return answer

    def _tick(self, when: str, query: str) -> None:
        if self.fuse.strikes(Place.STATEMENT, when, query):
            connection: Connection = self.tx  # type: ignore[assignment]
            connection.terminate()
            raise ConnectionResetError("cut")

    async def fetch(self, query: str, *args: object) -> Sequence[Row]:
        return await self._run(query, lambda: self.tx.fetch(query, *args))

    async def fetchrow(self, query: str, *args: object) -> Row | None:
        return await self._run(query, lambda: self.tx.fetchrow(query, *args))

    async def fetchval(self, query: str, *args: object) -> object:
        return await self._run(query, lambda: self.tx.fetchval(query, *args))

    async def execute(self, query: str, *args: object) -> str:
        return await self._run(query, lambda: self.tx.execute(query, *args))

    async def executemany(self, query: str, args: Iterable[Sequence[object]]) -> None:
        return await self._run(query, lambda: self.tx.executemany(query, args))


@dataclass
class FaultyDatabase:
    """A database under a fuse, which ticks once more after COMMIT: the work is done and the answer may be lost."""

    database: Database
    fuse: Fuse

    async def unit(
        self,
        work: Callable[[Tx], Awaitable[T]],
        *,
        races: Collection[str] = (),
        resolve: Callable[[Tx], Awaitable[T | None]] | None = None,
    ) -> T:
        done = await self.database.unit(lambda tx: work(FaultyTx(tx, self.fuse)), races=races, resolve=resolve)
        if self.fuse.strikes(Place.COMMIT, work.__qualname__):
            found = await self.database.unit(resolve) if resolve else None
            if found is None:
                raise OutcomeUnknown("the connection was lost at COMMIT")
            return found
        return done

    @asynccontextmanager
    async def reader(self) -> AsyncIterator[Tx]:
        async with self.database.reader() as tx:
            yield FaultyTx(tx, self.fuse)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Tx]:
        async with self.database.transaction() as tx:
            yield FaultyTx(tx, self.fuse)


def _silent() -> ChainError:
    return ChainError("no answer")


@dataclass
class FaultyChain:
    """A chain whose every answer may be lost, come late, or be the last thing that the process hears."""

    chain: Chain
    fuse: Fuse

    def __post_init__(self) -> None:
        self.network = self.chain.network

    async def _ask(self, what: str, call: Callable[[], Awaitable[T]]) -> T:
        await self.fuse.pass_by(Place.CALL, "before " + what, _silent)
        answer = await call()
        await self.fuse.pass_by(Place.CALL, "after " + what, _silent)
        return answer

    async def head(self) -> Head:
        return await self._ask("head", self.chain.head)

    async def block_hash(self, height: int) -> str | None:
        return await self._ask("block_hash", lambda: self.chain.block_hash(height))

    async def scan(self, first: int, last: int) -> Sequence[Block]:
        return await self._ask("scan", lambda: self.chain.scan(first, last))

    async def balances(self, asset: Asset, addresses: Sequence[str], height: int) -> Sequence[int]:
        return await self._ask("balances", lambda: self.chain.balances(asset, addresses, height))

    async def locate(self, asset: Asset, address: str, first: int, last: int) -> Sequence[tuple[Block, Transfer]]:
        return await self._ask("locate", lambda: self.chain.locate(asset, address, first, last))

    async def fate(self, txid: str) -> Fate:
        return await self._ask("fate", lambda: self.chain.fate(txid))

    async def endpoints(self) -> Sequence[EndpointStatus]:
        return await self.chain.endpoints()

    async def aclose(self) -> None:
        await self.chain.aclose()


@dataclass
class FaultySender:
    """The same for a network that we pay on; a lost answer to a broadcast is unclear, as the adapters say it.

    Bytes that do not stand in the database may not leave, whatever becomes of them.
    """

    sender: SimulatedSender
    fuse: Fuse
    database: Database

    async def _ask(self, what: str, call: Callable[[], Awaitable[T]]) -> T:
        await self.fuse.pass_by(Place.CALL, "before " + what, _silent)
        answer = await call()
        await self.fuse.pass_by(Place.CALL, "after " + what, _silent)
        return answer

    def payments_max(self, asset: Asset, purpose: Purpose) -> int:
        return self.sender.payments_max(asset, purpose)

    async def lane(self, payer: PayingWallet) -> Lane:
        return await self._ask("lane", lambda: self.sender.lane(payer))

    async def quote(self, intent: Intent) -> FeeQuote:
        return await self._ask("quote", lambda: self.sender.quote(intent))

    async def plan(self, intent: Intent, slot: Slot, previous: SimulatedPlan | None = None) -> SimulatedPlan:
        return await self._ask("plan", lambda: self.sender.plan(intent, slot, previous))

    async def broadcast(self, signed: Signed) -> Broadcast:
        async with self.database.reader() as tx:
            stored = await tx.fetchval("select raw from transaction_attempts where txid = $1", signed.txid)
        assert stored == signed.raw, "sent before it was stored"
        try:
            return await self._ask("broadcast", lambda: self.sender.broadcast(signed))
        except ChainError:
            return Broadcast(Sent.UNCLEAR, "no answer")

    async def outcome(self, intent: Intent, plan: SimulatedPlan, signed: Signed) -> Outcome:
        return await self._ask("outcome", lambda: self.sender.outcome(intent, plan, signed))

    async def is_dead(self, intent: Intent, plan: SimulatedPlan, signed: Signed) -> bool:
        return await self._ask("is_dead", lambda: self.sender.is_dead(intent, plan, signed))

    async def choose(self, intent: Intent, available: Sequence[Unspent]) -> Sequence[Unspent]:
        return await self._ask("choose", lambda: self.sender.choose(intent, available))

    def produced(self, plan: SimulatedPlan, signed: Signed) -> Sequence[Unspent]:
        return self.sender.produced(plan, signed)


@dataclass
class FaultyTransport:
    """The way to the merchant's endpoint: the request may not leave, or its answer may not come back."""

    transport: Transport
    fuse: Fuse

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        if self.fuse.strikes(Place.POST, "before"):
            return Answer(None, {}, b"", "no way to the endpoint")
        answer = await self.transport.post(url, headers, body)
        if self.fuse.strikes(Place.POST, "after"):
            return Answer(None, {}, b"", "no answer in time")
        return answer
