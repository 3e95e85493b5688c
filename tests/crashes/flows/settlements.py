"""Money that goes home: asked for by hand under the four checks, and by rules that workers carry out and die of."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal
from hashlib import sha256
from typing import TypeVar

from tests.crashes.faults import FaultyDatabase, Fuse
from tests.crashes.flow import Act, Loop
from tests.crashes.flows.payouts import payouts_on
from tests.crashes.flows.settled import Settled
from tests.crashes.stage import Process, Stage, text_of
from tests.flows.harness import REGISTRY

from bitlinkpay.authorizations.model import AnswerSpent, NotAuthorized, Shown, WrongProof
from bitlinkpay.authorizations.service import Checks
from bitlinkpay.chains.address import show_address
from bitlinkpay.chains.simulated_format import address_from
from bitlinkpay.core.errors import Problem, Unavailable
from bitlinkpay.core.ids import new_uuid7
from bitlinkpay.core.money import to_units
from bitlinkpay.db.pool import Database
from bitlinkpay.sending.model import OwnerKind
from bitlinkpay.sending.service import Owner
from bitlinkpay.settlements.automatic import Automatic
from bitlinkpay.settlements.model import Ask, Settlement, SettlementId
from bitlinkpay.settlements.rules import store as rules_store
from bitlinkpay.settlements.rules.model import Rule, Terms
from bitlinkpay.settlements.rules.schedule import Cadence, Schedule
from bitlinkpay.settlements.rules.service import Rules
from bitlinkpay.settlements.service import Settlements as Service
from bitlinkpay.workers.duties import settle_by_rules

T = TypeVar("T")
AMOUNTS = ("0.2", "0.6", "1.5")  # the last one is reviewed
_UNPROVED = (AnswerSpent, NotAuthorized, WrongProof)
"""What a person answers with the next code; everything else that is refused stays refused."""
_DUE_AFTER = timedelta(minutes=10)
_PAUSES = (timedelta(0), timedelta(minutes=1), timedelta(minutes=15), timedelta(hours=1), timedelta(days=1))
_PERIODS = {Cadence.DAILY: timedelta(days=1), Cadence.WEEKLY: timedelta(days=7), Cadence.MONTHLY: timedelta(days=31)}
"""After how long a schedule is due again at the latest."""


@dataclass
class Request:
    """A settlement by hand as its person knows it: without an answer it is asked for again, under the same id."""

    ask: Ask
    shown: Shown
    settlement: Settlement | None = None
    refusal: str = ""


@dataclass
class Standing:
    """A rule as its person knows it; without an answer it is asked for again, in the same words."""

    terms: Terms
    rule: Rule | None = None
    is_removed: bool = False


class Settlements:
    """`Flow` of settlements."""

    WEIGHTS: Mapping[str, int] = {"rule": 3, "run": 4, "request": 3, "recall": 1}

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.requests: list[Request] = []
        self.standing: list[Standing] = []
        self.settled = Settled(stage)

    def owners(self) -> Mapping[OwnerKind, Owner]:
        return {}

    def loops(self, process: Process) -> Mapping[str, Loop]:
        payouts, _ = payouts_on(self.stage, process.fuse)
        automatic = Automatic(process.database, REGISTRY, payouts, self.stage.world.clock)

        async def settle() -> bool:
            has_more = await settle_by_rules(automatic)
            if not has_more and self._in_force():
                await self.settled.look_for_forgotten(self._in_force())
            return has_more

        return {"settle": settle}

    # --- what people do ----------------------------------------------------------------------------------------------

    async def rule(self, act: Act) -> str:
        """A person adds a rule, or the last one again: by a schedule that is due soon, or by a threshold.

        That is reached, or nearly so. No two want the same: their reserves differ by a unit.
        """
        dice, stage = act.dice(), self.stage
        if self.standing and not self.standing[-1].is_removed and not dice.randrange(4):
            return await self._add(self.standing[-1], act)
        available = (await stage.world.balance(stage.asset)).available_units
        reserve = max(0, available - self._units(dice.choice(AMOUNTS)) - len(self.standing))
        least = reserve + max(1, REGISTRY.assets[stage.asset].minimum_units)
        if dice.randrange(2):
            terms = Terms(schedule=self._schedule(dice.choice(list(Cadence))), reserve_units=reserve)
        else:
            threshold = max(least, available + self._units(dice.choice(("0", "0", "0.5"))))
            terms = Terms(threshold_units=threshold, reserve_units=reserve)
        self.standing.append(Standing(terms))
        return await self._add(self.standing[-1], act)

    async def run(self, act: Act) -> str:
        """Let time pass, and a worker look at the rules; where none is in force, a person adds one first."""
        dice = act.dice()
        if not self._in_force():
            await self.rule(replace(act, place=0))
        plan = dice.choice(self._in_force()).terms.schedule if self._in_force() else None
        pause = dice.choice((*_PAUSES, _PERIODS[plan.cadence] if plan else _PAUSES[-1]))
        await self.stage.cashier.pass_time(pause)
        return f"{pause}, {await self.stage.work(dice.randrange(2), 'settle', act)}"

    async def request(self, act: Act) -> str:
        """A person settles by hand, or sends the last request again with the code that it came with."""
        dice = act.dice()
        if self.requests and not dice.randrange(4):
            return await self._request(self.requests[-1], act)
        ask = self._ask(dice.choice(AMOUNTS))
        self.requests.append(Request(ask, await self._shown()))
        return await self._request(self.requests[-1], act)

    async def recall(self, act: Act) -> str:
        """A person calls back the oldest settlement by hand, or takes a rule out of force."""
        dice = act.dice()
        asked = [request.settlement.settlement_id for request in self.requests if request.settlement]
        if asked and dice.randrange(2):
            return await self._answer(act, lambda fuse: self._cancel(asked[0], fuse))
        standing = next((one for one in self.standing if one.rule and not one.is_removed), None)
        if standing is None:
            return "nothing stands"
        return await self._answer(act, lambda fuse: self._remove(standing, fuse))

    # --- how it ends -------------------------------------------------------------------------------------------------

    async def settle(self) -> None:
        """Everybody gets an answer, with the next code where the last one is spent."""
        for request in self.requests:
            if request.settlement is None and not request.refusal:
                request.shown = await self._shown()
                await self._ask_for(request, Fuse())
                assert request.settlement or request.refusal, "a person who gets no answer"
        for standing in self.standing:
            if standing.rule is None:
                await self._put(standing, Fuse())
                assert standing.rule, "a rule that nobody can add"
            elif standing.is_removed and standing.rule.rule_id in {rule.rule_id for rule in await self._list()}:
                await self._remove(standing, Fuse())

    async def account(self) -> int:
        """Hold everything that was settled against what was asked for; then let the rules rest for good."""
        spent = await self.settled.account(
            {request.ask.settlement_id: request.refusal for request in self.requests},
            [one.rule for one in self.standing if one.rule],
            {one.rule.rule_id for one in self.standing if one.rule and one.is_removed},
        )
        for rule in self._in_force():
            await self.stage.world.database.unit(
                lambda tx, one=rule: self._rules(Fuse())[0].remove(tx, one.merchant_id, one.rule_id)
            )
        return -spent

    # --- parts -------------------------------------------------------------------------------------------------------

    def _in_force(self) -> list[Rule]:
        return [one.rule for one in self.standing if one.rule and not one.is_removed]

    def _schedule(self, cadence: Cadence) -> Schedule:
        """Return a schedule whose first time is soon."""
        at = self.stage.world.clock.now() + _DUE_AFTER
        day = {Cadence.DAILY: 0, Cadence.WEEKLY: at.isoweekday(), Cadence.MONTHLY: at.day}[cadence]
        return Schedule(cadence, at.time().replace(second=0), "UTC", day)

    def _units(self, amount: str) -> int:
        return to_units(Decimal(amount), REGISTRY.assets[self.stage.asset].decimals)

    async def _shown(self) -> Shown:
        """Return what a person shows, with a code that was not shown before."""
        await self.stage.cashier.pass_time(timedelta(seconds=30))
        return self.stage.person.shown()

    def _ask(self, amount: str) -> Ask:
        stage, network = self.stage, REGISTRY.networks[self.stage.network]
        name = f"{stage.seed}:home:{len(self.requests)}"
        return Ask(
            settlement_id=SettlementId(new_uuid7()),
            merchant=stage.world.merchant,
            asset=REGISTRY.assets[stage.asset],
            target=show_address(network, address_from(network, sha256(name.encode()).digest())),
            tag="",
            amount=Decimal(amount),
        )

    async def _answer(self, act: Act, answer: Callable[[Fuse], Awaitable[T]]) -> str:
        found, outcome = await self.stage.serve(act, answer)
        return str(found or outcome)

    async def _request(self, request: Request, act: Act) -> str:
        return await self._answer(act, lambda fuse: self._ask_for(request, fuse))

    async def _ask_for(self, request: Request, fuse: Fuse) -> str:
        try:
            settlement = await self._service(fuse)[0].request(request.ask, request.shown)
        except Unavailable:
            raise
        except _UNPROVED as problem:
            return text_of(problem)
        except Problem as problem:
            assert request.settlement is None, "done before, and refused now"
            request.refusal = text_of(problem)
            return request.refusal
        assert not request.refusal, "refused before"
        assert settlement.settlement_id == request.ask.settlement_id
        request.settlement = settlement
        return settlement.state.value

    async def _add(self, standing: Standing, act: Act) -> str:
        return await self._answer(act, lambda fuse: self._put(standing, fuse))

    async def _put(self, standing: Standing, fuse: Fuse) -> str:
        merchant, asset = self.stage.world.merchant, REGISTRY.assets[self.stage.asset]
        rule = await self._rules(fuse)[0].add(merchant, asset, standing.terms, await self._shown())
        assert standing.rule is None or standing.rule.rule_id == rule.rule_id, "two answers to one request"
        standing.rule = rule
        return standing.terms.kind.value

    async def _list(self) -> list[Rule]:
        async with self.stage.world.database.reader() as tx:
            return await rules_store.list_of_merchant(tx, self.stage.world.merchant.merchant_id)

    async def _remove(self, standing: Standing, fuse: Fuse) -> str:
        assert standing.rule is not None
        rule, (rules, database) = standing.rule, self._rules(fuse)
        standing.is_removed = True  # as the person wants it: who is left without an answer asks again
        await database.unit(lambda tx: rules.remove(tx, rule.merchant_id, rule.rule_id))
        return "removed"

    async def _cancel(self, settlement_id: SettlementId, fuse: Fuse) -> str:
        service, database = self._service(fuse)
        merchant_id = self.stage.world.merchant.merchant_id
        try:
            await database.unit(lambda tx: service.cancel(tx, merchant_id, settlement_id))
        except Unavailable:
            raise
        except Problem as problem:
            return text_of(problem)
        return "cancelled"

    def _checks(self, database: FaultyDatabase) -> Checks:
        return self.stage.person.checks_of(database)  # type: ignore[arg-type]

    def _service(self, fuse: Fuse) -> tuple[Service, FaultyDatabase]:
        payouts, faulty = payouts_on(self.stage, fuse)
        database: Database = faulty  # type: ignore[assignment]
        clock = self.stage.world.clock
        service = Service(
            database=database, registry=REGISTRY, payouts=payouts, checks=self._checks(faulty), clock=clock
        )
        return service, faulty

    def _rules(self, fuse: Fuse) -> tuple[Rules, FaultyDatabase]:
        faulty = FaultyDatabase(self.stage.world.database, fuse)
        return Rules(faulty, self._checks(faulty), self.stage.world.clock), faulty  # type: ignore[arg-type]
