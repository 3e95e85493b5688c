"""Native money that no block scan shows (a contract's inner call): balances of open orders against the books."""

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from bitlinkpay.chains.base import Block, Chain, ChainError, Transfer
from bitlinkpay.chains.registry import Registry
from bitlinkpay.core.assets import Asset
from bitlinkpay.core.clock import Clock
from bitlinkpay.core.ids import PayinId
from bitlinkpay.db.driver import Tx
from bitlinkpay.db.pool import Database
from bitlinkpay.deposits.journal import store as journal
from bitlinkpay.deposits.model import Cursor, Lease
from bitlinkpay.payins import arrivals, books, store

log = logging.getLogger(__name__)

CADENCE: Final = timedelta(seconds=60)
PAGE: Final = 500
SKEW: Final = timedelta(minutes=2)  # a chain's clock may be behind ours


class Reconciling:
    """Compares open native orders with the chain on a slow cadence, and those about to expire once more."""

    def __init__(self, *, database: Database, registry: Registry, chain: Chain, clock: Clock) -> None:
        self._database = database
        self._registry = registry
        self._chain = chain
        self._clock = clock
        self._native = registry.native(chain.network.id)
        self._last: datetime | None = None

    async def step(self, lease: Lease, cursor: Cursor) -> int:
        """Look for arrivals that `scan` could not see; return how many were recorded.

        The cost is one balance read per page of open native orders, whatever the number of blocks.
        """
        now = self._clock.now()
        due_only = self._last is not None and now - self._last < CADENCE
        found, after = 0, None
        while page := await self._page(cursor, after=after, due_only=due_only):
            found += await self._compare(lease, cursor, [address for _, address in page])
            after = page[-1][0]
        if not due_only:
            self._last = now
        return found

    async def _page(self, cursor: Cursor, *, after: PayinId | None, due_only: bool) -> list[tuple[PayinId, str]]:
        ends_before = cursor.time - self._chain.network.grace if due_only else None
        async with self._database.reader() as tx:
            return await store.list_open_addresses(
                tx, self._native.id, after=after, ends_before=ends_before, limit=PAGE
            )

    async def _compare(self, lease: Lease, cursor: Cursor, addresses: Sequence[str]) -> int:
        async with self._database.reader() as tx:
            booked = await books.held_at(tx, self._native, addresses, cursor.height)
        balances = await self._chain.balances(self._native, addresses, cursor.height)
        more = [address for address, units in zip(addresses, balances, strict=True) if units > booked[address]]
        return sum([await self._explain(lease, cursor, address) for address in more])

    async def _explain(self, lease: Lease, cursor: Cursor, address: str) -> int:
        """Locate what came to one address; one that cannot be explained must not hold up the network."""
        try:
            return await self._locate(lease, cursor, self._native, address)
        except ChainError as error:
            log.critical("%s: %s holds money that cannot be explained yet: %s", lease.network, address, error)
            return 0

    async def _locate(self, lease: Lease, cursor: Cursor, asset: Asset, address: str) -> int:
        async with self._database.reader() as tx:
            first = await journal.height_at(tx, cursor.network, await store.opened_at(tx, address) - SKEW)
        found = await self._chain.locate(asset, address, first, cursor.height)
        return await self._record(lease, found) if found else 0

    async def _record(self, lease: Lease, found: Sequence[tuple[Block, Transfer]]) -> int:
        network = self._registry.networks[lease.network]
        now = self._clock.now()

        async def work(tx: Tx) -> int:
            await journal.hold_lease(tx, lease, final_height=0)
            standing = await journal.standing(tx, network.id, [block for block, _ in found])
            kept = [(block, transfer) for block, transfer in found if block.hash in standing]
            cursor = await journal.find_cursor(tx, network.id)
            assert cursor is not None, "a lease without a cursor"
            sighted = await arrivals.sight(tx, network, kept, now)
            recorded = await arrivals.record(
                tx, self._registry, sighted, cleared=(), final_height=cursor.final_height, now=now
            )
            return len(recorded)

        return await self._database.unit(work)
