"""What must be true of settlements once everything has come to rest, asked of the books, the chain and the callbacks."""

from collections import Counter
from collections.abc import Collection, Mapping
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

from tests.crashes.flows.payouts import ENDS
from tests.crashes.stage import Stage

from bitlinkpay.settlements import store
from bitlinkpay.settlements.model import Cause, Listed, SettlementId, SettlementState
from bitlinkpay.settlements.rules.model import Rule
from bitlinkpay.settlements.rules.schedule import Cadence, Schedule
from bitlinkpay.settlements.service import LARGEST_PAGE

_REST = timedelta(hours=1)


class Settled:
    """The accounts of one schedule."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage

    async def look_for_forgotten(self, rules: Collection[Rule]) -> None:
        """A worker has nothing left to do: no rule's time has come or was passed over, no threshold reached was left out.

        One that came to nothing rests for an hour.
        """
        now = self.stage.world.clock.now()
        assert await self.stage.world.rows(_FORGOTTEN, [rule.rule_id for rule in rules], now, now - _REST) == []

    async def account(
        self, asked: Mapping[SettlementId, str], standing: Collection[Rule], removed: Collection[UUID]
    ) -> int:
        """Hold all settlements of the schedule against what people asked for; return what left the balance.

        Args:
            asked: by hand, with the code of the refusal, "" for what was done.
            standing: the rules that were added.
            removed: the ids of those that were taken out of force.
        """
        rules = {rule.rule_id: rule.terms.schedule for rule in standing}
        found = await self._listed()
        by_hand = {one.settlement.settlement_id for one in found if one.settlement.cause is Cause.MANUAL}
        assert by_hand == {key for key, refusal in asked.items() if not refusal}, "refused and there, or lost"
        assert {one.settlement.rule_id for one in found} <= {None, *rules}, "a rule that nobody added"
        in_force = await self.stage.world.rows(_IN_FORCE)
        assert {rule_id for (rule_id,) in in_force} == set(rules) - set(removed), "added twice"
        self._hold_triggers(found, rules)
        for one in found:
            await self._hold_end(one)
        await self._hold_money(rules)
        return sum(_spent(one) for one in found)

    async def _listed(self) -> list[Listed]:
        stage = self.stage
        async with stage.world.database.reader() as tx:
            page = await store.list_of_merchant(tx, stage.world.merchant.merchant_id, before=None, limit=LARGEST_PAGE)
        return [one for one in page if one.settlement.created_at >= stage.began_at]

    def _hold_triggers(self, found: Collection[Listed], rules: Mapping[UUID, Schedule | None]) -> None:
        """One run a rule and time of its schedule; those by threshold follow each other, one crossing at a time."""
        times = Counter(
            (one.settlement.rule_id, _period(rules[one.settlement.rule_id], one.settlement.trigger))
            for one in found
            if one.settlement.cause is Cause.SCHEDULE and one.settlement.rule_id
        )
        assert set(times.values()) <= {1}, "two runs at one time"
        crossings = Counter(
            (one.settlement.rule_id, one.settlement.trigger) for one in found if one.settlement.cause is Cause.THRESHOLD
        )
        assert set(crossings.values()) <= {1}, "two runs of one crossing"

    async def _hold_end(self, one: Listed) -> None:
        """Requested: one payout that has ended and was called back once. Skipped: none. Either way one notice."""
        settlement, inbox = one.settlement, self.stage.inbox
        assert settlement.state is not SettlementState.DUE, "a run that nobody carried out"
        notices = await self.stage.world.rows(_NOTICES, settlement.settlement_id)
        assert notices == [(f"settlement.{settlement.state}",)], (settlement.state, notices)
        if settlement.state is SettlementState.SKIPPED:
            assert one.outcome is None, "skipped and paid"
            return
        assert one.outcome is not None, "requested, and no payout"
        assert settlement.payout_id is not None
        told = [body["status"] for body in inbox.about_id(settlement.payout_id.hex)]
        assert told == [ENDS[one.outcome.state.value]], (one.outcome.state, told)

    async def _hold_money(self, rules: Collection[UUID]) -> None:
        world, stage = self.stage.world, self.stage
        assert await world.rows(_UNCARRIED, stage.network, stage.asset) == [], "paid otherwise than it was settled"
        assert await world.rows(_RESERVES, list(rules)) == [], "a reserve not kept, or a balance below the threshold"
        assert await world.rows(_LEAVES) == [], "done without leave, or leave taken for nothing"


def _period(schedule: Schedule | None, trigger: str) -> date:
    """Return the first day of the day, week or month of a run, which is due at the time that its rule names."""
    at = datetime.fromisoformat(trigger)
    assert schedule is not None, "by threshold, and by schedule"
    assert at.timetz() == schedule.at.replace(tzinfo=UTC), "at another time of day"
    match schedule.cadence:
        case Cadence.DAILY:
            return at.date()
        case Cadence.WEEKLY:
            assert at.isoweekday() == schedule.day, "on another day of the week"
            return at.date() - timedelta(days=at.weekday())
        case Cadence.MONTHLY:
            is_last = (at + timedelta(days=1)).month != at.month
            assert at.day == schedule.day or (is_last and at.day < schedule.day), "on another day of the month"
            return at.date().replace(day=1)


def _spent(one: Listed) -> int:
    if one.outcome is None or one.outcome.state != "completed":
        return 0
    return one.outcome.units + one.outcome.fee_units + one.outcome.network_fee_units


_IN_FORCE = "select rule_id from settlement_rules where ended_at is null"
_NOTICES = "select kind from outbox where subject_id = $1"
_FORGOTTEN = """
    select r.rule_id from settlement_rules r cross join lateral (
        select case r.cadence when 'daily' then interval '1 day' when 'weekly' then '7 days' else '31 days' end as period
    ) longest
    left join ledger_accounts a on a.name = 'merchant:' || replace(r.merchant_id::text, '-', '') || ':available'
        and a.asset = r.asset
    where r.rule_id = any($1::uuid[]) and r.ended_at is null and (
        r.next_due_at <= $2
        or r.next_due_at > $2 + period or r.next_due_at > r.created_at + period and not exists (
            select from settlements s where s.rule_id = r.rule_id)
        or a.balance_units >= r.threshold_units and not exists (
            select from settlements s left join payouts p using (payout_id)
            where s.rule_id = r.rule_id and (s.state = 'due' or s.decided_at > $3 or p.ended_at > $3)))
"""
# Payments on the chain against settlements that were completed: by recipient and amount, as often as each.
_UNCARRIED = """
    with settled as (
        select target, units, count(*) from payouts
        where kind = 'settlement' and state = 'completed' and asset = $2 group by 1, 2
    ), paid as (
        select target, units, count(*) from sim_transfers where network = $1 and asset = $2 and not has_failed
            and target in (select target from payouts where kind = 'settlement') group by 1, 2
    )
    select * from settled full join paid using (target, units) where settled.count is distinct from paid.count
"""
# What each run of a rule took, by the entry of the books that set it aside: everything above the reserve and no unit of it.
_RESERVES = """
    select s.settlement_id, e.balance_before, e.balance_after from settlements s
    join settlement_rules r using (rule_id) join payouts p using (payout_id)
    join ledger_postings l on l.key = 'payout:' || replace(p.payout_id::text, '-', '') || ':reserved'
    join ledger_entries e using (posting_id) join ledger_accounts a using (account_id)
    where r.rule_id = any($1::uuid[]) and a.kind = 'merchant:available' and (
        e.balance_after not between r.reserve_units and r.reserve_units + 1
        or e.balance_before < r.threshold_units)
"""
_LEAVES = """
    select a.authorization_id, done.authorization_id
    from (select authorization_id from authorizations where used_at is not null) a
    full join (
        select authorization_id from settlements where authorization_id is not null
        union all select authorization_id from settlement_rules
        union all select authorization_id from settlement_addresses
    ) done using (authorization_id)
    where a.authorization_id is null or done.authorization_id is null
"""
