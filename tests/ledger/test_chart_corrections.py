"""What a person books so that books and chain agree: once, on the company's account alone."""

import pytest
from tests.ledger.makers import ADDRESS, ASSET, AT, broken, fund, merchant

from bitlinkpay.core.ids import new_uuid7
from bitlinkpay.db.pool import Database
from bitlinkpay.ledger import accounts, chart_corrections
from bitlinkpay.ledger.model import ExistsDifferent, InsufficientBalance, Posted, Replayed
from bitlinkpay.ledger.service import balance, post, post_all

CUSTODY = accounts.deposit_custody(ADDRESS)


async def test_a_surplus_is_the_companys_own(database: Database) -> None:
    found = chart_corrections.surplus_found(new_uuid7(), asset=ASSET, account=CUSTODY, units=7, happened_at=AT)
    async with database.transaction() as tx:
        await post_all(tx, [found])
        assert [await balance(tx, name, ASSET) for name in (CUSTODY, accounts.EQUITY)] == [7, 7]
    assert await broken(database) == set()


async def test_a_shortage_is_the_companys_loss_and_no_merchants(database: Database) -> None:
    who = merchant()
    hot = accounts.hot_custody("T1")
    async with database.transaction() as tx:
        await fund(tx, who, 100)
        await post_all(
            tx, [chart_corrections.surplus_found(new_uuid7(), asset=ASSET, account=hot, units=5, happened_at=AT)]
        )
        parts = [(hot, 5), (CUSTODY, 40)]
        lost = chart_corrections.shortage_written_off(new_uuid7(), asset=ASSET, parts=parts, happened_at=AT)
        await post_all(tx, [lost])
        names = (hot, CUSTODY, accounts.LOSS, accounts.available(who))
        assert [await balance(tx, name, ASSET) for name in names] == [0, 60, 45, 100]
    assert await broken(database) == set()


async def test_a_difference_is_booked_once_and_one_way(database: Database) -> None:
    difference_id = new_uuid7()
    same = {"asset": ASSET, "happened_at": AT}
    found = chart_corrections.surplus_found(difference_id, account=CUSTODY, units=7, **same)
    lost = chart_corrections.shortage_written_off(difference_id, parts=[(CUSTODY, 7)], **same)
    async with database.transaction() as tx:
        results = await post(tx, [found, found, lost])
    assert [type(result) for result in results] == [Posted, Replayed, ExistsDifferent]


@pytest.mark.parametrize("units", [1, 10**40])
async def test_no_more_is_written_off_than_the_books_hold(database: Database, units: int) -> None:
    lost = chart_corrections.shortage_written_off(new_uuid7(), asset=ASSET, parts=[(CUSTODY, units)], happened_at=AT)
    async with database.transaction() as tx:
        (refused,) = await post(tx, [lost])
    assert isinstance(refused, InsufficientBalance)


async def test_what_a_wallet_pays_for_messages_is_gas(database: Database) -> None:
    hot = accounts.hot_custody("0:1")
    same = {"asset": "ton-ton", "happened_at": AT}
    async with database.transaction() as tx:
        await post_all(tx, [chart_corrections.surplus_found(new_uuid7(), account=hot, units=50, **same)])
        await post_all(tx, [chart_corrections.upkeep_spent(new_uuid7(), parts=[(hot, 20)], **same)])
        assert [await balance(tx, name, "ton-ton") for name in (hot, accounts.GAS)] == [30, 20]
    assert await broken(database) == set()
