"""Events: in the transaction that made them true, to each subscriber at least once, whatever order transactions commit in."""

import asyncio
import random
from datetime import timedelta
from uuid import UUID

import pytest
from asyncpg.exceptions import UniqueViolationError
from tests.support.clock import ManualClock
from tests.support.embedded import until
from tests.support.locks import until_someone_waits

from bitlinkpay.core.ids import EventId, new_uuid7
from bitlinkpay.db import outbox
from bitlinkpay.db.driver import connect
from bitlinkpay.db.outbox import Event
from bitlinkpay.db.pool import Database, Tx

SUBJECT = UUID(int=1)


def event(kind: str = "payin.paid", clock: ManualClock | None = None, **payload: object) -> Event:
    now = (clock or ManualClock()).now()
    return Event(EventId(new_uuid7()), kind, UUID(int=5), SUBJECT, payload, now)


async def append(database: Database, *events: Event) -> None:
    async with database.transaction() as tx:
        await outbox.append(tx, events)


async def take(database: Database, subscriber: str, limit: int = 100) -> list[Event]:
    """Claim and mark in one transaction, as a relay does."""
    async with database.transaction() as tx:
        events = await outbox.claim(tx, subscriber, limit)
        await outbox.mark(tx, subscriber, [event.event_id for event in events])
    return events


async def test_an_event_comes_out_as_it_went_in(database: Database, clock: ManualClock):
    platform = Event(EventId(new_uuid7()), "rates.stale", None, SUBJECT, {}, clock.now())
    merchants = event(text='通道 \u0001 " \\', amount="12.50", nested={"list": [1, None]})
    await append(database, platform, merchants)
    assert await take(database, "relay") == [platform, merchants]


async def test_no_events_is_no_statement(database: Database):
    await append(database)
    assert await take(database, "relay") == []


async def test_events_of_one_call_keep_their_order(database: Database):
    events = [event(kind=f"k.{number}") for number in range(200)]
    random.Random(1).shuffle(events)
    await append(database, *events)
    assert await take(database, "relay", 500) == events


async def test_each_subscriber_gets_every_event_once(database: Database):
    await take(database, "relay")
    await take(database, "screening")
    first, second = event(), event()
    await append(database, first)
    await append(database, second)
    assert await take(database, "relay", 1) == [first]
    assert await take(database, "relay") == [second]
    assert await take(database, "relay") == []
    assert await take(database, "screening") == [first, second]


async def test_a_claim_without_a_mark_is_free_again(database: Database):
    one = event()
    await append(database, one)
    with pytest.raises(ValueError, match="crash"):
        async with database.transaction() as tx:
            assert await outbox.claim(tx, "relay", 10) == [one]
            await outbox.mark(tx, "relay", [one.event_id])
            raise ValueError("crash")
    async with database.transaction() as tx:
        assert await outbox.claim(tx, "relay", 10) == [one]
    assert await take(database, "relay") == [one]


async def test_marking_twice_or_for_another_subscriber_does_nothing(database: Database):
    one = event()
    await append(database, one)
    await take(database, "relay")
    async with database.transaction() as tx:
        await outbox.mark(tx, "relay", [one.event_id, EventId(new_uuid7())])
        await outbox.mark(tx, "relay", [])
    assert await take(database, "screening") == [one]


async def test_an_event_id_twice_is_refused(database: Database):
    one = event()
    await append(database, one)
    with pytest.raises(UniqueViolationError) as refused:
        await append(database, one)
    assert refused.value.constraint_name == "outbox_event_unique"


async def test_LED_20_events_share_the_fate_of_their_transaction(database: Database):
    await take(database, "relay")
    with pytest.raises(ValueError, match="undone"):
        async with database.transaction() as tx:
            await outbox.append(tx, [event()])
            raise ValueError("undone")
    assert await take(database, "relay") == []


async def test_LED_21_an_event_that_commits_after_a_later_number_is_not_skipped(database: Database):
    await take(database, "relay")
    early, late = event("early"), event("late")
    async with database.transaction() as slow:
        await outbox.append(slow, [early])
        await append(database, late)
        assert await take(database, "relay") == [late], "the higher number commits first"
        assert await take(database, "relay") == []
    async with database.reader() as tx:
        rows = await tx.fetch("SELECT kind FROM outbox ORDER BY seq")
    assert [row["kind"] for row in rows] == ["early", "late"]
    assert await take(database, "relay") == [early]


async def test_LED_21_many_writers_and_claimers_lose_and_repeat_nothing(database: Database):
    chance = random.Random(7)
    written: list[EventId] = []
    taken: list[EventId] = []
    writing = True

    async def write() -> None:
        for _ in range(15):
            events = [event() for _ in range(chance.randrange(1, 5))]
            async with database.transaction() as tx:
                await outbox.append(tx, events)
                await asyncio.sleep(chance.random() / 200)
            written.extend(one.event_id for one in events)

    async def claim() -> None:
        while writing or len(taken) < len(written):
            found = await take(database, "relay", chance.randrange(1, 20))
            taken.extend(one.event_id for one in found)
            await asyncio.sleep(chance.random() / 200)

    claimers = [asyncio.create_task(claim()) for _ in range(3)]
    await asyncio.gather(*(write() for _ in range(6)))
    writing = False
    async with asyncio.timeout(60):
        await asyncio.gather(*claimers)
    assert len(taken) == len(set(taken)) == len(written)
    assert set(taken) == set(written)


async def test_LED_21_two_claimers_never_share_an_event(database: Database):
    events = [event() for _ in range(10)]
    await append(database, *events)
    await take(database, "other")
    async with database.transaction() as tx:
        await outbox.subscribe(tx, "relay")
    async with database.transaction() as first, database.transaction() as second:
        mine = await outbox.claim(first, "relay", 6)
        yours = await outbox.claim(second, "relay", 6)
        assert [len(mine), len(yours)] == [6, 4]
        assert {one.event_id for one in mine}.isdisjoint(one.event_id for one in yours)


async def test_LED_21_a_new_subscriber_gets_events_whose_writers_were_still_running(database: Database):
    old, running, new = event("old"), event("running"), event("new")
    await append(database, old)

    async def subscribe() -> None:
        async with database.transaction() as tx:
            await outbox.subscribe(tx, "relay")

    async with database.transaction() as writer:
        await outbox.append(writer, [running])
        subscribing = asyncio.create_task(subscribe())
        await until_someone_waits(database)
        assert not subscribing.done(), "it waits for the running writer"
        writing = asyncio.create_task(append(database, new))
        await asyncio.sleep(0.1)
        assert not writing.done(), "and holds back new ones"
    await asyncio.gather(subscribing, writing)
    assert {one.kind for one in await take(database, "relay")} == {"old", "running", "new"}
    assert await take(database, "relay") == []


async def test_subscribing_at_once_from_many_processes_is_one_subscription(database: Database):
    one = event()
    await append(database, one)

    async def subscribe(tx: Tx) -> None:
        await outbox.subscribe(tx, "relay")

    await asyncio.gather(*(database.unit(subscribe) for _ in range(8)))
    assert await take(database, "relay") == [one]


async def test_two_first_claims_at_once_do_not_bring_marked_events_back(database: Database):
    one = event()
    await append(database, one)
    async with database.transaction() as first:
        assert await outbox.claim(first, "relay", 10) == [one]
        await outbox.mark(first, "relay", [one.event_id])
        second = asyncio.create_task(take(database, "relay"))
        await asyncio.sleep(0.1)
        assert not second.done()
    assert await second == []
    assert await take(database, "relay") == []


async def test_an_append_wakes_listeners_once_per_transaction(database: Database):
    heard: list[str] = []
    await database.listen(outbox.CHANNEL, heard.append)
    await until(lambda: heard == [""])
    async with database.transaction() as tx:
        await outbox.append(tx, [event(), event()])
        await outbox.append(tx, [event()])
    await until(lambda: len(heard) >= 2)
    await asyncio.sleep(0.05)
    assert len(heard) == 2


async def test_what_a_subscriber_has_done_already_is_handed_to_the_others_only(database: Database):
    await take(database, "relay")
    heard: list[str] = []
    await database.listen(outbox.CHANNEL, heard.append)
    await until(lambda: heard == [""])
    alone, both = event("alone"), event("both")
    async with database.transaction() as tx:
        await outbox.append(tx, [alone], done_by="relay")
    assert await take(database, "relay") == []
    await take(database, "screening")  # made known now, it gets what is in the outbox
    async with database.transaction() as tx:
        await outbox.append(tx, [both], done_by="relay")
    await until(lambda: len(heard) == 2)
    assert await take(database, "screening") == [both]
    assert await take(database, "relay") == []
    assert len(heard) == 2, "nobody is woken when nobody is handed anything"


async def test_pruning_keeps_what_somebody_still_waits_for(database: Database):
    await take(database, "relay")
    await take(database, "screening")
    done, waiting = event("done"), event("waiting")
    await append(database, done, waiting)
    await take(database, "relay")
    await take(database, "screening", 1)
    async with database.transaction() as tx:
        now = await tx.fetchval("SELECT now()")
        assert await outbox.prune(tx, now - timedelta(hours=1)) == 0
        assert await outbox.prune(tx, now + timedelta(hours=1)) == 1
    assert await take(database, "screening") == [waiting]


async def test_a_subscriber_that_is_caught_up_costs_a_few_pages(database: Database, schema_owner_dsn: str):
    await take(database, "relay")
    for _ in range(10):
        await append(database, *[event() for _ in range(1000)])
    while await take(database, "relay", 1000):
        pass
    owner = await connect(schema_owner_dsn)
    await owner.execute("VACUUM ANALYZE outbox_pending")
    await owner.execute("ANALYZE outbox")
    plan = "\n".join(
        row[0]
        for row in await owner.fetch(
            "EXPLAIN (ANALYZE, BUFFERS) " + outbox._CLAIM.replace("$1", "'relay'").replace("$2", "100")
        )
    )
    await owner.close()
    assert "Seq Scan on outbox " not in plan
    pages = sum(
        int(word.split("=")[1])
        for word in plan.split("\n")[0 if "Buffers" in plan else 1 :][0].split()
        if word.startswith("hit=")
    )
    assert pages < 50
