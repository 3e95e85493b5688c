"""The feed: every committed event gets one place, and no reader ever sees a gap before one that it has read."""

import asyncio
import random
from datetime import UTC, datetime
from uuid import UUID

import pytest

from bitlinkpay.core.ids import EventId, new_uuid7
from bitlinkpay.db import feed, outbox
from bitlinkpay.db.pool import Database

ONE, TWO = UUID(int=1), UUID(int=2)


def event(merchant_id: UUID | None, text: str = "") -> outbox.Event:
    return outbox.Event(
        EventId(new_uuid7()), "thing.happened", merchant_id, new_uuid7(), {"text": text}, datetime.now(UTC)
    )


async def write(database: Database, *events: outbox.Event) -> None:
    async with database.transaction() as tx:
        await outbox.append(tx, events)


async def read(database: Database, merchant_id: UUID, after: int = 0, limit: int = 1000) -> list[tuple[int, str]]:
    async with database.reader() as tx:
        found = await feed.read(tx, merchant_id, after=after, limit=limit)
    return [(one.place, str(one.event.payload["text"])) for one in found]


async def test_an_event_is_in_the_feed_once_it_has_its_place(database: Database) -> None:
    await write(database, event(ONE, "a"), event(TWO, "b"), event(ONE, "c"))
    assert await read(database, ONE) == []
    assert await database.unit(feed.place) == 3
    assert await read(database, ONE) == [(1, "a"), (3, "c")]
    assert await read(database, TWO) == [(2, "b")]
    assert await database.unit(feed.place) == 0


async def test_an_event_comes_back_as_it_was_written(database: Database) -> None:
    written = event(ONE, "a")
    await write(database, written)
    await database.unit(feed.place)
    async with database.reader() as tx:
        (found,) = await feed.read(tx, ONE, after=0, limit=1)
    assert found.event == written


async def test_the_platforms_own_events_are_in_nobodys_feed(database: Database) -> None:
    await write(database, event(None), event(ONE, "a"))
    assert await database.unit(feed.place) == 1
    assert await read(database, ONE) == [(1, "a")]


async def test_a_page_is_as_long_as_asked_for(database: Database) -> None:
    await write(database, *(event(ONE, str(n)) for n in range(5)))
    await database.unit(feed.place)
    assert await read(database, ONE, limit=2) == [(1, "0"), (2, "1")]
    assert await read(database, ONE, after=2, limit=2) == [(3, "2"), (4, "3")]
    assert await read(database, ONE, after=5) == []


async def test_places_that_are_rolled_back_are_given_again(database: Database) -> None:
    await write(database, event(ONE, "a"))
    with pytest.raises(ZeroDivisionError):
        async with database.transaction() as tx:
            assert await feed.place(tx) == 1
            raise ZeroDivisionError
    assert await read(database, ONE) == []
    await database.unit(feed.place)
    assert await read(database, ONE) == [(1, "a")]


async def test_two_who_place_at_once_share_the_events(database: Database) -> None:
    await write(database, *(event(ONE, str(n)) for n in range(40)))
    placed = await asyncio.gather(*(database.unit(lambda tx: feed.place(tx, 10)) for _ in range(6)))
    assert sum(placed) == 40
    assert [place for place, _ in await read(database, ONE)] == list(range(1, 41))


async def test_LED_21_a_reader_misses_nothing_while_many_write_and_some_give_up(database: Database) -> None:
    """Writers commit in any order and some roll back; a reader follows its cursor all the while."""
    chance = random.Random(7)
    committed: list[str] = []
    seen: list[tuple[int, str]] = []
    is_done = asyncio.Event()

    async def writer(name: int) -> None:
        for step in range(8):
            text = f"{name}.{step}"
            try:
                async with database.transaction() as tx:
                    await outbox.append(tx, [event(ONE, text)])
                    await asyncio.sleep(chance.random() / 200)
                    if chance.random() < 0.2:
                        raise ZeroDivisionError
                committed.append(text)
            except ZeroDivisionError:
                continue

    async def reader() -> None:
        while True:
            last = is_done.is_set()
            await database.unit(feed.place)
            seen.extend(await read(database, ONE, after=seen[-1][0] if seen else 0, limit=3))
            if last and not await read(database, ONE, after=seen[-1][0]):
                return

    following = asyncio.create_task(reader())
    await asyncio.gather(*(writer(name) for name in range(3)))
    is_done.set()
    await following
    places = [place for place, _ in seen]
    assert places == sorted(set(places))
    assert sorted(text for _, text in seen) == sorted(committed)
    assert seen == await read(database, ONE)


async def test_the_outbox_may_be_pruned_behind_a_reader(database: Database) -> None:
    await write(database, event(ONE, "a"), event(ONE, "b"))
    await database.unit(feed.place)
    assert await database.unit(lambda tx: outbox.prune(tx, datetime(2100, 1, 1, tzinfo=UTC))) == 2
    await write(database, event(ONE, "c"))
    await database.unit(feed.place)
    assert await read(database, ONE) == [(3, "c")]
    assert await read(database, ONE, after=2) == [(3, "c")]
