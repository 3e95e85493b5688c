"""A merchant's days: they add up, follow each other, end for good, and every line names the entries behind it."""

import asyncio
import random
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import asyncpg
import pytest
from asyncpg.exceptions import CheckViolationError, InsufficientPrivilegeError
from tests.ledger.makers import ADDRESS, ASSET, AT, deposit, fund, merchant, posting

from bitlinkpay.core.errors import Kind
from bitlinkpay.core.ids import MerchantId, PayoutId, new_uuid7
from bitlinkpay.db.pool import Database
from bitlinkpay.ledger import accounts, chart, chart_outgoing, invariants
from bitlinkpay.ledger import service as ledger
from bitlinkpay.ledger.service import post_all
from bitlinkpay.statements import service, store
from bitlinkpay.statements.invariants import STATEMENTS
from bitlinkpay.statements.model import DayNotBegun, Pots, Statement, StatementAstray, is_worth_showing

DAY = timedelta(days=1)


@pytest.fixture
async def owner(schema_owner_dsn: str) -> AsyncIterator[asyncpg.Connection]:
    """Somebody who can switch the triggers off."""
    connection = await asyncpg.connect(schema_owner_dsn)
    yield connection
    await connection.close()


def today() -> date:
    return datetime.now(UTC).date()


async def read(database: Database, who: MerchantId, day: date, asset: str = ASSET) -> Statement:
    async with database.reader() as tx:
        (found,) = await service.list_of_day(tx, who, [asset], day)
    return found


async def age(owner: asyncpg.Connection, days: int = 1) -> None:
    """Let everything that is booked have been booked some days earlier."""
    await owner.execute("ALTER TABLE ledger_postings DISABLE TRIGGER USER")
    await owner.execute("UPDATE ledger_postings SET recorded_at = recorded_at - $1::interval", days * DAY)
    await owner.execute("ALTER TABLE ledger_postings ENABLE TRIGGER USER")


async def close(database: Database) -> None:
    """Close yesterday, however young today is; writers into the server's other databases hold that up."""
    await database.unit(lambda tx: store.seal(tx, timedelta(0)))
    async with asyncio.timeout(120):
        while not await service.close_days(database):
            await asyncio.sleep(0.01)


async def broken(database: Database) -> set[str]:
    async with database.reader() as tx:
        checks = await invariants.check(tx, extra=STATEMENTS)
    ours = {invariant.name for invariant in STATEMENTS}
    return {check.name for check in checks if not check.ok and check.name in ours}


async def reserve(database: Database, who: MerchantId, units: int) -> PayoutId:
    payout_id = PayoutId(new_uuid7())
    async with database.transaction() as tx:
        await post_all(
            tx, [chart_outgoing.payout_reserved(payout_id, merchant_id=who, asset=ASSET, units=units, happened_at=AT)]
        )
    return payout_id


async def complete(database: Database, who: MerchantId, payout_id: PayoutId, units: int, *, fee: int, gas: int) -> None:
    async with database.transaction() as tx:
        await post_all(
            tx,
            [
                chart_outgoing.payout_completed(
                    payout_id,
                    merchant_id=who,
                    asset=ASSET,
                    custody=accounts.deposit_custody(ADDRESS),
                    units=units,
                    fee_units=fee,
                    network_fee_units=gas,
                    fee_account=accounts.FEES_PAYOUT,
                    happened_at=AT,
                )
            ],
        )


async def test_a_day_without_anything_is_empty(database: Database) -> None:
    found = await read(database, merchant(), today())
    assert (found.opening, found.movements, found.closing, found.fee_units) == (Pots(), (), Pots(), 0)
    assert not found.is_closed
    assert not is_worth_showing(found)


async def test_a_day_is_its_movements_by_kind_with_fees_and_names_the_postings(database: Database) -> None:
    who = merchant()
    seen = [deposit(), deposit()]
    same = {"merchant_id": who, "asset": ASSET, "happened_at": AT}
    async with database.transaction() as tx:
        booked = await post_all(
            tx,
            [
                *(chart.deposit_seen(one, address=ADDRESS, units=1000, **same) for one in seen),
                *(chart.deposit_credited(one, units=1000, fee_units=3, debt_units=0, **same) for one in seen),
            ],
        )
    payout_id = await reserve(database, who, 505)
    await complete(database, who, payout_id, 500, fee=4, gas=1)
    found = await read(database, who, today())
    by_event = {movement.event: movement for movement in found.movements}
    assert list(by_event) == ["deposit_credited", "deposit_seen", "payout_completed", "payout_reserved"]
    credited = by_event["deposit_credited"]
    assert credited.change == Pots(available_units=1994, pending_units=-2000)
    assert (credited.postings, credited.fee_units) == (2, 6)
    assert {credited.first, credited.last} == {one.posting_id for one in booked[2:]}
    assert by_event["deposit_seen"].change == Pots(pending_units=2000)
    assert by_event["payout_reserved"].change == Pots(available_units=-505, reserved_units=505)
    assert by_event["payout_completed"].change == Pots(reserved_units=-505)
    assert by_event["payout_completed"].fee_units == 5
    assert found.closing == Pots(available_units=1489)
    assert found.fee_units == 11
    assert is_worth_showing(found)


async def test_every_movement_is_the_sum_of_its_postings(database: Database) -> None:
    who = merchant()
    async with database.transaction() as tx:
        for _ in range(5):
            await fund(tx, who, 100)
    found = await read(database, who, today())
    async with database.reader() as tx:
        lines = await service.list_lines(tx, who, ASSET, today())
        first = await store.list_lines(tx, who, ASSET, today(), after=None, limit=4)
        second = await store.list_lines(tx, who, ASSET, today(), after=first[-1], limit=100)
        assert [*first, *second] == lines
        assert await service.list_lines(tx, who, ASSET, today(), after=lines[-1]) == []
    for movement in found.movements:
        mine = [line for line in lines if line.event == movement.event]
        assert (mine[0].posting_id, mine[-1].posting_id, len(mine)) == (movement.first, movement.last, 5)
        assert sum((line.change for line in mine), Pots()) == movement.change


async def test_other_merchants_other_assets_and_other_days_do_not_count(
    database: Database, owner: asyncpg.Connection
) -> None:
    who, other = merchant(), merchant()
    async with database.transaction() as tx:
        await fund(tx, who, 7)
    await age(owner)
    async with database.transaction() as tx:
        await fund(tx, who, 5)
        await fund(tx, who, 11, "eth-ethereum")
        await fund(tx, other, 13)
    found = await read(database, who, today())
    assert (found.opening.available_units, found.closing.available_units) == (7, 12)
    assert (await read(database, who, today(), "eth-ethereum")).closing == Pots(available_units=11)
    assert (await read(database, who, today() - DAY)).closing == Pots(available_units=7)
    assert (await read(database, who, today() - 2 * DAY)).closing == Pots()
    async with database.reader() as tx:
        both = await service.list_of_day(tx, who, ["eth-ethereum", ASSET], today())
    assert [(one.asset, one.closing.available_units) for one in both] == [("eth-ethereum", 11), (ASSET, 12)]


async def test_a_day_that_has_not_begun_is_refused(database: Database) -> None:
    with pytest.raises(DayNotBegun, match="up to today"):
        await read(database, merchant(), today() + 2 * DAY)


async def test_debt_is_a_pot_of_its_own(database: Database) -> None:
    who = merchant()
    gone = deposit()
    same = {"merchant_id": who, "asset": ASSET, "happened_at": AT, "units": 100}
    async with database.transaction() as tx:
        await post_all(
            tx,
            [
                chart.deposit_seen(gone, address=ADDRESS, **same),
                chart.deposit_credited(gone, fee_units=1, debt_units=0, **same),
                chart_outgoing.payout_reserved(
                    PayoutId(new_uuid7()), merchant_id=who, asset=ASSET, units=60, happened_at=AT
                ),
                chart.deposit_reversed(gone, address=ADDRESS, fee_units=1, taken_units=39, **same),
            ],
        )
    found = await read(database, who, today())
    assert found.closing == Pots(reserved_units=60, debt_units=60)
    (reversal,) = [movement for movement in found.movements if movement.event == "deposit_reversed"]
    assert reversal.change == Pots(available_units=-39, debt_units=60)
    assert (reversal.fee_units, found.fee_units) == (-1, 0)


# --- days that are over ------------------------------------------------------------------------------------------------


async def test_a_day_opens_with_what_the_day_before_closed_with(database: Database, owner: asyncpg.Connection) -> None:
    who, quiet = merchant(), merchant()
    async with database.transaction() as tx:
        await fund(tx, who, 100)
        await fund(tx, quiet, 30)
    await age(owner, 3)
    async with database.transaction() as tx:
        await fund(tx, who, 10)
    await age(owner, 1)
    before = [await read(database, who, today() - number * DAY) for number in range(6)]
    await close(database)
    async with database.transaction() as tx:
        await fund(tx, who, 1)
    after = [await read(database, who, today() - number * DAY) for number in range(6)]
    assert [one.closing.available_units for one in after] == [111, 110, 100, 100, 100, 0]
    assert [one.closing for one in after[1:]] == [one.closing for one in before[1:]]
    assert all(late.opening == early.closing for late, early in pairwise(after))
    assert [one.is_closed for one in after] == [False, True, True, True, True, True]
    assert (await read(database, quiet, today())).opening == Pots(available_units=30)
    assert await broken(database) == set()


async def test_closing_twice_or_at_once_writes_every_closing_once(
    database: Database, owner: asyncpg.Connection
) -> None:
    async with database.transaction() as tx:
        await fund(tx, merchant(), 100)
    await age(owner)
    await asyncio.gather(*(service.close_days(database) for _ in range(4)))
    await asyncio.gather(*(service.close_days(database) for _ in range(4)))
    async with asyncio.timeout(120):
        while not await owner.fetchval("SELECT count(*) FROM ledger_day_events WHERE event = 'closed'"):
            await service.close_days(database)
    assert not await service.close_days(database)
    assert await owner.fetchval("SELECT count(*) FROM statement_closings") == 1
    assert await owner.fetchval("SELECT count(*) FROM ledger_day_events") == 3


async def test_LED_15_nothing_is_booked_into_a_day_that_is_sealed(
    database: Database, owner: asyncpg.Connection
) -> None:
    """Should the server's clock fall back over a sealed midnight, postings are refused until it is right again."""
    await close(database)
    await owner.execute("INSERT INTO ledger_day_events (day, event) VALUES ($1, 'sealed')", today())
    with pytest.raises(CheckViolationError, match="the clock of the database is behind"):
        async with database.transaction() as tx:
            await fund(tx, merchant(), 1)
    await owner.execute("DELETE FROM ledger_day_events WHERE day = $1", today())
    async with database.transaction() as tx:
        await fund(tx, merchant(), 1)


async def test_a_day_is_not_closed_while_somebody_still_writes_into_it(
    database: Database, owner: asyncpg.Connection
) -> None:
    """Booked before midnight, committed after it: the day waits for it and counts it."""
    who = merchant()
    async with database.transaction() as slow:
        await fund(slow, who, 100)
        for _ in range(3):
            assert not await service.close_days(database)
        steps = await owner.fetch("SELECT event FROM ledger_day_events ORDER BY event")
        assert [row["event"] for row in steps] == ["awaited", "sealed"]
    await age(owner)  # as if it had been recorded in that day
    await close(database)
    assert (await read(database, who, today())).opening == Pots(available_units=100)
    assert await broken(database) == set()


async def test_the_application_cannot_change_how_a_day_ended(database: Database, owner: asyncpg.Connection) -> None:
    async with database.transaction() as tx:
        await fund(tx, merchant(), 100)
    await age(owner)
    await close(database)
    for words in (
        "UPDATE statement_closings SET available_units = 1",
        "DELETE FROM statement_closings",
        "DELETE FROM ledger_day_events",
        "UPDATE ledger_day_events SET day = day - 1",
    ):
        with pytest.raises(InsufficientPrivilegeError):
            async with database.transaction() as tx:
                await tx.execute(words)


async def test_a_late_posting_falls_into_the_day_of_its_posting(database: Database, owner: asyncpg.Connection) -> None:
    who = merchant()
    async with database.transaction() as tx:
        await fund(tx, who, 100)
    await age(owner)
    await close(database)
    yesterday = await read(database, who, today() - DAY)
    async with database.transaction() as tx:
        late = chart.deposit_seen(
            deposit(), merchant_id=who, asset=ASSET, address=ADDRESS, units=9, happened_at=datetime.now(UTC) - DAY
        )
        await post_all(tx, [late])
    assert await read(database, who, today() - DAY) == yesterday
    assert (await read(database, who, today())).closing == Pots(available_units=100, pending_units=9)


@pytest.mark.parametrize(
    ("words", "noticed"),
    [
        ("UPDATE statement_closings SET available_units = available_units + 1 WHERE day < $1::date - 1", "are_entries"),
        ("UPDATE statement_closings SET debt_units = 5 WHERE day = $1::date - 1", "are_entries"),
        ("DELETE FROM statement_closings WHERE day = $1::date - 1", "stay"),
        ("UPDATE ledger_postings SET recorded_at = recorded_at - interval '1 day' WHERE day = $1::date", "are_entries"),
    ],
)
async def test_closings_that_do_not_follow_from_the_entries_are_noticed(
    database: Database, owner: asyncpg.Connection, words: str, noticed: str
) -> None:
    who = merchant()
    for _ in range(2):
        async with database.transaction() as tx:
            await fund(tx, who, 100)
        await age(owner)
        await owner.execute("UPDATE ledger_day_events SET day = day - 1")
        await owner.execute("UPDATE statement_closings SET day = day - 1")
        await close(database)
    async with database.transaction() as tx:
        await fund(tx, who, 100)
    assert await broken(database) == set()
    await owner.execute("ALTER TABLE ledger_postings DISABLE TRIGGER USER")
    assert await owner.execute(words, today()) != "UPDATE 0"
    assert await broken(database) >= {f"closings_{noticed}" if noticed == "are_entries" else f"closed_days_{noticed}"}


async def test_a_day_costs_the_same_however_long_the_history_is(database: Database, owner: asyncpg.Connection) -> None:
    """The plan of a day touches that day's rows only."""
    who = merchant()
    async with database.transaction() as tx:
        for _ in range(30):
            await fund(tx, who, 1)
    await age(owner)
    await close(database)
    await owner.execute("ANALYZE")
    plan = "\n".join(
        row[0]
        for row in await owner.fetch(
            "EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, BUFFERS OFF)"
            " SELECT posting_id FROM ledger_postings WHERE merchant_id = $1 AND asset = $2 AND day = $3",
            who,
            ASSET,
            today(),
        )
    )
    assert "ledger_postings_of_merchant" in plan or "ledger_postings_of_day" in plan
    found = await read(database, who, today())
    assert (found.opening, found.movements) == (Pots(available_units=30), ())


@pytest.mark.parametrize("seed", range(3))
async def test_any_history_adds_up_day_by_day(database: Database, owner: asyncpg.Connection, seed: int) -> None:
    """Whatever happens on whichever day, closed in time or late: each day continues the one before, up to the balance."""
    rng = random.Random(seed)
    who, days, reserved = merchant(), 5, 0
    for _ in range(days):
        for _ in range(rng.randrange(4)):
            async with database.transaction() as tx:
                await fund(tx, who, rng.randrange(1, 1000))
        held = (await read(database, who, today())).closing.available_units
        if held and rng.random() < 0.7:
            reserved += (units := rng.randint(1, held))
            await reserve(database, who, units)
        await age(owner)
        await owner.execute("UPDATE ledger_day_events SET day = day - 1")
        await owner.execute("UPDATE statement_closings SET day = day - 1")
        if rng.random() < 0.6:
            await close(database)
    found = [await read(database, who, today() - number * DAY) for number in range(days + 1)]
    assert found[-1].opening == Pots()
    assert all(late.opening == early.closing for late, early in pairwise(found))
    async with database.reader() as tx:
        balances = await ledger.balances(tx, who)
    assert found[0].closing.reserved_units == reserved == sum(one.reserved_units for one in balances)
    assert found[0].closing.available_units == sum(one.available_units for one in balances)
    assert await broken(database) == set()


async def test_a_statement_ends_with_what_the_balance_is(database: Database) -> None:
    who = merchant()
    async with database.transaction() as tx:
        await fund(tx, who, 100)
        odd = deposit()
        same = {"merchant_id": who, "asset": ASSET, "happened_at": AT, "units": 8}
        await post_all(tx, [chart.deposit_seen(odd, address=ADDRESS, **same), chart.deposit_quarantined(odd, **same)])
        await post_all(tx, [posting("own", (accounts.COLD, accounts.EQUITY, 1000))])
    await reserve(database, who, 40)
    async with database.reader() as tx:
        (balance,) = await ledger.balances(tx, who)
    closing = (await read(database, who, today())).closing
    assert closing == Pots(
        available_units=balance.available_units,
        reserved_units=balance.reserved_units,
        pending_units=balance.pending_units,
        unassigned_units=balance.unassigned_units,
        quarantined_units=balance.quarantined_units,
        debt_units=balance.debt_units,
    )


@pytest.mark.parametrize(
    ("words", "days_ago"),
    [
        ("UPDATE statement_closings SET available_units = available_units + 1 WHERE day = $1::date - 1", {0, 1}),
        ("UPDATE statement_closings SET reserved_units = 1 WHERE day = $1::date - 1", {0, 1}),
        ("UPDATE statement_closings SET available_units = available_units - 1 WHERE day = $1::date - 2", {1, 2}),
        ("UPDATE statement_closings SET available_units = available_units + 1", {0, 2}),
        ("UPDATE ledger_accounts SET balance_units = balance_units + 1 WHERE kind = 'merchant:available'", {0}),
        ("DELETE FROM ledger_entries WHERE posting_id IN (SELECT posting_id FROM ledger_postings WHERE day = $1)", {0}),
        ("UPDATE ledger_postings SET recorded_at = recorded_at - interval '1 day' WHERE day = $1::date", {0, 1}),
    ],
)
async def test_SET_06_a_statement_that_differs_from_the_books_by_one_unit_is_shown_to_nobody(
    database: Database, owner: asyncpg.Connection, words: str, days_ago: set[int]
) -> None:
    """Neither the day whose end is wrong nor the one that goes on from it is shown. Others are, even between two days that
    were both changed: that only the invariant of closings can tell.
    """
    who, other = merchant(), merchant()
    for units in (100, 30):
        async with database.transaction() as tx:
            await fund(tx, who, units)
        await age(owner)
        await owner.execute("UPDATE ledger_day_events SET day = day - 1")
        await owner.execute("UPDATE statement_closings SET day = day - 1")
        await close(database)
    async with database.transaction() as tx:
        await fund(tx, who, 7)
    days = [today() - number * DAY for number in range(4)]
    assert [(await read(database, who, day)).closing.available_units for day in days] == [137, 130, 100, 0]
    for table in ("ledger_postings", "ledger_entries", "ledger_accounts"):
        await owner.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
    given = [today()] if "$1" in words else []
    assert not (await owner.execute(words, *given)).endswith(" 0")
    astray = set()
    for number, day in enumerate(days):
        try:
            await read(database, who, day)
        except StatementAstray as refused:
            assert refused.kind is Kind.UNAVAILABLE
            assert f"the statement of {ASSET} on {day} does not end with what the books say" in refused.message
            astray.add(number)
    assert astray == days_ago
    assert (await read(database, other, today())).closing == Pots(), "nobody else is held up"


async def test_SET_06_one_asset_that_is_astray_holds_back_the_whole_day_but_no_other_asset_by_itself(
    database: Database, owner: asyncpg.Connection
) -> None:
    who = merchant()
    async with database.transaction() as tx:
        await fund(tx, who, 5)
        await fund(tx, who, 11, "eth-ethereum")
    await owner.execute("ALTER TABLE ledger_accounts DISABLE TRIGGER USER")
    await owner.execute(
        "UPDATE ledger_accounts SET balance_units = balance_units - 1 WHERE asset = $1 AND kind = 'merchant:available'",
        ASSET,
    )
    async with database.reader() as tx:
        with pytest.raises(StatementAstray, match=ASSET):
            await service.list_of_day(tx, who, ["eth-ethereum", ASSET], today())
    assert (await read(database, who, today(), "eth-ethereum")).closing == Pots(available_units=11)


async def test_a_statement_is_of_one_moment_while_others_book(database: Database) -> None:
    """What is committed between two looks is in none of them: today is compared with balances of the same moment."""
    who = merchant()
    async with database.transaction() as tx:
        await fund(tx, who, 5)
    async with database.reader() as tx:
        before = await service.list_of_day(tx, who, [ASSET], today())
        async with database.transaction() as writer:
            await fund(writer, who, 7)
        assert await service.list_of_day(tx, who, [ASSET], today()) == before
    assert (await read(database, who, today())).closing == Pots(available_units=12)
