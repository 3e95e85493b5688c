"""Differences in the database: one living a place, every step with its event, and who is asked about them first."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product

import asyncpg
import pytest
from tests.reconciliation.test_model import EVEN, MORE_MISSING, SIGHT

from bitlinkpay.core.fsm import IllegalMove
from bitlinkpay.core.ids import new_uuid7
from bitlinkpay.db.pool import Database
from bitlinkpay.reconciliation.differences import store
from bitlinkpay.reconciliation.model import (
    DIFFERENCE,
    LIVING,
    Difference,
    DifferenceEvent,
    DifferenceNotFound,
    DifferenceState,
    Evidence,
    EvidenceKind,
    Sight,
)

NOW = datetime(2026, 3, 1, tzinfo=UTC)
LATER = NOW + timedelta(minutes=5)
S, E = DifferenceState, DifferenceEvent
WAYS = {
    S.SUSPECTED: (),
    S.OPEN: (E.CONFIRMED,),
    S.PASSED: (E.AGREED,),
    S.AGREED: (E.CONFIRMED, E.AGREED),
    S.RESOLVED: (E.CONFIRMED, E.BOOKED),
}


async def suspect(database: Database, sight: Sight = SIGHT, now: datetime = NOW) -> None:
    async with database.transaction() as tx:
        await store.suspect(tx, sight, now)


async def go(database: Database, found: Difference, event: DifferenceEvent, **more: object) -> DifferenceState:
    fields = {"sight": found.sight, "evidence": (), "is_explained": False, "cause": "", "now": LATER} | more
    async with database.transaction() as tx:
        return await store.save(tx, found, event, **fields)  # type: ignore[arg-type]


async def living(database: Database, asset: str = SIGHT.asset, limit: int = 100) -> dict[str, Difference]:
    async with database.reader() as tx:
        return await store.list_living(tx, asset, limit)


async def reread(database: Database, found: Difference) -> Difference:
    async with database.transaction() as tx:
        return await store.lock(tx, found.difference_id)


async def put(database: Database, state: DifferenceState, sight: Sight = SIGHT, **last: object) -> Difference:
    """Let a difference come to a state by the moves of its table."""
    await suspect(database, sight)
    found = (await living(database, sight.asset))[sight.place]
    for event in WAYS[state]:
        await go(database, found, event, **last)
        found = await reread(database, found)
    assert found.state is state
    return found


async def events_of(database: Database, found: Difference) -> Sequence[tuple[str, str, str, datetime]]:
    async with database.reader() as tx:
        return await store.list_events(tx, found.difference_id)


async def count(database: Database, asset: str = SIGHT.asset) -> int:
    async with database.reader() as tx:
        return await store.count_unresolved(tx, asset)


@pytest.mark.parametrize(("books", "chain"), [(2**255, 0), (0, 2**255), (2**255, 2**255 - 1), (1, 0)])
async def test_a_suspicion_is_the_sight_and_nothing_else_is_known(database: Database, books: int, chain: int) -> None:
    sight = replace(SIGHT, books_units=books, chain_units=chain, height=2**40)
    await suspect(database, sight)
    (found,) = (await living(database)).values()
    assert found == Difference(found.difference_id, sight, S.SUSPECTED, False, (), NOW, NOW)
    assert await events_of(database, found) == [("seen", "suspected", f"books {books}, chain {chain} at {2**40}", NOW)]


async def test_where_books_and_chain_agree_there_is_nothing_to_suspect(database: Database) -> None:
    with pytest.raises(asyncpg.CheckViolationError, match="differences_are_some"):
        await suspect(database, EVEN)
    assert await living(database) == {}


@pytest.mark.parametrize("state", S)
async def test_a_place_has_one_living_difference_and_after_its_end_another_may_begin(
    database: Database, state: DifferenceState
) -> None:
    found = await put(database, state)
    await suspect(database, MORE_MISSING, LATER)
    newest = (await living(database))["T1"]
    if state in LIVING:
        assert newest == found, "the first sight is kept"
    else:
        assert newest.difference_id != found.difference_id
        assert (newest.sight, newest.state, newest.seen_at) == (MORE_MISSING, S.SUSPECTED, LATER)
    assert await reread(database, found) == found


async def test_of_many_who_suspect_a_place_at_once_one_is_written(database: Database) -> None:
    await asyncio.gather(*(suspect(database, replace(SIGHT, height=100 + n)) for n in range(6)))
    async with database.reader() as tx:
        assert await tx.fetchval("select count(*) from differences") == 1
        assert await tx.fetchval("select count(*) from difference_events") == 1


async def test_the_same_place_differs_in_each_asset_by_itself(database: Database) -> None:
    await suspect(database)
    await suspect(database, replace(SIGHT, asset="trx-tron"))
    assert [len(await living(database, asset)) for asset in ("usdt-tron", "trx-tron", "dai-ethereum")] == [1, 1, 0]


@pytest.mark.parametrize(("state", "event"), list(product(S, E)))
async def test_a_difference_in_the_database_goes_along_its_table_and_every_step_is_noted(
    database: Database, state: DifferenceState, event: DifferenceEvent
) -> None:
    found = await put(database, state)
    before = await events_of(database, found)
    named = Evidence(EvidenceKind.VANISHED, "t1", 99, -5)
    if not DIFFERENCE.allows(state, event):
        with pytest.raises(IllegalMove):
            await go(database, found, event, evidence=[named], cause="asked")
        assert await reread(database, found) == found
        assert await events_of(database, found) == before
        return
    after = await go(database, found, event, sight=MORE_MISSING, evidence=[named], is_explained=True, cause="asked")
    assert after is DIFFERENCE.next(state, event)
    assert await reread(database, found) == replace(
        found, sight=MORE_MISSING, state=after, is_explained=True, evidence=(named,), updated_at=LATER
    )
    assert await events_of(database, found) == [*before, (event, after, "asked", LATER)]


async def test_where_both_agree_again_the_last_difference_stays_in_sight(database: Database) -> None:
    found = await put(database, S.OPEN)
    assert await go(database, found, E.AGREED, sight=EVEN) is S.AGREED
    assert (await reread(database, found)).sight == SIGHT
    assert (await events_of(database, found))[-1] == ("agreed", "agreed", "books 50, chain 50 at 101", LATER)


async def test_evidence_comes_back_as_it_was_whatever_its_size_and_order(database: Database) -> None:
    found = await put(database, S.OPEN)
    evidence = (
        Evidence(EvidenceKind.UNBOOKED, "t2", 2**40, 2**255),
        Evidence(EvidenceKind.VANISHED, "t1", 7, -(2**255)),
        Evidence(EvidenceKind.UNBOOKED, 'quote" and \\ and \u2028', 0, -1),
    )
    await go(database, found, E.CHANGED, sight=MORE_MISSING, evidence=evidence)
    assert (await reread(database, found)).evidence == evidence


@pytest.mark.parametrize("event", [E.CONFIRMED, E.CHANGED, E.AGREED])
async def test_a_look_that_comes_too_late_moves_nothing(database: Database, event: DifferenceEvent) -> None:
    found = await put(database, S.SUSPECTED)
    await go(database, found, E.AGREED, sight=EVEN)
    with pytest.raises(AssertionError, match=f"difference {found.difference_id} is not suspected any more"):
        await go(database, found, event, sight=MORE_MISSING)
    assert (await reread(database, found)).state is S.PASSED
    assert len(await events_of(database, found)) == 2


async def test_a_difference_that_nobody_saw_is_said_to_be_none(database: Database) -> None:
    with pytest.raises(DifferenceNotFound, match="see `bitlinkpay reconcile show`"):
        async with database.transaction() as tx:
            await store.lock(tx, new_uuid7())
    async with database.reader() as tx:
        assert await store.list_events(tx, new_uuid7()) == []


async def test_the_oldest_living_differences_of_an_asset_come_first(database: Database) -> None:
    ended = {state: await put(database, state, replace(SIGHT, place=state.value)) for state in S}
    assert set(await living(database)) == {"suspected", "open"}
    ids = sorted(ended[state].difference_id for state in LIVING)
    assert [found.difference_id for found in (await living(database, limit=1)).values()] == ids[:1]


async def test_people_see_what_waits_for_them_first_and_never_what_passed(database: Database) -> None:
    made = {state: await put(database, state, replace(SIGHT, place=state.value)) for state in S}
    async with database.reader() as tx:
        listed = await store.list_newest(tx, 100)
        shorter = await store.list_newest(tx, 3)
    waiting = sorted((made[S.OPEN], made[S.AGREED]), key=lambda one: one.difference_id, reverse=True)
    others = sorted((made[S.SUSPECTED], made[S.RESOLVED]), key=lambda one: one.difference_id, reverse=True)
    assert listed == [*waiting, *others]
    assert shorter == listed[:3]


@pytest.mark.parametrize("is_explained", [False, True])
@pytest.mark.parametrize("state", [S.OPEN, S.AGREED, S.RESOLVED])
async def test_only_what_is_unexplained_and_unresolved_keeps_payments_stopped(
    database: Database, state: DifferenceState, is_explained: bool
) -> None:
    await put(database, state, is_explained=is_explained)
    waits = state in (S.OPEN, S.AGREED) and not is_explained
    assert await count(database) == int(waits)
    assert await count(database, "trx-tron") == 0


async def test_a_suspicion_keeps_nobody_waiting(database: Database) -> None:
    await put(database, S.SUSPECTED)
    assert await count(database) == 0
    for place in ("T2", "T3"):
        await put(database, S.OPEN, replace(SIGHT, place=place))
    assert await count(database) == 2
