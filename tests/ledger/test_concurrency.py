"""Many connections on the same accounts: the result is that of some order, and nothing is ever overdrawn."""

import asyncio
import random
from collections.abc import AsyncIterator

import asyncpg
import pytest
from tests.ledger.makers import ASSET, broken, fund, merchant, posting
from tests.ledger.plain_books import PlainBooks

from bitlinkpay.core.ids import MerchantId, new_uuid7
from bitlinkpay.db.pool import Database, Tx
from bitlinkpay.ledger import accounts
from bitlinkpay.ledger.model import InsufficientBalance, Posted, Posting, Result
from bitlinkpay.ledger.service import balance, debt, lock, post, post_all


@pytest.fixture
async def wide(app_dsn: str) -> AsyncIterator[Database]:
    """The database with more connections."""
    found = await Database.connect(app_dsn, size=8)
    yield found
    await found.close()


def _reserve(who: MerchantId, units: int) -> Posting:
    payout = new_uuid7()
    held = f"merchant:{who.hex}:reserved:{payout.hex}"
    return posting(f"payout:{payout.hex}", (accounts.available(who), held, units), merchant_id=who)


async def _one(database: Database, what: Posting) -> Result:
    async def work(tx: Tx) -> Result:
        return (await post(tx, [what]))[0]

    return await database.unit(work)


async def test_LED_04_parallel_reserves_never_overdraw(wide: Database) -> None:
    who = merchant()
    async with wide.transaction() as tx:
        await fund(tx, who, 1_000_000)
    results = await asyncio.gather(*(_one(wide, _reserve(who, 1_000_000)) for _ in range(100)))
    kinds = [type(result) for result in results]
    assert kinds.count(Posted) == 1
    assert kinds.count(InsufficientBalance) == 99
    async with wide.reader() as tx:
        assert await balance(tx, accounts.available(who), ASSET) == 0
        reserved = await tx.fetchval("SELECT sum(balance_units) FROM ledger_accounts WHERE kind = 'merchant:reserved'")
        assert reserved == 1_000_000
    assert await broken(wide) == set()


async def test_LED_04_a_reserve_waits_for_the_one_that_is_under_way(wide: Database) -> None:
    """Both see the full balance before either commits; the later one must wait and then look again."""
    who = merchant()
    async with wide.transaction() as tx:
        await fund(tx, who, 1_000_000)
    async with wide.transaction() as tx:
        (first,) = await post(tx, [_reserve(who, 1_000_000)])
        later = asyncio.create_task(_one(wide, _reserve(who, 1_000_000)))
        await asyncio.sleep(0.3)
        assert not later.done()
    assert isinstance(first, Posted)
    assert isinstance(await later, InsufficientBalance)
    assert await broken(wide) == set()


async def test_LED_04_reserves_in_one_batch_never_overdraw(wide: Database) -> None:
    who = merchant()
    async with wide.transaction() as tx:
        await fund(tx, who, 1_000_000)
        results = await post(tx, [_reserve(who, 400_000) for _ in range(100)])
    assert [type(result) for result in results] == [Posted, Posted] + [InsufficientBalance] * 98
    assert await broken(wide) == set()


async def test_LED_05_parallel_money_ends_as_some_serial_order(wide: Database) -> None:
    """Settlements, payouts and refunds of one merchant at once; the entries' versions say the order, a model replays it."""
    dice = random.Random(5)
    who = merchant()
    name = accounts.available(who)
    plain = PlainBooks()
    opening = posting("opening", (accounts.COLD, name, 500), merchant_id=who)
    plain.post(opening)
    async with wide.transaction() as tx:
        await post_all(tx, [opening])
    everything: dict[str, Posting] = {}
    for number in range(90):
        units = dice.randrange(1, 120)
        move = [
            (name, f"merchant:{who.hex}:reserved:{new_uuid7().hex}", units),
            (name, accounts.COLD, units),
            (accounts.COLD, name, units // 3 + 1),
        ][number % 3]
        everything[f"k{number}"] = posting(f"k{number}", move, merchant_id=who)
    batches = [list(everything.values())[start : start + 3] for start in range(0, 90, 3)]
    dice.shuffle(batches)

    async def run(batch: list[Posting]) -> dict[str, Result]:
        async def work(tx: Tx) -> list[Result]:
            return await post(tx, batch)

        results = await wide.unit(work)
        return {found.key: result for found, result in zip(batch, results, strict=True)}

    results: dict[str, Result] = {}
    for part in await asyncio.gather(*(run(batch) for batch in batches)):
        results |= part

    async with wide.reader() as tx:
        rows = await tx.fetch(
            """SELECT p.key FROM ledger_entries e JOIN ledger_postings p USING (posting_id)
               JOIN ledger_accounts a USING (account_id) WHERE a.name = $1 AND p.key <> 'opening' ORDER BY e.version""",
            name,
        )
        left = [plain.balances[name, ASSET]]
        for row in rows:
            assert plain.post(everything[row["key"]]) == ("Posted", None)
            left.append(plain.balances[name, ASSET])
        assert await balance(tx, name, ASSET) == left[-1]
    refused = [key for key, result in results.items() if not isinstance(result, Posted)]
    assert sorted([row["key"] for row in rows] + refused) == sorted(everything)
    assert refused, "the money was meant to run short"
    for key in refused:  # there was a moment at which it did not fit
        assert any(units < everything[key].moves[0].units for units in left)
    assert await broken(wide) == set()


async def test_LED_06_a_decision_over_two_balances_locks_both(wide: Database) -> None:
    """Rule: the two balances together stay at 100 or more. Each of two decisions alone keeps it, both would not."""
    who = merchant()
    pair = [(accounts.available(who), "usdt-tron"), (accounts.available(who), "usdt-bsc")]
    async with wide.transaction() as tx:
        for _, asset in pair:
            await fund(tx, who, 80, asset)

    async def decide(tx: Tx, name: str, asset: str) -> bool:
        units = await lock(tx, pair)
        await asyncio.sleep(0.1)
        if sum(units.values()) - 60 < 100:
            return False
        out = posting(f"out:{asset}", (name, accounts.FEES_PAYIN, 60), merchant_id=who, asset=asset)
        await post_all(tx, [out])
        return True

    outcomes = await asyncio.gather(*(wide.unit(lambda tx, found=found: decide(tx, *found)) for found in pair))
    assert sorted(outcomes) == [False, True]
    assert await broken(wide) == set()


async def test_LED_06_units_that_deadlock_run_again_and_count_once(wide: Database) -> None:
    first = posting("a", (accounts.COLD, accounts.EQUITY, 1))
    second = posting("b", ("custody:staked", "exchange:long", 1))
    async with wide.transaction() as tx:
        await post_all(
            tx,
            [posting("a0", (accounts.COLD, accounts.EQUITY, 1)), posting("b0", ("custody:staked", "exchange:long", 1))],
        )
    runs = 0
    both = asyncio.Barrier(2)

    async def crosswise(order: list[Posting]) -> None:
        async def work(tx: Tx) -> None:
            nonlocal runs
            runs += 1
            await post_all(tx, [order[0]])
            if runs <= 2:
                await both.wait()
            await post_all(tx, [order[1]])

        await wide.unit(work)

    mine = [posting("a1", *[(m.debit, m.credit, m.units) for m in first.moves]), second]
    theirs = [posting("b1", *[(m.debit, m.credit, m.units) for m in second.moves]), first]
    await asyncio.gather(crosswise(mine), crosswise(theirs))
    assert runs == 3, "one of the two was the deadlock's victim, once"
    async with wide.reader() as tx:
        assert await balance(tx, accounts.COLD, ASSET) == 3
        assert await balance(tx, "custody:staked", ASSET) == 3
    assert await broken(wide) == set()


async def test_batches_over_the_same_accounts_in_any_order_do_not_deadlock(wide: Database) -> None:
    dice = random.Random(7)
    names = [f"custody:deposits:T{number}" for number in range(30)]

    async def run(number: int) -> None:
        chosen = dice.sample(names, 12)  # most of them new to the books: creation races too
        batch = [posting(f"{number}:{name}", (name, accounts.EQUITY, 1)) for name in chosen]
        async with wide.transaction() as tx:  # no retry: a deadlock would fail the test
            await post_all(tx, batch)

    await asyncio.gather(*(run(number) for number in range(40)))
    async with wide.reader() as tx:
        assert await balance(tx, accounts.EQUITY, ASSET) == 40 * 12
    assert await broken(wide) == set()


async def test_a_debt_that_was_read_for_repayment_cannot_change_meanwhile(wide: Database) -> None:
    who = merchant()
    async with wide.transaction() as tx:
        await post_all(tx, [posting("loss", (accounts.debt(who), accounts.EQUITY, 30), merchant_id=who)])

    async def credit(number: int) -> int:
        async def work(tx: Tx) -> int:
            owed = (await debt(tx, who, [ASSET]))[ASSET]
            await asyncio.sleep(0.02)
            repaid = min(owed, 20)
            parts = [(accounts.COLD, accounts.available(who), 20 - repaid), (accounts.COLD, accounts.debt(who), repaid)]
            await post_all(tx, [posting(f"c{number}", *[part for part in parts if part[2]], merchant_id=who)])
            return repaid

        return await wide.unit(work)

    assert sorted(await asyncio.gather(*(credit(number) for number in range(4)))) == [0, 0, 10, 20]
    async with wide.reader() as tx:
        assert await balance(tx, accounts.available(who), ASSET) == 50


async def test_a_reader_sees_whole_postings_only(wide: Database, app_dsn: str) -> None:
    """Every invariant holds at any moment, not only between batches."""
    who = merchant()
    stop = asyncio.Event()

    async def write() -> None:
        for number in range(25):
            async with wide.transaction() as tx:
                await post_all(
                    tx,
                    [
                        posting(f"{number}:{part}", (accounts.COLD, accounts.available(who), 1), merchant_id=who)
                        for part in range(8)
                    ],
                )
        stop.set()

    async def watch() -> int:
        looks = 0
        while not stop.is_set():
            assert await broken(wide) == set()
            looks += 1
        return looks

    _, looks = await asyncio.gather(write(), watch())
    assert looks > 0


async def test_a_lost_connection_books_nothing(wide: Database, app_dsn: str) -> None:
    connection = await asyncpg.connect(app_dsn)
    await connection.execute("BEGIN")
    await post_all(connection, [posting("lost", (accounts.COLD, accounts.EQUITY, 1))])
    connection.terminate()
    assert isinstance(await _one(wide, posting("lost", (accounts.COLD, accounts.EQUITY, 1))), Posted)
