"""`TronChain`: the `Chain` protocol on real TRON nodes, with nothing believed that one node alone says."""

import re
from collections.abc import Sequence

from bitlinkpay.chains.base import Arrival, Block, ChainError, EndpointStatus, Fate, FateState, Head, Transfer
from bitlinkpay.chains.token import TokenFacts
from bitlinkpay.chains.transport import Endpoint
from bitlinkpay.chains.trial import Trial
from bitlinkpay.chains.tron.access import TronAccess, TronOptions
from bitlinkpay.chains.tron.node import TronNode
from bitlinkpay.chains.tron.sealed import Sealed
from bitlinkpay.chains.tron.token import read_facts, view
from bitlinkpay.chains.tron.transfers import read_block
from bitlinkpay.chains.tron.trial import try_transfer
from bitlinkpay.core.assets import Asset, Network
from bitlinkpay.core.errors import Invalid

_TXID = re.compile(r"[0-9a-fA-F]{64}", re.ASCII)
_LOCATE_BLOCKS = 256  # a hidden arrival is looked for within the minute after it


class TronChain:
    """One TRON network. See `chains.base.Chain` for what each method promises."""

    def __init__(
        self,
        network: Network,
        assets: Sequence[Asset],
        endpoints: Sequence[Endpoint],
        *,
        quorum: int,
        options: TronOptions | None = None,
    ) -> None:
        """Connect lazily to `endpoints`, see `TronAccess`.

        Raises:
            Invalid: see there.
        """
        self.network = network
        self.access = TronAccess(network, assets, endpoints, quorum=quorum, options=options or TronOptions())

    async def head(self) -> Head:
        """Return the newest block (for display) and the newest solidified one, see `Finality.head`."""
        return await self.access.finality.head()

    async def block_hash(self, height: int) -> str | None:
        """Return the block id at a height that the quorum agrees on, None if they agree that no block stands there."""
        ref = await self.access.quorum.agree(lambda node: node.ref_at(height))
        return None if ref is None else ref.hash

    async def scan(self, first: int, last: int) -> Sequence[Block]:
        """Return a non-empty prefix of the blocks `first..last`, contiguous, whole and agreed by the quorum.

        On TRON a block stands at every height, so a missing one is a gap, never an empty range.

        Raises:
            GapError, ForkedBlock, NotEnoughAnswers, ChainError: nothing of the range may be used.
        """
        assert 0 <= first <= last, f"no range: {first}..{last}"
        return await self.access.reader.read(first, last, self._extract)

    def _extract(self, sealed: Sealed) -> Block:
        return read_block(sealed, self.access.listing)

    async def balances(self, asset: Asset, addresses: Sequence[str], height: int) -> Sequence[int]:
        """Return base units held by each address after the block at `height`, see `chains.tron.state`."""
        return await self.access.state.balances(asset, addresses, height)

    async def locate(self, asset: Asset, address: str, first: int, last: int) -> Sequence[tuple[Block, Transfer]]:
        """Read the newest blocks of `first..last` again for inner transfers to `address`.

        `scan` sees those too, where the endpoints keep inner transactions; one that did not may do so now.

        Raises:
            ChainError: nothing in them explains what the address holds.
        """
        if not asset.is_native:
            return []
        found: list[tuple[Block, Transfer]] = []
        height = max(first, last - _LOCATE_BLOCKS + 1)
        while height <= last:
            blocks = await self.scan(height, last)
            found += [
                (block, transfer) for block in blocks for transfer in block.transfers if _is_inner(transfer, address)
            ]
            height += len(blocks)
        if not found:
            raise ChainError(f"no inner transaction explains {address}: endpoints must keep them (vm.saveInternalTx)")
        return found

    async def fate(self, txid: str) -> Fate:
        """Say what became of a transaction; only a block at or below the final one makes it `FINAL` or `FAILED`.

        Raises:
            Invalid: no transaction id.
        """
        if not _TXID.fullmatch(txid):
            raise Invalid("a TRON transaction id is 64 hex digits", param="txid")
        txid = txid.lower()
        final = (await self.head()).final  # before it is looked up, see `tracking.outcome_of`
        placed = await self.access.find(txid)
        if placed is None:
            return Fate(FateState.PENDING if await self.access.is_pending(txid) else FateState.UNKNOWN)
        if placed.ref.height > final.height:
            return Fate(FateState.MINED, placed.ref, placed.transfers)
        return Fate(FateState.FINAL if placed.is_success else FateState.FAILED, placed.ref, placed.transfers)

    async def probe(self, asset: Asset) -> TokenFacts:
        """Return what a token's contract says of itself, agreed by the quorum.

        `chains.token.objections` holds it against the registry row. A native coin has no contract.
        """
        assert not asset.is_native, f"{asset.id} has no contract"
        return await self.access.quorum.agree(lambda node: read_facts(node, asset.contract))

    async def view(self, asset: Asset, function: str, arguments: bytes = b"") -> bytes:
        """Return what a view function of a token answers, see `chains.traits.TokenViewer`."""
        return await self.access.quorum.agree(lambda node: view(node, asset.contract, function, arguments))

    async def try_transfer(self, asset: Asset, holder: str, units: int) -> Trial:
        """Try a transfer without sending it, see `chains.trial.TokenTrier`."""
        return await self.access.quorum.agree(lambda node: try_transfer(node, asset.contract, holder, units))

    async def endpoints(self) -> Sequence[EndpointStatus]:
        """Ask every endpoint for its newest block."""
        return await self.access.quorum.statuses(_height)

    async def aclose(self) -> None:
        """Close all connections."""
        await self.access.aclose()


def _is_inner(transfer: Transfer, address: str) -> bool:
    return transfer.target == address and transfer.arrival is not Arrival.DIRECT


async def _height(node: TronNode) -> tuple[int | None, str]:
    latest, _ = await node.heads()
    return latest.height, ""
