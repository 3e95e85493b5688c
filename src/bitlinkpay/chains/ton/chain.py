"""`TonChain`: the `Chain` protocol on indexers of TON, with nothing believed that fewer than the quorum say."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial

from bitlinkpay.chains.base import (
    Block,
    BlockRef,
    ChainError,
    EndpointStatus,
    Fate,
    FateState,
    Head,
    Transfer,
)
from bitlinkpay.chains.finality import Finality
from bitlinkpay.chains.findings import Findings
from bitlinkpay.chains.quorum import Quorum
from bitlinkpay.chains.token import TokenFacts
from bitlinkpay.chains.ton.history import height_of, is_committed
from bitlinkpay.chains.ton.node import TonNode
from bitlinkpay.chains.ton.reader import RangeReader, block_ref
from bitlinkpay.chains.ton.state import coins_at, jettons_at
from bitlinkpay.chains.ton.token import read_facts
from bitlinkpay.chains.ton.transfers import Holdings
from bitlinkpay.chains.ton.trial import find_holders, try_transfer
from bitlinkpay.chains.ton.watching import newest_orders, sum_up, watch
from bitlinkpay.chains.ton.wire import Malformed, canonical_address, canonical_hash
from bitlinkpay.chains.transport import Endpoint
from bitlinkpay.chains.trial import CannotTry, Trial
from bitlinkpay.core.assets import Asset, Network
from bitlinkpay.core.clock import Clock, SystemClock
from bitlinkpay.core.errors import Invalid


@dataclass(frozen=True, slots=True)
class TonOptions:
    """What a TON network needs beyond its registry row.

    Attributes:
        range_max: most masterchain blocks in one read.
        patience: how long to wait for an endpoint before the next one is asked too.
        lag_max: a node whose newest block is older is not believed to be at the end of the chain.
    """

    range_max: int = 32
    patience: timedelta = timedelta(seconds=3)
    lag_max: timedelta = timedelta(minutes=1)


class TonChain:
    """One TON network. See `chains.base.Chain` for what each method promises.

    A height is a masterchain seqno; a block's transfers are what came to our wallet in all that it commits.
    """

    def __init__(
        self,
        network: Network,
        assets: Sequence[Asset],
        endpoints: Sequence[Endpoint],
        *,
        wallet: str,
        quorum: int,
        options: TonOptions | None = None,
        clock: Clock | None = None,
    ) -> None:
        """Connect lazily to `endpoints`, the preferred ones first.

        Args:
            network: registry row.
            assets: all assets of the network.
            endpoints: bases of API v3.
            wallet: canonical address of our one wallet.
            quorum: how many operators must agree.
            options: see there.
            clock: to tell how far a node is behind.

        Raises:
            Invalid: fewer endpoints of different operators than `quorum`, or an asset of another network.
        """
        if any(asset.network != network.id for asset in assets):
            raise Invalid(f"an asset of another network was given to {network.id}")
        options = options or TonOptions()
        self.network = network
        self._nodes = [TonNode(endpoint, network) for endpoint in endpoints]
        self.quorum = Quorum(self._nodes, quorum, patience=options.patience)
        self._holdings = Holdings(wallet, assets)
        self._finality = Finality(self.quorum, self._view, ref_at)
        self._clock = clock or SystemClock()
        self._lag_max = options.lag_max
        self._reader = RangeReader(self.quorum, self._holdings, range_max=options.range_max)

    async def head(self) -> Head:
        """Return the newest masterchain block, which is final."""
        return await self._finality.head()

    async def _view(self, node: TonNode) -> tuple[BlockRef, BlockRef]:
        newest = block_ref(await node.newest())
        if lag := self._lag(newest):
            raise ChainError(f"{node.label} {lag}")
        return newest, newest  # a masterchain block is final as soon as it exists

    def _lag(self, newest: BlockRef) -> str:
        """Say how far behind a node's newest block is, "" if it is not."""
        age = self._clock.now() - newest.time
        return f"is {age // timedelta(seconds=1)} s behind" if age > self._lag_max else ""

    async def block_hash(self, height: int) -> str | None:
        """Return the hash at a height that the quorum agrees on, None if they agree that no block stands there."""
        ref = await self.quorum.agree(lambda node: ref_at(node, height))
        return None if ref is None else ref.hash

    async def scan(self, first: int, last: int) -> Sequence[Block]:
        """Return a non-empty prefix of the masterchain blocks `first..last`, whole and confirmed by the quorum.

        Raises:
            GapError, ForkedBlock, NotEnoughAnswers, ChainError: nothing of the range may be used.
        """
        assert 0 < first <= last, f"no range: {first}..{last}"
        return await self._reader.read(first, last)

    async def balances(self, asset: Asset, addresses: Sequence[str], height: int) -> Sequence[int]:
        """Return base units held by each address after the masterchain block at `height`."""
        return [await self._balance(asset, address, height) for address in addresses]

    async def _balance(self, asset: Asset, address: str, height: int) -> int:
        if asset.is_native:
            return await self.quorum.agree(lambda node: coins_at(node, address, height))
        return await self.quorum.agree(lambda node: jettons_at(node, asset, address, height))

    async def locate(self, asset: Asset, address: str, first: int, last: int) -> Sequence[tuple[Block, Transfer]]:
        """Return nothing: on TON all money comes by messages, and `scan` sees every one that our accounts got."""
        del asset, address, first, last
        return []

    async def fate(self, txid: str) -> Fate:
        """Say what became of a transaction, named by its own hash or by that of the message it took.

        Raises:
            Invalid: no transaction id.
        """
        try:
            wanted = canonical_hash(txid)
        except Malformed:
            raise Invalid("a TON transaction id is a hash of 32 bytes in Base64", param="txid") from None
        return await self.quorum.agree(lambda node: self._fate(node, wanted))

    async def _fate(self, node: TonNode, txid: str) -> Fate:
        found = await node.find_transaction(txid)
        if found is None:
            return Fate(FateState.UNKNOWN)
        if not is_committed(found):
            return Fate(FateState.PENDING)
        block = block_ref(await node.header(height_of(found)))
        is_ours = canonical_address(found.account) in self._holdings.accounts
        transfer = self._holdings.transfer_of(found) if is_ours else None
        is_done = transfer is not None or not found.description.aborted
        return Fate(FateState.FINAL if is_done else FateState.FAILED, block, () if transfer is None else (transfer,))

    async def probe(self, asset: Asset) -> TokenFacts:
        """Return what a jetton's contracts say of themselves, agreed by the quorum; a native coin has none."""
        assert not asset.is_native, f"{asset.id} has no contract"
        return await self.quorum.agree(lambda node: read_facts(node, asset, self._holdings.wallet))

    async def holders(self, asset: Asset) -> Sequence[str]:
        """Return some whose transfers can be tried, see `chains.trial.HolderFinder`."""
        return await self.quorum.first(lambda node: find_holders(node, asset))

    async def try_transfer(self, asset: Asset, holder: str, units: int) -> Trial:
        """Try a transfer without sending it, see `chains.trial.TokenTrier`."""
        unable: list[str] = []
        seen: list[Trial] = []

        async def ask(node: TonNode) -> Trial:
            try:
                seen.append(await try_transfer(node, asset, holder, units))
            except CannotTry as error:
                unable.append(str(error))
                raise
            return seen[-1]

        try:
            return await self.quorum.agree(ask)
        except ChainError:
            if not unable or len(set(seen)) > 1:
                raise
        if not seen:
            raise CannotTry(unable[0])
        few = f"tried by {len(seen)} of the {self.quorum.size} endpoints that have to agree"
        return replace(seen[0], doubt=f"{few}: {unable[0]}")

    async def watch_transfers(self, asset: Asset) -> Findings:
        """Judge a jetton by its newest transfers, see `chains.trial.TransferWatcher`."""
        orders = await self.quorum.first(lambda node: newest_orders(node, asset))
        said = [await self.quorum.agree(partial(watch, asset=asset, txid=txid)) for txid in orders]
        return sum_up([one for one in said if one is not None])

    async def endpoints(self) -> Sequence[EndpointStatus]:
        """Ask every endpoint for its newest masterchain block."""
        return await self.quorum.statuses(self._status)

    async def _status(self, node: TonNode) -> tuple[int | None, str]:
        newest = block_ref(await node.newest())
        return newest.height, self._lag(newest)

    async def aclose(self) -> None:
        """Close all connections."""
        for node in self._nodes:
            await node.aclose()


async def ref_at(node: TonNode, height: int) -> BlockRef | None:
    """Return where a node's masterchain block of a height stands, None where it has none."""
    header = await node.find_header(height)
    return None if header is None else block_ref(header)
