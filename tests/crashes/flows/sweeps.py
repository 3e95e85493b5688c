"""Our own money on its way to the hot wallet: planned by workers that die, carried by the lanes of order addresses."""

from collections.abc import Mapping
from decimal import Decimal

from tests.crashes.faults import FaultySender
from tests.crashes.flow import Act, Loop
from tests.crashes.stage import Process, Stage
from tests.flows.harness import REGISTRY, market

from bitlinkpay.sending.model import OwnerKind
from bitlinkpay.sending.service import Owner
from bitlinkpay.treasury.owner import TreasuryOwner
from bitlinkpay.treasury.parts import TreasuryParts
from bitlinkpay.treasury.service import ANYTHING
from bitlinkpay.treasury.sweeping import Sweeping


class Sweeps:
    """`Flow` of sweeps, and of the gas that goes ahead of them."""

    WEIGHTS: Mapping[str, int] = {"sweep": 3}

    def __init__(self, stage: Stage) -> None:
        self.stage = stage

    def owners(self) -> Mapping[OwnerKind, Owner]:
        return dict.fromkeys((OwnerKind.SWEEP, OwnerKind.GAS, OwnerKind.COLD), TreasuryOwner(REGISTRY))

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
        )
        sweeping = Sweeping(parts)
        return {"sweep": lambda: sweeping.step(ANYTHING)}

    async def sweep(self, act: Act) -> str:
        return await self.stage.work(act.dice().randrange(2), "sweep", act)

    async def settle(self) -> None:
        """Lanes bring to its end what was planned."""

    async def account(self) -> int:
        """Every move has ended, and nothing is between two wallets; that books equal chain is the stage's to see."""
        assert await self.stage.world.rows(_MOVING) == []
        return 0


_MOVING = """
    select state from treasury_moves where state in ('fuelling', 'moving')
    union all select name from ledger_accounts where kind = 'custody:in_transit' and balance_units <> 0
"""
