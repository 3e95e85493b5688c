"""Reading ranges of blocks. A Solana block cannot be recomputed from what RPC nodes send, so a quorum compares.

Each of `quorum` endpoints sends everything, and what was read out of it must be equal. Calls: 2 a range and 1 a block
with each of them, whatever the blocks hold. That no block is missing is proved by each block's parent.
"""

import asyncio
from collections.abc import Sequence
from itertools import pairwise

from bitlinkpay.chains.base import Block, ForkedBlock, GapError
from bitlinkpay.chains.quorum import Quorum
from bitlinkpay.chains.solana.node import SolanaNode
from bitlinkpay.chains.solana.transfers import Listing, read_block
from bitlinkpay.chains.solana.wire import RawBlock


class BlockReader:
    """Reads finalized blocks from the endpoints of one network."""

    def __init__(self, quorum: Quorum[SolanaNode], listing: Listing, *, range_max: int) -> None:
        self._quorum = quorum
        self._listing = listing
        self._range_max = range_max

    async def read(self, first: int, last: int) -> list[Block]:
        """Return the first blocks of the slots `first..last`, at most `range_max`; none if all slots were skipped.

        Raises:
            GapError, ForkedBlock, NotEnoughAnswers, ChainError: nothing was read.
        """
        return await self._quorum.agree(lambda node: self._fetch(node, first, last))

    async def _fetch(self, node: SolanaNode, first: int, last: int) -> list[Block]:
        slots = (await node.slots(first, last))[: self._range_max]
        if not slots:
            await _check_all_skipped(node, first, last)
            return []
        raw = await node.blocks(slots)
        node.check_skipped(first, slots[0], raw[0])
        _check_links(node, slots, raw)
        blocks: list[Block] = []
        for slot, block in zip(slots, raw, strict=True):
            blocks.append(read_block(slot, block, self._listing))
            await asyncio.sleep(0)  # a full block takes milliseconds to read: let others run between two
        return blocks


async def _check_all_skipped(node: SolanaNode, first: int, last: int) -> None:
    """Check that a range without a block is one, by the parent of the next block after it."""
    following = await node.next_slots(first, 1)
    if not following or following[0] <= last:
        raise GapError(f"{node.label} cannot show that the slots {first} to {last} were skipped")
    node.check_skipped(first, following[0], await node.header(following[0]))


def _check_links(node: SolanaNode, slots: Sequence[int], blocks: Sequence[RawBlock]) -> None:
    for (parent_slot, parent), (slot, block) in pairwise(zip(slots, blocks, strict=True)):
        if block.parent_slot != parent_slot:
            raise GapError(f"{node.label} lacks block {block.parent_slot}, the parent of {slot}")
        if block.previous_blockhash != parent.blockhash:
            raise ForkedBlock(f"block {slot} does not follow block {parent_slot} that was read before it")
