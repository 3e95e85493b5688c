"""Transfers out of a proven block: every output with an address, each for itself (THREATS BTC-04 to BTC-08)."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

from bitlinkpay.chains.base import Arrival, Block, BlockRef, Transfer
from bitlinkpay.chains.bitcoin.script import address_of
from bitlinkpay.chains.bitcoin.wire import Header, RawBlock, Transaction
from bitlinkpay.chains.codec.bitcoin import Prefixes

_VOUT: Final = "vout:"


def block_ref(header: Header, height: int) -> BlockRef:
    """Return where a block stands."""
    return BlockRef(height, header.hash, datetime.fromtimestamp(header.time, UTC))


def read_transfers(transaction: Transaction, asset: str, prefixes: Prefixes) -> Iterator[Transfer]:
    """Yield what one transaction pays to addresses. Who paid is not in it: `payers` asks the nodes."""
    arrival = Arrival.SYSTEM if transaction.is_coinbase else Arrival.DIRECT
    txid = transaction.txid
    for vout, output in enumerate(transaction.outputs):
        if output.units and (target := address_of(output.script, prefixes)):
            yield Transfer(asset, txid, f"{_VOUT}{vout}", "", target, "", output.units, arrival)


def read_transfers_of(block: RawBlock, height: int, asset: str, prefixes: Prefixes) -> Block:
    """Return a block with every transfer in it, in the order of the chain."""
    transfers = [t for transaction in block.transactions for t in read_transfers(transaction, asset, prefixes)]
    ref = block_ref(block.header, height)
    return Block(height, ref.hash, block.header.parent, ref.time, tuple(transfers))


def vout_of(position: str) -> int:
    """Return the index of an output from a transfer's position."""
    assert position.startswith(_VOUT), f"not an output: {position}"
    return int(position.removeprefix(_VOUT))
