"""`EvmChain`: the `Chain` protocol on real EVM nodes, with nothing believed that one node alone says."""

import re
from collections.abc import Sequence

from bitlinkpay.chains.base import (
    Block,
    EndpointStatus,
    Fate,
    GapError,
    Head,
    Transfer,
)
from bitlinkpay.chains.evm.access import EvmAccess, EvmOptions
from bitlinkpay.chains.evm.internal import InternalFinder
from bitlinkpay.chains.evm.node import EvmNode
from bitlinkpay.chains.evm.reader import Sealed
from bitlinkpay.chains.evm.token import read_facts, view
from bitlinkpay.chains.evm.transfers import block_ref, is_success, read_block, read_transaction
from bitlinkpay.chains.evm.trial import try_transfer
from bitlinkpay.chains.evm.wire import Receipt, Transaction
from bitlinkpay.chains.token import TokenFacts
from bitlinkpay.chains.transport import Endpoint
from bitlinkpay.chains.trial import Trial
from bitlinkpay.core.assets import Asset, Network
from bitlinkpay.core.errors import Invalid

_TXID = re.compile(r"0x[0-9a-fA-F]{64}", re.ASCII)


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
        """Connect lazily to `endpoints`, see `EvmAccess`.

        Raises:
            Invalid: fewer endpoints of different operators than `quorum`, or an asset of another network.
        """
        options = options or EvmOptions()
        self.network = network
        self.access = EvmAccess(network, assets, endpoints, quorum=quorum, options=options)
        self._traces = options.traces

    async def head(self) -> Head:
        """Return the newest block (for display) and the newest final one, see `Finality.head`."""
        return await self.access.finality.head()

    async def block_hash(self, height: int) -> str | None:
        """Return the hash at a height that the quorum agrees on, None if they agree that no block stands there."""
        return await self.access.quorum.agree(lambda node: node.hash_at(height))

    async def scan(self, first: int, last: int) -> Sequence[Block]:
        """Return a non-empty prefix of the blocks `first..last`, contiguous, whole and confirmed by the quorum.

        On EVM a block stands at every height, so a missing one is a gap, never an empty range.

        Raises:
            GapError, ForkedBlock, NotEnoughAnswers, ChainError: nothing of the range may be used.
        """
        assert 0 <= first <= last, f"no range: {first}..{last}"
        return await self.access.reader.read(first, last, self._extract)

    def _extract(self, sealed: Sealed) -> Block:
        return read_block(sealed.block, sealed.receipts, self.access.listing)

    async def balances(self, asset: Asset, addresses: Sequence[str], height: int) -> Sequence[int]:
        """Return base units held by each address after the block at `height`."""
        return await self.access.state.balances(asset, addresses, await self._hash(height))

    async def locate(self, asset: Asset, address: str, first: int, last: int) -> Sequence[tuple[Block, Transfer]]:
        """Find native arrivals at `address` that no transaction carries, see `chains.evm.internal`; none of a token."""
        if not asset.is_native:
            return []
        access = self.access
        finder = InternalFinder(access.quorum, access.reader, access.state, asset, traces=self._traces)
        return await finder.locate(address, first, last)

    async def fate(self, txid: str) -> Fate:
        """Say what became of a transaction; only a block at or below the final one makes it `FINAL` or `FAILED`.

        Raises:
            Invalid: no transaction id.
        """
        if not _TXID.fullmatch(txid):
            raise Invalid("an EVM transaction id is 0x and 64 hex digits", param="txid")
        found = await self.access.lookup.find(txid.lower(), self._transfers)
        return Fate(found.state, found.block, found.fact or ())

    def _transfers(self, tx: Transaction, receipt: Receipt) -> tuple[Transfer, ...]:
        return tuple(read_transaction(tx, receipt, self.access.listing)) if is_success(receipt) else ()

    async def probe(self, asset: Asset) -> TokenFacts:
        """Return what a token's contract says of itself at the final block, agreed by the quorum.

        `chains.token.objections` holds it against the registry row. A native coin has no contract.
        """
        assert not asset.is_native, f"{asset.id} has no contract"
        final = (await self.head()).final
        return await self.access.quorum.agree(lambda node: read_facts(node, asset.contract, final.hash))

    async def view(self, asset: Asset, function: str, arguments: bytes = b"") -> bytes:
        """Return what a view function of a token answers, see `chains.traits.TokenViewer`."""
        at = (await self.head()).final.hash
        return await self.access.quorum.agree(lambda node: view(node, asset.contract, function, at, arguments))

    async def try_transfer(self, asset: Asset, holder: str, units: int) -> Trial:
        """Try a transfer without sending it, see `chains.trial.TokenTrier`."""
        at = (await self.head()).final.hash
        return await self.access.quorum.agree(lambda node: try_transfer(node, asset.contract, holder, units, at))

    async def endpoints(self) -> Sequence[EndpointStatus]:
        """Ask every endpoint for its newest block."""
        return await self.access.quorum.statuses(_height)

    async def aclose(self) -> None:
        """Close all connections."""
        await self.access.aclose()

    async def _hash(self, height: int) -> str:
        block_hash = await self.block_hash(height)
        if block_hash is None:
            raise GapError(f"no block at height {height}")
        return block_hash


async def _height(node: EvmNode) -> tuple[int | None, str]:
    (latest,) = await node.stamps(["latest"])
    return (None if latest is None else block_ref(latest).height), ""
