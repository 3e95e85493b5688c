"""`BitcoinChain`: the `Chain` protocol on real Bitcoin nodes, with nothing believed that one node alone says."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from bitlinkpay.chains.base import Arrival, Block, EndpointStatus, Fate, FateState, Head, Transfer
from bitlinkpay.chains.bitcoin import unspent
from bitlinkpay.chains.bitcoin.freshness import check_age
from bitlinkpay.chains.bitcoin.lookup import TXID, Lookup
from bitlinkpay.chains.bitcoin.mempool import Mempool
from bitlinkpay.chains.bitcoin.node import BitcoinNode
from bitlinkpay.chains.bitcoin.payers import PayerReader
from bitlinkpay.chains.bitcoin.reader import BlockReader
from bitlinkpay.chains.bitcoin.script import prefixes_of
from bitlinkpay.chains.bitcoin.transfers import read_transfers, read_transfers_of
from bitlinkpay.chains.finality import Finality
from bitlinkpay.chains.outputs import Place
from bitlinkpay.chains.quorum import Quorum
from bitlinkpay.chains.rpc import JsonRpc
from bitlinkpay.chains.transport import Endpoint
from bitlinkpay.chains.waiting import Waiting
from bitlinkpay.core.assets import Asset, Network
from bitlinkpay.core.errors import Invalid

COINBASE_MATURITY: Final = 100  # consensus: new coins can be spent in the 100th block after their own


@dataclass(frozen=True, slots=True)
class BitcoinOptions:
    """What a Bitcoin network needs beyond its registry row.

    Attributes:
        range_max: most blocks in one read; a full one is up to 8 MB of hex.
        patience: how long to wait for an endpoint before the next one is asked too.
        tip_age_max: how old the newest block may be before the nodes are held to be cut off; None: any age. Blocks
            come every 10 minutes on average, so that 3 hours without one happen once in 65 million blocks.
    """

    range_max: int = 4
    patience: timedelta = timedelta(seconds=3)
    tip_age_max: timedelta | None = timedelta(hours=3)

    def __post_init__(self) -> None:
        if self.range_max < 1:
            raise Invalid("range_max must be positive", param="range_max")


class BitcoinChain:
    """One Bitcoin network. See `chains.base.Chain` and `chains.outputs.OutputChain` for what each method promises.

    `nodes`, `quorum`, `reader` and `lookup` are for the family's own `BitcoinSender`.
    """

    def __init__(
        self,
        network: Network,
        assets: Sequence[Asset],
        endpoints: Sequence[Endpoint],
        *,
        quorum: int,
        options: BitcoinOptions | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Connect lazily to `endpoints`, the preferred ones first.

        Raises:
            Invalid: fewer endpoints of different operators than `quorum`, or another asset than the network's coin.
        """
        if [asset.is_native for asset in assets] != [True] or assets[0].network != network.id:
            raise Invalid(f"{network.id} has its own coin and no other asset: take the others out of the registry")
        options = options or BitcoinOptions()
        self.network = network
        self._asset = assets[0].id
        self._prefixes = prefixes_of(network)
        self.nodes = [BitcoinNode(JsonRpc(endpoint), network) for endpoint in endpoints]
        self.quorum = Quorum(self.nodes, quorum, patience=options.patience)
        self._tip_age_max = options.tip_age_max
        self._now = now
        depth = network.confirmations - 1
        self._finality = Finality(self.quorum, lambda node: node.view(depth), BitcoinNode.find_ref)
        self.reader = BlockReader(self.quorum, range_max=options.range_max)
        self.lookup = Lookup(self.quorum, self.reader)
        self._payers = PayerReader(self.quorum, self._prefixes)
        self._search = unspent.Search(network, endpoints, quorum, self._prefixes)
        self._mempool = Mempool(self.quorum)

    async def head(self) -> Head:
        """Return the newest block and the one that the network's count of confirmations makes final.

        Raises:
            StalledTip: the newest block is too old to be the chain's.
            ForkedBlock, NotEnoughAnswers, ChainError: see `Finality.head`.
        """
        head = await self._finality.head()
        check_age(head.latest, self._now(), self._tip_age_max)
        return head

    async def block_hash(self, height: int) -> str | None:
        """Return the hash at a height that the quorum agrees on, None if they agree that no block stands there yet."""
        return await self.quorum.agree(lambda node: node.hash_at(height))

    async def scan(self, first: int, last: int) -> Sequence[Block]:
        """Return a non-empty prefix of the blocks `first..last`, contiguous, whole and confirmed by the quorum.

        Raises:
            GapError, ForkedBlock, NotEnoughAnswers, ChainError: nothing of the range may be used.
        """
        assert 0 <= first <= last, f"no range: {first}..{last}"
        return await self.reader.read(
            first, last, lambda block, height: read_transfers_of(block, height, self._asset, self._prefixes)
        )

    async def balances(self, asset: Asset, addresses: Sequence[str], height: int) -> Sequence[int]:
        """Return base units held by each address after the block at `height`: a search of minutes, see `unspent`."""
        assert asset.id == self._asset, f"{asset.id} is not on {self.network.id}"
        return await self._search.balances(addresses, height)

    async def locate(self, asset: Asset, address: str, first: int, last: int) -> Sequence[tuple[Block, Transfer]]:
        """Return nothing: no money moves on Bitcoin that a block does not show."""
        del asset, address, first, last
        return ()

    async def fate(self, txid: str) -> Fate:
        """Say what became of a transaction; only a block at or below the final one makes it `FINAL`.

        Without a transaction index, nodes know those that wait and those with an unspent one of their first outputs.

        Raises:
            Invalid: no transaction id.
        """
        txid = txid.lower()
        if not TXID.fullmatch(txid):
            raise Invalid("a Bitcoin transaction id is 64 hex digits", param="txid")
        found = await self.lookup.find(txid)
        if isinstance(found, bool):
            return Fate(FateState.PENDING if found else FateState.UNKNOWN)
        transfers = tuple(read_transfers(found.transaction, self._asset, self._prefixes))
        is_final = found.block.height <= (await self.head()).final.height
        return Fate(FateState.FINAL if is_final else FateState.MINED, found.block, transfers)

    def confirmations(self, asset: Asset, units: int, arrival: Arrival) -> int:
        """Return the network's count, more where the asset's `depths` ask for it, and 101 for new coins."""
        needed = [depth.confirmations for depth in asset.depths if units >= depth.from_units]
        if arrival is Arrival.SYSTEM:
            needed.append(COINBASE_MATURITY + 1)
        return max(self.network.confirmations, *needed, 1)

    async def are_unspent(self, places: Sequence[Place]) -> Sequence[bool]:
        """Say of each output whether the nodes' own state holds it as it was seen: one call each and operator."""
        if not places:
            return []
        return await self.quorum.agree(lambda node: unspent.are_unspent(node, places, self._prefixes))

    async def payers(self, place: Place) -> Sequence[str]:
        """Return whose money the transaction spent, see `PayerReader`."""
        return await self._payers.payers(place)

    async def waiting(self) -> Waiting:
        """Return what transactions that wait would pay, see `chains.waiting.WaitingChain`."""
        fresh, txids = await self._mempool.look()
        paid = [t for transaction in fresh for t in read_transfers(transaction, self._asset, self._prefixes)]
        return Waiting(tuple(paid), txids)

    async def endpoints(self) -> Sequence[EndpointStatus]:
        """Ask every endpoint for the height of its newest block."""
        return await self.quorum.statuses(_height)

    async def aclose(self) -> None:
        """Close all connections."""
        for node in self.nodes:
            await node.rpc.aclose()
        await self._search.aclose()


async def _height(node: BitcoinNode) -> tuple[int | None, str]:
    return await node.height(), ""
