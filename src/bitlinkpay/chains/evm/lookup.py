"""Where a transaction stands, as the quorum agrees, and what a proven block says of it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from bitlinkpay.chains.base import BlockRef, ChainError, FateState
from bitlinkpay.chains.evm.node import EvmNode
from bitlinkpay.chains.evm.reader import BlockReader, Sealed
from bitlinkpay.chains.evm.transfers import block_ref, canonical_hash, is_success
from bitlinkpay.chains.evm.wire import TX_PLACE, Receipt, Transaction, quantity
from bitlinkpay.chains.finality import Finality
from bitlinkpay.chains.quorum import Quorum
from bitlinkpay.chains.rpc import Call

F = TypeVar("F")


@dataclass(frozen=True, slots=True)
class Found(Generic[F]):
    """What is known of a transaction; `block` and `fact` only where it stands in one."""

    state: FateState
    block: BlockRef | None = None
    fact: F | None = None


@dataclass(frozen=True, slots=True)
class _Mined(Generic[F]):
    block: BlockRef
    is_success: bool
    fact: F


class Lookup:
    """Finds transactions of one network."""

    def __init__(self, quorum: Quorum[EvmNode], reader: BlockReader, finality: Finality[EvmNode]) -> None:
        self._quorum = quorum
        self._reader = reader
        self._finality = finality

    async def find(self, txid: str, extract: Callable[[Transaction, Receipt], F]) -> Found[F]:
        """Say where a transaction stands; only a block at or below the final one makes it `FINAL` or `FAILED`.

        Args:
            txid: in lower case.
            extract: reads a fact out of it.

        Raises:
            NotEnoughAnswers, ChainError: the quorum can't say, or it moved meanwhile.
        """
        seen_pending = False

        async def place(node: EvmNode) -> tuple[int, str] | None:
            nonlocal seen_pending
            placed = await place_of(node, txid)
            seen_pending = seen_pending or placed is PENDING
            return None if placed is PENDING else placed

        placed = await self._quorum.agree(place)
        if placed is None:
            return Found(FateState.PENDING if seen_pending else FateState.UNKNOWN)
        final = (await self._finality.head()).final  # before the block is read: what is read below it stands for good
        (mined,) = await self._reader.read(placed[0], placed[0], lambda sealed: _find(sealed, txid, extract))
        if mined is None:
            raise ChainError(f"transaction {txid} moved to another block while it was looked up")
        if mined.block.height > final.height:
            return Found(FateState.MINED, mined.block, mined.fact)
        return Found(FateState.FINAL if mined.is_success else FateState.FAILED, mined.block, mined.fact)


PENDING = (-1, "")  # known to a node, in no block


async def place_of(node: EvmNode, txid: str) -> tuple[int, str] | None:
    """Return height and hash of the block that one endpoint says it stands in, `PENDING`, or None if unknown there."""
    (found,) = await node.ask([Call("eth_getTransactionByHash", (txid,))], TX_PLACE)
    if found is None:
        return None
    if found.block_hash is None:
        return PENDING
    return quantity(found.block_number), canonical_hash(found.block_hash)


def _find(sealed: Sealed, txid: str, extract: Callable[[Transaction, Receipt], F]) -> _Mined[F] | None:
    for tx, receipt in zip(sealed.block.transactions, sealed.receipts, strict=True):
        if tx.hash.lower() == txid:
            return _Mined(block_ref(sealed.block), is_success(receipt), extract(tx, receipt))
    return None
