"""Money out: requests, cancellations, decisions, kill switches; at the end each payout has one end and one payment."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from hashlib import sha256

from tests.crashes.faults import FaultyDatabase, FaultySender, Fuse
from tests.crashes.flow import Act, Loop
from tests.crashes.stage import Process, Stage, text_of
from tests.flows.harness import REGISTRY

from bitlinkpay.chains.address import show_address
from bitlinkpay.chains.simulated_format import address_from
from bitlinkpay.core.errors import Problem, Unavailable
from bitlinkpay.payouts import store
from bitlinkpay.payouts.model import NewPayout, Payout, PayoutKind, PayoutState
from bitlinkpay.payouts.owner import PayoutOwner
from bitlinkpay.payouts.pages import store as pages
from bitlinkpay.payouts.service import Payouts as Service
from bitlinkpay.sending.model import OwnerKind
from bitlinkpay.sending.service import Owner
from bitlinkpay.sending.stops import store as stops
from bitlinkpay.sending.stops.store import Scope, Stop

AMOUNTS = ("0.2", "0.5", "0.7", "1.5")  # the last one is reviewed
ENDS = {"completed": 4, "failed": 8, "cancelled": 8, "rejected": 8}  # what each end is called in a callback


@dataclass
class Wish:
    """A request as its merchant knows it; without an answer it is sent again under the same id, whatever came of it."""

    new: NewPayout
    target: str
    payout: Payout | None = None
    refusal: str = ""

    @property
    def is_answered(self) -> bool:
        return self.payout is not None or bool(self.refusal)

    def accept(self, payout: Payout) -> None:
        """Take an answer, which is the same each time; what was refused left no trace and may go well now."""
        assert self.payout is None or self.payout.payout_id == payout.payout_id, "two answers to one request"
        self.payout, self.refusal = payout, ""

    def refuse(self, code: str) -> None:
        """Take a refusal."""
        assert self.payout is None, "done before, and refused now"
        self.refusal = code


class Payouts:
    """`Flow` of payouts."""

    WEIGHTS: Mapping[str, int] = {"ask": 6, "repeat": 1, "cancel": 3, "decide": 2, "stop": 1}

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.wishes: list[Wish] = []

    def owners(self) -> Mapping[OwnerKind, Owner]:
        return dict.fromkeys((OwnerKind.PAYOUT, OwnerKind.SETTLEMENT, OwnerKind.REFUND), PayoutOwner(REGISTRY))

    def loops(self, process: Process) -> Mapping[str, Loop]:
        del process
        return {}

    # --- what people do ----------------------------------------------------------------------------------------------

    async def ask(self, act: Act) -> str:
        dice = act.dice()
        outcomes = [await self._send(self.wish(dice.choice(AMOUNTS)), act) for _ in range(dice.choice((1, 1, 2)))]
        return ", ".join(outcomes)

    async def repeat(self, act: Act) -> str:
        """A merchant sends a request again, because it had no answer or just to be sure."""
        return await self._send(act.dice().choice(self.wishes), act) if self.wishes else "nothing was asked"

    async def cancel(self, act: Act) -> str:
        """A merchant wants a payout back, often one that a worker was just about to send."""
        asked, dice = [wish for wish in self.wishes if wish.payout], act.dice()
        if not asked:
            return "nothing was asked"
        new = dice.choice(asked).new
        if dice.randrange(2):
            await self.stage.work(1, "pay", act)

        async def answer(fuse: Fuse) -> str:
            service, database = self._service(fuse)
            try:
                await database.unit(
                    lambda tx: service.cancel(tx, new.merchant.merchant_id, PayoutKind.PAYOUT, new.source_id)
                )
            except Unavailable:
                raise
            except Problem as problem:
                return text_of(problem)
            return "cancelled"

        found, outcome = await self.stage.serve(act, answer)
        return found or outcome

    async def decide(self, act: Act) -> str:
        """A person approves or rejects the oldest payout that waits for one."""
        waiting = await self._in_review()
        if not waiting:
            return "nothing waits"
        approves = bool(act.dice().randrange(2))

        async def answer(fuse: Fuse) -> str:
            service, database = self._service(fuse)
            if approves:
                await database.unit(lambda tx: service.approve(tx, waiting[0].payout_id, by="operator"))
                return "approved"
            await database.unit(lambda tx: service.reject(tx, waiting[0].payout_id, reason="no", by="operator"))
            return "rejected"

        found, outcome = await self.stage.serve(act, answer)
        return found or outcome

    async def stop(self, act: Act) -> str:
        """Throw a kill switch, or let payments go on."""
        scope, subject = act.dice().choice(
            ((Scope.ALL, ""), (Scope.NETWORK, self.stage.network), (Scope.ASSET, self.stage.asset))
        )
        async with self.stage.world.database.transaction() as tx:
            if await stops.remove(tx, scope, subject):
                return f"{scope} goes on"
            await stops.add(tx, Stop(scope, subject, "test", self.stage.world.clock.now()))
        return f"{scope} stops"

    # --- how it ends -------------------------------------------------------------------------------------------------

    async def settle(self) -> None:
        """Everybody gets an answer: requests are repeated, switches taken back, reviews approved."""
        world = self.stage.world
        async with world.database.transaction() as tx:
            await tx.execute("delete from payment_stops")
        for wish in self.wishes:
            if not wish.is_answered:
                service, _ = self._service(Fuse())
                await self._request(wish, service, world.database)  # type: ignore[arg-type]
                assert wish.is_answered
        service, _ = self._service(Fuse())
        for payout in await self._in_review():
            await world.database.unit(lambda tx, one=payout: service.approve(tx, one.payout_id, by="operator"))

    async def account(self) -> int:
        """Each payout has one end, one callback, and one payment on the chain exactly where it completed."""
        stored = await self._all()
        on_chain = await self._on_chain()
        spent = 0
        for wish in self.wishes:
            found = [payout for payout in stored if payout.source_id == wish.new.source_id]
            assert len(found) == (not wish.refusal), "refused and there, or asked for once and there twice"
            for payout in found:
                self._account_for(payout, on_chain.get(wish.target, []))
                assert wish.payout is not None
                assert payout.payout_id == wish.payout.payout_id, "another than the answer said"
                spent += payout.reserved_units if payout.state is PayoutState.COMPLETED else 0
        assert await self.stage.world.rows(_TWO_ENDS) == []
        return -spent

    def _account_for(self, payout: Payout, paid: list[int]) -> None:
        assert payout.has_ended, payout.state
        wanted = [payout.units] if payout.state is PayoutState.COMPLETED else []
        assert paid == wanted, f"{payout.state}, and on the chain {paid}"
        told = [body["status"] for body in self.stage.inbox.about_id(payout.payout_id.hex)]
        assert told == [ENDS[payout.state.value]], (payout.state, told)

    # --- parts -------------------------------------------------------------------------------------------------------

    def wish(self, amount: str) -> Wish:
        """Return a request that nobody has sent yet, to a recipient of its own."""
        number = len(self.wishes)
        network = REGISTRY.networks[self.stage.network]
        target = address_from(network, sha256(f"{self.stage.seed}:{number}".encode()).digest())
        new = self.stage.cashier.request(
            self.stage.asset,
            amount,
            target=show_address(network, target),
            source_id=f"{self.stage.seed}-{number}",
        )
        self.wishes.append(Wish(new, target))
        return self.wishes[-1]

    async def _send(self, wish: Wish, act: Act) -> str:
        async def answer(fuse: Fuse) -> str:
            return await self._request(wish, *self._service(fuse))

        found, outcome = await self.stage.serve(act, answer)
        return found or outcome

    async def _request(self, wish: Wish, service: Service, database: FaultyDatabase) -> str:
        try:
            draft = await service.prepare(wish.new)
            payout = await database.unit(lambda tx: service.request(tx, draft))
        except Unavailable:
            raise
        except Problem as problem:
            wish.refuse(text_of(problem))
            return wish.refusal
        wish.accept(payout)
        return payout.state.value

    def _service(self, fuse: Fuse) -> tuple[Service, FaultyDatabase]:
        return payouts_on(self.stage, fuse)

    async def _in_review(self) -> list[Payout]:
        """Return what waits for one of our people; a refund may wait for its merchant's word instead."""
        async with self.stage.world.database.reader() as tx:
            return [payout for payout in await store.list_in_review(tx, 100) if not payout.awaits_merchant]

    async def _all(self) -> list[Payout]:
        merchant = self.stage.world.merchant.merchant_id
        async with self.stage.world.database.reader() as tx:
            return await pages.list_newest(tx, merchant, before=None, limit=100)

    async def _on_chain(self) -> dict[str, list[int]]:
        found: dict[str, list[int]] = {}
        for target, units in await self.stage.world.rows(
            _PAID, self.stage.network, self.stage.asset, [wish.target for wish in self.wishes]
        ):
            found.setdefault(str(target), []).append(int(Decimal(str(units))))
        return found


def payouts_on(stage: Stage, fuse: Fuse) -> tuple[Service, FaultyDatabase]:
    """Return the payouts of a process on this fuse, and its database."""
    sender = FaultySender(stage.cashier.sender(stage.network), fuse, stage.world.database)
    return stage.cashier.payouts(sender.quote), FaultyDatabase(stage.world.database, fuse)


_PAID = """
    select target, units from sim_transfers
    where network = $1 and asset = $2 and target = any($3::text[]) and not has_failed
"""
_TWO_ENDS = """
    select payout_id from payout_events where to_state in ('completed', 'failed', 'cancelled', 'rejected')
    group by payout_id having count(*) > 1
"""
