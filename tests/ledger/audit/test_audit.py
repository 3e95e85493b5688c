"""The audit that keeps up: every posting once, however its transaction ended, and what is wrong with it is frozen."""

import asyncio
import logging
from collections.abc import AsyncIterator
from uuid import UUID

import asyncpg
import pytest
from tests.ledger.makers import ASSET, broken, fund, merchant, posting

from bitlinkpay.core.ids import new_uuid7
from bitlinkpay.db.pool import Database
from bitlinkpay.ledger import accounts
from bitlinkpay.ledger.audit.service import BATCH, WHOLE_EVERY, Audit, audit_new, is_whole_due
from bitlinkpay.ledger.audit.store import NEW
from bitlinkpay.ledger.invariants import check_standing
from bitlinkpay.ledger.model import AccountFrozen, Check
from bitlinkpay.ledger.service import post, post_all

_MOVE = (accounts.COLD, accounts.EQUITY, 5)


@pytest.fixture
async def owner(schema_owner_dsn: str) -> AsyncIterator[asyncpg.Connection]:
    """Somebody who can switch the triggers off."""
    connection = await asyncpg.connect(schema_owner_dsn)
    yield connection
    await connection.close()


async def _book(database: Database, *keys: str) -> None:
    async with database.transaction() as tx:
        await post_all(tx, [posting(key, _MOVE) for key in keys])


async def _damage(owner: asyncpg.Connection, words: str) -> None:
    table = words.split(" ")[2] if words.startswith(("INSERT", "DELETE")) else words.split(" ")[1]
    await owner.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
    try:
        assert not (await owner.execute(words)).endswith(" 0"), "nothing was damaged"
    finally:
        await owner.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER")


async def _audit(database: Database) -> Audit:
    """Audit once nothing older runs: the server's other databases, those of other tests, hold an auditor up too."""
    waiting = "SELECT count(*) FROM ledger_postings WHERE written_in >= pg_snapshot_xmin(pg_current_snapshot())"
    async with asyncio.timeout(120):
        while True:
            async with database.reader() as tx:
                if not await tx.fetchval(waiting):
                    return await audit_new(database)
            await asyncio.sleep(0.01)


async def _found(database: Database) -> set[str]:
    return {finding.check for finding in (await _audit(database)).findings}


async def _frozen(database: Database) -> list[str]:
    async with database.reader() as tx:
        rows = await tx.fetch("SELECT name FROM ledger_accounts WHERE frozen_reason IS NOT NULL ORDER BY name")
    return [row["name"] for row in rows]


async def test_healthy_postings_are_audited_once(database: Database) -> None:
    async with database.transaction() as tx:
        for _ in range(3):
            await fund(tx, merchant(), 100)
    done = await _audit(database)
    assert (done.postings, done.findings) == (6, ())
    assert await _audit(database) == Audit(0, ())
    await _book(database, "one", "two")
    assert (await _audit(database)).postings == 2


async def test_much_at_once_is_audited_in_batches_and_none_is_passed_over(database: Database) -> None:
    keys = [f"k{number}" for number in range(BATCH + 7)]
    await _book(database, *keys)
    assert [(await _audit(database)).postings for _ in range(3)] == [BATCH, 7, 0]


async def test_a_posting_that_commits_late_is_not_passed_over(database: Database) -> None:
    """Recorded first, committed last: what was written after it waits, and both are audited in the end."""
    async with database.transaction() as slow:
        await post_all(slow, [posting("slow", ("custody:hot:a", accounts.EQUITY, 1), asset="eth-ethereum")])
        await _book(database, "fast")
        assert (await audit_new(database)).postings == 0
    assert (await _audit(database)).postings == 2


async def test_of_two_auditors_one_works(database: Database) -> None:
    await _book(database, *(f"k{number}" for number in range(50)))
    both = await asyncio.gather(_audit(database), _audit(database), _audit(database))
    assert sum(one.postings for one in both) == 50


async def test_a_database_restored_from_a_dump_is_audited_anew(database: Database, owner: asyncpg.Connection) -> None:
    """Its transactions count from the beginning: a mark of the old server must not hide what is written now."""
    await _book(database, "before")
    await _audit(database)
    await owner.execute("UPDATE ledger_audits SET written_in = '900000000000' WHERE audit = 'entries'")
    await _book(database, "after")
    assert (await _audit(database)).postings == 2


_LAST = "version = (SELECT max(version) FROM ledger_entries l WHERE l.account_id = ledger_entries.account_id)"
_COLD = "account_id = (SELECT account_id FROM ledger_accounts WHERE name = 'custody:cold')"


@pytest.mark.parametrize(
    ("words", "noticed"),
    [
        (
            f"UPDATE ledger_entries SET units = units + 1 WHERE {_COLD} AND {_LAST}",
            {"postings_balance", "versions_contiguous", "sealed"},
        ),
        (
            f"UPDATE ledger_entries SET balance_after = balance_after + 1 WHERE {_COLD} AND {_LAST}",
            {"versions_contiguous", "sealed", "cache_equals_entries"},
        ),
        (
            f"UPDATE ledger_entries SET balance_before = balance_before + 1 WHERE {_COLD} AND {_LAST}",
            {"versions_contiguous"},
        ),
        (f"UPDATE ledger_entries SET version = 99 WHERE {_COLD} AND {_LAST}", {"versions_contiguous", "sealed"}),
        (f"DELETE FROM ledger_entries WHERE {_COLD} AND {_LAST}", {"postings_balance"}),
        ("DELETE FROM ledger_entries WHERE posting_id IN (SELECT posting_id FROM ledger_postings WHERE key = 'new')",
         {"postings_balance"}),
        (
            "UPDATE ledger_postings SET happened_at = now() WHERE key = 'new'",
            {"sealed"},
        ),
        ("UPDATE ledger_postings SET asset = 'eth-ethereum' WHERE key = 'new'", {"postings_balance", "sealed"}),
        ("UPDATE ledger_accounts SET balance_units = balance_units + 1 WHERE kind = 'custody:cold'",
         {"cache_equals_entries"}),
        ("UPDATE ledger_accounts SET version = version - 1 WHERE kind = 'custody:cold'", {"cache_equals_entries"}),
        ("UPDATE ledger_accounts SET digest = '' WHERE kind = 'custody:cold'", {"cache_equals_entries"}),
        ("UPDATE ledger_accounts SET kind = 'custody:lukewarm' WHERE kind = 'custody:cold'", {"chart"}),
        ("UPDATE ledger_accounts SET side = 'credit' WHERE kind = 'custody:cold'", {"chart", "versions_contiguous"}),
        ("UPDATE ledger_accounts SET merchant_id = gen_random_uuid() WHERE kind = 'custody:cold'", {"owners"}),
    ],
)  # fmt: skip
async def test_LED_18_what_is_new_and_was_altered_is_found_at_once(
    database: Database, owner: asyncpg.Connection, words: str, noticed: set[str]
) -> None:
    await _book(database, "old", "older")
    await _audit(database)
    await _book(database, "new")
    await _damage(owner, words)
    assert await _found(database) >= noticed
    assert await broken(database) - {"nothing_frozen"}, "the audit of the whole finds it too"


async def test_LED_18_a_consistent_forgery_of_new_entries_is_found_by_the_hash_chain(
    database: Database, owner: asyncpg.Connection
) -> None:
    await _book(database, "small")
    await _damage(owner, "UPDATE ledger_entries SET units = 6, balance_after = 6 WHERE units = 5")
    await _damage(owner, "UPDATE ledger_accounts SET balance_units = 6 WHERE balance_units = 5")
    done = await _audit(database)
    assert {finding.check for finding in done.findings} == {"sealed"}
    assert "small" in done.findings[0].culprit


async def test_LED_18_what_is_old_and_was_altered_is_found_by_the_audit_of_the_whole(
    database: Database, owner: asyncpg.Connection
) -> None:
    await _book(database, "old")
    await _audit(database)
    await _book(database, *(f"k{number}" for number in range(3)))
    await _audit(database)
    await _damage(owner, f"UPDATE ledger_entries SET units = units + 1 WHERE {_COLD} AND version = 1")
    assert await _found(database) == set()
    assert "sealed" in await broken(database)


async def test_an_overdraft_is_found_even_without_the_constraints(
    database: Database, owner: asyncpg.Connection
) -> None:
    await _book(database, "new")
    await owner.execute("ALTER TABLE ledger_entries DROP CONSTRAINT ledger_entries_no_overdraft")
    await _damage(owner, f"UPDATE ledger_entries SET balance_after = -1 WHERE {_COLD}")
    assert "no_overdraft" in await _found(database)


async def test_LED_17_what_is_wrong_is_frozen_said_aloud_and_stays_known(
    database: Database, owner: asyncpg.Connection, caplog: pytest.LogCaptureFixture
) -> None:
    who = merchant()
    async with database.transaction() as tx:
        await fund(tx, who, 100)
    name = accounts.available(who)
    await owner.execute("UPDATE ledger_accounts SET balance_units = balance_units + 1 WHERE name = $1", name)
    with caplog.at_level(logging.CRITICAL):
        assert await _found(database) == {"cache_equals_entries"}
    assert f"cache_equals_entries: {name} in {ASSET}: 101 units" in caplog.text
    assert await _frozen(database) == [name]
    await owner.execute("UPDATE ledger_accounts SET balance_units = balance_units - 1 WHERE name = $1", name)
    async with database.transaction() as tx:
        (refused,) = await post(tx, [posting("spend", (name, accounts.FEES_PAYIN, 1), merchant_id=who)])
        assert isinstance(refused, AccountFrozen)
    async with database.reader() as tx:
        ages, frozen = await check_standing(tx)
    assert isinstance(ages, Check)
    assert ages.ok
    assert not frozen.ok
    assert name in frozen.detail


async def test_what_is_right_is_never_frozen(database: Database) -> None:
    async with database.transaction() as tx:
        await fund(tx, merchant(), 100)
    await _audit(database)
    assert await _frozen(database) == []


async def test_a_posting_without_entries_is_found_though_nothing_can_be_frozen(
    database: Database, owner: asyncpg.Connection
) -> None:
    await owner.execute(
        "INSERT INTO ledger_postings (posting_id, key, event, asset, happened_at, recorded_at)"
        " VALUES ($1, 'hollow', 'test', 'usdt-tron', now(), now())",
        new_uuid7(),
    )
    (finding,) = (await _audit(database)).findings
    assert (finding.check, finding.culprit, finding.account_id) == ("postings_balance", "hollow", None)


async def test_the_cost_of_an_audit_does_not_grow_with_the_history(database: Database) -> None:
    """The plan goes by the mark: no table is read from one end to the other."""
    await _book(database, *(f"k{number}" for number in range(300)))
    await _audit(database)
    async with database.transaction() as tx:
        await tx.execute("SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off")
        rows = await tx.fetch("EXPLAIN " + NEW, "1", UUID(int=0), 10)
    assert any("ledger_postings_as_written" in row[0] and "Index" in row[0] for row in rows)
    assert not any("Sort" in row[0] for row in rows)


async def test_the_whole_is_due_for_one_of_those_who_ask_and_then_not_for_a_while(
    database: Database, owner: asyncpg.Connection
) -> None:
    answers = await asyncio.gather(*(is_whole_due(database) for _ in range(4)))
    assert sorted(answers) == [False, False, False, True]
    ago = "UPDATE ledger_audits SET audited_at = now() - $1::interval WHERE audit = 'whole'"
    await owner.execute(ago, WHOLE_EVERY * 0.99)
    assert not await is_whole_due(database)
    await owner.execute(ago, WHOLE_EVERY * 1.01)
    assert await is_whole_due(database)


async def test_the_books_of_before_the_audit_are_audited_too(database: Database, owner: asyncpg.Connection) -> None:
    """Postings of an earlier release carry no number: they come first."""
    await _book(database, "old")
    await _damage(owner, "UPDATE ledger_postings SET written_in = '0'")
    await _book(database, "new")
    assert (await _audit(database)).postings == 2
