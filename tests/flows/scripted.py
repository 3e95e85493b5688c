"""A chain whose every block, branch and failure is written by the test: the `Chain` port without anything behind it."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from hashlib import sha256

from bitlinkpay.chains.base import Block, BlockRef, EndpointStatus, Fate, FateState, Head, Transfer
from bitlinkpay.core.assets import Asset, Network


@dataclass
class ScriptedChain:
    """Blocks of one branch. `final` overrides the final height; `failures` are raised by `scan`, one a call."""

    network: Network
    start: datetime
    blocks: list[Block] = field(default_factory=list)
    final: int | None = None
    latest: int | None = None
    lag: int = 3
    failures: list[Exception] = field(default_factory=list)
    scans: list[tuple[int, int]] = field(default_factory=list)
    asked: list[int] = field(default_factory=list)
    shortfall: int = 0

    def __post_init__(self) -> None:
        if not self.blocks:
            self.grow(10)

    def grow(self, count: int = 1, *transfers: Transfer, salt: str = "", skip: int = 0) -> list[Block]:
        """Add blocks, the first of them with the transfers; `skip` heights before it hold no block."""
        for n in range(count):
            parent = self.blocks[-1] if self.blocks else None
            height = parent.height + 1 + (skip if n == 0 else 0) if parent else 1
            parent_hash = parent.hash if parent else "0x" + "0" * 64
            spelled = sha256(f"{parent_hash}{height}{salt}".encode()).hexdigest()
            moment = self.start + timedelta(seconds=height)
            self.blocks.append(Block(height, f"0x{spelled}", parent_hash, moment, transfers if n == 0 else ()))
        return self.blocks[-count:]

    def cut(self, above: int) -> list[Block]:
        """Take the blocks above a height off the chain and return them, so that they can come back."""
        gone = [block for block in self.blocks if block.height > above]
        self.blocks = [block for block in self.blocks if block.height <= above]
        return gone

    def put(self, blocks: Sequence[Block]) -> None:
        """Continue with blocks that were cut before."""
        assert blocks[0].parent == self.blocks[-1].hash
        self.blocks += blocks

    @property
    def height(self) -> int:
        return self.blocks[-1].height

    def _ref(self, height: int) -> BlockRef:
        block = next((b for b in reversed(self.blocks) if b.height <= height), self.blocks[0])
        return BlockRef(block.height, block.hash, block.time)

    async def head(self) -> Head:
        latest = self._ref(self.height if self.latest is None else self.latest)
        return Head(latest, self._ref(latest.height - self.lag if self.final is None else self.final))

    async def block_hash(self, height: int) -> str | None:
        self.asked.append(height)
        return next((block.hash for block in self.blocks if block.height == height), None)

    async def scan(self, first: int, last: int) -> Sequence[Block]:
        self.scans.append((first, last))
        if self.failures:
            raise self.failures.pop(0)
        return [block for block in self.blocks if first <= block.height <= last]

    async def balances(self, asset: Asset, addresses: Sequence[str], height: int) -> Sequence[int]:
        came = [
            (transfer.target, transfer.units)
            for block in self.blocks
            if block.height <= height
            for transfer in block.transfers
            if transfer.asset == asset.id
        ]
        return [sum(units for target, units in came if target == address) - self.shortfall for address in addresses]

    async def locate(self, asset: Asset, address: str, first: int, last: int) -> Sequence[tuple[Block, Transfer]]:
        del asset, address, first, last
        return ()

    async def fate(self, txid: str) -> Fate:
        del txid
        return Fate(FateState.UNKNOWN)

    async def endpoints(self) -> Sequence[EndpointStatus]:
        return ()

    async def aclose(self) -> None:
        return


def transfer_to(target: str, units: int, *, asset: str = "usdt-ethereum", number: int = 1, tag: str = "") -> Transfer:
    """Return a token transfer; the same number is the same transaction."""
    txid = "0x" + sha256(str(number).encode()).hexdigest()
    return Transfer(asset, txid, "log:0", "0x" + "11" * 20, target, tag, units)


def moved(block: Block, **more: object) -> Block:
    """Return a block with fields replaced."""
    return replace(block, **more)  # type: ignore[arg-type]
