"""The treasury of a world: plans sweeps and surplus, and lets every lane that they fill work."""

from dataclasses import dataclass, field, replace
from decimal import Decimal

from tests.flows.harness import REGISTRY, cross_rate
from tests.flows.paying import Cashier

from bitlinkpay.chains.simulated_lending import LOAN_FEES, SimulatedLending
from bitlinkpay.chains.simulated_plan import SimulatedPlan
from bitlinkpay.chains.simulated_sender import SimulatedSender
from bitlinkpay.db.pool import Database
from bitlinkpay.payins.model import Payin
from bitlinkpay.sandbox.stakes import store as stakes_store
from bitlinkpay.sandbox.stakes.store import Stakes
from bitlinkpay.sending.model import OwnerKind
from bitlinkpay.sending.setup import SetupOwner
from bitlinkpay.treasury.loans.returning import Returning
from bitlinkpay.treasury.parts import TreasuryParts
from bitlinkpay.treasury.service import ANYTHING
from bitlinkpay.treasury.stale import withdraw
from bitlinkpay.treasury.surplus import Surplus
from bitlinkpay.treasury.sweeping import Sweeping
from bitlinkpay.treasury.weighing import Weighed
from bitlinkpay.workers.payer import Payer


@dataclass
class Collector:
    """What collects in a world. `factor` makes native coin dearer than the market's."""

    cashier: Cashier
    held: dict[str, str] = field(default_factory=dict)
    sender: SimulatedSender | None = None  # in place of the world's own
    factor: Decimal = Decimal(1)
    payers: dict[str, Payer[SimulatedPlan]] = field(default_factory=dict)
    plans: dict[str, Sweeping] = field(default_factory=dict)
    levels: dict[str, Surplus] = field(default_factory=dict)

    def parts(self, network_id: str, database: Database | None = None) -> TreasuryParts:
        async def prices(base: str, quote: str) -> Decimal:
            return self.factor * await cross_rate(base, quote)

        async def holds() -> dict[str, str]:
            return self.held

        return TreasuryParts(
            database=database or self.cashier.world.database,
            registry=REGISTRY,
            network=REGISTRY.networks[network_id],
            sender=self.sender or self.cashier.sender(network_id, database),
            prices=prices,
            holds=holds,
            hot=self.cashier.hot(network_id),
            clock=self.cashier.world.clock,
            wall=self.cashier.wall,
            lending=self.lending(network_id, database),
        )

    def lending(self, network_id: str, database: Database | None = None) -> SimulatedLending | None:
        if REGISTRY.networks[network_id].family not in LOAN_FEES:
            return None
        stakes = Stakes(database or self.cashier.world.database)
        return SimulatedLending(self.cashier.world.chain(network_id), stakes)  # type: ignore[arg-type]

    async def stake(self, network_id: str, coin: int) -> None:
        """Let the hot wallet have staked so much coin."""
        units, wallet = coin * 10**6, self.cashier.hot(network_id).address
        async with self.cashier.world.database.transaction() as tx:
            await stakes_store.add(tx, network_id, wallet, units)

    async def take_back(self, network_id: str) -> int:
        return await Returning(self.parts(network_id)).step(ANYTHING)

    async def loans(self) -> list[tuple[str, int]]:
        """Return state and stake, in whole coins, of every loan, the oldest first."""
        rows = await self.cashier.world.rows(
            "select state, (stake_units / 1000000)::bigint from treasury_loans order by asked_at, move_id"
        )
        return [(str(state), int(str(coin))) for state, coin in rows]

    def sweeping(self, network_id: str) -> Sweeping:
        return self.plans.setdefault(network_id, Sweeping(self.parts(network_id)))

    async def plan(self, asset_id: str) -> list[Weighed]:
        return (await self.sweeping(REGISTRY.assets[asset_id].network).plan(ANYTHING)).get(asset_id, [])

    async def reasons(self, asset_id: str) -> list[str]:
        return [one.reason for one in await self.plan(asset_id)]

    async def work(self, network_id: str) -> None:
        """Let every lane of a network work until none has anything more to do."""
        parts = self.cashier.parts(network_id)
        if self.sender:
            parts = replace(parts, sender=self.sender, owners={**parts.owners, OwnerKind.SETUP: SetupOwner()})
        payer = self.payers.setdefault(network_id, Payer(parts))
        steps = 0
        while await payer.step():
            steps += 1
            assert steps < 5_000, "lanes that never come to rest"

    async def finish(self, network_id: str) -> None:
        """Send what waits, make it final, let everything follow; then books and chain must agree to the unit."""
        await self.work(network_id)
        await self.cashier.world.mine(network_id, REGISTRY.networks[network_id].sandbox_lag + 1)
        await self.work(network_id)
        await self.cashier.world.settle()

    async def sweep(self, network_id: str) -> None:
        """Plan once and carry the plan out; gas that goes ahead takes a round of its own."""
        await self.sweeping(network_id).step(ANYTHING)
        await self.finish(network_id)
        await self.finish(network_id)

    async def cool(self, network_id: str, cold: dict[str, str]) -> int:
        return await self.levels.setdefault(network_id, Surplus(self.parts(network_id))).step(cold)

    async def withdraw(self, network_id: str) -> int:
        return await withdraw(self.parts(network_id))

    async def paid_order(self, asset_id: str, amount: str) -> Payin:
        world = self.cashier.world
        order = await world.open_order(asset_id, amount)
        await world.pay_and_finalize(order)
        assert await world.is_paid(order)
        return order

    async def moves(self) -> list[tuple[str, str, str]]:
        """Return method, asset and state of every move, the oldest first."""
        rows = await self.cashier.world.rows(
            "select method, asset, state from treasury_moves order by planned_at, move_id"
        )
        return [(str(method), str(asset), str(state)) for method, asset, state in rows]

    async def at(self, address: str, asset_id: str) -> int:
        """Return what the books hold at an order's address."""
        return await self.cashier.world.account(f"custody:deposits:{address}", asset_id)

    async def in_hot(self, asset_id: str) -> int:
        wallet = self.cashier.hot(REGISTRY.assets[asset_id].network).address
        return await self.cashier.world.account(f"custody:hot:{wallet}", asset_id)
