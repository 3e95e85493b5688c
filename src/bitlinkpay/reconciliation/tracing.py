"""Name a difference by transaction: what the chain shows and the books do not know, and the other way round."""

import logging
from collections.abc import Awaitable, Sequence
from typing import Final, TypeVar

from bitlinkpay.chains.base import Block, Chain, ChainError, FateState, Transfer
from bitlinkpay.chains.outputs import OutputChain
from bitlinkpay.core.assets import Asset
from bitlinkpay.db.pool import Database
from bitlinkpay.deposits import store as deposits_store
from bitlinkpay.deposits.journal import store as journal
from bitlinkpay.deposits.own import store as own_store
from bitlinkpay.reconciliation import store
from bitlinkpay.reconciliation.model import Evidence, EvidenceKind, Place, Running, Sight

log = logging.getLogger(__name__)

Found = TypeVar("Found")

BLOCKS: Final = 100
"""How far back blocks are read for a name: nodes keep the state of about as many."""

BOOKED: Final = 50
_IN_A_BLOCK: Final = (FateState.MINED, FateState.FINAL)


class Tracer:
    """Reads one network for the transactions behind a difference. Nothing is open in the database meanwhile."""

    def __init__(self, database: Database, chain: Chain) -> None:
        self._database = database
        self._chain = chain

    async def standing(self, running: Sequence[Running], height: int) -> list[Running]:
        """Return those of our transactions without an end that stand in blocks up to a height already.

        One that failed there has moved nothing and cost its fee. Calls: one an attempt.
        """
        found: list[Running] = []
        for one in running:
            for txid in one.txids:
                fate = await self._chain.fate(txid)
                if fate.block is None or fate.block.height > height:
                    continue
                has_failed = fate.state is FateState.FAILED
                found.append(Running((txid,), 0, 0, one.fee_max_units) if has_failed else one)
                break
        return found

    async def trace(self, asset: Asset, place: Place, sight: Sight, agreed_height: int | None) -> list[Evidence]:
        """Return the transactions since books and chain agreed last that may make up a difference, the newest first.

        It looks at the newest `BLOCKS` blocks and at the newest `BOOKED` transfers in the books; what cannot be read
        now goes without a name.
        """
        since = 0 if agreed_height is None else agreed_height + 1
        async with self._database.reader() as tx:
            oldest = await journal.oldest_block(tx, sight.network)
        first = max(since, sight.height - BLOCKS + 1, oldest.height + 1)
        parts = (self._vanished(asset, place, since, sight.height), self._unbooked(asset, place, first, sight))
        found = [one for part in parts for one in await _readable(part, f"{asset.id} at {place.name}")]
        return sorted(found, key=lambda one: (-one.height, one.txid, one.units))

    async def _vanished(self, asset: Asset, place: Place, first: int, last: int) -> list[Evidence]:
        if isinstance(self._chain, OutputChain):
            return []  # nodes without an index of transactions forget those that are spent
        async with self._database.reader() as tx:
            booked = await store.list_booked(tx, asset, place.addresses, first=first, last=last, limit=BOOKED)
        found: list[Evidence] = []
        for one in booked:
            fate = await self._chain.fate(one.txid)
            if fate.state not in _IN_A_BLOCK:
                found.append(Evidence(EvidenceKind.VANISHED, one.txid, one.height, -one.units))
        return found

    async def _unbooked(self, asset: Asset, place: Place, first: int, sight: Sight) -> list[Evidence]:
        seen = await self._scan(asset, place, first, sight.height)
        if sight.difference_units > 0:
            for address in place.addresses:
                seen += await self._locate(asset, address, first, sight.height)
        txids = sorted({transfer.txid for _, transfer in seen})
        async with self._database.reader() as tx:
            arrived = await deposits_store.sightings(tx, sight.network, txids)
            own = await own_store.find(tx, sight.network, txids)
        standing = {key for key, sighting in arrived.items() if sighting.stands}
        found: dict[tuple[str, str, str], Evidence] = {}
        for block, transfer in seen:
            key = transfer.txid, transfer.position, transfer.target
            units = _effect(transfer, place)
            if units and key not in standing and transfer.txid not in own:
                found[key] = Evidence(EvidenceKind.UNBOOKED, transfer.txid, block.height, units)
        return list(found.values())

    async def _scan(self, asset: Asset, place: Place, first: int, last: int) -> list[tuple[Block, Transfer]]:
        found: list[tuple[Block, Transfer]] = []
        while first <= last:
            blocks = await self._chain.scan(first, last)
            if not blocks:
                break
            found += [
                (block, transfer)
                for block in blocks
                for transfer in block.transfers
                if transfer.asset == asset.id and {transfer.source, transfer.target} & set(place.addresses)
            ]
            first = blocks[-1].height + 1
        return found

    async def _locate(self, asset: Asset, address: str, first: int, last: int) -> list[tuple[Block, Transfer]]:
        hidden = self._chain.locate(asset, address, first, last)
        return list(await _readable(hidden, f"{asset.id} at {address}"))


async def _readable(answer: Awaitable[Sequence[Found]], what: str) -> Sequence[Found]:
    """Return what the chain says, nothing where it cannot be read: a name that is missing must not hide the others."""
    try:
        return await answer
    except ChainError as error:
        log.warning("%s: not everything can be named now: %s", what, error)
        return ()


def _effect(transfer: Transfer, place: Place) -> int:
    came = transfer.units if transfer.target in place.addresses else 0
    went = transfer.units if transfer.source in place.addresses else 0
    return came - went
