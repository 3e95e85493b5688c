"""`SolanaChain`: the `Chain` protocol on Solana nodes, with nothing believed that one operator alone says."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from bitlinkpay.chains.base import Block, ChainError, EndpointStatus, Fate, FateState, Head, Transfer
from bitlinkpay.chains.finality import Finality
from bitlinkpay.chains.quorum import Quorum
from bitlinkpay.chains.rpc import JsonRpc
from bitlinkpay.chains.solana.node import SolanaNode
from bitlinkpay.chains.solana.reader import BlockReader
from bitlinkpay.chains.solana.state import StateReader
from bitlinkpay.chains.solana.token import read_facts
from bitlinkpay.chains.solana.tracking import find_final, find_status
from bitlinkpay.chains.solana.transfers import Listing, read_transaction
from bitlinkpay.chains.solana.trial import try_transfer
from bitlinkpay.chains.solana.wire import is_signature
from bitlinkpay.chains.token import TokenFacts
from bitlinkpay.chains.transport import Endpoint
from bitlinkpay.chains.trial import Trial
from bitlinkpay.core.assets import Asset, Network
from bitlinkpay.core.errors import Invalid

_LAG_MAX = 150  # slots behind the best endpoint from which on one is shown as unhealthy: about a minute


@dataclass(frozen=True, slots=True)
class SolanaOptions:
    """What a Solana network needs beyond its registry row.

    Attributes:
        range_max: most blocks in one read; a full one is several megabytes.
        patience: how long to wait for an endpoint before the next one is asked too.
    """

    range_max: int = 8
    patience: timedelta = timedelta(seconds=3)

    def __post_init__(self) -> None:
        if self.range_max < 1:
            raise Invalid("range_max must be positive", param="range_max")


class SolanaChain:
    """One Solana network. See `chains.base.Chain` for what each method promises. A block's height is its slot."""

    def __init__(
        self,
        network: Network,
        assets: Sequence[Asset],
        endpoints: Sequence[Endpoint],
        *,
        quorum: int,
        options: SolanaOptions | None = None,
    ) -> None:
        """Connect lazily to `endpoints`, the preferred ones first.

        Raises:
            Invalid: fewer endpoints of different operators than `quorum`, an asset of another network, or a token of a
                standard that Solana does not have.
        """
        if any(asset.network != network.id for asset in assets):
            raise Invalid(f"an asset of another network was given to {network.id}")
        options = options or SolanaOptions()
        self.network = network
        self.nodes = tuple(SolanaNode(JsonRpc(endpoint), network) for endpoint in endpoints)
        self.quorum = Quorum(self.nodes, quorum, patience=options.patience)
        self.finality = Finality(self.quorum, SolanaNode.view, SolanaNode.ref_at)
        self._listing = Listing(assets)
        self._reader = BlockReader(self.quorum, self._listing, range_max=options.range_max)
        self._state = StateReader(self.quorum)

    async def head(self) -> Head:
        """Return the newest final block, as the newest one too (THREATS SOL-02): `confirmed` blocks may vanish."""
        return await self.finality.head()

    async def block_hash(self, height: int) -> str | None:
        """Return the hash of the final block at a slot, None where the quorum proves that none stands there."""
        return await self.quorum.agree(lambda node: node.hash_at(height))

    async def scan(self, first: int, last: int) -> Sequence[Block]:
        """Return the first final blocks of the slots `first..last`, contiguous, whole and equal from a quorum.

        Raises:
            GapError, ForkedBlock, NotEnoughAnswers, ChainError: nothing of the range may be used.
        """
        assert 0 <= first <= last, f"no range: {first}..{last}"
        return await self._reader.read(first, last)

    async def balances(self, asset: Asset, addresses: Sequence[str], height: int) -> Sequence[int]:
        """Return base units held by each owner address after the block at `height`, see `chains.solana.state`."""
        return await self._state.balances(asset, addresses, height)

    async def locate(self, _asset: Asset, _address: str, _first: int, _last: int) -> Sequence[tuple[Block, Transfer]]:
        """Return nothing: balances show every arrival, so `scan` sees what programs moved among themselves too."""
        return []

    async def fate(self, txid: str) -> Fate:
        """Say what became of a transaction; one in a block that is not final has no block yet.

        Raises:
            Invalid: no transaction id.
        """
        if not is_signature(txid):
            raise Invalid("a Solana transaction id is 64 bytes in Base58", param="txid")
        status = await find_status(self.quorum, txid)
        if status is None or not status.is_final:
            return Fate(FateState.UNKNOWN if status is None else FateState.MINED)
        block, transfers = await find_final(
            self.quorum, txid, status, lambda found: tuple(read_transaction(found, self._listing))
        )
        return Fate(FateState.FINAL if status.is_success else FateState.FAILED, block, transfers)

    async def probe(self, asset: Asset) -> TokenFacts:
        """Return what a token's mint says of itself now, agreed by the quorum.

        `chains.token.objections` holds it against the registry row. A native coin has no mint.
        """
        assert not asset.is_native, f"{asset.id} has no mint"
        return await self.quorum.agree(lambda node: read_facts(node, asset))

    async def try_transfer(self, asset: Asset, holder: str, units: int) -> Trial:
        """Try a transfer without sending it, see `chains.trial.TokenTrier`."""
        final = (await self.head()).final.height
        return await self.quorum.agree(lambda node: try_transfer(node, asset, holder, units, final))

    async def endpoints(self) -> Sequence[EndpointStatus]:
        """Ask every endpoint for its newest final slot; one far behind the others is not healthy."""
        slots = await asyncio.gather(*(node.final_slot() for node in self.nodes), return_exceptions=True)
        best = max((slot for slot in slots if isinstance(slot, int)), default=0)
        return [self._status(node, slot, best) for node, slot in zip(self.nodes, slots, strict=True)]

    def _status(self, node: SolanaNode, slot: int | BaseException, best: int) -> EndpointStatus:
        if isinstance(slot, ChainError):
            return EndpointStatus(node.label, is_healthy=False, height=None, error=str(slot))
        if isinstance(slot, BaseException):
            raise slot
        lag = f"{best - slot} slots behind the best endpoint" if best - slot > _LAG_MAX else ""
        error = self.quorum.doubt_about(node) or lag
        return EndpointStatus(node.label, is_healthy=not error, height=slot, error=error)

    async def aclose(self) -> None:
        """Close all connections."""
        for node in self.nodes:
            await node.rpc.aclose()
