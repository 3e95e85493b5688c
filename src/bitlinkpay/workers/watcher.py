"""Reads one network block by block: observe, follow reorganisations, finalize, screen, settle, expire.

RPC is never made inside a transaction. Whatever fails stops the cursor where it is.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID, uuid4

from bitlinkpay.chains.base import Block, BlockRef, Chain, ChainError, ForkedBlock, GapError, Head, Transfer
from bitlinkpay.chains.finality import stalled_since
from bitlinkpay.chains.registry import Registry
from bitlinkpay.core.clock import Clock, SystemClock
from bitlinkpay.db.driver import Tx
from bitlinkpay.db.pool import Database
from bitlinkpay.deposits.journal import store as journal
from bitlinkpay.deposits.model import Cursor, Deposit, Lease, LostLease
from bitlinkpay.payins import arrivals
from bitlinkpay.payins.clearing import Clearing
from bitlinkpay.payins.reconciling import Reconciling
from bitlinkpay.payins.service import EXPIRY_BATCH, Payins
from bitlinkpay.payins.sightings import Sightings

log = logging.getLogger(__name__)

SCAN_BLOCKS: Final = 32
START_DEPTH: Final = 100
JOURNAL_BLOCKS: Final = 10_000
PRUNE_EVERY: Final = 256
LEASE_LIFE: Final = timedelta(seconds=10)


@dataclass(frozen=True, slots=True)
class Parts:
    """What a watcher is made of. `clock` is business time, `wall` is not: leases run by it."""

    database: Database
    registry: Registry
    chain: Chain
    payins: Payins
    clearing: Clearing
    reconciling: Reconciling | None
    sightings: Sightings | None
    clock: Clock
    wall: Clock = field(default_factory=SystemClock)


class Watcher:
    """The loop body for one network. Several may run; only the holder of the lease writes."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._network = parts.chain.network
        self._token: UUID = uuid4()
        self._lease: Lease | None = None
        self._is_stalled = False
        self._is_behind = False

    async def step(self) -> bool:
        """Do one bounded piece of work; return True when there may be more now."""
        lease = await self._hold()
        if lease is None:
            return False
        try:
            return await self._follow(lease)
        except LostLease:
            self._lease = None
            return False

    async def _follow(self, lease: Lease) -> bool:
        cursor = await self._cursor()
        head = await self._parts.chain.head()
        self._tell_stall(head)
        moved = await self._advance(lease, cursor, head)
        settled = await self._settle(cursor, head)
        if moved:
            cursor = await self._cursor()
        is_behind = cursor.height < head.latest.height
        # On a fast chain every step moves: what belongs to the end of the chain is done whenever we stand there.
        found = await self._close(lease, cursor) if not moved or not is_behind else 0
        return (moved and is_behind) or settled > 0 or found > 0

    def _tell_stall(self, head: Head) -> None:
        """Tell once when the chain goes on without new final blocks (THREATS EVM-20), and once when they come again."""
        since = stalled_since(self._network, head)
        if since and not self._is_stalled:
            text = "%s: finality has stalled, no block after %d of %s is final; nothing is credited meanwhile"
            log.critical(text, self._network.id, since.height, since.time)
        elif self._is_stalled and not since:
            log.warning("%s: blocks become final again", self._network.id)
        self._is_stalled = since is not None

    def _tell_behind(self, cursor: Cursor, head: Head) -> None:
        """Tell once when the endpoints fall behind what was final before, and once when they have caught up."""
        is_behind, name = head.final.height < cursor.final_height, self._network.id
        if is_behind and not self._is_behind:
            text = "%s: the final height went back from %d to %d; nothing is credited until it is there again"
            log.warning(text, name, cursor.final_height, head.final.height)
        elif self._is_behind and not is_behind:
            log.warning("%s: the final height is %d, no less than before", name, head.final.height)
        self._is_behind = is_behind

    async def _settle(self, cursor: Cursor, head: Head) -> int:
        self._tell_behind(cursor, head)
        if self._is_behind:
            return 0
        return await self._parts.clearing.settle(self._network.id, head.final.height)

    async def _hold(self) -> Lease | None:
        now = self._parts.wall.now()
        if self._lease and now < self._lease.until - LEASE_LIFE / 2:
            return self._lease

        async def work(tx: Tx) -> Lease | None:
            return await journal.take_lease(tx, network=self._network.id, token=self._token, now=now, life=LEASE_LIFE)

        self._lease = await self._parts.database.unit(work)
        if self._lease is None:
            await self._begin()
        return self._lease

    async def _begin(self) -> None:
        async with self._parts.database.reader() as tx:
            if await journal.find_cursor(tx, self._network.id) is not None:
                return
        start = await self._start()

        async def work(tx: Tx) -> None:
            await journal.begin(tx, self._network.id, start, self._parts.clock.now())

        await self._parts.database.unit(work)

    async def _start(self) -> BlockRef:
        """Return where to begin: somewhat below the final block, for what came before us and for forks yet to come.

        An endpoint that is young or pruned does not show as much: go half as deep, and again, until it shows it all.
        """
        final = (await self._parts.chain.head()).final
        depth = START_DEPTH
        while True:
            first = max(final.height - depth, min(1, final.height))
            try:
                blocks = await self._parts.chain.scan(first, min(final.height, first + SCAN_BLOCKS))
            except GapError as gap:
                if not depth:
                    raise
                log.warning("%s: begins less than %d blocks below the final one: %s", self._network.id, depth, gap)
                depth //= 2
            else:
                return BlockRef(blocks[0].height, blocks[0].hash, blocks[0].time) if blocks else final

    async def _cursor(self) -> Cursor:
        async with self._parts.database.reader() as tx:
            cursor = await journal.find_cursor(tx, self._network.id)
        assert cursor is not None, "a lease without a cursor"
        return cursor

    async def _advance(self, lease: Lease, cursor: Cursor, head: Head) -> bool:
        if head.latest.height <= cursor.height:
            return await self._stand(lease, cursor, head)
        try:
            blocks = await self._scan(cursor.height, head.latest.height)
        except ForkedBlock:
            return await self._rewind(lease, cursor, head)
        if not blocks:
            return False
        if blocks[0].parent != cursor.hash:
            return await self._rewind(lease, cursor, head)
        await self._observe(lease, head, blocks)
        return True

    async def _scan(self, height: int, latest: int) -> Sequence[Block]:
        """Read the next blocks; further ahead only where the chain skipped every height of the range."""
        reach = SCAN_BLOCKS
        while True:
            last = min(latest, height + reach)
            blocks = await self._parts.chain.scan(height + 1, last)
            if blocks or last == latest:
                return blocks
            reach *= 2

    async def _final(self, head: Head, blocks: Sequence[Block]) -> int:
        """Return the final height, once our own chain of blocks is seen to lead through the final block."""
        final = head.final
        if blocks and final.height > blocks[-1].height:
            return blocks[-1].height  # read after the head was: canonical, and older than what is final
        if blocks and final.height >= blocks[0].height:
            hashes = [block.hash for block in blocks if block.height == final.height]
        else:
            known = await self._journal(final.height)
            if known is None:
                return final.height  # older than everything that was read
            hashes = [known.hash] if known.height == final.height else []
        if final.hash not in hashes:
            raise ForkedBlock(f"{self._network.id}: the final block {final.height} is not on the chain that was read")
        return final.height

    async def _observe(self, lease: Lease, head: Head, blocks: Sequence[Block]) -> None:
        parts = self._parts
        now = parts.clock.now()
        final_height = await self._final(head, blocks)
        arrived = [(block, transfer) for block in blocks for transfer in block.transfers]
        sighted = await self._sight(arrived, now) if arrived else []
        final = [deposit for deposit in sighted if deposit.height <= final_height]
        cleared = await parts.clearing.at_sight(final, head.final.height) if final else []

        async def work(tx: Tx) -> None:
            await arrivals.observe(
                tx,
                parts.registry,
                lease,
                blocks=blocks,
                sighted=sighted,
                cleared=cleared,
                final_height=final_height,
                now=now,
            )
            if any(block.height % PRUNE_EVERY == 0 for block in blocks):
                await journal.prune_journal(tx, lease.network, final_height - JOURNAL_BLOCKS)

        await parts.database.unit(work)

    async def _sight(self, arrived: Sequence[tuple[Block, Transfer]], now: datetime) -> list[Deposit]:
        async with self._parts.database.reader() as tx:
            return await arrivals.sight(tx, self._network, arrived, now)

    async def _stand(self, lease: Lease, cursor: Cursor, head: Head) -> bool:
        known = await self._journal(head.latest.height)
        if known and (known.height, known.hash) != (head.latest.height, head.latest.hash):
            return await self._rewind(lease, cursor, head)
        final = min(await self._final(head, ()), cursor.height)
        if final <= cursor.final_height:
            return False
        now = self._parts.clock.now()

        async def work(tx: Tx) -> int:
            await journal.hold_lease(tx, lease, final_height=final)
            return await arrivals.finalize_seen(tx, lease.network, final, now)

        return await self._parts.database.unit(work) > 0

    async def _rewind(self, lease: Lease, cursor: Cursor, head: Head) -> bool:
        ancestor = await self._ancestor(cursor)
        if ancestor.height >= cursor.height:
            return False
        if ancestor.height < cursor.final_height and head.final.height < cursor.final_height:
            raise ChainError(
                f"{self._network.id}: a fork below the final height {cursor.final_height}, not final itself"
            )
        await self._check_deep(cursor, ancestor)
        now = self._parts.clock.now()

        async def work(tx: Tx) -> int:
            return len(await arrivals.rewind(tx, lease, ancestor, now))

        deep = await self._parts.database.unit(work)
        log.warning("%s: %d blocks left the chain", self._network.id, cursor.height - ancestor.height)
        if deep:
            log.critical("%s: %d settled deposits were reversed by a deep reorganisation", self._network.id, deep)
        return True

    async def _check_deep(self, cursor: Cursor, ancestor: BlockRef) -> None:
        """Undo what was final only for another block in its place: a lagging node that knows none proves nothing."""
        if ancestor.height >= cursor.final_height:
            return
        known = await self._journal(cursor.final_height)
        if known and await self._parts.chain.block_hash(known.height) in {None, known.hash}:
            raise ChainError(f"{self._network.id}: no other block stands in place of the final one {known.height}")

    async def _ancestor(self, cursor: Cursor) -> BlockRef:
        """Find the newest journal block that still stands on the chain: strides back, then halves."""
        beyond, stride = cursor.height + 1, 1
        while True:
            known = await self._journal(beyond - stride) or await self._oldest()
            if known.height >= beyond:
                raise ChainError(f"{self._network.id}: the fork is deeper than the journal; an operator must look")
            if await self._stands(known):
                return await self._newest_standing(known, beyond)
            beyond, stride = known.height, stride * 2

    async def _newest_standing(self, standing: BlockRef, beyond: int) -> BlockRef:
        """Halve between a block that stands and a height from which on none does; heights may have been skipped."""
        low = standing.height
        while beyond - low > 1:
            height = (low + beyond) // 2
            middle = await self._journal(height)
            assert middle is not None, "a journal without the block that stands"
            if middle.height <= standing.height:
                low = height
            elif await self._stands(middle):
                standing, low = middle, height
            else:
                beyond = middle.height
        return standing

    async def _stands(self, block: BlockRef) -> bool:
        return await self._parts.chain.block_hash(block.height) == block.hash

    async def _journal(self, height: int) -> BlockRef | None:
        async with self._parts.database.reader() as tx:
            return await journal.journal_block(tx, self._network.id, height)

    async def _oldest(self) -> BlockRef:
        async with self._parts.database.reader() as tx:
            return await journal.oldest_block(tx, self._network.id)

    async def _close(self, lease: Lease, cursor: Cursor) -> int:
        """Look for hidden money, then expire what ended before the cursor; return how much was found."""
        parts = self._parts
        read_to: datetime = cursor.time
        found = await parts.reconciling.step(lease, cursor) if parts.reconciling is not None else 0
        if parts.sightings is not None:
            await parts.sightings.step()

        async def work(tx: Tx) -> int:
            return await parts.payins.expire(tx, self._network, read_to)

        while await parts.database.unit(work) == EXPIRY_BATCH:
            continue
        return found
