"""Finding one transaction: in a mempool, in a node's index, or by its unspent outputs; then proven in its block."""

import re
from dataclasses import dataclass
from typing import Final

import msgspec

from bitlinkpay.chains.base import BlockRef, ChainError
from bitlinkpay.chains.bitcoin.node import BitcoinNode, decode
from bitlinkpay.chains.bitcoin.reader import BlockReader
from bitlinkpay.chains.bitcoin.transfers import block_ref
from bitlinkpay.chains.bitcoin.unspent import read_unspent
from bitlinkpay.chains.bitcoin.wire import RawBlock, Transaction
from bitlinkpay.chains.quorum import Quorum
from bitlinkpay.chains.rpc import Call

TXID: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)
_OUTPUTS_TRIED: Final = 8  # without an index: a transaction shows itself while one of its first outputs is unspent
_VERBOSE: Final = 1


class _Indexed(msgspec.Struct, frozen=True):
    """What `getrawtransaction` tells of where a transaction stands; no block while it waits in the mempool."""

    txid: str
    blockhash: str = ""


class _Placed(msgspec.Struct, frozen=True):
    height: int
    confirmations: int


INDEXED: Final = msgspec.json.Decoder(_Indexed)
PLACED: Final = msgspec.json.Decoder(_Placed)


@dataclass(frozen=True, slots=True)
class Mined:
    """A transaction and the proven block that holds it."""

    block: BlockRef
    transaction: Transaction


class Lookup:
    """Looks transactions up at the endpoints of one network."""

    def __init__(self, quorum: Quorum[BitcoinNode], reader: BlockReader) -> None:
        self._quorum = quorum
        self._reader = reader

    async def find(self, txid: str) -> Mined | bool:
        """Return the transaction in its block, else whether it waits in any endpoint's mempool.

        Raises:
            ChainError: it changed its block meanwhile, or the quorum could not be asked.
        """
        is_pending = False

        async def place(node: BitcoinNode) -> int | None:
            nonlocal is_pending
            height = await _height_of(node, txid)
            is_pending = is_pending or height == 0
            return height or None

        height = await self._quorum.agree(place)
        if height is None:
            return is_pending
        (mined,) = await self._reader.read(height, height, lambda block, at: _in_block(block, at, txid))
        if mined is None:
            raise ChainError(f"transaction {txid} moved to another block while it was looked up")
        return mined


def _in_block(block: RawBlock, height: int, txid: str) -> Mined | None:
    wanted = bytes.fromhex(txid)[::-1]
    found = next((transaction for transaction in block.transactions if transaction.hash == wanted), None)
    return None if found is None else Mined(block_ref(block.header, height), found)


async def _height_of(node: BitcoinNode, txid: str) -> int | None:
    """Return the height at which a node has a transaction, 0 for its mempool, None where it knows of none."""
    call = Call("getrawtransaction", (txid, _VERBOSE))
    (answer,) = await node.answers([call])
    if answer.error is None:
        indexed = decode(answer, call, INDEXED)
        return await _height_of_block(node, indexed.blockhash, confirmations=1) if indexed.blockhash else 0
    found = await read_unspent(node, [(txid, vout) for vout in range(_OUTPUTS_TRIED)], with_mempool=True)
    output = next((output for output in found if output is not None), None)
    if output is None:
        return None
    if output.confirmations == 0:
        return 0
    return await _height_of_block(node, output.bestblock, confirmations=output.confirmations)


async def _height_of_block(node: BitcoinNode, block_hash: str, *, confirmations: int) -> int | None:
    """Return the height `confirmations - 1` below a block of the node's chain, None for a block that left it."""
    (placed,) = await node.ask([Call("getblockheader", (block_hash, True))], PLACED)
    return placed.height - confirmations + 1 if placed.confirmations > 0 else None
