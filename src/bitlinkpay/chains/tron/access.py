"""The endpoints of one TRON network and the readers on them: what its chain and its sender share."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from bitlinkpay.chains.base import BlockRef, ChainError, Transfer
from bitlinkpay.chains.finality import Finality
from bitlinkpay.chains.quorum import Quorum
from bitlinkpay.chains.transport import Endpoint, fewest_operators
from bitlinkpay.chains.tron.node import Api, TronNode
from bitlinkpay.chains.tron.reader import BlockReader, Proof
from bitlinkpay.chains.tron.sealed import Sealed
from bitlinkpay.chains.tron.state import StateReader
from bitlinkpay.chains.tron.transfers import Listing, read_transaction
from bitlinkpay.chains.tron.wire import PENDING
from bitlinkpay.core.assets import Asset, Network
from bitlinkpay.core.errors import Invalid


@dataclass(frozen=True, slots=True)
class TronOptions:
    """What a TRON network needs beyond its registry row.

    Attributes:
        proof: what becomes of a block that does not hash to its root, see `chains.tron.reader`.
        range_max: most blocks in one read.
        patience: how long to wait for an endpoint before the next one is asked too.
    """

    proof: Proof = Proof.RECOMPUTED
    range_max: int = 8
    patience: timedelta = timedelta(seconds=3)


@dataclass(frozen=True, slots=True)
class Placed:
    """A transaction in its block: what endpoints must agree on of it.

    Attributes:
        ref: the block.
        is_success: whether it took effect.
        ended: how the block says that it ended, such as `SUCCESS` or `OUT_OF_ENERGY`.
        fee_units: sun that its sender paid.
        transfers: of listed assets.
    """

    ref: BlockRef
    is_success: bool
    ended: str
    fee_units: int
    transfers: tuple[Transfer, ...]


class TronAccess:
    """How one network is read."""

    def __init__(
        self,
        network: Network,
        assets: Sequence[Asset],
        endpoints: Sequence[Endpoint],
        *,
        quorum: int,
        options: TronOptions,
    ) -> None:
        """Connect lazily to `endpoints`, the preferred ones first.

        Raises:
            Invalid: fewer endpoints of different operators than `quorum`, a URL that is none, or an asset of another
                network.
        """
        if any(asset.network != network.id for asset in assets):
            raise Invalid(f"an asset of another network was given to {network.id}")
        self.network = network
        self.assets = {asset.id: asset for asset in assets}
        self.nodes = [TronNode(endpoint, network) for endpoint in endpoints]
        self.quorum = Quorum(self.nodes, quorum, patience=options.patience)
        self.listing = Listing(assets)
        self.finality = Finality(self.quorum, TronNode.heads, TronNode.ref_at)
        self.operators = fewest_operators(endpoints, quorum)
        self.reader = BlockReader(
            self.quorum, self.finality, options.proof, operators=self.operators, range_max=options.range_max
        )
        self.state = StateReader(self.quorum, self.reader)

    async def find(self, txid: str) -> Placed | None:
        """Return a transaction as the quorum has it in a block, None if it agrees that no block holds it.

        Raises:
            ChainError: it moved to another block meanwhile.
        """
        height = await self.quorum.agree(lambda node: node.height_of(Api.FULL, txid))
        if height is None:
            return None
        (placed,) = await self.reader.read(height, height, lambda sealed: self._place(sealed, txid))
        if placed is None:
            raise ChainError(f"transaction {txid} moved to another block while it was looked up")
        return placed

    def _place(self, sealed: Sealed, txid: str) -> Placed | None:
        for executed in sealed.executed:
            if executed.txid == txid:
                transfers = tuple(read_transaction(executed, self.listing))
                return Placed(sealed.ref, executed.is_success, executed.ended, executed.info.fee, transfers)
        return None

    async def is_pending(self, txid: str) -> bool:
        """Say whether any endpoint has a transaction in its pool."""

        async def ask(node: TronNode) -> bool:
            try:
                return (await node.ask(Api.FULL, "gettransactionfrompending", {"value": txid}, PENDING)).id == txid
            except ChainError:
                return False

        return any(await asyncio.gather(*map(ask, self.nodes)))

    async def aclose(self) -> None:
        """Close all connections."""
        for node in self.nodes:
            await node.aclose()
