"""Which rules a balance or the time triggers, in which order and by whom; pages and queues end where they say."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from itertools import count
from uuid import UUID

import asyncpg
import pytest
from tests.authorizations.people import Person, stored_merchant
from tests.flows.settling import Office, units

from bitlinkpay.core.ids import MerchantId, new_uuid7
from bitlinkpay.core.money import MAX_UNITS
from bitlinkpay.db.pool import Database
from bitlinkpay.ledger import accounts
from bitlinkpay.ledger import service as ledger
from bitlinkpay.ledger.model import LedgerEvent, Move, Posting
from bitlinkpay.settlements import store
from bitlinkpay.settlements.automatic import REST, Automatic
from bitlinkpay.settlements.model import Cause, Reason, Settlement, SettlementEvent, SettlementId, SettlementState
from bitlinkpay.settlements.rules import store as rules
from bitlinkpay.settlements.rules.model import Rule, Terms
from bitlinkpay.settlements.rules.schedule import Cadence, Schedule
from bitlinkpay.settlements.service import LARGEST_PAGE
from bitlinkpay.settlements.store import Change

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOURLESS = Schedule(Cadence.DAILY, time(0), "UTC")
_numbers = count(1)


@pytest.fixture
def threshold(person: Person, authorization_id: UUID) -> Callable[..., Rule]:
    def made(at_units: int, *, asset: str = "usdt-tron", merchant_id: MerchantId | None = None) -> Rule:
        owner = merchant_id or person.merchant.merchant_id
        return Rule(
            UUID(int=next(_numbers)), owner, asset, Terms(threshold_units=at_units), None, authorization_id, NOW
        )

    return made


async def add(database: Database, *stored: Rule) -> None:
    async with database.transaction() as tx:
        for rule in stored:
            await rules.insert(tx, rule)


async def credit(database: Database, merchant_id: MerchantId, by: int, asset: str = "usdt-tron") -> None:
    """Add to an available balance, or take from it; its version rises by one."""
    one, other = accounts.EQUITY, accounts.available(merchant_id)
    outside = Move(accounts.hot_custody("w"), accounts.EQUITY, by) if by > 0 else None
    moves = (outside, Move(one, other, by)) if outside else (Move(other, one, -by),)
    posting = Posting(f"test {next(_numbers)}", LedgerEvent.UNASSIGNED_ACCEPTED, asset, moves, merchant_id, NOW)
    async with database.transaction() as tx:
        await ledger.post_all(tx, [posting])


async def reached(database: Database, *, rested: datetime = NOW - REST, limit: int = 10) -> list[tuple[UUID, str]]:
    async with database.transaction() as tx:
        return [(rule.rule_id, trigger) for rule, trigger in await rules.claim_reached(tx, rested, limit)]


async def run(database: Database, rule: Rule, trigger: str, *, cause: Cause = Cause.THRESHOLD) -> Settlement:
    settlement = Settlement(
        settlement_id=SettlementId(new_uuid7()),
        merchant_id=rule.merchant_id,
        cause=cause,
        rule_id=rule.rule_id,
        trigger=trigger,
        state=SettlementState.DUE,
        asset=rule.asset,
        not_before=NOW,
        created_at=NOW,
    )
    async with database.transaction() as tx:
        assert await store.insert(tx, settlement, SettlementEvent.TRIGGERED)
    return settlement


async def skip(database: Database, run: Settlement, at: datetime = NOW) -> None:
    reason = Reason.NO_ADDRESS.value
    after = replace(run, state=SettlementState.SKIPPED, reason=reason, detail="none is bound", decided_at=at)
    async with database.transaction() as tx:
        await store.save(tx, Change(run, after, SettlementEvent.SKIPPED, reason), at)


# --- by threshold


async def test_a_threshold_is_reached_at_it_and_by_no_unit_less(database: Database, threshold) -> None:
    rule = threshold(100)
    await add(database, rule)
    assert await reached(database) == [], "who never had a balance has reached nothing"
    await credit(database, rule.merchant_id, 99)
    assert await reached(database) == []
    await credit(database, rule.merchant_id, 1)
    assert await reached(database) == [(rule.rule_id, "2.0")]
    await credit(database, rule.merchant_id, -1)
    assert await reached(database) == []


async def test_a_threshold_of_any_size_is_compared_to_the_unit(database: Database, threshold) -> None:
    rule = threshold(MAX_UNITS)
    await add(database, rule)
    await credit(database, rule.merchant_id, MAX_UNITS - 1)
    assert await reached(database) == []
    await credit(database, rule.merchant_id, 1)
    assert await reached(database) == [(rule.rule_id, "2.0")]


async def test_only_the_merchants_own_balance_in_the_rules_own_asset_counts(database: Database, threshold) -> None:
    other = await stored_merchant(database)
    mine, coins, theirs = threshold(5), threshold(5, asset="trx-tron"), threshold(5, merchant_id=other.merchant_id)
    await add(database, mine, coins, theirs)
    await credit(database, mine.merchant_id, 5, "usdt-ethereum")
    assert await reached(database) == []
    await credit(database, other.merchant_id, 5)
    assert await reached(database) == [(theirs.rule_id, "1.0")]
    await credit(database, mine.merchant_id, 5, "trx-tron")
    assert await reached(database) == [(coins.rule_id, "1.0"), (theirs.rule_id, "1.0")]


async def test_an_ended_rule_and_one_by_schedule_have_no_threshold(
    database: Database, threshold, authorization_id: UUID
) -> None:
    ended, plan = threshold(1), Terms(schedule=HOURLESS)
    daily = Rule(new_uuid7(), ended.merchant_id, "usdt-tron", plan, NOW, authorization_id, NOW)
    await add(database, ended, daily)
    await credit(database, ended.merchant_id, 5)
    async with database.transaction() as tx:
        assert await rules.end(tx, ended.merchant_id, ended.rule_id, NOW)
        found = await rules.find(tx, ended.rule_id)
    assert found == replace(ended, ended_at=NOW), "it can still be read"
    assert await reached(database) == []
    async with database.transaction() as tx:
        assert await rules.claim_due(tx, NOW, 10) == [daily]
        assert await rules.list_of_merchant(tx, ended.merchant_id) == [daily]


async def test_a_rule_waits_while_its_run_is_due_and_rests_for_an_hour_after_a_skip(
    database: Database, threshold
) -> None:
    rule, sibling = threshold(1), threshold(2)
    await add(database, rule, sibling)
    await credit(database, rule.merchant_id, 5)
    first = await run(database, rule, "1.0")
    assert await reached(database) == [(sibling.rule_id, "1.0")], "each rule by itself"
    await skip(database, first)
    assert (rule.rule_id, "1.1") not in await reached(database, rested=NOW - timedelta(microseconds=1))
    assert (rule.rule_id, "1.1") in await reached(database, rested=NOW)
    await skip(database, await run(database, rule, "1.1"), NOW - REST)
    assert (rule.rule_id, "1.2") in await reached(database, rested=NOW)


async def test_triggers_of_versions_that_begin_alike_are_not_counted_together(database: Database, threshold) -> None:
    """Version 1 was tried twice; version 11 never."""
    rule = threshold(1)
    await add(database, rule)
    for _ in range(11):
        await credit(database, rule.merchant_id, 1)
    for trigger in ("1.0", "1.1", "110.0"):
        await skip(database, await run(database, rule, trigger), NOW - REST)
    assert await reached(database) == [(rule.rule_id, "11.0")]


async def test_what_another_worker_holds_is_passed_over_and_no_more_than_a_batch_is_taken(
    database: Database, threshold
) -> None:
    stored = [threshold(number) for number in range(1, 5)]
    await add(database, *stored)
    await credit(database, stored[0].merchant_id, 9)
    async with database.transaction() as first, database.transaction() as second:
        held = await rules.claim_reached(first, NOW - REST, 2)
        rest = await rules.claim_reached(second, NOW - REST, 10)
        assert [rule for rule, _ in held] == stored[:2], "the oldest rules first"
        assert [rule for rule, _ in rest] == stored[2:]
    assert [rule_id for rule_id, _ in await reached(database)] == [rule.rule_id for rule in stored], "free again"


# --- by schedule


async def test_every_minute_of_a_day_comes_back_from_the_table(
    database: Database, person: Person, authorization_id: UUID
) -> None:
    plans = [
        Schedule(Cadence.WEEKLY, time(*divmod(minute, 60)), "UTC", 1 + minute % 7) for minute in range(0, 1440, 37)
    ]
    stored = [
        Rule(
            UUID(int=number), person.merchant.merchant_id, "usdt-tron", Terms(schedule=plan), NOW, authorization_id, NOW
        )
        for number, plan in enumerate(
            (*plans, Schedule(Cadence.MONTHLY, time(23, 59), "America/Argentina/Buenos_Aires", 31))
        )
    ]
    await add(database, *stored)
    async with database.reader() as tx:
        assert await rules.list_of_merchant(tx, person.merchant.merchant_id) == stored


async def test_rules_of_one_asset_that_are_due_together_are_triggered_in_one_go_and_move_on(office: Office) -> None:
    """Three days passed: each is due once, at the time that it was meant for."""
    stored = [await office.rule(Terms(schedule=replace(HOURLESS, at=time(hour)))) for hour in (9, 6)]
    await office.cashier.pass_time(timedelta(days=3))
    assert await office.automatic.trigger() == 2
    assert await office.automatic.trigger() == 0
    runs = {one.settlement.rule_id: one.settlement.trigger for one in await office.listed()}
    assert runs == {
        stored[0].rule_id: "2026-03-02T09:00:00+00:00",
        stored[1].rule_id: "2026-03-02T06:00:00+00:00",
    }
    async with office.world.database.reader() as tx:
        moved = [await rules.find(tx, rule.rule_id) for rule in stored]
    assert [rule.next_due_at for rule in moved if rule and rule.next_due_at] == [
        datetime(2026, 3, 5, 9, tzinfo=UTC), datetime(2026, 3, 5, 6, tzinfo=UTC),
    ]  # fmt: skip


async def test_a_worker_that_dies_between_run_and_next_trigger_leaves_neither(office: Office) -> None:
    await office.rule(Terms(schedule=HOURLESS))
    await office.cashier.pass_time(timedelta(days=1))
    owner = office.world.database

    class Dying:
        """A database whose COMMIT never comes."""

        async def unit(self, work):
            async with owner.transaction() as tx:
                await work(tx)
                raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await Automatic(Dying(), office.world.registry, office.payouts, office.world.clock).trigger()  # type: ignore[arg-type]
    assert await office.listed() == []
    assert await office.automatic.trigger() == 1


# --- queues and pages


async def test_a_page_holds_200_and_the_next_one_goes_on_behind_it(office: Office) -> None:
    rule = await office.rule(Terms(schedule=HOURLESS))
    made = [await run(office.world.database, rule, str(number), cause=Cause.SCHEDULE) for number in range(203)]
    made.sort(key=lambda one: one.settlement_id, reverse=True)
    merchant_id = rule.merchant_id
    async with office.world.database.reader() as tx:
        first = await office.settlements.list_page(tx, merchant_id, limit=1_000)
        assert [one.settlement for one in first] == made[:LARGEST_PAGE]
        behind = first[-1].settlement.settlement_id
        rest = await office.settlements.list_page(tx, merchant_id, before=behind, limit=1_000)
        assert [one.settlement for one in rest] == made[LARGEST_PAGE:]
        assert await office.settlements.list_page(tx, merchant_id, before=made[-1].settlement_id) == []
        assert len(await store.list_due(tx, NOW + timedelta(days=1), 100)) == 100


async def test_what_waits_for_a_person_is_listed_oldest_first_until_it_was_decided(office: Office) -> None:
    await office.charge(review_above_units=0)
    made = []
    for amount in ("3", "2", "1"):
        made.append(await office.settle(amount))
        await office.cashier.pass_time(timedelta(seconds=1))

    async def waiting(limit: int = 10) -> list[UUID]:
        async with office.world.database.reader() as tx:
            return [one.settlement.settlement_id for one in await store.list_in_review(tx, limit)]

    ids = [one.settlement_id for one in made]
    assert (await waiting(), await waiting(2)) == (ids, ids[:2])
    unit = office.world.database.unit
    await unit(lambda tx: office.settlements.approve(tx, ids[0], by="alice"))
    await unit(lambda tx: office.settlements.reject(tx, ids[2], reason="no", by="alice"))
    assert await waiting() == [ids[1]]


async def test_an_outcome_is_read_with_every_field_of_its_payout(office: Office) -> None:
    await office.charge(fee_ppm=1000, fee_flat_units=7, review_above_units=units("10"))
    settlement = await office.settle("20")
    payout = await office.payout(settlement)
    async with office.world.database.reader() as tx:
        listed = await office.settlements.get(tx, None, settlement.settlement_id)
    assert listed.settlement == settlement
    assert listed.outcome is not None
    assert (listed.outcome.state, listed.outcome.target, listed.outcome.tag) == ("in_review", payout.target, "")
    assert (listed.outcome.units, listed.outcome.fee_units) == (units("20"), 20_007)
    assert listed.outcome.network_fee_units == payout.charge.network_fee_units > 0
    assert (listed.outcome.txid, listed.outcome.reason, listed.outcome.ended_at) == ("", payout.reason, None)


async def test_a_payout_carries_one_settlement_and_no_other(office: Office) -> None:
    first, second = await office.settle("2"), await office.settle("3")
    with pytest.raises(asyncpg.UniqueViolationError):
        async with office.world.database.transaction() as tx:
            await tx.execute(
                "update settlements set payout_id = $1 where settlement_id = $2", first.payout_id, second.settlement_id
            )
