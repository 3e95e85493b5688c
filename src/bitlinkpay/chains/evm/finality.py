"""Where the chain stands: the newest block for display, the newest final one for credit, as a quorum sees them."""

from bitlinkpay.chains.base import BlockRef, ChainError, ForkedBlock, GapError, Head
from bitlinkpay.chains.evm.node import EvmNode
from bitlinkpay.chains.evm.transfers import block_ref
from bitlinkpay.chains.quorum import Quorum


class Finality:
    """Follows the chain's own finality tag. There is no fall-back to a count of blocks (THREATS EVM-19, EVM-20)."""

    def __init__(self, quorum: Quorum[EvmNode], tag: str) -> None:
        self._quorum = quorum
        self._tag = tag
        self._reached: BlockRef | None = None

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

        async def final_at(node: EvmNode) -> BlockRef:
            if node not in views or (final := views[node][1]).height < height:
                raise ChainError(f"{node.label} has not reached final block {height}")
            return final if final.height == height else await _ref_at(node, height)

        final = await self._forward(await self._quorum.agree(final_at))
        latest = by_latest[self._quorum.size - 1]
        return Head(latest=max(latest, final, key=_height), final=final)

    async def _view(self, node: EvmNode) -> tuple[BlockRef, BlockRef]:
        latest, final = await node.stamps(["latest", self._tag])
        if latest is None or final is None:
            raise GapError(f"{node.label} knows no {'latest' if latest is None else self._tag} block")
        return block_ref(latest), block_ref(final)

    async def _forward(self, final: BlockRef) -> BlockRef:
        reached = self._reached
        if reached is not None and final.height < reached.height:
            held = await self._quorum.agree(lambda node: node.hash_at(reached.height))
            if held not in {None, reached.hash}:
                raise ForkedBlock(f"block {reached.height} was final and is {held} now")
            return reached
        self._reached = final
        return final


def _height(ref: BlockRef) -> int:
    return ref.height


async def _ref_at(node: EvmNode, height: int) -> BlockRef:
    (stamp,) = await node.stamps([height])
    if stamp is None:
        raise GapError(f"{node.label} has no block {height}")
    return block_ref(stamp)
