"""Reading ranges of blocks so that no single endpoint can alter, drop or cut short what they hold.

`Proof.RECOMPUTED`: one endpoint sends the blocks, every hash in them is recomputed, and since each header carries
its parent's hash, the other endpoints only confirm the hash of the last one. Calls: two a block (the block in full,
its receipts by hash) and `quorum - 1` a range, whatever the blocks hold.

`Proof.COMPARED`: for chains whose headers or transactions have forms of their own. Each of `quorum` endpoints sends
everything, and what was read out of it must be equal. Calls: `2 * quorum` a block.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from typing import TypeVar

from bitlinkpay.chains.base import ForkedBlock
from bitlinkpay.chains.evm.node import EvmNode
from bitlinkpay.chains.evm.proof import Unproven, check_shape, prove, signer_of
from bitlinkpay.chains.evm.transfers import canonical_address, canonical_hash, is_native_payment, is_success
from bitlinkpay.chains.evm.wire import RawBlock, Receipt, unhex
from bitlinkpay.chains.quorum import Quorum

F = TypeVar("F")


class Proof(StrEnum):
    """How a block is believed."""

    RECOMPUTED = "recomputed"
    COMPARED = "compared"


@dataclass(frozen=True, slots=True)
class Sealed:
    """A block and its receipts, checked to belong together."""

    block: RawBlock
    receipts: list[Receipt]


class BlockReader:
    """Reads blocks from the endpoints of one network."""

    def __init__(self, quorum: Quorum[EvmNode], proof: Proof, *, range_max: int) -> None:
        self._quorum = quorum
        self._proof = proof
        self._range_max = range_max

    async def read(self, first: int, last: int, extract: Callable[[Sealed], F]) -> list[F]:
        """Return what `extract` finds in each block of `first..last`, of at most `range_max` of them.

        How many of them travel in one request is the business of `JsonRpc.batch`.

        Raises:
            GapError, ForkedBlock, NotEnoughAnswers, ChainError: nothing was read.
        """
        last = min(last, first + self._range_max - 1)
        if self._proof is Proof.COMPARED:
            _, found = await self._quorum.agree(lambda node: self._fetch(node, first, last, extract))
            return found
        return await self._quorum.first(lambda node: self._confirmed(node, first, last, extract))

    async def _confirmed(self, node: EvmNode, first: int, last: int, extract: Callable[[Sealed], F]) -> list[F]:
        """Read a range from one endpoint and have the others confirm where it ends.

        Raises:
            ForkedBlock: the quorum has another block there.
        """
        try:
            last_hash, found = await self._fetch(node, first, last, extract)
        except Unproven as error:
            self._quorum.doubt(node, str(error))
            raise
        agreed = await self._quorum.agree(lambda voter: voter.hash_at(last), first=(node, last_hash))
        if agreed != last_hash:
            raise ForkedBlock(f"{node.label} has another block {last} than the quorum")
        return found

    async def _fetch(
        self, node: EvmNode, first: int, last: int, extract: Callable[[Sealed], F]
    ) -> tuple[str | None, list[F]]:
        """Read a range from one endpoint; return the hash of its last block and what was extracted from each."""
        blocks = await node.blocks(first, last)
        _check_links(blocks)
        receipts = await node.receipts([block.hash for block in blocks])
        found: list[F] = []
        for block, block_receipts in zip(blocks, receipts, strict=True):
            check_shape(block, block_receipts)
            if self._proof is Proof.RECOMPUTED:
                prove(block, block_receipts)
                check_signers(block, block_receipts)
            found.append(extract(Sealed(block, block_receipts)))
            await asyncio.sleep(0)  # hashing a full block takes milliseconds: let others run between two
        return canonical_hash(blocks[-1].hash), found


def _check_links(blocks: Sequence[RawBlock]) -> None:
    for parent, block in pairwise(blocks):
        if block.parent_hash.lower() != parent.hash.lower():
            raise ForkedBlock(f"block {block.number} does not follow the block read before it")


def check_signers(block: RawBlock, receipts: Sequence[Receipt]) -> None:
    """Check `from` of native payments: screening relies on it, and no root in the header covers it."""
    for tx, receipt in zip(block.transactions, receipts, strict=True):
        if is_native_payment(tx) and is_success(receipt) and signer_of(tx) != unhex(canonical_address(tx.sender)):
            raise Unproven(f"transaction {tx.hash} was signed by another key than its sender's")
