"""Transfers of listed assets out of a block and its receipts: pure, strict, and of everything, not only of ours.

Tokens: the ERC-20 `Transfer` event, exactly three topics and 32 bytes of data, from a listed contract and nowhere
else; names and symbols on chain mean nothing. Native: the value of a transaction. Both only where the receipt's
status is 1. Inner calls leave no trace here; `chains.evm.internal` finds those.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache

from bitlinkpay.chains.base import Block, BlockRef, Transfer
from bitlinkpay.chains.codec.evm import from_digits, keccak256
from bitlinkpay.chains.evm.wire import Log, Malformed, RawBlock, Receipt, Stamp, Transaction, quantity
from bitlinkpay.core.assets import Asset

TRANSFER_TOPIC = "0x" + keccak256(b"Transfer(address,address,uint256)").hex()
_MOVED = re.compile(r"0x0{24}([0-9a-f]{40}) 0x0{24}([0-9a-f]{40}) 0x([0-9a-f]{64})", re.ASCII)
_ADDRESS = re.compile(r"0x([0-9a-f]{40})", re.ASCII)
_WORD = re.compile(r"0x[0-9a-f]{64}", re.ASCII)
_TOPICS = 3


class Listing:
    """The listed assets of one network, by contract; what is not in it never becomes a transfer."""

    def __init__(self, assets: Sequence[Asset]) -> None:
        self.by_contract: Mapping[str, Asset] = {a.contract.lower(): a for a in assets if not a.is_native}
        self.native: Asset | None = next((a for a in assets if a.is_native), None)


@lru_cache(maxsize=16_384)
def canonical(digits: str) -> str:
    """Return the EIP-55 form of 40 lower-case hex digits."""
    return from_digits(digits)


def canonical_address(text: str) -> str:
    """Return the EIP-55 form of an address as nodes write it.

    Raises:
        Malformed: not `0x` and 40 hex digits.
    """
    match = _ADDRESS.fullmatch(text.lower())
    if match is None:
        raise Malformed("a node sent an address that is not 0x and 40 hex digits")
    return canonical(match[1])


def canonical_hash(text: str) -> str:
    """Return a hash in lower case.

    Raises:
        Malformed: not `0x` and 64 hex digits.
    """
    lower = text.lower()
    if not _WORD.fullmatch(lower):
        raise Malformed("a node sent a hash that is not 0x and 64 hex digits")
    return lower


def block_ref(stamp: Stamp) -> BlockRef:
    """Return where a block stands.

    Raises:
        Malformed: a number, hash or time that cannot be.
    """
    try:
        time = datetime.fromtimestamp(quantity(stamp.timestamp), UTC)
    except (ValueError, OverflowError, OSError):
        raise Malformed("a node sent a block time that is no time") from None
    return BlockRef(height=quantity(stamp.number), hash=canonical_hash(stamp.hash), time=time)


def is_success(receipt: Receipt) -> bool:
    """Say whether the transaction took effect (EIP-658 status)."""
    return receipt.status == "0x1" or quantity(receipt.status) == 1  # the usual spelling first: it is asked most


def read_block(block: RawBlock, receipts: Sequence[Receipt], listing: Listing) -> Block:
    """Return the block with every transfer of a listed asset, in the order of the chain."""
    ref = block_ref(block)
    transfers = [
        transfer
        for tx, receipt in zip(block.transactions, receipts, strict=True)
        if is_success(receipt)
        for transfer in read_transaction(tx, receipt, listing)
    ]
    return Block(ref.height, ref.hash, canonical_hash(block.parent_hash), ref.time, tuple(transfers))


def read_transaction(tx: Transaction, receipt: Receipt, listing: Listing) -> Iterator[Transfer]:
    """Yield the native transfer, if any, then the token transfers of one successful transaction."""
    if listing.native is not None and is_native_payment(tx):
        yield Transfer(
            asset=listing.native.id,
            txid=canonical_hash(tx.hash),
            position="value",
            source=canonical_address(tx.sender),
            target=canonical_address(tx.to or ""),
            tag="",
            units=quantity(tx.value),
        )
    yield from read_logs(receipt, listing)


def is_native_payment(tx: Transaction) -> bool:
    """Say whether a transaction itself carries native coin to an address."""
    return bool(tx.to) and tx.value != "0x0" and quantity(tx.value) > 0


def read_logs(receipt: Receipt, listing: Listing) -> Iterator[Transfer]:
    """Yield the token transfers of a successful receipt, placed by the log's index within it (THREATS EVM-15)."""
    by_contract = listing.by_contract
    for index, log in enumerate(receipt.logs):
        asset = by_contract.get(log.address.lower())
        if asset is not None and (moved := _decode(log)) is not None:
            source, target, units = moved
            yield Transfer(
                asset=asset.id,
                txid=canonical_hash(receipt.transaction_hash),
                position=f"log:{index}",
                source=canonical(source),
                target=canonical(target),
                tag="",
                units=units,
            )


def _decode(log: Log) -> tuple[str, str, int] | None:
    """Return source, target and units of an ERC-20 `Transfer` of more than nothing, or None for any other event."""
    topics = log.topics
    if len(topics) != _TOPICS or topics[0].lower() != TRANSFER_TOPIC:
        return None
    moved = _MOVED.fullmatch(f"{topics[1]} {topics[2]} {log.data}".lower())
    if moved is None:
        return None
    units = int(moved[3], 16)
    return (moved[1], moved[2], units) if units else None
