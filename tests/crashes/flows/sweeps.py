"""Our own money on its way to the hot wallet: planned by workers that die, carried by lanes, with stake lent for it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from tests.crashes.faults import FaultySender
from tests.crashes.flow import Act, Loop
from tests.crashes.flows.orders import Orders
from tests.crashes.stage import CALM, Process, Stage
from tests.flows.harness import REGISTRY, cross_rate

from bitlinkpay.chains.outgoing import Purpose
from bitlinkpay.chains.simulated import SimulatedChain
from bitlinkpay.chains.simulated_lending import COVERING_UNITS, LOAN_FEES, SimulatedLending
from bitlinkpay.db.pool import Database
from bitlinkpay.sandbox.stakes.store import Stakes
from bitlinkpay.sending.model import OwnerKind
from bitlinkpay.sending.service import Owner
from bitlinkpay.treasury.loans.returning import Returning
from bitlinkpay.treasury.loans.service import LoanOwner
from bitlinkpay.treasury.owner import TREASURY_KINDS, TreasuryOwner
from bitlinkpay.treasury.parts import TreasuryParts
from bitlinkpay.treasury.service import ANYTHING
from bitlinkpay.treasury.sweeping import Sweeping

EARNED = "40"


@dataclass(frozen=True, slots=True)
class Lead:
    """Who may plan, as the database says, and how many moves were planned so far."""

    token: object
    until: datetime | None
    moves: int

    def is_held(self, wall: datetime) -> bool:
        return self.until is not None and self.until >= wall


class Sweeps:
    """`Flow` of sweeps, of the gas that goes ahead of them, and of the stake that is lent for them on TRON."""

    WEIGHTS: Mapping[str, int] = {"sweep": 4, "borrow": 2}

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.tokens: dict[Process, object] = {}
        self.came_between: Lead | None = None

    def owners(self) -> Mapping[OwnerKind, Owner]:
        return {**dict.fromkeys(TREASURY_KINDS, TreasuryOwner(REGISTRY)), OwnerKind.RECALL: LoanOwner()}

    def loops(self, process: Process) -> Mapping[str, Loop]:
        parts = self.parts(process)
        sweeping, returning = Sweeping(parts), Returning(parts)

        async def take_back() -> bool:
            return bool(await returning.step(ANYTHING))

        return {
            "sweep": lambda: self._step(process, sweeping, ANYTHING - {Purpose.LEND}),
            "borrow": lambda: self._step(process, sweeping, ANYTHING),
            "return": take_back,
        }

    def lending(self, database: Database) -> SimulatedLending | None:
        chain = self.stage.world.chain(self.stage.network)
        assert isinstance(chain, SimulatedChain)
        return SimulatedLending(chain, Stakes(database)) if chain.network.family in LOAN_FEES else None

    async def sweep(self, act: Act) -> str:
        """Money comes to the address of an order; a worker plans, often one that may not: another has just begun."""
        dice, stage = act.dice(), self.stage
        number = dice.randrange(2)
        if not dice.randrange(3):
            await stage.work(1 - number, "sweep", CALM)
        await stage.flow(Orders).earn(EARNED)
        return await stage.work(number, "sweep", act)

    async def borrow(self, act: Act) -> str:
        """Let the hot wallet have stake for two sweeps, and sweep with it; what came to its end before is taken back."""
        wallet = self.stage.cashier.hot(self.stage.network).address
        async with self.stage.world.database.transaction() as tx:
            await tx.execute(_STAKE, self.stage.network, wallet, 2 * COVERING_UNITS)
        await self.stage.flow(Orders).earn(EARNED)
        number = act.dice().randrange(2)
        told = await self.stage.work(number, "return", act)
        return f"{told}; {await self.stage.work(number, 'borrow', act)}"

    async def settle(self) -> None:
        """Lanes bring to its end what was planned; then what was lent is taken back."""
        await self.stage.work(0, "return", CALM)

    async def account(self) -> int:
        """Every move has one end, was fuelled once, and carried its money once or not at all; no lane has a gap.

        That nothing stays lent is seen here too; that books equal chain, and payments on the chain those that were asked
        for, is the stage's to see.
        """
        rows = self.stage.world.rows
        assert await rows(_MOVING) == [], "on its way for ever"
        assert await rows(_TWO_ENDS) == [], "ended twice"
        assert await rows(_UNEVEN) == [], "a move, and not its one payment"
        assert await rows(_GAPS, self.stage.network) == [], "a number that no block holds"
        return 0

    # --- parts -------------------------------------------------------------------------------------------------------

    async def _step(self, process: Process, sweeping: Sweeping, purposes: frozenset[Purpose]) -> bool:
        """Plan once, and see that whoever may not has not."""
        before, wall = await self._lead(), self.stage.cashier.wall.now()
        self.came_between = None
        try:
            return await sweeping.step(purposes)
        finally:
            is_foreign = before.is_held(wall) and before.token != self.tokens.get(process)
            after = await self._hold_to(self.came_between or (before if is_foreign else None), process)
            self.came_between = after if after.token != before.token else None  # for whoever slept meanwhile

    async def _lead(self) -> Lead:
        ((token, until, count),) = await self.stage.world.rows(_LEAD, self.stage.network)
        return Lead(token, until, count)  # type: ignore[arg-type]

    async def _hold_to(self, bound: Lead | None, process: Process) -> Lead:
        """Whoever had not the lease, or lost it in its sleep, has planned nothing; else take note that it was this one."""
        after = await self._lead()
        assert bound is None or (after.token, after.moves) == (bound.token, bound.moves), "planned without the lease"
        if bound is None:
            self.tokens[process] = after.token
        return after

    def parts(self, process: Process) -> TreasuryParts:
        """Return what a process plans with."""
        stage = self.stage

        async def holds() -> dict[str, str]:
            return {}

        return TreasuryParts(
            database=process.database,
            registry=REGISTRY,
            network=REGISTRY.networks[stage.network],
            sender=FaultySender(stage.cashier.sender(stage.network), process.fuse, stage.world.database),
            prices=cross_rate,
            holds=holds,
            hot=stage.cashier.hot(stage.network),
            clock=stage.world.clock,
            wall=stage.cashier.wall,
            lending=self.lending(process.database),
        )


_STAKE = "insert into sim_stakes (network, address, units) values ($1, $2, $3) on conflict do nothing"
_LEAD = """
    select l.lease_token, l.lease_until, (select count(*) from treasury_moves where network = $1)
    from (select) one left join treasury_leases l on l.network = $1
"""
_MOVING = """
    select state from treasury_moves where state in ('fuelling', 'lending', 'moving')
    union all select state from treasury_loans where state in ('asked', 'lent', 'returning')
    union all select borrower from sim_loans l where exists (select from sim_transfers t
        where t.network = l.network and t.txid = l.txid and t.height is not null and not t.has_failed)
        group by lender, borrower having sum(units) <> 0
    union all select name from ledger_accounts where kind = 'custody:in_transit' and balance_units <> 0
"""
_TWO_ENDS = """
    select move_id from treasury_move_events where to_state in ('done', 'failed') group by move_id having count(*) > 1
"""
_UNEVEN = """
    select m.move_id from treasury_moves m cross join lateral (
        select count(*) filter (where s.owner = m.kind) as money, count(*) filter (where s.owner = 'gas') as gas
        from sendings s where s.owner_id = m.move_id and s.state = 'delivered'
    ) delivered
    where delivered.money <> (m.state = 'done')::int or delivered.gas > (m.gas_units > 0)::int
        or m.state = 'done' and delivered.gas <> (m.gas_units > 0)::int
"""
_GAPS = """
    select s.payer from sim_slots s left join lateral (
        select height from sim_transfers where network = s.network and txid = s.txid limit 1) t on true
    where s.network = $1 group by s.payer having count(*) <> max(s.number) + 1 or bool_or(t.height is null)
"""
