"""What a person decides about a difference: how the books take it in, and when payments may go on."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from tests.reconciliation.test_differences_store import LATER, NOW, events_of, put, reread
from tests.reconciliation.test_model import SIGHT
from tests.reconciliation.test_store import Written

from bitlinkpay.core.ids import new_uuid7
from bitlinkpay.db.pool import Database, Tx
from bitlinkpay.ledger import service as ledger
from bitlinkpay.reconciliation import resolving
from bitlinkpay.reconciliation.booking import BooksHoldLess, posting_of
from bitlinkpay.reconciliation.model import (
    COLD,
    Difference,
    DifferenceEvent,
    DifferenceNotFound,
    DifferenceState,
    NothingToResolve,
    Sight,
    StillThere,
)
from bitlinkpay.reconciliation.service import stop_reason
from bitlinkpay.sending.stops import store as stops
from bitlinkpay.sending.stops.store import Scope, Stop

S = DifferenceState
ASSET = SIGHT.asset
HOT, DEPOSITS, LOSS = "custody:hot:T1", "custody:deposits:T1", "platform:loss"
Decide = Callable[..., Awaitable[Difference]]


async def decide(database: Database, how: Decide, found: Difference) -> Difference:
    async def work(tx: Tx) -> Difference:
        return await how(tx, found.difference_id, reason="asked the issuer", by="operator", now=LATER)

    return await database.unit(work)


async def balances(database: Database, *names: str, asset: str = ASSET) -> list[int]:
    async with database.reader() as tx:
        return [await ledger.balance(tx, name, asset) for name in names]


async def stop(database: Database, found: Difference, scope: Scope = Scope.ASSET, subject: str = ASSET) -> None:
    async with database.transaction() as tx:
        await stops.add(tx, Stop(scope, subject, stop_reason(found), NOW))


async def stopped(database: Database) -> list[tuple[Scope, str]]:
    async with database.reader() as tx:
        return [(one.scope, one.subject) for one in await stops.list_all(tx)]


def missing(units: int, place: str = "T1") -> Sight:
    return replace(SIGHT, place=place, books_units=units, chain_units=0)


@pytest.mark.parametrize("state", S)
async def test_only_an_open_difference_is_booked_and_only_one_that_went_is_closed(
    database: Database, state: DifferenceState
) -> None:
    await Written(database).hold(HOT, 100)
    found = await put(database, state)
    before = await events_of(database, found)
    if state is S.OPEN:
        with pytest.raises(StillThere, match="find out why, then resolve it with --book"):
            await decide(database, resolving.look_at, found)
        return
    with pytest.raises(NothingToResolve, match=f"the difference is {state}; only one that is open or agreed waits"):
        await decide(database, resolving.book, found)
    if state is not S.AGREED:
        with pytest.raises(NothingToResolve, match=f"the difference is {state}"):
            await decide(database, resolving.look_at, found)
        assert (await reread(database, found), await events_of(database, found)) == (found, before)
    assert await balances(database, HOT, LOSS) == [100, 0]


@pytest.mark.parametrize("how", [resolving.book, resolving.look_at])
async def test_a_difference_that_nobody_saw_cannot_be_decided_about(database: Database, how: Decide) -> None:
    found = await put(database, S.OPEN)
    with pytest.raises(DifferenceNotFound):
        await decide(database, how, replace(found, difference_id=new_uuid7()))


async def test_who_looked_and_why_stands_in_the_history(database: Database) -> None:
    found = await put(database, S.AGREED)
    ended = await decide(database, resolving.look_at, found)
    assert ended == replace(found, state=S.RESOLVED)
    assert await reread(database, found) == replace(ended, updated_at=LATER)
    assert (await events_of(database, found))[-1] == ("looked_at", "resolved", "operator: asked the issuer", LATER)


@pytest.mark.parametrize(
    ("hot", "deposits", "lacking", "left"),
    [
        (10, 0, 4, [6, 0]),
        (10, 0, 10, [0, 0]),
        (0, 10, 4, [0, 6]),
        (3, 10, 4, [0, 9]),
        (3, 10, 3, [0, 10]),
        (3, 10, 13, [0, 0]),
    ],
)
async def test_what_is_missing_is_taken_off_the_accounts_of_its_place_one_after_the_other(
    database: Database, hot: int, deposits: int, lacking: int, left: list[int]
) -> None:
    written = Written(database)
    await written.hold("custody:hot:T2", 1_000)
    for account, units in ((HOT, hot), (DEPOSITS, deposits)):
        if units:
            await written.hold(account, units)
    found = await put(database, S.OPEN, missing(lacking))
    await decide(database, resolving.book, found)
    assert await balances(database, HOT, DEPOSITS) == left
    assert await balances(database, LOSS, "custody:hot:T2", "expense:gas") == [lacking, 1_000, 0]
    assert (await reread(database, found)).state is S.RESOLVED


@pytest.mark.parametrize(("hot", "deposits"), [(0, 0), (13, 0), (0, 13), (3, 10)])
async def test_where_the_books_hold_less_by_now_nothing_is_booked_and_the_stop_stays(
    database: Database, hot: int, deposits: int
) -> None:
    written = Written(database)
    for account, units in ((HOT, hot), (DEPOSITS, deposits), ("custody:hot:T2", 50)):
        if units:
            await written.hold(account, units)
    found = await put(database, S.OPEN, missing(14))
    await stop(database, found)
    with pytest.raises(BooksHoldLess, match="let `bitlinkpay reconcile run` look again"):
        await decide(database, resolving.book, found)
    assert await balances(database, HOT, DEPOSITS, LOSS) == [hot, deposits, 0]
    assert await reread(database, found) == found
    assert await stopped(database) == [(Scope.ASSET, ASSET)]


@pytest.mark.parametrize(
    ("known", "booked_on"),
    [((), HOT), ((HOT,), HOT), ((DEPOSITS,), DEPOSITS), ((HOT, DEPOSITS), HOT)],
)
async def test_what_is_too_much_is_the_companys_own_on_the_account_that_the_place_has(
    database: Database, known: tuple[str, ...], booked_on: str
) -> None:
    written = Written(database)
    for account in known:
        await written.hold(account, 10)
    found = await put(database, S.OPEN, replace(SIGHT, chain_units=SIGHT.books_units + 2**200))
    await decide(database, resolving.book, found)
    expected = [
        (10 if account in known else 0) + (2**200 if account == booked_on else 0) for account in (HOT, DEPOSITS)
    ]
    assert await balances(database, HOT, DEPOSITS) == expected
    assert await balances(database, "equity") == [10 * len(known) + 2**200]


@pytest.mark.parametrize(("units", "left"), [(4, 14), (-4, 6)])
async def test_cold_storage_is_one_account_whatever_its_addresses(database: Database, units: int, left: int) -> None:
    await Written(database).hold("custody:cold", 10)
    sight = replace(SIGHT, place=COLD, books_units=10, chain_units=10 + units)
    await decide(database, resolving.book, await put(database, S.OPEN, sight))
    assert await balances(database, "custody:cold") == [left]


async def test_what_messages_cost_is_gas_and_no_loss(database: Database) -> None:
    await Written(database).hold(HOT, 10)
    found = await put(database, S.SUSPECTED, missing(4))
    async with database.transaction() as tx:
        posting = await posting_of(tx, found, found.sight, DifferenceEvent.DRIFTED, NOW)
        await ledger.post_all(tx, [posting])
    assert posting.key == f"difference:{found.difference_id.hex}:booked"
    assert await balances(database, HOT, "expense:gas", LOSS) == [6, 4, 0]


async def test_of_two_people_who_book_the_same_difference_one_does(database: Database) -> None:
    await Written(database).hold(HOT, 10)
    found = await put(database, S.OPEN, missing(4))
    answers = await asyncio.gather(*(decide(database, resolving.book, found) for _ in range(4)), return_exceptions=True)
    assert sorted(type(answer).__name__ for answer in answers) == ["Difference", *["NothingToResolve"] * 3]
    assert await balances(database, HOT, LOSS) == [6, 4]


async def test_a_crash_after_the_decision_leaves_neither_state_nor_posting(database: Database) -> None:
    await Written(database).hold(HOT, 10)
    found = await put(database, S.OPEN, missing(4))
    await stop(database, found)
    with pytest.raises(ZeroDivisionError):
        async with database.transaction() as tx:
            await resolving.book(tx, found.difference_id, reason="", by="operator", now=LATER)
            raise ZeroDivisionError
    assert await reread(database, found) == found
    assert await balances(database, HOT, LOSS) == [10, 0]
    assert await stopped(database) == [(Scope.ASSET, ASSET)]


async def test_SET_10_payments_go_on_when_the_last_unexplained_difference_of_the_asset_is_resolved(
    database: Database,
) -> None:
    await Written(database).hold("custody:hot:T1", 10)
    first = await put(database, S.OPEN, missing(4))
    gone = await put(database, S.AGREED, missing(2, "T2"))
    await put(database, S.SUSPECTED, missing(2, "T3"))
    await put(database, S.OPEN, replace(SIGHT, place="T4", chain_units=99), is_explained=True)
    await put(database, S.OPEN, replace(missing(1), asset="trx-tron"))
    await stop(database, first)
    await decide(database, resolving.book, first)
    assert await stopped(database) == [(Scope.ASSET, ASSET)], "one went by itself, and nobody has looked why"
    await decide(database, resolving.look_at, gone)
    assert await stopped(database) == []


async def test_only_the_stop_that_differences_of_this_asset_threw_is_lifted(database: Database) -> None:
    await Written(database).hold(HOT, 10)
    found = await put(database, S.OPEN, missing(4))
    earlier = replace(found, difference_id=new_uuid7())  # the stop names the difference that threw it first
    await stop(database, earlier)
    await stop(database, found, subject="trx-tron")
    await stop(database, found, Scope.NETWORK, "tron")
    async with database.transaction() as tx:
        await stops.add(tx, Stop(Scope.MERCHANT, ASSET, stop_reason(found), NOW + timedelta(seconds=1)))
    await decide(database, resolving.book, found)
    assert sorted(await stopped(database)) == [
        (Scope.ASSET, "trx-tron"),
        (Scope.MERCHANT, ASSET),
        (Scope.NETWORK, "tron"),
    ]


@pytest.mark.parametrize("reason", ["", "books and chain differ", "node trouble", "Books and chain differ, see `"])
async def test_a_stop_with_a_persons_own_words_stays(database: Database, reason: str) -> None:
    await Written(database).hold(HOT, 10)
    found = await put(database, S.OPEN, missing(4))
    async with database.transaction() as tx:
        await stops.add(tx, Stop(Scope.ASSET, ASSET, reason, NOW))
    await decide(database, resolving.book, found)
    assert await stopped(database) == [(Scope.ASSET, ASSET)]
