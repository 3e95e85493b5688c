"""Keeps a network's hot wallet between its levels: what is too much goes cold, what is too little is called out.

Nothing is ever fetched from cold storage by itself: a refill is an operator's act (THREATS SWP-08).
"""

import logging
from collections.abc import Mapping

from bitlinkpay.chains.outgoing import CannotPlan, Payment, Purpose
from bitlinkpay.core.assets import Asset
from bitlinkpay.core.errors import Problem
from bitlinkpay.core.ids import new_uuid7
from bitlinkpay.db.driver import Tx
from bitlinkpay.sending import service as sending_service
from bitlinkpay.treasury import owner, store
from bitlinkpay.treasury.levels import store as levels_store
from bitlinkpay.treasury.model import Levels, Method, Move, MoveKind
from bitlinkpay.treasury.moves import store as moves
from bitlinkpay.treasury.parts import TreasuryParts
from bitlinkpay.treasury.planning import Cost, judge
from bitlinkpay.treasury.weighing import worth_of

log = logging.getLogger(__name__)


class _Overtaken(Exception):
    """What was too much is not any more."""


class Surplus:
    """The levels of one network's hot wallet. Many may run: a wallet has one move open at a time."""

    def __init__(self, parts: TreasuryParts) -> None:
        self._parts = parts
        self._low: set[str] = set()

    async def step(self, cold: Mapping[str, str]) -> int:
        """Look at every asset with levels once; return how many moves to cold storage were opened.

        Args:
            cold: the addresses that the signer has pinned, by asset: it sends surplus nowhere else.
        """
        parts = self._parts
        held = await parts.holds()
        async with parts.database.reader() as tx:
            levels = await levels_store.list_levels(tx)
            free = {
                asset.id: await store.free_units(tx, parts.account, parts.hot.address, asset)
                for asset in parts.registry.assets_of(parts.network.id)
                if asset.id in levels
            }
            joining = await store.joining_units(tx, parts.network.id, parts.hot.address)
        opened = 0
        for asset_id, units in free.items():
            asset = parts.registry.assets[asset_id]
            self._call_out(asset, units + (joining if asset.is_native else 0), levels[asset_id])
            surplus = levels[asset_id].surplus(units)
            if surplus and asset_id in cold and asset_id not in held:
                opened += await self._move(asset, surplus, cold[asset_id])
        return opened

    def _call_out(self, asset: Asset, units: int, levels: Levels) -> None:
        if units >= levels.floor_units:
            self._low.discard(asset.id)
        elif asset.id not in self._low:
            self._low.add(asset.id)
            log.critical("%s: the hot wallet is below its floor: refill it from cold storage", asset.id)

    async def _move(self, asset: Asset, units: int, target: str) -> int:
        """Open one move to cold storage where it pays; return how many were opened."""
        parts = self._parts
        intent = parts.intent(Purpose.COLD, parts.hot, Payment(parts.hot, asset.id, target, "", units))
        try:
            quote = await parts.sender.quote(intent)
            verdict = judge(units, Cost(quote.units, quote.units_max), await worth_of(parts, asset))
        except (CannotPlan, Problem) as obstacle:
            log.warning("%s: the surplus stays hot: %s", asset.id, obstacle)
            return 0
        if not verdict.pays:
            return 0
        return await self._open(self._cold(asset, units, target, verdict.fee_max_units))

    def _cold(self, asset: Asset, units: int, target: str, fee_max_units: int) -> Move:
        parts = self._parts
        return Move(
            move_id=new_uuid7(),
            kind=MoveKind.COLD,
            method=Method.ALONE,
            network=parts.network.id,
            asset=asset.id,
            source=parts.hot,
            payer=parts.hot,
            target=target,
            units=units,
            fee_max_units=fee_max_units,
        )

    async def _open(self, move: Move) -> int:
        """Open a move if its money is still too much; say how many were opened.

        Who asks the network for a price may be overtaken: another has opened the same move, and it has arrived. The
        wallet is read once more behind the new move, which no other can be opened beside.
        """
        parts, now = self._parts, self._parts.clock.now()

        async def work(tx: Tx) -> int:
            if not await moves.insert(tx, [move], now):
                return 0
            if await self._surplus(tx, parts.registry.assets[move.asset]) < move.units:
                raise _Overtaken
            await sending_service.queue(tx, [owner.money(move, now)], now)
            return 1

        async def done(tx: Tx) -> int | None:
            return len(await moves.lock(tx, [move.move_id])) or None

        try:
            return await parts.database.unit(work, resolve=done)
        except _Overtaken:
            return 0

    async def _surplus(self, tx: Tx, asset: Asset) -> int:
        levels = (await levels_store.list_levels(tx)).get(asset.id)
        if levels is None:
            return 0
        return levels.surplus(await store.free_units(tx, self._parts.account, self._parts.hot.address, asset))
