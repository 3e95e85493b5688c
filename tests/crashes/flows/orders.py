"""Money in beside money out: orders that are opened, paid and cancelled while processes die."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

from tests.crashes.faults import FaultyDatabase, Fuse
from tests.crashes.flow import Act, Loop
from tests.crashes.stage import CALM, Process, Stage, text_of
from tests.flows.harness import REGISTRY, fee_of, market

from bitlinkpay.core.errors import Problem, Unavailable
from bitlinkpay.payins.model import NewOrder, Payin, PayinState
from bitlinkpay.payins.service import Payins
from bitlinkpay.sending.model import OwnerKind
from bitlinkpay.sending.service import Owner
from bitlinkpay.wallets.service import Allocator


@dataclass
class Wanted:
    """An order as its merchant knows it."""

    source_id: str
    amount: Decimal
    order: Payin | None = None


class Orders:
    """`Flow` of orders."""

    WEIGHTS: Mapping[str, int] = {"open": 2, "pay": 3, "cancel": 1}

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.wanted: list[Wanted] = []

    def owners(self) -> Mapping[OwnerKind, Owner]:
        return {}

    def loops(self, process: Process) -> Mapping[str, Loop]:
        del process
        return {}

    async def open(self, act: Act) -> str:
        wanted = Wanted(f"order-{self.stage.seed}-{len(self.wanted)}", Decimal(act.dice().choice(("1", "3"))))
        self.wanted.append(wanted)

        async def answer(fuse: Fuse) -> str:
            database = FaultyDatabase(self.stage.world.database, fuse)
            return await self._open(wanted, database)

        found, outcome = await self.stage.serve(act, answer)
        return found or outcome

    async def pay(self, act: Act) -> str:
        """Somebody outside pays an order exactly."""
        known = [wanted.order for wanted in self.wanted if wanted.order]
        if not known:
            return "no order"
        await self.stage.world.pay(act.dice().choice(known))
        return "paid"

    async def earn(self, amount: str, paid: str = "") -> Payin:
        """Let an order be opened, paid and made final, and a worker see it: there is money at an address of its own.

        `paid` is what comes of it, "" for all.
        """
        stage = self.stage
        self.wanted.append(Wanted(f"order-{stage.seed}-{len(self.wanted)}", Decimal(amount)))
        await self._open(self.wanted[-1], FaultyDatabase(stage.world.database, Fuse()))
        order = self.wanted[-1].order
        assert order is not None
        await stage.world.pay(order, paid)
        await stage.world.mine(stage.network, REGISTRY.networks[stage.network].sandbox_lag + 1)
        await stage.free_cursors()
        await stage.work(0, "watch", CALM)
        return order

    async def cancel(self, act: Act) -> str:
        known = [wanted.order for wanted in self.wanted if wanted.order]
        if not known:
            return "no order"
        order = act.dice().choice(known)

        async def answer(fuse: Fuse) -> str:
            payins, database = self._payins(), FaultyDatabase(self.stage.world.database, fuse)
            try:
                await database.unit(lambda tx: payins.cancel(tx, order.merchant_id, order.source_id))
            except Unavailable:
                raise
            except Problem as problem:
                return text_of(problem)
            return "cancelled"

        found, outcome = await self.stage.serve(act, answer)
        return found or outcome

    async def settle(self) -> None:
        """Everybody gets an answer, and every order its end: the clock and the chain pass its time."""
        for wanted in self.wanted:
            if wanted.order is None:
                await self._open(wanted, FaultyDatabase(self.stage.world.database, Fuse()))
        if self.wanted:
            grace = REGISTRY.networks[self.stage.network].grace
            await self.stage.cashier.pass_time(timedelta(hours=2) + grace)

    async def account(self) -> int:
        """Each order has one end; exactly its settled money was credited, less the fee."""
        gained = 0
        for wanted in self.wanted:
            assert wanted.order is not None
            order = await self.stage.world.show(wanted.order)
            assert order.state in {PayinState.PAID, PayinState.EXPIRED, PayinState.CANCELLED}, order.state
            credited = [d for d in await self.stage.world.deposits(order) if d.state == "credited"]
            gained += sum(deposit.units - fee_of(deposit.units) for deposit in credited)
            assert len(credited) == (order.state is PayinState.PAID), (order.state, len(credited))
        return gained

    async def _open(self, wanted: Wanted, database: FaultyDatabase) -> str:
        asset = REGISTRY.assets[self.stage.asset]
        payins = self._payins()
        draft = await payins.prepare(
            NewOrder(
                merchant=self.stage.world.merchant,
                source_id=wanted.source_id,
                asset=asset,
                fiat_amount=Decimal(720),
                symbol=f"{asset.symbol}/CNY",
                exchange_rate=None,
                amount=wanted.amount,
                callback_url="",
                lang="",
            )
        )
        (opened,) = await database.unit(lambda tx: payins.open_many(tx, [draft]))
        assert isinstance(opened, Payin), opened
        wanted.order = opened
        return opened.state.value

    def _payins(self) -> Payins:
        world = self.stage.world
        return Payins(
            registry=REGISTRY,
            allocator=Allocator(world.database, self.stage.cashier.ring),
            market=market,
            clock=world.clock,
        )
