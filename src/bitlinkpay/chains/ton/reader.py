"""Reading ranges of masterchain blocks: the money that came to our accounts in what each of them committed.

A masterchain block is final when it exists, and it commits the blocks of all shards. Our accounts are few, so the
range is read by account and sorted into blocks: one call for the headers, one for where the accounts stand now, one
for each account that moved, however many blocks. Each of `quorum` endpoints is asked for all of it, and what was
read out of it must be equal.

Behind one endpoint may stand several servers, one of them a little behind the others. What such a one hid at the end
of a range is linked to the range's last transaction all the same, so that it comes to light with the next one: it is
told as part of the next range's first block.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Final

from bitlinkpay.chains.base import Block, BlockRef, GapError, Transfer
from bitlinkpay.chains.quorum import Quorum
from bitlinkpay.chains.ton.history import BEGINNING, Link, Stretch, height_of, link_before, link_of
from bitlinkpay.chains.ton.node import TonNode, tip_of
from bitlinkpay.chains.ton.transfers import Holdings
from bitlinkpay.chains.ton.wire import (
    Malformed,
    RawBlock,
    RawTransaction,
    block_time,
    canonical_address,
    canonical_hash,
)

PAGES_BACK: Final = 40  # how far back from the newest transaction one of a given block is looked for


@dataclass(frozen=True, slots=True)
class _Place:
    """Where an endpoint's last range ended: the header there, and the last link of each account up to it."""

    header: RawBlock
    links: dict[str, Link]


class RangeReader:
    """Reads blocks from the endpoints of one network."""

    def __init__(self, quorum: Quorum[TonNode], holdings: Holdings, *, range_max: int) -> None:
        self._quorum = quorum
        self._holdings = holdings
        self._range_max = range_max
        self._places: dict[TonNode, _Place] = {}

    async def read(self, first: int, last: int) -> list[Block]:
        """Return the blocks `first..last`, at most `range_max` of them.

        Raises:
            GapError, ForkedBlock, NotEnoughAnswers, ChainError: nothing was read.
        """
        last = min(last, first + self._range_max - 1)
        return await self._quorum.agree(lambda node: self._fetch(node, first, last))

    async def _fetch(self, node: TonNode, first: int, last: int) -> list[Block]:
        place = await self._place_before(node, first)
        headers = await node.headers(place.header, last)
        states = await node.states(self._holdings.accounts)
        found: dict[int, list[Transfer]] = {}
        links: dict[str, Link] = {}
        for account in self._holdings.accounts:
            since = place.links.get(account) or await link_below(node, account, headers[0])
            stretch = await read_stretch(node, account, since, height=last, tip=tip_of(states.get(account)))
            links[account] = stretch.end
            for transaction in stretch.transactions:
                transfer = self._holdings.transfer_of(transaction)
                if transfer is not None:
                    found.setdefault(max(first, height_of(transaction)), []).append(transfer)
        self._places[node] = _Place(headers[-1], links)
        return _blocks(place.header, headers, found)

    async def _place_before(self, node: TonNode, first: int) -> _Place:
        """Return where a range begins; remembered when it follows the one read last from this endpoint."""
        place = self._places.get(node)
        if place is not None and place.header.seqno == first - 1:
            return place
        return _Place(await node.header(first - 1), {})


def block_ref(header: RawBlock) -> BlockRef:
    """Return where a masterchain block stands."""
    return BlockRef(int(header.seqno), canonical_hash(header.root_hash), block_time(header))


def _blocks(before: RawBlock, headers: Sequence[RawBlock], found: dict[int, list[Transfer]]) -> list[Block]:
    blocks: list[Block] = []
    parent = canonical_hash(before.root_hash)
    for header in headers:
        ref = block_ref(header)
        blocks.append(Block(ref.height, ref.hash, parent, ref.time, tuple(found.get(ref.height, ()))))
        parent = ref.hash
    return blocks


async def read_stretch(node: TonNode, account: str, since: Link, *, height: int, tip: Link) -> Stretch:
    """Return an account's transactions after `since` that were committed up to a height, none left out.

    Args:
        node: the endpoint; it has the block at `height`.
        account: canonical address.
        since: the link to go on from.
        height: the last masterchain block.
        tip: the account's last transaction, read after that block was.

    Raises:
        GapError: the endpoint does not show all of them.
    """
    stretch = Stretch((), since)
    while not stretch.reaches(height, tip):
        query = (("account", account), ("start_lt", str(stretch.end.lt + 1)), ("sort", "asc"))
        page = await node.transactions(query)
        if not page:
            raise GapError(f"{node.label} does not show the last transactions of {account}")
        stretch = stretch.follow(account, page)
    return stretch.until(height)


async def link_below(node: TonNode, account: str, header: RawBlock) -> Link:
    """Return the last link of an account below a masterchain block.

    What a masterchain block commits has a logical time below the block's own, so one page before it nearly always
    tells; but not all below it is older: a shard may run ahead of what is committed.

    Raises:
        GapError: the endpoint does not have the account's history that far back.
    """
    newest = await newest_until(node, account, header.seqno - 1, lt=header.start_lt)
    return BEGINNING if newest is None else link_of(newest)


async def newest_until(node: TonNode, account: str, height: int, *, lt: int | None = None) -> RawTransaction | None:
    """Return an account's last transaction that was committed up to a height, None if it had none.

    Args:
        node: the endpoint.
        account: canonical address.
        height: the masterchain block.
        lt: a logical time above all that it committed, to begin there; None begins at the newest.

    Raises:
        GapError: the endpoint does not have the account's history that far back.
    """
    async for transaction in backwards(node, account, lt=lt):
        if height_of(transaction) <= height:
            return transaction
    return None


async def backwards(node: TonNode, account: str, *, lt: int | None = None) -> AsyncIterator[RawTransaction]:
    """Go through an account's transactions from a logical time (None: the newest) back to its first one.

    Raises:
        GapError: one is missing, or there are more than `PAGES_BACK` pages of them.
    """
    before: Link | None = None
    for _ in range(PAGES_BACK):
        end = () if lt is None else (("end_lt", str(lt)),)
        page = await node.transactions((("account", account), *end, ("sort", "desc")))
        for transaction in page:
            if canonical_address(transaction.account) != account:
                raise Malformed(f"the history of {account} has a transaction of another account")
            if before is not None and link_of(transaction) != before:
                raise GapError(f"{node.label} leaves out a transaction of {account}")
            before = link_before(transaction)
            yield transaction
        if before in {None, BEGINNING}:
            return
        if not page:
            break
        lt = page[-1].lt - 1
    raise GapError(f"{node.label} does not have the whole history of {account}")
