"""Automatic settlement: rules are triggered, and each run is carried out once, whatever dies in between.

A trigger is one transaction: the run is stored and the rule moves on. To carry a run out is another: everything is read
again under locks, money is reserved, and the run ends `requested` or `skipped`. The network is asked between the two,
with no transaction open; who dies there leaves the run due, and whoever comes next asks again.
"""

import logging
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from bitlinkpay.chains.address import show_address
from bitlinkpay.chains.registry import Registry
from bitlinkpay.core.clock import Clock
from bitlinkpay.core.errors import Problem, Unavailable
from bitlinkpay.core.ids import new_uuid7
from bitlinkpay.core.money import from_units
from bitlinkpay.db.driver import Tx
from bitlinkpay.db.pool import Database, savepoint
from bitlinkpay.ledger import accounts
from bitlinkpay.ledger import service as ledger
from bitlinkpay.merchants import service as merchants
from bitlinkpay.payouts import store as payouts_store
from bitlinkpay.payouts.drafting import Draft, Repeat
from bitlinkpay.payouts.model import NewPayout, Payout, PayoutKind
from bitlinkpay.payouts.service import Payouts
from bitlinkpay.settlements import decisions, events, store
from bitlinkpay.settlements.addresses import store as addresses
from bitlinkpay.settlements.addresses.model import BOUND
from bitlinkpay.settlements.decisions import Case
from bitlinkpay.settlements.model import (
    SETTLEMENT,
    Cause,
    Reason,
    Settlement,
    SettlementEvent,
    SettlementId,
    SettlementState,
    Skip,
)
from bitlinkpay.settlements.rules import store as rules
from bitlinkpay.settlements.rules.model import Rule
from bitlinkpay.settlements.rules.schedule import next_due
from bitlinkpay.settlements.store import Change

log = logging.getLogger(__name__)

BATCH: Final = 100
MOST_TRIES: Final = 10
PAUSE: Final = timedelta(minutes=1)
"""How long a run waits after its network or prices gave no answer."""
REST: Final = timedelta(hours=1)
"""How long a rule by threshold rests after a run that came to nothing, so that no balance is tried without end."""


class Automatic:
    """The rules of a deployment at work. Any number of these may run beside each other."""

    def __init__(self, database: Database, registry: Registry, payouts: Payouts, clock: Clock) -> None:
        self._database = database
        self._registry = registry
        self._payouts = payouts
        self._clock = clock

    async def trigger(self) -> int:
        """Store a run for every rule whose time has come or whose threshold is reached; return how many.

        A schedule that was missed several times, because nobody worked, is due once.
        """

        async def work(tx: Tx) -> int:
            now = self._clock.now()
            done = 0
            for rule in await rules.claim_due(tx, now, BATCH):
                assert rule.next_due_at is not None
                assert rule.terms.schedule is not None
                done += await self._store(tx, rule, Cause.SCHEDULE, rule.next_due_at.isoformat(), now)
                await rules.set_due(tx, rule.rule_id, next_due(rule.terms.schedule, now))
            for rule, trigger in await rules.claim_reached(tx, now - REST, BATCH):
                done += await self._store(tx, rule, Cause.THRESHOLD, trigger, now)
            return done

        return await self._database.unit(work)

    async def _store(self, tx: Tx, rule: Rule, cause: Cause, trigger: str, now: datetime) -> int:
        run = Settlement(
            settlement_id=SettlementId(new_uuid7()),
            merchant_id=rule.merchant_id,
            cause=cause,
            rule_id=rule.rule_id,
            trigger=trigger,
            state=SettlementState.DUE,
            asset=rule.asset,
            not_before=now,
            created_at=now,
        )
        return int(await store.insert(tx, run, SettlementEvent.TRIGGERED))

    async def carry_out(self) -> int:
        """Carry out the runs that are due, each by itself; return how many were decided."""
        async with self._database.reader() as tx:
            due = await store.list_due(tx, self._clock.now(), BATCH)
        decided = 0
        for run in due:
            try:
                decided += await self.carry_out_one(run)
            except Unavailable:  # the database is away: the same would happen to the others
                raise
            except Exception:
                log.exception("settlement %s cannot be carried out", run.settlement_id)
                await self._put_off(run)
        return decided

    async def carry_out_one(self, run: Settlement) -> bool:
        """Ask for a run's payout, skip it, or put it off; say whether it was decided here."""
        async with self._database.reader() as tx:
            case = await self._case(tx, run)
        draft = None
        if decisions.find_obstacle(case, self._clock.now()) is None:
            draft = await self._payouts.prepare(self._new(case, decisions.amount(case, network_fee_units=0)))
        return await self._database.unit(lambda tx: self._decide(tx, run.settlement_id, draft))

    async def _put_off(self, run: Settlement) -> None:
        """Let the other runs go first next time."""

        async def work(tx: Tx) -> None:
            found = await store.lock_due(tx, run.settlement_id)
            if found is not None:
                now = self._clock.now()
                after = replace(found, tries=found.tries + 1, not_before=now + PAUSE)
                await self._save(tx, found, SettlementEvent.POSTPONED, after, now)

        await self._database.unit(work)

    async def _decide(self, tx: Tx, settlement_id: SettlementId, draft: Draft | Repeat | None) -> bool:
        run = await store.lock_due(tx, settlement_id)
        if run is None:
            return False
        case = await self._case_locked(tx, run)
        outcome = await self._outcome(tx, case, draft)
        now = self._clock.now()
        match outcome:
            case Payout():
                await self._save(tx, run, SettlementEvent.REQUESTED, replace(run, payout_id=outcome.payout_id), now)
            case Skip():
                after = replace(run, reason=outcome.reason.value, detail=outcome.detail)
                await self._save(tx, run, SettlementEvent.SKIPPED, after, now)
            case None:
                after = replace(run, tries=run.tries + 1, not_before=now + PAUSE)
                await self._save(tx, run, SettlementEvent.POSTPONED, after, now)
        return outcome is not None

    async def _outcome(self, tx: Tx, case: Case, draft: Draft | Repeat | None) -> Payout | Skip | None:
        """Return the payout that carries a run, why there is none, or None to try again later."""
        obstacle = decisions.find_obstacle(case, self._clock.now())
        if obstacle is not None:
            return obstacle
        if draft is None or not self._goes_home(draft, case):
            return None  # what stood in the way is gone, or another address was bound, while the network was asked
        if isinstance(draft, Repeat):
            return _refused(case, draft.problem)
        quote = decisions.settle(case, network_fee_units=draft.network_fee_units)
        if isinstance(quote, Skip):
            return quote
        exact = replace(draft, new=replace(draft.new, amount=from_units(quote.units, case.asset.decimals)))
        try:
            async with savepoint(tx):
                return await self._payouts.request(tx, exact)
        except Problem as problem:
            return _refused(case, problem)

    async def _save(self, tx: Tx, before: Settlement, event: SettlementEvent, after: Settlement, now: datetime) -> None:
        state = SETTLEMENT.next(before.state, event)
        after = replace(after, state=state, decided_at=None if state is SettlementState.DUE else now)
        cause = after.reason or (f"try {after.tries}" if state is SettlementState.DUE else "rule")
        await store.save(tx, Change(before, after, event, cause), now)
        if state is not SettlementState.DUE:
            await events.tell_decided(tx, after, now)
        if state is SettlementState.SKIPPED:
            log.warning("settlement %s was skipped: %s: %s", after.settlement_id, after.reason, after.detail)

    def _new(self, case: Case, units: int) -> NewPayout:
        assert case.address is not None
        return NewPayout(
            merchant=case.merchant,
            kind=PayoutKind.SETTLEMENT,
            source_id=case.settlement.settlement_id.hex,
            asset=case.asset,
            target=self._shown(case),
            tag=case.address.tag,
            amount=from_units(units, case.asset.decimals) if units else Decimal(0),
        )

    def _shown(self, case: Case) -> str:
        assert case.address is not None
        return show_address(self._registry.networks[case.asset.network], case.address.target)

    def _goes_home(self, draft: Draft | Repeat, case: Case) -> bool:
        return case.address is not None and (draft.new.target, draft.new.tag) == (self._shown(case), case.address.tag)

    async def _case_locked(self, tx: Tx, run: Settlement) -> Case:
        """Read everything that decides, so that neither address nor balance changes until this is committed."""
        await addresses.lock(tx, run.merchant_id, self._registry.assets[run.asset].network, BOUND)
        owned = (accounts.available(run.merchant_id), accounts.debt(run.merchant_id))
        await ledger.lock(tx, [(name, run.asset) for name in owned])
        return await self._case(tx, run)

    async def _case(self, tx: Tx, run: Settlement) -> Case:
        assert run.rule_id is not None
        rule = await rules.find(tx, run.rule_id)
        assert rule is not None
        asset = self._registry.assets[run.asset]
        return Case(
            settlement=run,
            rule=rule,
            merchant=await merchants.get(tx, run.merchant_id),
            address=await addresses.find(tx, run.merchant_id, asset.network, BOUND),
            asset=asset,
            payout_terms=await payouts_store.find_terms(tx, run.merchant_id, PayoutKind.SETTLEMENT, asset.id),
            available_units=await ledger.balance(tx, accounts.available(run.merchant_id), asset.id),
            debt_units=await ledger.balance(tx, accounts.debt(run.merchant_id), asset.id),
        )


def _refused(case: Case, problem: Problem) -> Skip | None:
    skip = decisions.skip_of(problem)
    if skip is None and case.settlement.tries >= MOST_TRIES:
        return Skip(Reason.NO_ANSWER, problem.message)
    return skip
