"""The books' days: UTC, by the time of recording, each entry in exactly one."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import asyncpg
import pytest
from tests.ledger.makers import AT, broken, posting

from bitlinkpay.core.ids import new_uuid7
from bitlinkpay.db.pool import Database
from bitlinkpay.ledger import accounts
from bitlinkpay.ledger.model import Posted
from bitlinkpay.ledger.service import post, post_all

_MOVE = (accounts.COLD, accounts.EQUITY, 1)
_RECORD = """
INSERT INTO ledger_postings (posting_id, key, event, asset, happened_at, recorded_at)
VALUES ($1, $2, 'test', 'usdt-tron', $3, $3)
"""


@pytest.fixture
async def owner(schema_owner_dsn: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(schema_owner_dsn)
    yield connection
    await connection.close()


_DAYS = [
    ("2026-03-08T23:59:59.999999+00:00", "2026-03-08"),
    ("2026-03-09T00:00:00+00:00", "2026-03-09"),
    ("2026-03-08T06:59:59.999999+00:00", "2026-03-08"),  # New York's clocks go forward at 07:00 UTC
    ("2026-11-01T06:30:00+00:00", "2026-11-01"),  # ... and back at 06:00 UTC, 01:30 happens twice there
    ("2026-11-01T05:30:00+00:00", "2026-11-01"),
    ("2016-12-31T23:59:59.999999+00:00", "2016-12-31"),  # a leap second follows
    ("2017-01-01T00:00:00+00:00", "2017-01-01"),
    ("2028-02-29T23:59:59.999999+00:00", "2028-02-29"),
    ("2026-03-09T07:59:59.999999+08:00", "2026-03-08"),
]


@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Asia/Shanghai", "Pacific/Kiritimati"])
async def test_LED_24_a_day_is_utc_whatever_the_session_thinks(owner: asyncpg.Connection, zone: str) -> None:
    await owner.execute(f"SET TimeZone = '{zone}'")
    for recorded_at, day in _DAYS:
        key = new_uuid7()
        await owner.execute(_RECORD, key, key.hex, datetime.fromisoformat(recorded_at))
        rows = await owner.fetch("SELECT day FROM ledger_postings WHERE key = $1", key.hex)
        assert [row["day"] for row in rows] == [date.fromisoformat(day)], recorded_at


async def test_LED_24_every_instant_around_midnight_is_in_one_day(owner: asyncpg.Connection) -> None:
    midnight = datetime(2026, 3, 9, tzinfo=UTC)
    for micros in (-2, -1, 0, 1, 2):
        key = new_uuid7()
        await owner.execute(_RECORD, key, key.hex, midnight + timedelta(microseconds=micros))
    rows = await owner.fetch("SELECT day, count(*) AS postings FROM ledger_postings GROUP BY day ORDER BY day")
    assert [(row["day"], row["postings"]) for row in rows] == [(date(2026, 3, 8), 2), (date(2026, 3, 9), 3)]


async def test_LED_24_all_entries_of_a_posting_share_its_day_and_days_balance(database: Database) -> None:
    async with database.transaction() as tx:
        results = await post(tx, [posting(f"k{number}", _MOVE, _MOVE) for number in range(20)])
        times = {result.recorded_at for result in results if isinstance(result, Posted)}
        assert len(times) == 1
        rows = await tx.fetch(
            """SELECT p.day, count(*) AS entries, sum(CASE e.side WHEN 'debit' THEN e.units ELSE -e.units END) AS sum
               FROM ledger_entries e JOIN ledger_postings p USING (posting_id) GROUP BY p.day"""
        )
        assert [(row["day"], row["entries"], row["sum"]) for row in rows] == [(times.pop().date(), 80, 0)]


async def test_LED_15_a_backdated_event_is_booked_today(database: Database) -> None:
    """There is no way to name the day: an event of long ago enters today's books and keeps its own time beside it."""
    long_ago = replace(posting("late", _MOVE), happened_at=AT - timedelta(days=400))
    ahead = replace(posting("early", _MOVE), happened_at=AT + timedelta(days=40_000))
    before = datetime.now(UTC) - timedelta(seconds=1)
    async with database.transaction() as tx:
        results = await post_all(tx, [long_ago, ahead])
        for result in results:
            assert before < result.recorded_at < datetime.now(UTC) + timedelta(seconds=1)
        rows = await tx.fetch("SELECT happened_at, day FROM ledger_postings ORDER BY happened_at")
        assert [row["happened_at"] for row in rows] == [long_ago.happened_at, ahead.happened_at]
        assert {row["day"] for row in rows} == {results[0].recorded_at.date()}


async def test_entries_of_an_account_do_not_go_back_over_a_small_step_of_the_clock(
    database: Database, owner: asyncpg.Connection
) -> None:
    """At midnight an entry that follows another must not fall into the day before, whatever the next host's clock says."""
    async with database.transaction() as tx:
        await post_all(tx, [posting("first", _MOVE)])
    ahead = await owner.fetchval(
        "UPDATE ledger_accounts SET changed_at = changed_at + interval '20 seconds' RETURNING changed_at"
    )
    async with database.transaction() as tx:
        (second,) = await post_all(tx, [posting("second", _MOVE)])
        assert second.recorded_at == ahead
    await owner.execute("UPDATE ledger_accounts SET changed_at = changed_at + interval '1 year'")
    async with database.transaction() as tx:
        (third,) = await post_all(tx, [posting("third", _MOVE)])
        assert third.recorded_at < datetime.now(UTC) + timedelta(seconds=5), (
            "a clock that was wrong once is not followed"
        )
    assert await broken(database) == set()
