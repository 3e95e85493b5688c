"""What the tables of settlements, rules and addresses let in, lock and list."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from itertools import count
from uuid import UUID

import asyncpg
import pytest
from tests.authorizations.people import Person, stored_merchant
from tests.support.clock import ManualClock

from bitlinkpay.core.ids import MerchantId, new_uuid7
from bitlinkpay.db.driver import Tx
from bitlinkpay.db.pool import Database
from bitlinkpay.ledger import accounts
from bitlinkpay.ledger import service as ledger
from bitlinkpay.ledger.model import LedgerEvent, Move, Posting
from bitlinkpay.settlements import store
from bitlinkpay.settlements.addresses import store as addresses
from bitlinkpay.settlements.addresses.model import BOUND, HomeAddress
from bitlinkpay.settlements.automatic import REST
from bitlinkpay.settlements.model import Cause, Settlement, SettlementEvent, SettlementId, SettlementState
from bitlinkpay.settlements.rules import store as rules
from bitlinkpay.settlements.rules.model import Rule, Terms
from bitlinkpay.settlements.rules.schedule import Cadence, Schedule
from bitlinkpay.settlements.store import Change, SettlementFilter

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
WEEKLY = Terms(schedule=Schedule(Cadence.WEEKLY, time(23, 59), "Asia/Shanghai", 7), reserve_units=10**30)
THRESHOLD = Terms(threshold_units=10**40, fee_max_units=0)


@pytest.fixture
async def person(database: Database) -> Person:
    return await Person.of(database, await stored_merchant(database), ManualClock())


@pytest.fixture
async def authorization_id(person: Person) -> UUID:
    return (await person.authorize("anything")).authorization_id


@pytest.fixture
def rule(person: Person, authorization_id: UUID) -> Callable[..., Rule]:
    def made(terms: Terms = WEEKLY, *, due: datetime | None = NOW) -> Rule:
        next_due_at = due if terms.schedule else None
        merchant_id = person.merchant.merchant_id
        return Rule(new_uuid7(), merchant_id, "usdt-tron", terms, next_due_at, authorization_id, NOW)

    return made


_numbers = count(1)


def run_of(rule: Rule, trigger: str, *, cause: Cause = Cause.SCHEDULE, not_before: datetime = NOW) -> Settlement:
    return Settlement(
        SettlementId(UUID(int=next(_numbers))), rule.merchant_id, cause, rule.rule_id, trigger, SettlementState.DUE, rule.asset,
        not_before, NOW,
    )  # fmt: skip


async def add(database: Database, *things: Rule | Settlement) -> list[bool]:
    async with database.transaction() as tx:
        return [
            bool(await store.insert(tx, one, SettlementEvent.TRIGGERED))
            if isinstance(one, Settlement)
            else await rules.insert(tx, one) is None
            for one in things
        ]


# --- rules


@pytest.mark.parametrize("terms", [WEEKLY, THRESHOLD, Terms(schedule=Schedule(Cadence.DAILY, time(0), "UTC"))])
async def test_a_rule_comes_back_as_it_was_stored(database: Database, rule, terms: Terms) -> None:
    stored = rule(terms)
    await add(database, stored)
    async with database.reader() as tx:
        assert await rules.find(tx, stored.rule_id) == stored
        assert await rules.list_of_merchant(tx, stored.merchant_id) == [stored]
        assert await rules.find(tx, new_uuid7()) is None


@pytest.mark.parametrize(
    "change",
    [
        "cadence = 'hourly'", "cadence = ''", "threshold_units = 1", "next_due_at = null", "reserve_units = -1",
        "at_minute = 1440", "day = 32", "zone = null",
    ],
)  # fmt: skip
async def test_the_table_refuses_a_rule_that_contradicts_itself(database: Database, rule, change: str) -> None:
    await add(database, rule())
    with pytest.raises(asyncpg.IntegrityConstraintViolationError):
        async with database.transaction() as tx:
            await tx.execute(f"update settlement_rules set {change}")


async def test_due_rules_are_claimed_oldest_first_and_by_one_worker(database: Database, rule) -> None:
    late, early, ahead = rule(due=NOW), rule(due=NOW - timedelta(hours=1)), rule(due=NOW + timedelta(seconds=1))
    ended = replace(rule(), ended_at=NOW)
    await add(database, late, early, ahead, ended)
    async with database.transaction() as tx:
        assert await rules.end(tx, ended.merchant_id, ended.rule_id, NOW)
        assert not await rules.end(tx, ended.merchant_id, ended.rule_id, NOW), "once"
        assert not await rules.end(tx, MerchantId(new_uuid7()), late.rule_id, NOW), "its own merchant only"
    async with database.transaction() as first, database.transaction() as second:
        assert await rules.claim_due(first, NOW, 1) == [early]
        assert await rules.claim_due(second, NOW, 10) == [late], "what another holds is passed over"


async def test_the_next_trigger_moves_a_rule_out_of_the_way(database: Database, rule) -> None:
    stored = rule()
    await add(database, stored)
    async with database.transaction() as tx:
        await rules.claim_due(tx, NOW, 10)
        await rules.set_due(tx, stored.rule_id, NOW + timedelta(days=7))
    async with database.transaction() as tx:
        assert await rules.claim_due(tx, NOW, 10) == []
        assert await rules.claim_due(tx, NOW + timedelta(days=7), 10) == [
            replace(stored, next_due_at=NOW + timedelta(days=7))
        ]


class Late:
    """A transaction whose first statement saw the moment before another worker was done, as one that began earlier would."""

    def __init__(self, tx: Tx, seen: list[dict[str, UUID]]) -> None:
        self._tx = tx
        self._seen = seen

    async def fetch(self, query: str, *args: object):
        if self._seen:
            seen, self._seen = self._seen, []
            return seen
        return await self._tx.fetch(query, *args)


async def test_SET_01_who_comes_late_looks_again_before_it_triggers(database: Database, rule, person: Person) -> None:
    """The other worker triggered the threshold, the run came to nothing and rests: the lock alone would not tell."""
    stored = rule(Terms(threshold_units=1))
    await add(database, stored)
    moves = (Move(accounts.hot_custody("w"), accounts.EQUITY, 5), Move(accounts.EQUITY, _available(stored), 5))
    opening = Posting("opening", LedgerEvent.UNASSIGNED_ACCEPTED, stored.asset, moves, stored.merchant_id, NOW)
    async with database.transaction() as tx:
        await ledger.post_all(tx, [opening])
    seen = [{"rule_id": stored.rule_id}]
    async with database.transaction() as tx:
        ((fired, trigger),) = await rules.claim_reached(Late(tx, list(seen)), NOW - REST, 10)  # type: ignore[arg-type]
        assert fired == stored
    run = run_of(stored, trigger, cause=Cause.THRESHOLD)
    await add(database, run)
    for after in (None, skipped(run)):
        async with database.transaction() as tx:
            if after is not None:
                await store.save(tx, after, NOW)
            assert await rules.claim_reached(Late(tx, list(seen)), NOW - REST, 10) == []  # type: ignore[arg-type]
    async with database.transaction() as tx:
        ((_, again),) = await rules.claim_reached(Late(tx, list(seen)), NOW, 10)  # type: ignore[arg-type]
    assert (trigger, again) == ("1.0", "1.1")


def _available(rule: Rule) -> str:
    return accounts.available(rule.merchant_id)


async def test_a_merchants_rules_are_added_one_after_the_other(database: Database, rule) -> None:
    merchant_id = rule().merchant_id
    order: list[str] = []

    async def hold(name: str, entered: asyncio.Event, leave: asyncio.Event) -> None:
        async with database.transaction() as tx:
            await rules.lock_merchant(tx, merchant_id)
            order.append(name)
            entered.set()
            await leave.wait()

    entered, leave, at_once = asyncio.Event(), asyncio.Event(), asyncio.Event()
    at_once.set()
    first = asyncio.create_task(hold("first", entered, leave))
    await entered.wait()
    second = asyncio.create_task(hold("second", asyncio.Event(), at_once))
    async with database.reader() as tx:  # a round trip, in which the second one would have come in
        await tx.fetchval("select pg_sleep(0.05)")
    assert order == ["first"]
    leave.set()
    await asyncio.gather(first, second)
    assert order == ["first", "second"]


# --- runs


async def test_SET_01_a_rule_and_trigger_are_stored_once(database: Database, rule) -> None:
    one, other = rule(), rule()
    await add(database, one, other)
    done = await add(database, run_of(one, "t"), run_of(one, "t"), run_of(other, "t"), run_of(one, "u"))
    assert done == [True, False, True, True]


async def test_SET_01_one_crossing_at_a_time_is_due(database: Database, rule) -> None:
    """The second net below the lock of the rule: also another trigger of the same threshold has to wait."""
    stored = rule(THRESHOLD)
    await add(database, stored, run_of(stored, "7.0", cause=Cause.THRESHOLD))
    with pytest.raises(asyncpg.UniqueViolationError):
        await add(database, run_of(stored, "8.0", cause=Cause.THRESHOLD))


async def test_a_run_is_listed_when_its_time_has_come_and_locked_by_one(database: Database, rule) -> None:
    stored = rule()
    runs = [run_of(stored, "a", not_before=NOW + timedelta(minutes=1)), run_of(stored, "b"), run_of(stored, "c")]
    await add(database, stored, *runs)
    async with database.reader() as tx:
        assert await store.list_due(tx, NOW, 10) == [runs[1], runs[2]]
        assert await store.list_due(tx, NOW + timedelta(minutes=1), 10) == [runs[1], runs[2], runs[0]]
        assert await store.list_due(tx, NOW, 1) == [runs[1]]
    async with database.transaction() as first, database.transaction() as second:
        assert await store.lock_due(first, runs[1].settlement_id) == runs[1]
        assert await store.lock_due(second, runs[1].settlement_id) is None
        assert await store.lock_due(second, runs[2].settlement_id) == runs[2]


def skipped(run: Settlement) -> Change:
    after = replace(run, state=SettlementState.SKIPPED, reason="stopped", detail="for now", decided_at=NOW)
    return Change(run, after, SettlementEvent.SKIPPED, "stopped")


async def test_a_change_is_saved_once_and_noted(database: Database, rule) -> None:
    stored = rule()
    run = run_of(stored, "a")
    await add(database, stored, run)
    async with database.transaction() as tx:
        await store.save(tx, skipped(run), NOW)
    async with database.reader() as tx:
        assert await store.find(tx, run.settlement_id) == skipped(run).after
        assert await store.list_events(tx, run.settlement_id) == [("triggered", "a", NOW), ("skipped", "stopped", NOW)]
    with pytest.raises(AssertionError, match="moved under our lock"):
        async with database.transaction() as tx:
            await store.save(tx, skipped(run), NOW)
    async with database.transaction() as tx:
        assert await store.lock_due(tx, run.settlement_id) is None


@pytest.mark.parametrize(
    "change",
    [
        "state = 'paid'", "state = 'skipped'", "state = 'requested'", "reason = 'stopped'", "decided_at = now()",
        "cause = 'manual'", "rule_id = null", "cause = 'weekly'",
    ],
)  # fmt: skip
async def test_the_table_refuses_a_run_that_contradicts_itself(database: Database, rule, change: str) -> None:
    stored = rule()
    await add(database, stored, run_of(stored, "a"))
    with pytest.raises(asyncpg.IntegrityConstraintViolationError):
        async with database.transaction() as tx:
            await tx.execute(f"update settlements set {change}")


async def test_pages_go_backwards_through_one_merchants_runs(database: Database, rule) -> None:
    one, other = rule(), rule()
    runs = [run_of(owner, str(n)) for n, owner in enumerate((one, other, one, one, other))]
    await add(database, one, other, *runs)
    merchant_id = one.merchant_id

    async def page(tx: Tx, *, owner: Rule | None = None, before: UUID | None = None, limit: int = 10) -> list[str]:
        which = SettlementFilter(rule_id=owner.rule_id if owner else None)
        found = await store.list_of_merchant(tx, merchant_id, before=before, limit=limit, which=which)
        assert all(listed.outcome is None for listed in found)
        return [listed.settlement.trigger for listed in found]

    async with database.reader() as tx:
        assert await page(tx) == ["4", "3", "2", "1", "0"]
        assert await page(tx, limit=2) == ["4", "3"]
        assert await page(tx, before=runs[3].settlement_id, limit=2) == ["2", "1"]
        assert await page(tx, owner=one) == ["3", "2", "0"]
        assert await page(tx, owner=one, before=runs[2].settlement_id) == ["0"]
        assert await store.list_of_merchant(tx, MerchantId(new_uuid7()), before=None, limit=10) == []
        assert await store.find_listed(tx, MerchantId(new_uuid7()), runs[0].settlement_id) is None
        assert (await store.find_listed(tx, None, runs[0].settlement_id)).settlement == runs[0]  # type: ignore[union-attr]


# --- addresses


def address_of(person: Person, authorization_id: UUID, label: str = BOUND, target: str = "T1") -> HomeAddress:
    merchant_id = person.merchant.merchant_id
    return HomeAddress(
        new_uuid7(), merchant_id, "tron", label, target, "", authorization_id, NOW, NOW + timedelta(hours=24)
    )


async def test_one_address_stands_under_a_label(database: Database, person: Person, authorization_id: UUID) -> None:
    first, second = (address_of(person, authorization_id, target=target) for target in ("T1", "T2"))
    place = first.merchant_id, first.network, first.label
    async with database.transaction() as tx:
        await addresses.insert(tx, first)
        await addresses.insert(tx, address_of(person, authorization_id, "safe"))
        assert await addresses.find(tx, *place) == await addresses.lock(tx, *place) == first
    with pytest.raises(asyncpg.UniqueViolationError):
        async with database.transaction() as tx:
            await addresses.insert(tx, second)
    async with database.transaction() as tx:
        assert await addresses.end(tx, *place, NOW)
        assert not await addresses.end(tx, *place, NOW)
        assert await addresses.find(tx, *place) is await addresses.lock(tx, *place) is None
        await addresses.insert(tx, second)
        assert await addresses.find(tx, *place) == second
        assert await addresses.find(tx, MerchantId(new_uuid7()), "tron", BOUND) is None
        listed = await addresses.list_of_merchant(tx, first.merchant_id)
    assert {(one.label, one.target, one.ended_at) for one in listed} == {
        (BOUND, "T2", None), ("safe", "T1", None), (BOUND, "T1", NOW),
    }  # fmt: skip


async def test_an_address_is_never_usable_before_it_is_bound(
    database: Database, person: Person, authorization_id: UUID
) -> None:
    early = replace(address_of(person, authorization_id), usable_at=NOW - timedelta(seconds=1))
    with pytest.raises(asyncpg.CheckViolationError):
        async with database.transaction() as tx:
            await addresses.insert(tx, early)


async def test_nothing_is_bound_or_ruled_without_an_authorization(database: Database, person: Person, rule) -> None:
    for table, thing in (
        (addresses.insert, address_of(person, new_uuid7())),
        (rules.insert, replace(rule(), authorization_id=new_uuid7())),
    ):
        with pytest.raises(asyncpg.ForeignKeyViolationError):
            async with database.transaction() as tx:
                await table(tx, thing)  # type: ignore[operator]
