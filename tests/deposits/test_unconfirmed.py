"""Payments that wait for a block: seen once, gone and back, told to whoever waits for the order, and never money."""

from dataclasses import replace
from datetime import timedelta

import asyncpg
import pytest
from tests.deposits.rows import AT, add_merchant, add_order
from tests.deposits.test_store import deposit, insert

from bitlinkpay.chains.base import Transfer
from bitlinkpay.core.ids import MerchantId, PayinId
from bitlinkpay.db.pool import Database
from bitlinkpay.deposits.model import DepositState, Unconfirmed, Watched
from bitlinkpay.deposits.unconfirmed import store

SECOND = timedelta(seconds=1)


def transfer(txid: str = "aa", position: str = "vout:0", target: str = "bc1q", units: int = 5) -> Transfer:
    return Transfer("btc-bitcoin", txid, position, "", target, "", units)


@pytest.fixture
async def owner(database: Database) -> MerchantId:
    return await database.unit(add_merchant)


@pytest.fixture
async def order(database: Database, owner: MerchantId) -> PayinId:
    return await database.unit(lambda tx: add_order(tx, owner))


async def note(database: Database, payin_id: PayinId | None, *transfers: Transfer, seconds: int = 0) -> None:
    pairs = [(one, Watched(one.target, "", None, payin_id)) for one in transfers]
    async with database.transaction() as tx:
        await store.note(tx, "bitcoin", pairs, AT + seconds * SECOND)


async def go(database: Database, *txids: str, seconds: float = 0) -> None:
    async with database.transaction() as tx:
        await store.mark_gone(tx, "bitcoin", txids, AT + seconds * SECOND)


async def waiting(database: Database, network: str = "bitcoin") -> set[str]:
    async with database.reader() as tx:
        found = await store.list_waiting(tx, network)
    assert len(found) == len(set(found))
    return set(found)


async def shown(database: Database, payin_id: PayinId) -> list[Unconfirmed]:
    async with database.reader() as tx:
        return await store.list_of_payin(tx, payin_id)


async def test_what_waits_is_shown_for_its_order_oldest_first_and_whole(database: Database, order: PayinId) -> None:
    await note(database, order, transfer("bb", units=2**250), transfer("aa", "vout:1"), transfer("aa"), seconds=5)
    await note(database, order, transfer("cc"))
    await note(database, None, transfer("dd"))
    late = AT + 5 * SECOND
    assert await shown(database, order) == [
        Unconfirmed(order, "cc", "vout:0", "bc1q", "btc-bitcoin", 5, AT),
        Unconfirmed(order, "aa", "vout:0", "bc1q", "btc-bitcoin", 5, late),
        Unconfirmed(order, "aa", "vout:1", "bc1q", "btc-bitcoin", 5, late),
        Unconfirmed(order, "bb", "vout:0", "bc1q", "btc-bitcoin", 2**250, late),
    ]
    assert await waiting(database) == {"aa", "bb", "cc", "dd"}
    assert await waiting(database, "tron") == set()


async def test_a_second_look_neither_renews_the_first_nor_changes_what_was_seen(
    database: Database, order: PayinId
) -> None:
    await note(database, order, transfer())
    await note(database, None, transfer(units=9), seconds=60)
    assert await shown(database, order) == [Unconfirmed(order, "aa", "vout:0", "bc1q", "btc-bitcoin", 5, AT)]


async def test_what_went_away_is_not_shown_until_it_is_seen_again_with_its_first_time(
    database: Database, order: PayinId
) -> None:
    await note(database, order, transfer(), transfer("bb"))
    await go(database, "aa", seconds=10)
    assert [one.txid for one in await shown(database, order)] == ["bb"]
    assert await waiting(database) == {"bb"}
    await note(database, order, transfer(), seconds=20)
    assert {one.txid: one.first_seen_at for one in await shown(database, order)} == {"aa": AT, "bb": AT}
    assert await waiting(database) == {"aa", "bb"}


async def test_all_outputs_of_a_transaction_go_with_it_and_those_of_other_networks_stay(
    database: Database, order: PayinId
) -> None:
    await note(database, order, transfer(), transfer(position="vout:1"), transfer("bb"))
    async with database.transaction() as tx:
        await store.mark_gone(tx, "litecoin", ["aa", "bb"], AT)
    assert await waiting(database) == {"aa", "bb"}
    await go(database, "aa", "unknown")
    assert await waiting(database) == {"bb"}
    await go(database)
    assert await waiting(database) == {"bb"}


async def test_the_first_time_of_going_counts_and_a_month_later_it_is_forgotten(
    database: Database, order: PayinId
) -> None:
    async def kept() -> set[str]:
        async with database.reader() as tx:
            return {row["txid"] for row in await tx.fetch("select txid from unconfirmed")}

    month = store.KEPT.total_seconds()
    await note(database, order, transfer(), transfer("bb"), transfer("cc"))
    await go(database, "aa")
    await go(database, "aa", "bb", seconds=10)
    await go(database, seconds=month)
    assert await kept() == {"aa", "bb", "cc"}, "its last moment still counts"
    await go(database, seconds=month + 1)
    assert await kept() == {"bb", "cc"}
    await go(database, seconds=10 * month)
    assert await kept() == {"cc"}, "what still waits is never forgotten"


@pytest.mark.parametrize("state", DepositState)
async def test_what_stands_in_a_block_waits_no_more_until_its_block_is_gone(
    database: Database, order: PayinId, state: DepositState
) -> None:
    one = transfer()
    await note(database, order, one)
    await insert(database, deposit(network="bitcoin", txid="aa", position="vout:0", target="bc1q"))
    async with database.transaction() as tx:
        await tx.execute("update deposits set state = $1", state.value)
    found = await shown(database, order)
    assert [unconfirmed.txid for unconfirmed in found] == (["aa"] if state in {"dropped", "reversed"} else [])


@pytest.mark.parametrize("elsewhere", [{"network": "tron"}, {"txid": "bb"}, {"position": "vout:1"}, {"target": "bc1p"}])
async def test_another_transfer_in_a_block_hides_nothing(
    database: Database, order: PayinId, elsewhere: dict[str, str]
) -> None:
    await note(database, order, transfer())
    same = deposit(network="bitcoin", txid="aa", position="vout:0", target="bc1q")
    await insert(database, replace(same, **elsewhere))  # type: ignore[arg-type]
    assert [one.txid for one in await shown(database, order)] == ["aa"]


async def test_whoever_waits_for_the_order_is_told_once_that_it_came_and_once_that_it_went(
    database: Database, order: PayinId, app_dsn: str
) -> None:
    heard: list[object] = []
    listener = await asyncpg.connect(app_dsn)
    await listener.add_listener("payins", lambda *said: heard.append(said[-1]))
    try:
        for step in range(2):
            await note(database, order, transfer(), seconds=step)
            await note(database, None, transfer("nobodys"), seconds=step)
        await listener.execute("select 1")
        assert set(heard) == {order.hex}
        del heard[:]
        await go(database, "aa", "nobodys")
        await go(database, "aa", "nobodys")
        await listener.execute("select 1")
        assert heard == [order.hex]
    finally:
        await listener.close()


async def test_a_waiting_payment_moves_no_money(database: Database, order: PayinId) -> None:
    await note(database, order, transfer())
    async with database.reader() as tx:
        assert await tx.fetchval("select count(*) from deposits") == 0
        assert await tx.fetchval("select count(*) from ledger_postings") == 0
        assert await tx.fetchrow("select state, accepted_units from payins") == ("created", 0)


@pytest.mark.parametrize("units", [0, -1])
async def test_a_payment_of_nothing_is_refused_with_all_that_was_noted_with_it(
    database: Database, order: PayinId, units: int
) -> None:
    with pytest.raises(asyncpg.CheckViolationError, match="unconfirmed_units_positive"):
        await note(database, order, transfer("bb"), transfer(units=units))
    assert await waiting(database) == set()
