"""Each invariant notices what it is for: the books are damaged by hand, as only the schema's owner can."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest
from tests.ledger.makers import ADDRESS, ASSET, AT, broken, deposit, fund, merchant, posting

from bitlinkpay.core.ids import new_uuid7
from bitlinkpay.db.pool import Database
from bitlinkpay.ledger import accounts, chart
from bitlinkpay.ledger.invariants import LEDGER, check
from bitlinkpay.ledger.model import AccountFrozen, Check, Invariant, Posted, Replayed, all_ok
from bitlinkpay.ledger.service import balance, balances, debt, freeze_unequal, post, post_all

_HISTORY = 5


@pytest.fixture
async def owner(schema_owner_dsn: str) -> AsyncIterator[asyncpg.Connection]:
    """Somebody who can switch the triggers off."""
    connection = await asyncpg.connect(schema_owner_dsn)
    yield connection
    await connection.close()


async def _books(database: Database) -> None:
    async with database.transaction() as tx:
        for _ in range(_HISTORY):
            await fund(tx, merchant(), 100)


async def _damage(owner: asyncpg.Connection, table: str, words: str, *args: object) -> None:
    await owner.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
    try:
        status = await owner.execute(words, *args)
        assert not status.endswith(" 0"), "nothing was damaged"
    finally:
        await owner.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER")


async def _found(database: Database, name: str) -> Check:
    async with database.reader() as tx:
        return next(found for found in await check(tx) if found.name == name)


async def test_empty_and_healthy_books_pass(database: Database) -> None:
    async with database.reader() as tx:
        checks = await check(tx)
    assert all_ok(checks)
    assert [found.name for found in checks] == [invariant.name for invariant in LEDGER]
    await _books(database)
    async with database.reader() as tx:
        checks = await check(tx)
    assert all_ok(checks)
    assert [found.detail for found in checks] == [invariant.sentence for invariant in LEDGER]


_LAST = "version = (SELECT max(version) FROM ledger_entries l WHERE l.account_id = ledger_entries.account_id)"
_COLD = "account_id = (SELECT account_id FROM ledger_accounts WHERE name = 'custody:deposits:' || $1)"


@pytest.mark.parametrize(
    ("table", "words", "noticed"),
    [
        (
            "ledger_entries",
            f"UPDATE ledger_entries SET units = units + 1 WHERE {_COLD} AND version = 2",
            {"zero_sum", "postings_balance", "cache_equals_entries", "versions_contiguous", "sealed"},
        ),
        (
            "ledger_entries",
            f"UPDATE ledger_entries SET balance_after = balance_after + 1 WHERE {_COLD} AND version = 2",
            {"versions_contiguous", "sealed"},
        ),
        (
            "ledger_entries",
            f"UPDATE ledger_entries SET version = 99 WHERE {_COLD} AND version = 3",
            {"versions_contiguous", "sealed"},
        ),
        (
            "ledger_entries",
            f"DELETE FROM ledger_entries WHERE {_COLD} AND {_LAST}",
            {"zero_sum", "postings_balance", "cache_equals_entries", "sealed"},
        ),
        (
            "ledger_entries",
            (
                f"UPDATE ledger_entries SET posting_id = uuid_in('00000000-0000-0000-0000-000000000001')"
                f" WHERE {_COLD} AND version = 1"
            ),
            {"postings_balance"},
        ),
        ("ledger_postings", "UPDATE ledger_postings SET happened_at = now() WHERE $1::text <> ''", {"sealed"}),
        (
            "ledger_postings",
            "UPDATE ledger_postings SET merchant_id = gen_random_uuid() WHERE $1::text <> ''",
            {"owners", "sealed"},
        ),
        (
            "ledger_postings",
            "UPDATE ledger_postings SET asset = 'eth-ethereum' WHERE $1::text <> ''",
            {"postings_balance", "sealed"},
        ),
        (
            "ledger_postings",
            "DELETE FROM ledger_postings WHERE event = 'deposit_seen' AND $1::text <> ''",
            {"postings_balance"},
        ),
        (
            "ledger_postings",
            (
                "INSERT INTO ledger_postings (posting_id, key, event, asset, happened_at, recorded_at)"
                " SELECT gen_random_uuid(), 'hollow', 'test', 'usdt-tron', now(), now() WHERE $1::text <> ''"
            ),
            {"postings_balance"},
        ),
        (
            "ledger_accounts",
            "UPDATE ledger_accounts SET balance_units = balance_units + 1 WHERE name = 'custody:deposits:' || $1",
            {"cache_equals_entries", "equation"},
        ),
        (
            "ledger_accounts",
            "UPDATE ledger_accounts SET version = version + 1 WHERE name = 'custody:deposits:' || $1",
            {"cache_equals_entries"},
        ),
        (
            "ledger_accounts",
            "UPDATE ledger_accounts SET merchant_id = gen_random_uuid() WHERE merchant_id IS NOT NULL AND $1::text <> ''",
            {"owners", "chart"},
        ),
        (
            "ledger_accounts",
            "UPDATE ledger_accounts SET side = 'credit' WHERE name = 'custody:deposits:' || $1",
            {"chart", "cache_equals_entries"},
        ),
        (
            "ledger_accounts",
            "UPDATE ledger_accounts SET kind = 'custody:lukewarm' WHERE name = 'custody:deposits:' || $1",
            {"chart"},
        ),
        (
            "ledger_accounts",
            "UPDATE ledger_accounts SET item_id = gen_random_uuid() WHERE kind = 'merchant:pending' AND $1::text <> ''",
            {"chart"},
        ),
        (
            "ledger_accounts",
            "UPDATE ledger_accounts SET frozen_reason = 'test' WHERE name = 'custody:deposits:' || $1",
            {"nothing_frozen"},
        ),
    ],
)
async def test_LED_18_damage_by_hand_is_noticed(
    database: Database, owner: asyncpg.Connection, table: str, words: str, noticed: set[str]
) -> None:
    await _books(database)
    await _damage(owner, table, words, ADDRESS)
    assert await broken(database) >= noticed


async def test_LED_18_a_consistent_forgery_is_found_by_the_hash_chain(
    database: Database, owner: asyncpg.Connection
) -> None:
    """Both sides, both running balances and both caches changed alike: only the digests still know."""
    await _books(database)
    names = [accounts.COLD, accounts.EQUITY]
    async with database.transaction() as tx:
        await post_all(tx, [posting("small", (accounts.COLD, accounts.EQUITY, 5))])
    forged = """UPDATE ledger_entries SET units = 6, balance_after = 6 WHERE account_id IN
                (SELECT account_id FROM ledger_accounts WHERE name = ANY ($1))"""
    await _damage(owner, "ledger_entries", forged, names)
    await _damage(owner, "ledger_accounts", "UPDATE ledger_accounts SET balance_units = 6 WHERE name = ANY ($1)", names)
    assert await broken(database) == {"sealed"}
    assert "small" in (await _found(database, "sealed")).detail


async def test_no_overdraft_is_noticed_even_without_the_constraints(
    database: Database, owner: asyncpg.Connection
) -> None:
    await _books(database)
    await owner.execute("ALTER TABLE ledger_accounts DROP CONSTRAINT ledger_accounts_no_overdraft")
    await owner.execute("ALTER TABLE ledger_entries DROP CONSTRAINT ledger_entries_no_overdraft")
    words = "UPDATE ledger_accounts SET balance_units = -1 WHERE name = 'custody:deposits:' || $1"
    await _damage(owner, "ledger_accounts", words, ADDRESS)
    assert "no_overdraft" in await broken(database)


async def test_LED_16_money_that_stays_too_long_is_named_with_its_keeper(
    database: Database, owner: asyncpg.Connection
) -> None:
    who, stuck, fresh, lost = merchant(), deposit(), deposit(), deposit()
    refill = new_uuid7()
    same = {"asset": ASSET, "units": 1000, "happened_at": AT}
    async with database.transaction() as tx:
        await post_all(
            tx,
            [
                chart.deposit_seen(stuck, merchant_id=who, address=ADDRESS, **same),
                chart.deposit_seen(fresh, merchant_id=who, address=ADDRESS, **same),
                chart.unattributed_seen(lost, address=ADDRESS, **same),
                chart.unattributed_final(lost, **same),
                posting("cold", (accounts.COLD, accounts.EQUITY, 1000)),
                chart.refill_sent(refill, **same),
            ],
        )
    assert (await _found(database, "clearing_age")).ok
    ages = {
        accounts.pending(who, stuck): timedelta(days=1, minutes=1),
        accounts.pending(who, fresh): timedelta(hours=23, minutes=59),
        accounts.unattributed(lost): timedelta(days=29),
        accounts.in_transit(refill): timedelta(days=2),
    }
    for name, age in ages.items():
        at = datetime.now(UTC) - age
        await owner.execute("UPDATE ledger_accounts SET opened_at = $2 WHERE name = $1", name, at)
    found = await _found(database, "clearing_age")
    assert not found.ok
    assert stuck.hex in found.detail
    assert "ask operations" in found.detail
    assert refill.hex in found.detail
    assert "ask treasury" in found.detail
    assert fresh.hex not in found.detail
    assert lost.hex not in found.detail
    async with database.transaction() as tx:  # once it has moved on, the alarm is over
        credited = chart.deposit_credited(stuck, merchant_id=who, fee_units=0, debt_units=0, **same)
        where = {"address": ADDRESS, "custody": accounts.hot_custody(ADDRESS)}
        await post_all(tx, [credited, chart.refill_arrived(refill, deposit_id=lost, **where, **same)])
    assert (await _found(database, "clearing_age")).ok


async def test_LED_16_every_clearing_account_has_a_keeper_and_a_maximum_age(database: Database) -> None:
    async with database.reader() as tx:
        rows = await tx.fetch("SELECT kind FROM ledger_kinds WHERE keeper IS NOT NULL AND max_age > interval '0'")
    assert {row["kind"] for row in rows} == {
        "merchant:pending",
        "platform:pending",
        "platform:unattributed",
        "custody:in_transit",
    }


async def test_LED_17_a_balance_changed_by_hand_is_found_and_the_account_frozen(
    database: Database, owner: asyncpg.Connection
) -> None:
    who = merchant()
    async with database.transaction() as tx:
        await fund(tx, who, 100)
    name = accounts.available(who)
    await owner.execute("UPDATE ledger_accounts SET balance_units = balance_units + 1 WHERE name = $1", name)
    assert name in (await _found(database, "cache_equals_entries")).detail
    async with database.transaction() as tx:
        (found,) = await freeze_unequal(tx)
        assert found == f"{name} in {ASSET}: 101 units, its entries say 100"
    await owner.execute("UPDATE ledger_accounts SET balance_units = balance_units - 1 WHERE name = $1", name)
    spend = posting("spend", (name, accounts.FEES_PAYIN, 1), merchant_id=who)
    other = posting("other", (accounts.COLD, accounts.EQUITY, 1))
    async with database.transaction() as tx:
        results = await post(tx, [spend, other])
        assert [type(result) for result in results] == [AccountFrozen, Posted]
    assert await broken(database) == {"nothing_frozen"}
    await owner.execute("UPDATE ledger_accounts SET frozen_reason = NULL")
    async with database.transaction() as tx:
        assert [type(result) for result in await post(tx, [spend, other])] == [Posted, Replayed]


async def test_LED_17_a_forged_balance_cannot_be_spent_even_before_the_auditor_comes(
    database: Database, owner: asyncpg.Connection
) -> None:
    who = merchant()
    async with database.transaction() as tx:
        await fund(tx, who, 100)
    name = accounts.available(who)
    await owner.execute("UPDATE ledger_accounts SET balance_units = 1000000 WHERE name = $1", name)
    spend = posting("spend", (name, accounts.FEES_PAYIN, 1), merchant_id=who)
    async with database.transaction() as tx:
        (result,) = await post(tx, [spend])
        assert isinstance(result, AccountFrozen)
        assert result.account == name
    assert "differs from its last entry" in (await _found(database, "nothing_frozen")).detail


async def test_LED_17_nothing_is_frozen_in_healthy_books(database: Database) -> None:
    await _books(database)
    async with database.transaction() as tx:
        assert await freeze_unequal(tx) == []
    assert await broken(database) == set()


async def test_LED_25_what_we_hold_is_what_we_owe_and_own(database: Database) -> None:
    """Asset by asset, after every kind of event that this release knows, in the middle of all of them."""
    a, b = merchant(), merchant()
    async with database.transaction() as tx:
        for asset in (ASSET, "eth-ethereum"):
            same = {"asset": asset, "happened_at": AT}
            seen, odd, lost, risky = deposit(), deposit(), deposit(), deposit()
            gone = await fund(tx, a, 70, asset)
            await post_all(
                tx,
                [
                    chart.deposit_seen(seen, merchant_id=a, address=ADDRESS, units=100, **same),
                    chart.deposit_seen(odd, merchant_id=b, address=ADDRESS, units=50, **same),
                    chart.deposit_seen(risky, merchant_id=b, address=ADDRESS, units=40, **same),
                    chart.deposit_unassigned(odd, merchant_id=b, units=50, **same),
                    chart.deposit_quarantined(risky, merchant_id=b, units=40, **same),
                    chart.unattributed_seen(lost, address=ADDRESS, units=9, **same),
                    chart.unattributed_final(lost, units=9, **same),
                    chart.unassigned_accepted(odd, merchant_id=b, units=50, fee_units=1, debt_units=0, **same),
                    chart.hot_wallet_funded(new_uuid7(), wallet="w", units=500, **same),
                    chart.deposit_reversed(
                        gone, merchant_id=a, address=ADDRESS, units=70, fee_units=0, taken_units=30, **same
                    ),
                ],
            )
        (row, _) = await balances(tx, a)
        assert (row.available_units, row.pending_units, row.debt_units) == (40, 100, 40)
        assert (await debt(tx, a, [ASSET]))[ASSET] == 40
        held = await balance(tx, accounts.deposit_custody(ADDRESS), ASSET) + await balance(
            tx, accounts.hot_custody("w"), ASSET
        )
        assert held == 100 + 50 + 40 + 9 + 500
        (theirs, _) = await balances(tx, b)
        owed = row.available_units + row.pending_units + theirs.available_units + theirs.quarantined_units + 9
        own = await balance(tx, accounts.EQUITY, ASSET) + await balance(tx, accounts.FEES_PAYIN, ASSET)
        assert held == owed - row.debt_units + own
    assert await broken(database) == set()


async def test_further_checks_of_higher_packages_run_beside(database: Database) -> None:
    extra = (
        Invariant("fine", "Nothing is wrong.", "SELECT 'x' WHERE false"),
        Invariant("flood", "There is no flood.", "SELECT 'drop ' || n FROM generate_series(1, 50) AS n"),
    )
    async with database.reader() as tx:
        fine, flood = (await check(tx, extra=extra))[-2:]
    assert fine == Check("fine", ok=True, detail="Nothing is wrong.")
    assert not flood.ok
    assert flood.detail.startswith("There is no flood. Broken by: drop 1; drop 2; ")
    assert flood.detail.endswith("; drop 20 and more")
