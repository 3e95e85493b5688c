"""The endpoints of one EVM network and the readers on them: what its chain and its sender share."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from bitlinkpay.chains.evm.lookup import Lookup
from bitlinkpay.chains.evm.node import EvmNode
from bitlinkpay.chains.evm.reader import BlockReader, Proof
from bitlinkpay.chains.evm.state import StateReader
from bitlinkpay.chains.evm.transfers import Listing
from bitlinkpay.chains.finality import Finality
from bitlinkpay.chains.quorum import Quorum
from bitlinkpay.chains.rpc import JsonRpc
from bitlinkpay.chains.transport import Endpoint
from bitlinkpay.core.assets import Asset, Network
from bitlinkpay.core.errors import Invalid


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


class EvmAccess:
    """How one network is read."""

    def __init__(
        self,
        network: Network,
        assets: Sequence[Asset],
        endpoints: Sequence[Endpoint],
        *,
        quorum: int,
        options: EvmOptions,
    ) -> None:
        """Connect lazily to `endpoints`, the preferred ones first.

        Raises:
            Invalid: fewer endpoints of different operators than `quorum`, or an asset of another network.
        """
        if any(asset.network != network.id for asset in assets):
            raise Invalid(f"an asset of another network was given to {network.id}")
        self.network = network
        self.assets = {asset.id: asset for asset in assets}
        self.listing = Listing(assets)
        self.nodes = [EvmNode(JsonRpc(endpoint), network) for endpoint in endpoints]
        self.quorum = Quorum(self.nodes, quorum, patience=options.patience)
        self.finality = Finality(self.quorum, lambda node: node.heads(options.finality), EvmNode.ref_at)
        self.reader = BlockReader(self.quorum, options.proof, range_max=options.range_max)
        self.state = StateReader(self.quorum)
        self.lookup = Lookup(self.quorum, self.reader, self.finality)

    async def aclose(self) -> None:
        """Close all connections."""
        for node in self.nodes:
            await node.rpc.aclose()
