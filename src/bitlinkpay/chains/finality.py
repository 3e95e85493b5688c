"""Where the chain stands: the newest block for display, the newest final one for credit, as a quorum sees them."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Final, Generic, TypeVar

from bitlinkpay.chains.base import BlockRef, ChainError, ForkedBlock, GapError, Head
from bitlinkpay.chains.quorum import Quorum, Voter
from bitlinkpay.core.assets import Network

STALL_FACTOR: Final = 3
STALL_SLACK: Final = timedelta(minutes=2)

V = TypeVar("V", bound=Voter)


def stalled_since(network: Network, head: Head) -> BlockRef | None:
    """Return the newest final block where the chain has gone on from it for far longer than usual, else None.

    Far longer is `STALL_FACTOR` times the network's usual time and `STALL_SLACK`, by the blocks' own times and by their
    number, so that a chain which has just come back from a halt is not taken for one. Bitcoin's final block is a count
    of blocks and cannot fall behind alone.
    """
    limit = STALL_FACTOR * network.final_after + STALL_SLACK
    blocks = head.latest.height - head.final.height
    is_stalled = head.latest.time - head.final.time > limit and blocks * network.block_time > limit
    return head.final if is_stalled and not network.confirmations else None


class Finality(Generic[V]):
    """Follows the chain's own finality. There is no fall-back to a count of blocks (THREATS EVM-19, EVM-20, TRX-07)."""

    def __init__(
        self,
        quorum: Quorum[V],
        view: Callable[[V], Awaitable[tuple[BlockRef, BlockRef]]],
        at: Callable[[V, int], Awaitable[BlockRef | None]],
    ) -> None:
        """Follow one network.

        Args:
            quorum: its endpoints.
            view: asks one for its newest and its newest final block.
            at: asks one for its block at a height, None if it has none.
        """
        self._quorum = quorum
        self._view = view
        self._at = at
        self._reached: BlockRef | None = None

    @property
    def height(self) -> int:
        """Return the newest final height that was ever seen, -1 before the first look."""
        return -1 if self._reached is None else self._reached.height

    async def head(self) -> Head:
        """Return the highest blocks that `quorum` operators have reached.

        The final one is agreed by hash and never goes backwards while this object lives; while the tag stalls, it
        stays where it is. The newest one is what one endpoint at that height says: for display only.

        Raises:
            ForkedBlock: a block that was final is not in the chain any more.
            NotEnoughAnswers, ChainError: the quorum could not be asked.
        """
        views = dict(await self._quorum.survey(self._view))
        by_latest = sorted((latest for latest, _ in views.values()), key=_height, reverse=True)
        by_final = sorted((final for _, final in views.values()), key=_height, reverse=True)
        height = by_final[self._quorum.size - 1].height

        async def final_at(node: V) -> BlockRef:
            if node not in views or (final := views[node][1]).height < height:
                raise ChainError(f"{node.label} has not reached final block {height}")
            return final if final.height == height else await self._ref_at(node, height)

        final = await self._forward(await self._quorum.agree(final_at))
        latest = by_latest[self._quorum.size - 1]
        return Head(latest=max(latest, final, key=_height), final=final)

    async def _forward(self, final: BlockRef) -> BlockRef:
        reached = self._reached
        if reached is not None and final.height < reached.height:
            held = await self._quorum.agree(lambda node: self._at(node, reached.height))
            if held is not None and held.hash != reached.hash:
                raise ForkedBlock(f"block {reached.height} was final and is {held.hash} now")
            return reached
        self._reached = final
        return final

    async def _ref_at(self, node: V, height: int) -> BlockRef:
        ref = await self._at(node, height)
        if ref is None:
            raise GapError(f"{node.label} has no block {height}")
        return ref


def _height(ref: BlockRef) -> int:
    return ref.height
