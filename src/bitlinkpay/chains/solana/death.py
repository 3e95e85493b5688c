"""Proof that a transaction can never take effect: every block that could hold it was read, and it stands in none.

An endpoint that knows no such id may have lost or never kept it (THREATS PAY-17, NODE-13). So the ids of transactions
are read block by block, from the block whose hash the transaction names to the last one that may hold it, each the
parent of the next, and all of it final.
"""

from typing import Final

from bitlinkpay.chains.base import GapError
from bitlinkpay.chains.solana.node import SolanaNode
from bitlinkpay.chains.solana.wire import SignedBlock

VALID_BLOCKS: Final = 151
"""How many blocks after the one that it names may hold a transaction.

A hash may be 150 blocks old where a block begins (agave, `MAX_PROCESSING_AGE`); `getLatestBlockhash` says one less.
"""
_PAGE: Final = 16


async def is_absent(node: SolanaNode, txid: str, *, blockhash: str, slot: int, valid_height: int) -> bool:
    """Say whether one endpoint's final blocks prove that a transaction stands in none that may hold it.

    Args:
        node: the endpoint.
        txid: the transaction's id.
        blockhash: the hash that it names.
        slot: where the block with that hash stands.
        valid_height: height of the last block that may hold it.

    Raises:
        GapError: a block is missing here, or is not final yet.
    """
    header = await node.header(slot)
    if header.blockhash != blockhash:
        raise GapError(f"{node.label} has another block {slot} than the transaction was made for")
    previous_slot, previous_hash = slot, blockhash
    while True:
        slots = await node.next_slots(previous_slot + 1, _PAGE)
        if not slots:
            raise GapError(f"{node.label} has no final block {valid_height + 1} yet")
        for at, block in zip(slots, await node.signed_blocks(slots), strict=True):
            if (block.parent_slot, block.previous_blockhash) != (previous_slot, previous_hash):
                raise GapError(f"{node.label} lacks block {block.parent_slot}, the parent of {at}")
            if _height(node, at, block) > valid_height:
                return True
            if txid in block.signatures:
                return False
            previous_slot, previous_hash = at, block.blockhash


def _height(node: SolanaNode, slot: int, block: SignedBlock) -> int:
    if block.block_height is None:
        raise GapError(f"{node.label} does not know the height of block {slot}")
    return block.block_height
