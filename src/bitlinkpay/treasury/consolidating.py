"""Joins outputs of one network's hot wallet while the network is cheap: plan by cost, then open a move for its lane.

A network that counts balances has nothing to join. What was opened stands behind every payment that waits in the lane
(`sending.store.list_queued`), and names exactly the outputs' sum: where one of them is gone by then it fails.
"""

import logging
from datetime import timedelta
from typing import Final
from uuid import UUID

from bitlinkpay.chains.outgoing import Purpose
from bitlinkpay.chains.tariff import Tariff, TariffSender
from bitlinkpay.core.ids import new_uuid7
from bitlinkpay.db.driver import Tx
from bitlinkpay.sending import service as sending_service
from bitlinkpay.sending.outputs import store as outputs
from bitlinkpay.treasury import owner, store
from bitlinkpay.treasury.joining import Joint, Pocket, join
from bitlinkpay.treasury.model import Method, Move, MoveKind
from bitlinkpay.treasury.moves import store as moves
from bitlinkpay.treasury.parts import TreasuryParts
from bitlinkpay.treasury.sweeping import LEASE_LIFE
from bitlinkpay.treasury.terms import store as terms_store

log = logging.getLogger(__name__)

LOOK_EVERY: Final = timedelta(minutes=1)
"""How often a wallet is looked at, and a network asked what it wants."""


class Consolidating:
    """The outputs of one network's hot wallet. Many may run: one at a time opens moves."""

    def __init__(self, parts: TreasuryParts, token: UUID) -> None:
        """Work under the planning lease that `token` holds or takes."""
        self._parts = parts
        self._token = token
        self._looked_at = parts.wall.now() - LOOK_EVERY

    async def plan(self) -> Joint | None:
        """Return what would be joined now, or why it waits; None where there is nothing to join. Nothing is done."""
        sender, reason = self._parts.sender, await self._hold()
        if not isinstance(sender, TariffSender):
            return None
        async with self._parts.database.reader() as tx:
            pocket = await self._look(tx, reason)
        return join(pocket, await sender.tariff()) if pocket.spare else None

    async def step(self, purposes: frozenset[Purpose]) -> int:
        """Look once, if it is time to; return how many moves were opened.

        Args:
            purposes: what the signer signs for; without `CONSOLIDATION` nothing is planned.
        """
        parts, wall = self._parts, self._parts.wall.now()
        sender = parts.sender
        if Purpose.CONSOLIDATION not in purposes or not isinstance(sender, TariffSender):
            return 0
        if wall - self._looked_at < LOOK_EVERY:
            return 0
        self._looked_at, now = wall, parts.clock.now()
        await parts.database.unit(lambda tx: outputs.add_deposited(tx, parts.network.id, [parts.hot], now))
        reason = await self._hold()
        async with parts.database.reader() as tx:
            pocket = await self._look(tx, reason)
        if pocket.obstacle or not pocket.spare:
            return 0
        tariff = await sender.tariff()
        joint = join(pocket, tariff)
        return 0 if joint.reason else await self._open(joint, tariff)

    async def _hold(self) -> str:
        return (await self._parts.holds()).get(self._parts.native.id, "")

    async def _look(self, tx: Tx, hold: str = "") -> Pocket:
        parts, network = self._parts, self._parts.network.id
        address = parts.hot.address
        terms = await terms_store.find(tx, network) or terms_store.STANDARD
        free = await store.free_units(tx, parts.account, address, parts.native)
        held = await outputs.list_free(tx, network, [address])
        obstacle = hold and f"the asset is on hold: {hold}"
        if await moves.is_moving(tx, network, address):
            obstacle = "a move of this wallet's money is under way"
        elif await sending_service.has_waiting(tx, network, address):
            obstacle = "payments wait in the wallet's queue"
        return Pocket(tuple(output.units for output in held), free, terms, obstacle)

    async def _open(self, joint: Joint, tariff: Tariff) -> int:
        """Open a move and queue its payment, where the wallet is still as it was planned by."""
        parts, now = self._parts, self._parts.clock.now()
        move = Move(
            move_id=new_uuid7(),
            kind=MoveKind.CONSOLIDATION,
            method=Method.ALONE,
            network=parts.network.id,
            asset=parts.native.id,
            source=parts.hot,
            payer=parts.hot,
            target=parts.hot.address,
            units=joint.units,
            fee_max_units=joint.fee_max_units,
        )

        async def work(tx: Tx) -> int:
            wall = parts.wall.now()
            if not await moves.take_lease(tx, parts.network.id, token=self._token, wall=wall, life=LEASE_LIFE):
                return 0
            if join(await self._look(tx), tariff) != joint:
                return 0
            stored = await moves.insert(tx, [move], now)
            await sending_service.queue(tx, [owner.money(move, now)] if stored else [], now)
            log.info("%s: %d outputs are being joined", parts.network.id, joint.outputs)
            return len(stored)

        async def done(tx: Tx) -> int | None:
            return len(await moves.lock(tx, [move.move_id])) or None

        return await parts.database.unit(work, resolve=done)
