"""What is too much in the hot wallet goes cold: planned by workers that die or sleep, signed for the pinned address alone."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from hashlib import sha256

from tests.crashes.flow import Act, Loop
from tests.crashes.flows.sweeps import Sweeps
from tests.crashes.stage import CALM, Process, Stage
from tests.flows.harness import REGISTRY

from bitlinkpay.chains.simulated_format import address_from
from bitlinkpay.core.money import to_units
from bitlinkpay.sending.model import OwnerKind
from bitlinkpay.sending.service import Owner
from bitlinkpay.treasury import stale, store
from bitlinkpay.treasury.levels import store as levels_store
from bitlinkpay.treasury.model import Levels
from bitlinkpay.treasury.parts import TreasuryParts
from bitlinkpay.treasury.surplus import Surplus

SURPLUS = (2, 3)
"""What is too much, in whole coins."""
_FEES = 10_000
"""Native units, more than moves of a schedule cost: they are paid beside what is moved, out of the same wallet."""


@dataclass(frozen=True, slots=True)
class Hot:
    """The hot wallet at one moment: what is free in it, how many moves from it to cold storage there ever were."""

    free: int
    moves: int
    is_moving: bool


class Cold:
    """`Flow` of surplus."""

    WEIGHTS: Mapping[str, int] = {"cool": 2}

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.levels: Levels | None = None
        self.target = self.pinned = stage.keeper.cold[stage.asset]
        self.asleep = 0  # workers within a step

    def owners(self) -> Mapping[OwnerKind, Owner]:
        return {}

    def loops(self, process: Process) -> Mapping[str, Loop]:
        parts = self.stage.flow(Sweeps).parts(process)
        surplus = Surplus(parts)
        return {"cool": lambda: self._step(process, parts, surplus)}

    async def cool(self, act: Act) -> str:
        """An operator sets levels, or leaves them; a worker looks, and may have been told of a foreign cold address."""
        dice = act.dice()
        if self.levels is None or dice.randrange(4):
            await self._set_levels(dice.choice(SURPLUS), is_over=bool(dice.randrange(5)))
        self.target = self.pinned if dice.randrange(6) else self._foreign()
        return await self.stage.work(dice.randrange(2), "cool", act)

    async def settle(self) -> None:
        """What nobody signs for is withdrawn in time; what is too much then goes where it belongs."""
        if self.levels is None:
            return
        if await self.stage.world.rows(_ASTRAY, self.stage.asset, self.pinned):
            await self.stage.cashier.pass_time(stale.PATIENCE)
            await stale.withdraw(self.stage.flow(Sweeps).parts(self.stage.workers[0]))
        self.target = self.pinned
        await self.stage.work(0, "cool", CALM)

    async def account(self) -> int:
        """By the chain the cold address has what the books say, and no other got anything; each move paid once or not at all.

        That moves end, once, each with its one payment, is seen where all moves are: by the sweeps.
        """
        stage = self.stage
        ((moved, paid, booked),) = await stage.world.rows(_COLD, stage.network, stage.asset, self.pinned)
        assert moved == paid == booked, f"{moved} moved, {paid} paid, {booked} booked"
        assert await stage.world.rows(_PAID, stage.network, stage.asset, self._foreign()) == [], "to a foreign address"
        async with stage.world.database.transaction() as tx:
            await tx.execute("delete from treasury_levels")
        return 0

    # --- parts -------------------------------------------------------------------------------------------------------

    async def _set_levels(self, coins: int, *, is_over: bool) -> None:
        """Let the wallet hold so much more than its target; or exactly as much as it may."""
        asset = REGISTRY.assets[self.stage.asset]
        free = (await self._look()).free
        levels = Levels(0, free - to_units(Decimal(coins), asset.decimals), free - int(is_over))
        async with self.stage.world.database.transaction() as tx:
            await levels_store.set_levels(tx, asset.id, levels, by="operator", now=self.stage.world.clock.now())
        self.levels = levels

    async def _step(self, process: Process, parts: TreasuryParts, surplus: Surplus) -> bool:
        """Look once. Who opens a move leaves the target in the wallet, and who opens none had none to open."""
        before = await self._look()
        self.asleep += 1
        try:
            opened = await surplus.step({self.stage.asset: self.target})
        finally:
            self.asleep -= 1
            after = await self._look()
            assert self.levels is not None
            least = self.levels.target_units - (_FEES if parts.native.id == self.stage.asset else 0)
            assert after.moves == before.moves or after.free >= least, "more than was too much"
        if not process.fuse.blown:
            assert not opened or before.free > self.levels.ceiling_units, "not too much, and moved"
            assert opened or after.is_moving or self.levels.surplus(after.free) == 0, "too much, and it stays hot"
        if self.asleep:
            await self._bring_home(process)
        return False

    async def _bring_home(self, process: Process) -> None:
        """Somebody sleeps so long over a step that what others have opened meanwhile comes to its end."""
        for _ in range(2):
            await self.stage.run(process.loops["pay"])
            await self.stage.world.mine(self.stage.network, REGISTRY.networks[self.stage.network].sandbox_lag + 1)
        await self.stage.run(process.loops["pay"])

    async def _look(self) -> Hot:
        stage = self.stage
        parts = stage.flow(Sweeps).parts(stage.workers[0])
        asset = REGISTRY.assets[stage.asset]
        async with stage.world.database.reader() as tx:
            free = await store.free_units(tx, parts.account, parts.hot.address, asset)
            row = await tx.fetchrow(_MOVES, stage.network, parts.hot.address)
        assert row is not None
        return Hot(free, row["moves"], row["is_moving"])

    def _foreign(self) -> str:
        return address_from(REGISTRY.networks[self.stage.network], sha256(b"not cold").digest())


_MOVES = """
    select count(*) filter (where kind = 'cold') as moves,
        coalesce(bool_or(state in ('fuelling', 'lending', 'moving')), false) as is_moving
    from treasury_moves where network = $1 and source = $2
"""
_ASTRAY = "select from treasury_moves where kind = 'cold' and asset = $1 and target <> $2 and state = 'moving'"
_PAID = "select txid from sim_transfers where network = $1 and asset = $2 and target = $3 and not has_failed"
_COLD = """
    select coalesce((select sum(units) from treasury_moves where kind = 'cold' and state = 'done' and asset = $2), 0),
        coalesce((select sum(units) from sim_transfers
            where network = $1 and asset = $2 and target = $3 and not has_failed), 0),
        coalesce((select balance_units from ledger_accounts where name = 'custody:cold' and asset = $2), 0)
"""
