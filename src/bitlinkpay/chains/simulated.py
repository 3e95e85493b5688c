"""A chain like the others whose nodes are a few tables: real address and hash formats, blocks, finality, reorgs.

The state behind it holds no blocks but *runs*: stretches of blocks that follow from one random seed. Every block of a
run can be computed (hash, parent, time), so that a sandbox may mine for years without growing, and no block ever goes
missing. Transfers stand in the first block of a run only, and the run says how many there are.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Protocol

from bitlinkpay.chains.base import (
    Arrival,
    Block,
    BlockRef,
    ChainError,
    EndpointStatus,
    Fate,
    FateState,
    ForkedBlock,
    GapError,
    Head,
    Transfer,
)
from bitlinkpay.chains.simulated_format import position, read_txid, spell_block, spell_txid
from bitlinkpay.core.assets import Asset, Family, Network

_SCAN_HEIGHTS = 1_000  # most heights of one scan
SKIP_CYCLE: Mapping[Family, int] = {Family.SOLANA: 8}  # every eighth slot has no block


@dataclass(frozen=True, slots=True)
class Run:
    """Consecutive blocks `first` to `last` that follow from one seed.

    Attributes:
        first: height of the first block, the only one that may hold transfers.
        last: height of the last block.
        seed: 32 random bytes.
        parent: digest of the block before `first`.
        start: time of the first block.
        step: how much later each height is.
        transfers: how many transfers (of any kind) stand in the first block.
    """

    first: int
    last: int
    seed: bytes
    parent: bytes
    start: datetime
    step: timedelta
    transfers: int

    def digest(self, height: int) -> bytes:
        """Return the 32 bytes that the hash of the block at `height` is spelled from."""
        return sha256(self.seed + height.to_bytes(8, "big")).digest()

    def time(self, height: int) -> datetime:
        """Return the time of the block at `height`."""
        return self.start + self.step * (height - self.first)


@dataclass(frozen=True, slots=True)
class Sent:
    """One transfer of a simulated transaction; `height` is None while it waits in the mempool."""

    txid: bytes
    ordinal: int
    height: int | None
    asset: str
    source: str
    target: str
    tag: str
    units: int
    arrival: Arrival
    has_failed: bool


@dataclass(frozen=True, slots=True)
class Stretch:
    """What the state knows of some heights, seen at one moment: runs ascending, transfers in the order of the chain."""

    head: int
    runs: Sequence[Run]
    sent: Sequence[Sent] = ()


class SimulatedState(Protocol):
    """Where a simulated network keeps its blocks and transfers: the port that the sandbox's store implements.

    Each method answers from one moment, and raises `ChainError` for a network that was never set up.
    """

    async def tail(self, network: str, depth: int) -> Stretch:
        """Return the runs of the newest `depth` heights, without transfers."""
        ...

    async def stretch(self, network: str, first: int, last: int) -> Stretch:
        """Return the runs that touch `first..last`, and the transfers in them."""
        ...

    async def arrivals(self, network: str, asset: str, address: str, first: int, last: int) -> Stretch:
        """Return the transfers of one asset to one address in `first..last`, and the runs they stand in."""
        ...

    async def transaction(self, network: str, txid: bytes) -> Sequence[Sent]:
        """Return the transfers of a transaction in the mempool or in a block, none if nobody knows it."""
        ...

    async def balances(self, asset: Asset, addresses: Sequence[str], height: int) -> Sequence[int]:
        """Return what each address holds after `height`, in order; payers from outside count as empty."""
        ...


def is_skipped(height: int, cycle: int) -> bool:
    """Say whether no block stands at this height, on a network that skips one slot per `cycle` (0: none)."""
    return cycle > 0 and height % cycle == cycle - 1


def height_after(height: int, blocks: int, cycle: int) -> int:
    """Return the height `blocks` existing blocks further on."""
    for _ in range(blocks):
        height += 2 if is_skipped(height + 1, cycle) else 1
    return height


def height_before(height: int, blocks: int, cycle: int) -> int:
    """Return the height `blocks` existing blocks further back."""
    for _ in range(blocks):
        height -= 2 if is_skipped(height - 1, cycle) else 1
    return height


class SimulatedChain:
    """One simulated network as a `Chain`: stateless, everything comes from the state behind it."""

    def __init__(self, network: Network, assets: Sequence[Asset], state: SimulatedState) -> None:
        self.network = network
        self._listed = {asset.id: asset for asset in assets}
        self._state = state
        self._cycle = SKIP_CYCLE.get(network.family, 0)

    async def head(self) -> Head:
        """Return the newest block, and the one that the network's lag makes final."""
        tail = await self._state.tail(self.network.id, 2 * self.network.sandbox_lag + 2)
        final = height_before(tail.head, self.network.sandbox_lag, self._cycle)
        return Head(self._ref(tail.runs, tail.head), self._ref(tail.runs, max(final, tail.runs[0].first)))

    async def block_hash(self, height: int) -> str | None:
        """Return the hash at a height, None for a skipped slot or a height beyond the head."""
        stretch = await self._state.stretch(self.network.id, height, height)
        run = _run_at(stretch.runs, height)
        if run is None or is_skipped(height, self._cycle):
            return None
        return spell_block(self.network.family, run.digest(height), height)

    async def scan(self, first: int, last: int) -> Sequence[Block]:
        """Return the blocks of `first..last`, at most 1,000 heights at once.

        Raises:
            GapError: the state lacks a run, or transfers that a run says it has.
            ForkedBlock: two runs do not fit together.
        """
        last = min(last, first + _SCAN_HEIGHTS - 1)
        stretch = await self._state.stretch(self.network.id, first, last)
        end = min(last, stretch.head)
        if first > end:
            return ()
        self._check(stretch, first, end)
        found: dict[int, list[Transfer]] = {}
        for sent in stretch.sent:
            if sent.height is not None and self._is_visible(sent):
                found.setdefault(sent.height, []).append(self._transfer(sent))
        return tuple(
            self._block(run, height, found.get(height, ()))
            for run in stretch.runs
            for height in range(max(run.first, first), min(run.last, end) + 1)
            if not is_skipped(height, self._cycle)
        )

    async def balances(self, asset: Asset, addresses: Sequence[str], height: int) -> Sequence[int]:
        """Return base units held by each address after the block at `height`."""
        return await self._state.balances(asset, addresses, height)

    async def locate(self, asset: Asset, address: str, first: int, last: int) -> Sequence[tuple[Block, Transfer]]:
        """Find the arrivals that `scan` does not show: coins moved inside contract calls, or by no transaction."""
        stretch = await self._state.arrivals(self.network.id, asset.id, address, first, last)
        found: list[tuple[Block, Transfer]] = []
        for sent in stretch.sent:
            if sent.height is None or sent.has_failed or sent.asset not in self._listed or self._is_visible(sent):
                continue
            run = _run_at(stretch.runs, sent.height)
            if run is None:
                raise GapError(f"{self.network.id}: block {sent.height} is missing")
            found.append((self._block(run, sent.height, ()), self._transfer(sent)))
        return found

    def transfers(self, sent: Sequence[Sent]) -> tuple[Transfer, ...]:
        """Return what a scan would show of these, were they in a block."""
        return tuple(self._transfer(one) for one in sent if self._is_visible(one))

    async def fate(self, txid: str) -> Fate:
        """Say what became of a transaction; a text that is no transaction id is unknown."""
        digest = read_txid(self.network.family, txid)
        sent = await self._state.transaction(self.network.id, digest) if digest else ()
        if not sent:
            return Fate(FateState.UNKNOWN)
        transfers = tuple(self._transfer(s) for s in sent if s.units and s.asset in self._listed and not s.has_failed)
        height = sent[0].height
        if height is None:
            return Fate(FateState.PENDING, None, transfers)
        head = await self.head()
        stretch = await self._state.stretch(self.network.id, height, height)
        block = self._ref(stretch.runs, height)
        if height > head.final.height:
            return Fate(FateState.MINED, block, transfers)
        return Fate(FateState.FAILED if sent[0].has_failed else FateState.FINAL, block, transfers)

    async def endpoints(self) -> Sequence[EndpointStatus]:
        """Return the one endpoint there is."""
        url = f"simulated:{self.network.id}"
        try:
            tail = await self._state.tail(self.network.id, 1)
        except ChainError as error:
            return (EndpointStatus(url, is_healthy=False, height=None, error=str(error)),)
        return (EndpointStatus(url, is_healthy=True, height=tail.head, error=""),)

    async def aclose(self) -> None:
        """Do nothing: no connection is held."""

    def _check(self, stretch: Stretch, first: int, end: int) -> None:
        """Raise unless the runs follow each other from `first` to `end` and hold all their transfers."""
        name = self.network.id
        expected = first + 1 if is_skipped(first, self._cycle) else first
        counted: dict[int | None, int] = {}
        for sent in stretch.sent:
            counted[sent.height] = counted.get(sent.height, 0) + 1
        before: Run | None = None
        for run in stretch.runs:
            if run.first > expected:
                raise GapError(f"{name}: block {expected} is missing")
            if before is not None and run.parent != before.digest(before.last):
                raise ForkedBlock(f"{name}: block {run.first} does not follow block {before.last}")
            if first <= run.first <= end and run.transfers != counted.get(run.first, 0):
                raise GapError(f"{name}: block {run.first} lacks some of its transfers")
            expected = height_after(run.last, 1, self._cycle)
            before = run
        if expected <= end:
            raise GapError(f"{name}: block {expected} is missing")

    def _is_visible(self, sent: Sent) -> bool:
        """Say whether a scan shows it: listed, successful, and not inside an EVM contract call."""
        if sent.has_failed or not sent.units or sent.asset not in self._listed:
            return False
        return sent.arrival is Arrival.DIRECT or self.network.family is not Family.EVM

    def _transfer(self, sent: Sent) -> Transfer:
        family = self.network.family
        return Transfer(
            asset=sent.asset,
            txid=spell_txid(family, sent.txid),
            position=position(family, self._listed[sent.asset], sent.ordinal, sent.arrival),
            source=sent.source,
            target=sent.target,
            tag=sent.tag,
            units=sent.units,
            arrival=sent.arrival,
        )

    def _block(self, run: Run, height: int, transfers: Sequence[Transfer]) -> Block:
        family = self.network.family
        previous = height_before(height, 1, self._cycle)
        parent = run.parent if height == run.first else run.digest(previous)
        return Block(
            height=height,
            hash=spell_block(family, run.digest(height), height),
            parent=spell_block(family, parent, previous),
            time=run.time(height),
            transfers=tuple(transfers),
        )

    def _ref(self, runs: Sequence[Run], height: int) -> BlockRef:
        run = _run_at(runs, height)
        if run is None:
            raise GapError(f"{self.network.id}: block {height} is missing")
        return BlockRef(height, spell_block(self.network.family, run.digest(height), height), run.time(height))


def _run_at(runs: Sequence[Run], height: int) -> Run | None:
    return next((run for run in runs if run.first <= height <= run.last), None)
