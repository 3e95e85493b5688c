"""`EvmChain`: the `Chain` protocol on real EVM nodes, with nothing believed that one node alone says."""

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from bitlinkpay.chains.base import (
    Block,
    BlockRef,
    ChainError,
    EndpointStatus,
    Fate,
    FateState,
    GapError,
    Head,
    Transfer,
)
from bitlinkpay.chains.evm.internal import InternalFinder
from bitlinkpay.chains.evm.node import EvmNode
from bitlinkpay.chains.evm.reader import BlockReader, Proof, Sealed
from bitlinkpay.chains.evm.state import StateReader
from bitlinkpay.chains.evm.token import read_facts
from bitlinkpay.chains.evm.transfers import Listing, block_ref, canonical_hash, is_success, read_block, read_transaction
from bitlinkpay.chains.evm.wire import TX_PLACE, quantity
from bitlinkpay.chains.finality import Finality
from bitlinkpay.chains.quorum import Quorum
from bitlinkpay.chains.rpc import Call, JsonRpc
from bitlinkpay.chains.token import TokenFacts
from bitlinkpay.chains.transport import Endpoint
from bitlinkpay.core.assets import Asset, Network
from bitlinkpay.core.errors import Invalid

_TXID = re.compile(r"0x[0-9a-fA-F]{64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class EvmOptions:
    """What an EVM network needs beyond its registry row.

    Attributes:
        finality: the block tag that decides what is final: `finalized`, or `safe` where an operator chose that.
        proof: `compared` for chains whose blocks can't be recomputed (header or transaction forms of their own).
        range_max: most blocks in one read.
        patience: how long to wait for an endpoint before the next one is asked too.
        traces: whether `debug_traceBlockByHash` is tried for internal transfers.
    """

    finality: str = "finalized"
    proof: Proof = Proof.RECOMPUTED
    range_max: int = 16
    patience: timedelta = timedelta(seconds=3)
    traces: bool = True

    def __post_init__(self) -> None:
        if self.finality not in {"finalized", "safe"}:
            raise Invalid("finality is the tag finalized or safe", param="finality")
        if self.range_max < 1:
            raise Invalid("range_max must be positive", param="range_max")


@dataclass(frozen=True, slots=True)
class _Mined:
    """Where a transaction stands and what it did."""

    block: BlockRef
    is_success: bool
    transfers: tuple[Transfer, ...]


class EvmChain:
    """One EVM network. See `chains.base.Chain` for what each method promises."""

    def __init__(
        self,
        network: Network,
        assets: Sequence[Asset],
        endpoints: Sequence[Endpoint],
        *,
        quorum: int,
        options: EvmOptions | None = None,
    ) -> None:
        """Connect lazily to `endpoints`, the preferred ones first.

        Raises:
            Invalid: fewer endpoints of different operators than `quorum`, or an asset of another network.
        """
        if any(asset.network != network.id for asset in assets):
            raise Invalid(f"an asset of another network was given to {network.id}")
        options = options or EvmOptions()
        self.network = network
        self._nodes = [EvmNode(JsonRpc(endpoint), network) for endpoint in endpoints]
        self._quorum = Quorum(self._nodes, quorum, patience=options.patience)
        self._listing = Listing(assets)
        tag = options.finality
        self._finality = Finality(self._quorum, lambda node: node.heads(tag), EvmNode.ref_at)
        self._reader = BlockReader(self._quorum, options.proof, range_max=options.range_max)
        self._state = StateReader(self._quorum)
        self._traces = options.traces

    async def head(self) -> Head:
        """Return the newest block (for display) and the newest final one, see `Finality.head`."""
        return await self._finality.head()

    async def block_hash(self, height: int) -> str | None:
        """Return the hash at a height that the quorum agrees on, None if they agree that no block stands there."""
        return await self._quorum.agree(lambda node: node.hash_at(height))

    async def scan(self, first: int, last: int) -> Sequence[Block]:
        """Return a non-empty prefix of the blocks `first..last`, contiguous, whole and confirmed by the quorum.

        On EVM a block stands at every height, so a missing one is a gap, never an empty range.

        Raises:
            GapError, ForkedBlock, NotEnoughAnswers, ChainError: nothing of the range may be used.
        """
        assert 0 <= first <= last, f"no range: {first}..{last}"
        return await self._reader.read(first, last, self._extract)

    def _extract(self, sealed: Sealed) -> Block:
        return read_block(sealed.block, sealed.receipts, self._listing)

    async def balances(self, asset: Asset, addresses: Sequence[str], height: int) -> Sequence[int]:
        """Return base units held by each address after the block at `height`."""
        return await self._state.balances(asset, addresses, await self._hash(height))

    async def deltas(self, asset: Asset, addresses: Sequence[str], block: Block) -> Sequence[int]:
        """Return by how much this very block changed what each address holds; negative where it went down.

        This is the balance proof (THREATS rule 14, EVM-04, EVM-06): transfers of the block into an address less
        those out of it must not exceed it.
        """
        before = await self._state.balances(asset, addresses, block.parent)
        after = await self._state.balances(asset, addresses, block.hash)
        return [new - old for old, new in zip(before, after, strict=True)]

    async def locate(self, asset: Asset, address: str, first: int, last: int) -> Sequence[tuple[Block, Transfer]]:
        """Find native arrivals at `address` that no transaction carries, see `chains.evm.internal`; none of a token."""
        if not asset.is_native:
            return []
        finder = InternalFinder(self._quorum, self._reader, self._state, asset, traces=self._traces)
        return await finder.locate(address, first, last)

    async def fate(self, txid: str) -> Fate:
        """Say what became of a transaction; only a block at or below the final one makes it `FINAL` or `FAILED`.

        Raises:
            Invalid: no transaction id.
        """
        if not _TXID.fullmatch(txid):
            raise Invalid("an EVM transaction id is 0x and 64 hex digits", param="txid")
        txid = txid.lower()
        seen_pending = False

        async def place(node: EvmNode) -> tuple[int, str] | None:
            nonlocal seen_pending
            (found,) = await node.ask([Call("eth_getTransactionByHash", (txid,))], TX_PLACE)
            if found is None or found.block_hash is None:
                seen_pending = seen_pending or found is not None
                return None
            return quantity(found.block_number), canonical_hash(found.block_hash)

        placed = await self._quorum.agree(place)
        if placed is None:
            return Fate(FateState.PENDING if seen_pending else FateState.UNKNOWN)
        (mined,) = await self._reader.read(placed[0], placed[0], lambda sealed: self._find(sealed, txid))
        if mined is None:
            raise ChainError(f"transaction {txid} moved to another block while it was looked up")
        if mined.block.height > (await self.head()).final.height:
            return Fate(FateState.MINED, mined.block, mined.transfers)
        return Fate(FateState.FINAL if mined.is_success else FateState.FAILED, mined.block, mined.transfers)

    def _find(self, sealed: Sealed, txid: str) -> _Mined | None:
        for tx, receipt in zip(sealed.block.transactions, sealed.receipts, strict=True):
            if tx.hash.lower() == txid:
                success = is_success(receipt)
                transfers = tuple(read_transaction(tx, receipt, self._listing)) if success else ()
                return _Mined(block_ref(sealed.block), success, transfers)
        return None

    async def probe(self, asset: Asset) -> TokenFacts:
        """Return what a token's contract says of itself at the final block, agreed by the quorum.

        `chains.token.objections` holds it against the registry row. A native coin has no contract.
        """
        assert not asset.is_native, f"{asset.id} has no contract"
        final = (await self.head()).final
        return await self._quorum.agree(lambda node: read_facts(node, asset.contract, final.hash))

    async def endpoints(self) -> Sequence[EndpointStatus]:
        """Ask every endpoint for its newest block."""
        return await asyncio.gather(*(self._status(node) for node in self._nodes))

    async def _status(self, node: EvmNode) -> EndpointStatus:
        doubt = self._quorum.doubt_about(node)
        try:
            (latest,) = await node.stamps(["latest"])
        except ChainError as error:
            return EndpointStatus(node.label, is_healthy=False, height=None, error=str(error))
        height = None if latest is None else block_ref(latest).height
        return EndpointStatus(node.label, is_healthy=not doubt, height=height, error=doubt)

    async def aclose(self) -> None:
        """Close all connections."""
        for node in self._nodes:
            await node.rpc.aclose()

    async def _hash(self, height: int) -> str:
        block_hash = await self.block_hash(height)
        if block_hash is None:
            raise GapError(f"no block at height {height}")
        return block_hash
