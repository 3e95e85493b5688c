"""Transfers of listed assets out of a sealed block: pure, strict, and of everything, not only of ours.

TRX: a successful `TransferContract`, and inner calls of a successful contract call that were not rejected. TRC-20: the
`Transfer` event of a listed contract in a successful transaction. TRC-10 tokens, memos, and whatever delegates,
freezes, votes or pays rewards never become a transfer (THREATS TRX-03, TRX-08, TRX-16).

Positions: `value`; `log:<n>`, the log's index within its transaction; `internal:<n>`, n counting the inner calls of the
transaction that moved TRX and were not undone: nodes may keep further kinds of inner transactions, or not.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache

from bitlinkpay.chains.base import Arrival, Block, Transfer
from bitlinkpay.chains.codec.evm import keccak256
from bitlinkpay.chains.codec.tron import from_bytes, to_bytes
from bitlinkpay.chains.tron.contract import address
from bitlinkpay.chains.tron.kinds import RUNS_CODE, Kind
from bitlinkpay.chains.tron.sealed import Executed, Sealed
from bitlinkpay.chains.tron.wire import Info, Inner, Log, unhex
from bitlinkpay.core.assets import Asset

TRANSFER_TOPIC = keccak256(b"Transfer(address,address,uint256)").hex()
_TOPIC = re.compile(r"0{24}([0-9a-f]{40})", re.ASCII)
_WORD = re.compile(r"[0-9a-f]{64}", re.ASCII)
_TOPICS = 3
_SUICIDE = b"suicide".hex()
_MOVING = frozenset({b"call".hex(), b"create".hex(), _SUICIDE})  # other notes carry stakes and votes in the same fields


class Listing:
    """The listed assets of one network; what is not in it never becomes a transfer."""

    def __init__(self, assets: Sequence[Asset]) -> None:
        self.by_contract: Mapping[str, Asset] = {to_bytes(a.contract)[1:].hex(): a for a in assets if not a.is_native}
        self.native: Asset | None = next((a for a in assets if a.is_native), None)


def read_block(sealed: Sealed, listing: Listing) -> Block:
    """Return the block with every transfer of a listed asset, in the order of the chain."""
    transfers = [transfer for executed in sealed.executed for transfer in read_transaction(executed, listing)]
    return Block(sealed.ref.height, sealed.ref.hash, sealed.parent, sealed.ref.time, tuple(transfers))


def read_transaction(executed: Executed, listing: Listing) -> Iterator[Transfer]:
    """Yield the transfers of one transaction; none of one that failed."""
    if not executed.is_success:
        return
    if listing.native is not None:
        yield from _native(executed, listing.native.id)
    yield from read_logs(executed.info, listing)


def _native(executed: Executed, asset: str) -> Iterator[Transfer]:
    if executed.contract.kind == Kind.TRANSFER and (payment := executed.contract.payment()) is not None:
        yield Transfer(
            asset=asset, txid=executed.txid, position="value",
            source=payment.source, target=payment.target, tag="", units=payment.units,
        )  # fmt: skip
    if executed.contract.kind in RUNS_CODE:
        for n, (inner, units) in enumerate(moving(executed.info)):
            yield Transfer(
                asset=asset, txid=executed.txid, position=f"internal:{n}",
                source=address(unhex(inner.caller)), target=address(unhex(inner.target)), tag="", units=units,
                arrival=Arrival.SYSTEM if inner.note == _SUICIDE else Arrival.INTERNAL,
            )  # fmt: skip


def moving(info: Info) -> Iterator[tuple[Inner, int]]:
    """Yield the inner calls that moved TRX from one account to another and were not undone, with how much."""
    for inner in info.internal_transactions:
        if inner.rejected or inner.note not in _MOVING or inner.caller == inner.target:
            continue
        units = sum(value.units for value in inner.values if not value.token)
        if units and address(unhex(inner.target)):
            yield inner, units


def read_logs(info: Info, listing: Listing) -> Iterator[Transfer]:
    """Yield the token transfers in the logs of a successful transaction."""
    for index, log in enumerate(info.log):
        asset = listing.by_contract.get(log.address)
        if asset is not None and (moved := _decode(log)) is not None:
            source, target, units = moved
            yield Transfer(
                asset=asset.id, txid=info.id, position=f"log:{index}",
                source=canonical(source), target=canonical(target), tag="", units=units,
            )  # fmt: skip


@lru_cache(maxsize=16_384)
def canonical(digits: str) -> str:
    """Return the canonical form of 20 bytes in hex, as logs write addresses."""
    return from_bytes(bytes.fromhex(digits))


def _decode(log: Log) -> tuple[str, str, int] | None:
    """Return source, target and units of a TRC-20 `Transfer` of more than nothing, or None for any other event."""
    if len(log.topics) != _TOPICS or log.topics[0] != TRANSFER_TOPIC:
        return None
    source, target = _TOPIC.fullmatch(log.topics[1]), _TOPIC.fullmatch(log.topics[2])
    if source is None or target is None or not _WORD.fullmatch(log.data):
        return None
    units = int(log.data, 16)
    return (source[1], target[1], units) if units else None
