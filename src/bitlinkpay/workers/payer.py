"""Pays on one network: every lane with anything to do takes its turn; what stops one does not stop the others."""

import logging
from typing import Generic, TypeVar
from uuid import uuid4

from bitlinkpay.chains.base import ChainError
from bitlinkpay.chains.outgoing import Wallet
from bitlinkpay.core.errors import Unavailable
from bitlinkpay.sending.lane import LaneWorker
from bitlinkpay.sending.parts import LaneParts
from bitlinkpay.sending.transactions import store

log = logging.getLogger(__name__)

P = TypeVar("P")


class Payer(Generic[P]):
    """The loop body for all lanes of one network. Several may run: each lane has its own lease."""

    def __init__(self, parts: LaneParts[P]) -> None:
        self._parts = parts
        self._token = uuid4()
        self._lanes: dict[Wallet, LaneWorker[P]] = {}

    async def step(self) -> bool:
        """Give each busy lane one step; return True when there may be more now.

        Raises:
            ChainError, Unavailable: none of them could do its own, the last for this reason: the network, the signer or
                the database is away, and who asks again and again makes it no better.
        """
        async with self._parts.database.reader() as tx:
            payers = await store.busy_payers(tx, self._parts.network.id)
        self._lanes = {payer: self._lanes.get(payer) or LaneWorker(self._parts, payer, self._token) for payer in payers}
        has_more = False
        failures: dict[Wallet, ChainError | Unavailable] = {}
        for payer, lane in self._lanes.items():
            try:
                has_more = await lane.step() or has_more
            except (ChainError, Unavailable) as error:
                failures[payer] = error
        if failures and len(failures) == len(self._lanes):
            raise next(reversed(failures.values()))
        for payer, failure in failures.items():
            log.warning("%s: lane of %s: %s", self._parts.network.id, payer.address, failure)
        return has_more
