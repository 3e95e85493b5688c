"""Payments that wait for their first block: the payer reads that his was seen, and it counts as made when it was seen.

Nothing here touches the books. What was replaced or double spent goes away from the page again.
"""

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from bitlinkpay.chains.base import ChainError, Transfer
from bitlinkpay.chains.waiting import WaitingChain
from bitlinkpay.core.assets import Network
from bitlinkpay.core.clock import Clock
from bitlinkpay.db.driver import Tx
from bitlinkpay.db.pool import Database
from bitlinkpay.deposits import store as deposits_store
from bitlinkpay.deposits.model import TransferKey, Watched
from bitlinkpay.deposits.unconfirmed import store

log = logging.getLogger(__name__)

CADENCE: Final = timedelta(seconds=10)  # the list alone is several megabytes on a busy day


class Sightings:
    """Looks at one network's waiting transactions on a slow cadence. Nothing is open in the database while it does."""

    def __init__(
        self, *, database: Database, network: Network, chain: WaitingChain, clock: Clock, cadence: timedelta = CADENCE
    ) -> None:
        self._database = database
        self._network = network
        self._chain = chain
        self._clock = clock
        self._cadence = cadence
        self._last: datetime | None = None
        self._unwritten: dict[TransferKey, Transfer] = {}

    async def step(self) -> None:
        """Look, if it is time to; a network that cannot be looked at is left for the next time."""
        now = self._clock.now()
        if self._last is not None and now - self._last < self._cadence:
            return
        self._last = now
        try:
            waiting = await self._chain.waiting()
        except ChainError as error:
            log.warning("%s: what waits for a block can't be read: %s", self._network.id, error)
            return
        self._unwritten |= {(t.txid, t.position, t.target): t for t in waiting.fresh}  # what came back is fresh again
        async with self._database.reader() as tx:
            known = await store.list_waiting(tx, self._network.id)
            ours = await _ours(tx, self._network, list(self._unwritten.values()))
        gone = [txid for txid in known if txid not in waiting.txids]

        async def work(tx: Tx) -> None:
            if ours:
                await store.note(tx, self._network.id, ours, now)
            if gone:
                await store.mark_gone(tx, self._network.id, gone, now)

        if ours or gone:
            await self._database.unit(work)
        self._unwritten.clear()


async def _ours(tx: Tx, network: Network, transfers: Sequence[Transfer]) -> list[tuple[Transfer, Watched]]:
    if not transfers:
        return []
    targets, tags = [t.target for t in transfers], [t.tag for t in transfers]
    found = {(w.target, w.tag): w for w in await deposits_store.match(tx, network.family, targets, tags)}
    return [(t, found[t.target, t.tag]) for t in transfers if (t.target, t.tag) in found]
