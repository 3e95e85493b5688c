"""Where the chain stands, as a quorum sees it. A masterchain block is final as soon as it exists."""

from datetime import timedelta

from bitlinkpay.chains.base import BlockRef, ChainError, ForkedBlock, Head
from bitlinkpay.chains.quorum import Quorum
from bitlinkpay.chains.ton.node import TonNode
from bitlinkpay.chains.ton.reader import block_ref
from bitlinkpay.core.clock import Clock


class Finality:
    """Follows the masterchain."""

    def __init__(self, quorum: Quorum[TonNode], clock: Clock, lag_max: timedelta) -> None:
        """Take `lag_max`: a node whose newest block is older by our clock is not believed to be at the end."""
        self._quorum = quorum
        self._clock = clock
        self._lag_max = lag_max
        self._reached: BlockRef | None = None

    async def head(self) -> Head:
        """Return the highest block that `quorum` operators have reached, agreed by hash; it never goes backwards.

        Raises:
            ForkedBlock: a block that was seen is not in the chain any more.
            NotEnoughAnswers, ChainError: the quorum could not be asked, or its nodes are too far behind.
        """
        views = dict(await self._quorum.survey(self._view))
        height = sorted((ref.height for ref in views.values()), reverse=True)[self._quorum.size - 1]

        async def at_height(node: TonNode) -> BlockRef:
            if node not in views or views[node].height < height:
                raise ChainError(f"{node.label} has not reached block {height}")
            return views[node] if views[node].height == height else block_ref(await node.header(height))

        reached = await self._forward(await self._quorum.agree(at_height))
        return Head(latest=reached, final=reached)

    async def _view(self, node: TonNode) -> BlockRef:
        ref = block_ref(await node.newest())
        if lag := self.lag(ref):
            raise ChainError(f"{node.label} {lag}")
        return ref

    def lag(self, newest: BlockRef) -> str:
        """Say how far behind a node's newest block is, "" if it is not."""
        age = self._clock.now() - newest.time
        return f"is {age // timedelta(seconds=1)} s behind" if age > self._lag_max else ""

    async def _forward(self, ref: BlockRef) -> BlockRef:
        reached = self._reached
        if reached is not None and ref.height <= reached.height:
            held = (
                ref.hash
                if ref.height == reached.height
                else await self._quorum.agree(lambda node: hash_at(node, reached.height))
            )
            if held not in {None, reached.hash}:
                raise ForkedBlock(f"block {reached.height} was final and is {held} now")
            return reached
        self._reached = ref
        return ref


async def hash_at(node: TonNode, height: int) -> str | None:
    """Return the hash of a node's masterchain block at a height, None where it has none."""
    header = await node.find_header(height)
    return None if header is None else block_ref(header).hash
