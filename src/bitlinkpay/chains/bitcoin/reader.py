"""Reading ranges of blocks so that no single endpoint can alter, drop or cut short what they hold.

One endpoint sends the serialized blocks and everything in them is recomputed; since each header carries its parent's
hash, the other endpoints only confirm the hash of the last one. Calls: two a block (`getblockhash`, `getblock`) and
`quorum - 1` a range, whatever the blocks hold.
"""

import asyncio
from collections.abc import Callable
from typing import TypeVar

from bitlinkpay.chains.base import ForkedBlock
from bitlinkpay.chains.bitcoin.node import BitcoinNode
from bitlinkpay.chains.bitcoin.proof import prove
from bitlinkpay.chains.bitcoin.wire import Malformed, RawBlock, read_block
from bitlinkpay.chains.quorum import Quorum

F = TypeVar("F")


class BlockReader:
    """Reads proven blocks from the endpoints of one network."""

    def __init__(self, quorum: Quorum[BitcoinNode], *, range_max: int) -> None:
        self._quorum = quorum
        self._range_max = range_max

    async def read(self, first: int, last: int, extract: Callable[[RawBlock, int], F]) -> list[F]:
        """Return what `extract` finds in each block of `first..last` (with its height), of at most `range_max` of them.

        Raises:
            GapError, ForkedBlock, NotEnoughAnswers, ChainError: nothing was read.
        """
        last = min(last, first + self._range_max - 1)
        return await self._quorum.first(lambda node: self._confirmed(node, first, last, extract))

    async def _confirmed(
        self, node: BitcoinNode, first: int, last: int, extract: Callable[[RawBlock, int], F]
    ) -> list[F]:
        """Read a range from one endpoint and have the others confirm where it ends.

        Raises:
            ForkedBlock: the quorum has another block there.
        """
        hashes = await node.block_hashes(first, last)
        end: str | None = hashes[-1]
        try:
            found = await self._fetch(node, first, hashes, extract)
        except Malformed as error:
            self._quorum.doubt(node, str(error))
            raise
        agreed = await self._quorum.agree(lambda voter: voter.hash_at(last), first=(node, end))
        if agreed != end:
            raise ForkedBlock(f"{node.label} has another block {last} than the quorum")
        return found

    async def _fetch(
        self, node: BitcoinNode, first: int, hashes: list[str], extract: Callable[[RawBlock, int], F]
    ) -> list[F]:
        found: list[F] = []
        parent = None
        for height, (block_hash, raw) in enumerate(zip(hashes, await node.blocks(hashes), strict=True), first):
            block = read_block(raw)
            prove(block, block_hash, node.target_max(height))
            if parent is not None and block.header.parent != parent:
                raise ForkedBlock(f"block {height} does not follow the block read before it")
            parent = block_hash
            found.append(extract(block, height))
            await asyncio.sleep(0)  # a full block takes tens of milliseconds: let others run between two
        return found
