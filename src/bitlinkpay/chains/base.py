"""The `Chain` protocol: what every network adapter promises to the flows, simulated or real."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from bitlinkpay.core.assets import Asset, Network


@dataclass(frozen=True, slots=True)
class BlockRef:
    """Where a block stands: height, its own hash, its own time."""

    height: int
    hash: str
    time: datetime


@dataclass(frozen=True, slots=True)
class Head:
    """What the chain shows now: the newest block (for display only) and the newest final one (for credit)."""

    latest: BlockRef
    final: BlockRef


class Arrival(StrEnum):
    """How the money moved, as far as the chain can tell."""

    DIRECT = "direct"  # a plain transfer or a token event
    INTERNAL = "internal"  # native coin moved by a contract's inner call
    SYSTEM = "system"  # block reward, withdrawal, self-destruct: money without a payer; never pays an order


@dataclass(frozen=True, slots=True)
class Transfer:
    """One arrival of one listed asset at one address.

    Attributes:
        asset: id of the asset in the registry.
        txid: transaction id in the network's usual spelling (PROTOCOL.md, "Spelling").
        position: stable place inside the transaction, the same from every node: `vout:1`, `log:3` (the log's
            index within its receipt), `value`, `internal:<n>`; never a block-wide log index.
        source: canonical address of the payer, "" where the chain names none.
        target: canonical address that received.
        tag: memo as received after the network's one normalisation, "" for none.
        units: integer base units, positive.
    """

    asset: str
    txid: str
    position: str
    source: str
    target: str
    tag: str
    units: int
    arrival: Arrival = Arrival.DIRECT


@dataclass(frozen=True, slots=True)
class Block:
    """A verified block with every transfer of a listed asset in it (all targets: matching is the database's work).

    `parent` is the hash of the block at the previous height *that exists* (Solana skips slots).
    """

    height: int
    hash: str
    parent: str
    time: datetime
    transfers: tuple[Transfer, ...] = field(default=())


class FateState(StrEnum):
    """What became of a transaction."""

    UNKNOWN = "unknown"  # no node knows it
    PENDING = "pending"  # in a mempool
    MINED = "mined"  # in a block that is not final
    FINAL = "final"  # in a final block, successful
    FAILED = "failed"  # in a final block, reverted


@dataclass(frozen=True, slots=True)
class Fate:
    """The answer to "what became of txid": its state and the block it stands in, if any."""

    state: FateState
    block: BlockRef | None = None
    transfers: tuple[Transfer, ...] = ()


class ChainError(Exception):
    """The network could not be read: no answer is trusted, nothing is skipped, the caller tries again later."""


class EndpointFailed(ChainError):
    """An endpoint gave no usable answer: transport, status, malformed content, or it rests after failures."""


class NotEnoughAnswers(ChainError):
    """Fewer independent endpoints answered alike than the quorum asks for (it never shrinks)."""


class GapError(ChainError):
    """A block or a part of it is missing from every answer: a gap, never an empty block."""


class ForkedBlock(ChainError):
    """Blocks changed while they were read; the whole read is to be thrown away and done again."""


class WrongChain(ChainError):
    """An endpoint serves another chain than the registry names."""


@dataclass(frozen=True, slots=True)
class EndpointStatus:
    """Health of one RPC endpoint, for `bitlinkpay chains status`. `url` has no credentials in it."""

    url: str
    is_healthy: bool
    height: int | None
    error: str


class Chain(Protocol):
    """One network. Methods raise `ChainError` when the network cannot be read; they never guess."""

    network: Network

    async def head(self) -> Head:
        """Return the newest and the newest final block, agreed by the quorum; final never goes backwards."""
        ...

    async def block_hash(self, height: int) -> str | None:
        """Return the canonical hash at a height, or None if no block stands there; used to find a fork's root."""
        ...

    async def scan(self, first: int, last: int) -> Sequence[Block]:
        """Return the existing blocks of heights `first..last`, ascending, contiguous by parent hash, complete.

        It may return fewer heights than asked (adaptive ranges), but never with a gap between them, and at
        least one block unless the range holds none.

        Raises:
            GapError, ForkedBlock, NotEnoughAnswers, ChainError: nothing of the range may be used.
        """
        ...

    async def balances(self, asset: Asset, addresses: Sequence[str], height: int) -> Sequence[int]:
        """Return base units held by each address after the block at `height`, in order."""
        ...

    async def locate(self, asset: Asset, address: str, first: int, last: int) -> Sequence[tuple[Block, Transfer]]:
        """Find arrivals at `address` in `first..last` that `scan` cannot see (internal native transfers).

        Each is returned with the block it stands in (no other transfers in it), classed by `arrival`.
        """
        ...

    async def fate(self, txid: str) -> Fate:
        """Say what became of a transaction."""
        ...

    async def endpoints(self) -> Sequence[EndpointStatus]:
        """Ask every endpoint for its health."""
        ...

    async def aclose(self) -> None:
        """Release connections."""
        ...
