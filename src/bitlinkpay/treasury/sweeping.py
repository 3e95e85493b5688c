"""Collects deposits of one network into the hot wallet: plan by cost, then open moves; the lanes carry them.

A plan is thrown away when another process holds the network's lease, and each of its moves when the address changed
meanwhile: what is opened is checked once more in the transaction that opens it.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import chain
from typing import Final
from uuid import UUID, uuid4

from bitlinkpay.chains.outgoing import Lending, Purpose
from bitlinkpay.core.assets import Asset, Family
from bitlinkpay.db.driver import Tx
from bitlinkpay.sending import service as sending_service
from bitlinkpay.sending import setup
from bitlinkpay.sending.model import Sending
from bitlinkpay.treasury import owner, store
from bitlinkpay.treasury.borrowing import Borrowing, Patience, Stake, is_needed
from bitlinkpay.treasury.levels import store as levels
from bitlinkpay.treasury.loans import service as loans
from bitlinkpay.treasury.loans import store as loans_store
from bitlinkpay.treasury.model import GasLimits, Move, Sweepable
from bitlinkpay.treasury.moves import store as moves
from bitlinkpay.treasury.parts import TreasuryParts
from bitlinkpay.treasury.weighing import Scales, Weighed

log = logging.getLogger(__name__)

PAGE: Final = 100
"""How many addresses one plan looks at per asset, the largest first."""
LEASE_LIFE: Final = timedelta(minutes=1)
ASK_EVERY: Final = timedelta(minutes=1)
"""How often a network is asked again about the same money at the same addresses, when none of it was worth moving."""


@dataclass(frozen=True, slots=True)
class Budget:
    """What a plan may use: the hot wallet's free native coin, and what is left of the day's gas for addresses."""

    hot_units: int
    gas_units: int
    tops_per_address: int
    purposes: frozenset[Purpose]

    def refusal(self, weighed: Weighed) -> str:
        """Say why a move must wait though it pays, "" if it need not."""
        assert weighed.move is not None, "what waits already"
        if weighed.hot_units > max(0, self.hot_units):
            return "the hot wallet holds too little of the network's coin"
        return self._gas_refusal(weighed) if weighed.move.gas_units else ""

    def _gas_refusal(self, weighed: Weighed) -> str:
        if Purpose.GAS not in self.purposes:
            return 'it needs gas, and "gas" is not among the purposes of the signer\'s policy'
        if weighed.address.tops >= self.tops_per_address:
            return f"it got gas {weighed.address.tops} times within a day, which is the limit"
        if weighed.move is not None and weighed.move.gas_units > self.gas_units:
            return "the day's limit of gas for addresses is reached"
        return ""

    def less(self, weighed: Weighed) -> "Budget":
        """Return what is left after a move."""
        gas = weighed.move.gas_units if weighed.move else 0
        return replace(self, hot_units=self.hot_units - weighed.hot_units, gas_units=self.gas_units - gas)


def afford(weighed: Sequence[Weighed], budget: Budget) -> list[Weighed]:
    """Let those wait that the budget does not allow; pure. In order: the largest come first."""
    allowed: list[Weighed] = []
    for one in weighed:
        reason = budget.refusal(one) if one.move else ""
        allowed.append(Weighed(one.address, reason=reason) if reason else one)
        budget = budget if reason else budget.less(one)
    return allowed


@dataclass(frozen=True, slots=True)
class _Resting:
    """What is not worth moving, and until when nobody asks again."""

    addresses: Sequence[Sweepable]
    weighed: Sequence[Weighed]
    until: datetime


class Sweeping:
    """The collecting of one network. Many may run: one at a time opens moves."""

    def __init__(self, parts: TreasuryParts, token: UUID | None = None) -> None:
        """Plan under the lease that `token` holds or takes, by default one of its own."""
        self._parts = parts
        self._token = token or uuid4()
        self._resting: dict[str, _Resting] = {}
        self._patience: dict[str, Patience] = {}

    async def plan(self, purposes: frozenset[Purpose]) -> dict[str, list[Weighed]]:
        """Return by asset what would be moved now, and why the rest waits.

        Args:
            purposes: what the signer signs for.
        """
        parts = self._parts
        if parts.network.family is Family.TON:  # its one wallet takes deposits and pays
            return {}
        held = await parts.holds()
        budget = await self._budget(purposes)
        found: dict[str, list[Weighed]] = {}
        for asset in sorted(parts.registry.assets_of(parts.network.id), key=lambda one: one.is_native):  # gas stays
            async with parts.database.reader() as tx:
                addresses = await self._sweepable(tx, asset)
            if reason := held.get(asset.id):
                found[asset.id] = [Weighed(one, reason=f"the asset is on hold: {reason}") for one in addresses]
                continue
            found[asset.id] = afford(await self._weigh(asset, addresses, purposes), budget)
            for one in found[asset.id]:
                budget = budget.less(one)
        return found

    async def _weigh(
        self, asset: Asset, addresses: Sequence[Sweepable], purposes: frozenset[Purpose]
    ) -> Sequence[Weighed]:
        """Weigh what has changed, or was not looked at for a while: dust lies there for ever."""
        resting, wall = self._resting.get(asset.id), self._parts.wall.now()
        if resting and resting.addresses == addresses and wall < resting.until:
            return resting.weighed
        weighed = await Scales(self._parts, asset).weigh(addresses)
        if self._parts.lending and addresses and is_needed(purposes, asset):
            stake = await self._stake(self._parts.lending)
            lent = await Borrowing(self._parts, self._parts.lending, asset).weigh(weighed, stake)
            weighed = self._patience.setdefault(asset.id, Patience()).bear(weighed, lent, wall)
        if not any(one.move or one.setup_units for one in weighed):
            self._resting[asset.id] = _Resting(addresses, weighed, wall + ASK_EVERY)
        return weighed

    async def _stake(self, lending: Lending) -> Stake:
        lendable = await lending.lendable(self._parts.hot)
        async with self._parts.database.reader() as tx:
            promised, is_out = await loans_store.find_outstanding(tx, self._parts.network.id)
        return Stake(max(0, lendable - promised), is_out)

    async def step(self, purposes: frozenset[Purpose]) -> bool:
        """Plan once and open what pays; return True when there may be more at once.

        Args:
            purposes: what the signer signs for; without `SWEEP` nothing is planned.
        """
        if Purpose.SWEEP not in purposes or not await self._lead():
            return False
        weighed = list(chain.from_iterable((await self.plan(purposes)).values()))
        setup_units = max((one.setup_units for one in weighed), default=0)
        if setup_units and Purpose.SETUP in purposes:
            await self._make_ready(setup_units)
        chosen = [one for one in weighed if one.move is not None]
        if not chosen:
            return False
        opened = await self._open(chosen)
        log.info("%s: %d addresses are being swept", self._parts.network.id, opened)
        return opened == PAGE

    async def _make_ready(self, fee_max_units: int) -> None:
        """Ask for what lets the hot wallet collect from many addresses at once; tried once at a number of its lane."""
        parts, now = self._parts, self._parts.clock.now()
        lane = await parts.sender.lane(parts.hot)
        await parts.database.unit(
            lambda tx: setup.ask(
                tx,
                parts.network.id,
                parts.hot,
                number=lane.next_number,
                fee_max_units=fee_max_units,
                before=now,
                now=now,
            )
        )

    async def _lead(self) -> bool:
        async def work(tx: Tx) -> bool:
            return await self._take(tx)

        return await self._parts.database.unit(work, resolve=work)

    async def _take(self, tx: Tx) -> bool:
        wall = self._parts.wall.now()
        return await moves.take_lease(tx, self._parts.network.id, token=self._token, wall=wall, life=LEASE_LIFE)

    async def _sweepable(self, tx: Tx, asset: Asset, only: Sequence[str] | None = None) -> list[Sweepable]:
        parts = self._parts
        return await moves.list_sweepable(
            tx,
            family=parts.network.family,
            asset=asset,
            native=parts.native,
            limit=PAGE,
            now=parts.clock.now(),
            only=only,
        )

    async def _budget(self, purposes: frozenset[Purpose]) -> Budget:
        parts, now = self._parts, self._parts.clock.now()
        async with parts.database.reader() as tx:
            limits = await self._limits(tx)
            spent = await moves.gas_since(tx, parts.network.id, now - moves.DAY)
            free = await store.free_units(tx, parts.account, parts.hot.address, parts.native)
            if free < 0:  # what waits for more than there is must not keep away the sweep that brings it
                free = await store.idle_units(tx, parts.account, parts.hot.address, parts.native)
        return Budget(free, max(0, limits.day_units - spent), limits.tops_per_address, purposes)

    async def _limits(self, tx: Tx) -> GasLimits:
        found = await levels.find_gas_limits(tx, self._parts.network.id)
        return found or levels.standard_gas_limits(self._parts.native)

    async def _open(self, chosen: Sequence[Weighed]) -> int:
        """Open moves whose addresses still hold what was planned, and queue their first payments."""
        parts, now = self._parts, self._parts.clock.now()
        wanted = {one.move.move_id: (one.move, one.gas_fee_units) for one in chosen if one.move}

        def first(move: Move) -> Sending:
            fee = wanted[move.move_id][1]
            return owner.first(move, native=parts.native.id, hot=parts.hot, gas_fee_units=fee, now=now)

        async def work(tx: Tx) -> int:
            if not await self._take(tx):
                return 0
            held = await self._still_held(tx, [move for move, _ in wanted.values()])
            sound = [
                move for move, _ in wanted.values() if move.units <= held.get((move.asset, move.source.address), 0)
            ]
            stored = await moves.insert(tx, sound, now)
            opened = [move for move in sound if move.move_id in stored]
            await loans.ask(tx, opened, parts.hot, now)
            await sending_service.queue(tx, [first(move) for move in opened], now)
            return len(opened)

        async def done(tx: Tx) -> int | None:
            return len(await moves.lock(tx, list(wanted))) or None

        return await parts.database.unit(work, resolve=done)

    async def _still_held(self, tx: Tx, planned: Sequence[Move]) -> dict[tuple[str, str], int]:
        held: dict[tuple[str, str], int] = {}
        for asset_id in {move.asset for move in planned}:
            sources = [move.source.address for move in planned if move.asset == asset_id]
            for one in await self._sweepable(tx, self._parts.registry.assets[asset_id], sources):
                held[asset_id, one.source.address] = one.units
        return held
