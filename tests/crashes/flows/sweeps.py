"""Our own money on its way to the hot wallet: planned by workers that die, carried by lanes, with stake lent for it."""

from collections.abc import Mapping
from decimal import Decimal

from tests.crashes.faults import FaultySender
from tests.crashes.flow import Act, Loop
from tests.crashes.stage import CALM, Process, Stage
from tests.flows.harness import REGISTRY, market

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


class Sweeps:
    """`Flow` of sweeps, of the gas that goes ahead of them, and of the stake that is lent for them on TRON."""

    WEIGHTS: Mapping[str, int] = {"sweep": 3, "borrow": 3}

    def __init__(self, stage: Stage) -> None:
        self.stage = stage

    def owners(self) -> Mapping[OwnerKind, Owner]:
        return {**dict.fromkeys(TREASURY_KINDS, TreasuryOwner(REGISTRY)), OwnerKind.RECALL: LoanOwner()}

    def loops(self, process: Process) -> Mapping[str, Loop]:
        stage = self.stage

        async def prices(base: str, quote: str) -> Decimal:
            return await market(base, "CNY") / await market(quote, "CNY")

        async def holds() -> dict[str, str]:
            return {}

        parts = TreasuryParts(
            database=process.database,
            registry=REGISTRY,
            network=REGISTRY.networks[stage.network],
            sender=FaultySender(stage.cashier.sender(stage.network), process.fuse, stage.world.database),
            prices=prices,
            holds=holds,
            hot=stage.cashier.hot(stage.network),
            clock=stage.world.clock,
            wall=stage.cashier.wall,
            lending=self.lending(process.database),
        )
        sweeping, returning = Sweeping(parts), Returning(parts)

        async def take_back() -> bool:
            return bool(await returning.step(ANYTHING))

        return {
            "sweep": lambda: sweeping.step(ANYTHING - {Purpose.LEND}),
            "borrow": lambda: sweeping.step(ANYTHING),
            "return": take_back,
        }

    def lending(self, database: Database) -> SimulatedLending | None:
        chain = self.stage.world.chain(self.stage.network)
        assert isinstance(chain, SimulatedChain)
        return SimulatedLending(chain, Stakes(database)) if chain.network.family in LOAN_FEES else None

    async def sweep(self, act: Act) -> str:
        return await self.stage.work(act.dice().randrange(2), "sweep", act)

    async def borrow(self, act: Act) -> str:
        """Let the hot wallet have stake for two sweeps, and sweep with it; what came to its end before is taken back."""
        wallet = self.stage.cashier.hot(self.stage.network).address
        async with self.stage.world.database.transaction() as tx:
            await tx.execute(_STAKE, self.stage.network, wallet, 2 * COVERING_UNITS)
        number = act.dice().randrange(2)
        told = await self.stage.work(number, "return", act)
        return f"{told}; {await self.stage.work(number, 'borrow', act)}"

    async def settle(self) -> None:
        """Lanes bring to its end what was planned; then what was lent is taken back."""
        await self.stage.work(0, "return", CALM)

    async def account(self) -> int:
        """Every move has ended, and nothing is between two wallets or lent; that books equal chain the stage sees."""
        assert await self.stage.world.rows(_MOVING) == []
        return 0


_STAKE = "insert into sim_stakes (network, address, units) values ($1, $2, $3) on conflict do nothing"
_MOVING = """
    select state from treasury_moves where state in ('fuelling', 'lending', 'moving')
    union all select state from treasury_loans where state in ('asked', 'lent', 'returning')
    union all select borrower from sim_loans l where exists (select from sim_transfers t
        where t.network = l.network and t.txid = l.txid and t.height is not null and not t.has_failed)
        group by lender, borrower having sum(units) <> 0
    union all select name from ledger_accounts where kind = 'custody:in_transit' and balance_units <> 0
"""
