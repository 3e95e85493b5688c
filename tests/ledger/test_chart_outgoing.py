"""Every business event of money that leaves: what it books, what it refuses, and that the books agree with the chart."""

import pytest
from tests.ledger.makers import ADDRESS, ASSET, AT, broken, deposit, fund, merchant

from bitlinkpay.core.ids import PayoutId, TransactionId, new_uuid7
from bitlinkpay.db.pool import Database
from bitlinkpay.ledger import accounts, chart
from bitlinkpay.ledger import chart_outgoing as outgoing
from bitlinkpay.ledger.model import ExistsDifferent, InsufficientBalance, LedgerEvent, Posted, Replayed
from bitlinkpay.ledger.service import balance, balances, post, post_all

HOT = accounts.hot_custody("hot")
GAS = "trx-tron"


def payout() -> PayoutId:
    return PayoutId(new_uuid7())


async def liquid(tx, asset: str = ASSET, units: int = 10_000) -> None:
    """Put the company's money into the hot wallet."""
    await post_all(tx, [chart.hot_wallet_funded(new_uuid7(), asset=asset, wallet="hot", units=units, happened_at=AT)])


def completed(what: PayoutId, who, **changed: object):
    fields = {"units": 700, "fee_units": 20, "network_fee_units": 30, "fee_account": accounts.FEES_PAYOUT} | changed
    return outgoing.payout_completed(what, merchant_id=who, asset=ASSET, custody=HOT, happened_at=AT, **fields)


async def test_a_payout_is_set_aside_and_then_leaves_with_its_fees(database: Database) -> None:
    who, what = merchant(), payout()
    same = {"merchant_id": who, "asset": ASSET, "happened_at": AT}
    async with database.transaction() as tx:
        await fund(tx, who, 1000)
        await liquid(tx)
        await post_all(tx, [outgoing.payout_reserved(what, units=750, **same)])
        (row,) = await balances(tx, who)
        assert (row.available_units, row.reserved_units) == (250, 750)
        await post_all(tx, [completed(what, who)])
        (row,) = await balances(tx, who)
        assert (row.available_units, row.reserved_units) == (250, 0)
        assert await balance(tx, HOT, ASSET) == 9300
        assert await balance(tx, accounts.FEES_PAYOUT, ASSET) == 20
        assert await balance(tx, accounts.FEES_NETWORK, ASSET) == 30
    assert await broken(database) == set()


async def test_a_payout_that_came_to_nothing_gives_everything_back(database: Database) -> None:
    who, what = merchant(), payout()
    same = {"merchant_id": who, "asset": ASSET, "units": 750, "happened_at": AT}
    async with database.transaction() as tx:
        await fund(tx, who, 1000)
        await post_all(tx, [outgoing.payout_reserved(what, **same), outgoing.payout_released(what, **same)])
        (row,) = await balances(tx, who)
        assert (row.available_units, row.reserved_units) == (1000, 0)
    assert await broken(database) == set()


@pytest.mark.parametrize("end", ["released", "completed"])
async def test_a_refund_takes_odd_money_whole_and_gives_it_back_as_odd_money(database: Database, end: str) -> None:
    who, what, odd = merchant(), payout(), deposit()
    same = {"merchant_id": who, "asset": ASSET, "units": 750, "happened_at": AT}
    async with database.transaction() as tx:
        await liquid(tx)
        await post_all(tx, [chart.deposit_seen(odd, address=ADDRESS, **same), chart.deposit_unassigned(odd, **same)])
        await post_all(tx, [outgoing.refund_reserved(what, deposit_id=odd, **same)])
        (row,) = await balances(tx, who)
        assert (row.unassigned_units, row.reserved_units, row.available_units) == (0, 750, 0)
        released = outgoing.refund_released(what, deposit_id=odd, **same)
        done = released if end == "released" else completed(what, who)
        await post_all(tx, [done])
        left = {
            row.asset: (row.unassigned_units, row.reserved_units, row.available_units)
            for row in await balances(tx, who)
        }
        assert left.get(ASSET, (0, 0, 0)) == ((750, 0, 0) if end == "released" else (0, 0, 0))
        (second,) = await post(tx, [completed(what, who) if end == "released" else released])
        assert isinstance(second, ExistsDifferent)  # one end, whatever the code above believes
    assert await broken(database) == set()


async def test_LED_09_a_payout_has_one_end_whatever_the_code_above_believes(database: Database) -> None:
    who, what = merchant(), payout()
    same = {"merchant_id": who, "asset": ASSET, "units": 750, "happened_at": AT}
    async with database.transaction() as tx:
        await fund(tx, who, 1000)
        await liquid(tx)
        reserve, release = outgoing.payout_reserved(what, **same), outgoing.payout_released(what, **same)
        done = completed(what, who)
        results = await post(tx, [reserve, done, release, done, reserve])
    assert [type(result) for result in results] == [Posted, Posted, ExistsDifferent, Replayed, Replayed]
    assert await broken(database) == set()


async def test_LED_04_more_than_there_is_cannot_be_set_aside(database: Database) -> None:
    who = merchant()
    same = {"merchant_id": who, "asset": ASSET, "units": 600, "happened_at": AT}
    async with database.transaction() as tx:
        await fund(tx, who, 1000)
        results = await post(tx, [outgoing.payout_reserved(payout(), **same) for _ in range(3)])
    assert [type(result) for result in results] == [Posted, InsufficientBalance, InsufficientBalance]


async def test_LED_22_nobodys_reserve_pays_anothers_payout(database: Database) -> None:
    who, other, what = merchant(), merchant(), payout()
    async with database.transaction() as tx:
        await fund(tx, who, 1000)
        await liquid(tx)
        reserve = outgoing.payout_reserved(what, merchant_id=who, asset=ASSET, units=750, happened_at=AT)
        await post_all(tx, [reserve])
        (stolen,) = await post(tx, [completed(what, other)])
        assert isinstance(stolen, InsufficientBalance)
        (mixed,) = await post(tx, [completed(payout(), who)])
        assert isinstance(mixed, InsufficientBalance)
    assert await broken(database) == set()


@pytest.mark.parametrize(
    ("fee", "network_fee", "account"),
    [(0, 50, accounts.FEES_PAYOUT), (50, 0, accounts.FEES_SETTLEMENT), (0, 0, accounts.FEES_PAYOUT)],
)
async def test_a_fee_of_nothing_moves_nothing(database: Database, fee: int, network_fee: int, account: str) -> None:
    who, what = merchant(), payout()
    async with database.transaction() as tx:
        await fund(tx, who, 1000)
        await liquid(tx)
        reserve = outgoing.payout_reserved(
            what, merchant_id=who, asset=ASSET, units=700 + fee + network_fee, happened_at=AT
        )
        done = completed(what, who, fee_units=fee, network_fee_units=network_fee, fee_account=account)
        await post_all(tx, [reserve, done])
        assert await balance(tx, account, ASSET) == fee
        (row,) = await balances(tx, who)
        assert row.reserved_units == 0
    assert await broken(database) == set()


async def test_gas_is_the_platforms_own_expense_and_booked_once(database: Database) -> None:
    what = TransactionId(new_uuid7())
    spent = outgoing.gas_spent(what, asset=GAS, account=HOT, units=345, happened_at=AT)
    async with database.transaction() as tx:
        await liquid(tx, GAS)
        assert [type(result) for result in await post(tx, [spent, spent])] == [Posted, Replayed]
        assert await balance(tx, accounts.GAS, GAS) == 345
        assert await balance(tx, HOT, GAS) == 9655
        (broke,) = await post(
            tx, [outgoing.gas_spent(TransactionId(new_uuid7()), asset=GAS, account=HOT, units=10_000, happened_at=AT)]
        )
        assert isinstance(broke, InsufficientBalance)
    assert await broken(database) == set()


async def test_rent_that_a_sweep_brings_back_is_the_platforms_income_and_booked_once(database: Database) -> None:
    what = TransactionId(new_uuid7())
    back = outgoing.rent_returned(what, asset=GAS, account=HOT, units=2_039_280, happened_at=AT)
    async with database.transaction() as tx:
        assert [type(result) for result in await post(tx, [back, back])] == [Posted, Replayed]
        assert await balance(tx, HOT, GAS) == 2_039_280
        assert await balance(tx, accounts.FEES_NETWORK, GAS) == 2_039_280
    assert await broken(database) == set()


def test_nothing_is_booked_where_the_network_took_and_gave_nothing() -> None:
    what = TransactionId(new_uuid7())
    assert outgoing.gas_spent(what, asset=GAS, account=HOT, units=0, happened_at=AT) is None
    assert outgoing.rent_returned(what, asset=GAS, account=HOT, units=0, happened_at=AT) is None


async def test_a_transfer_between_our_wallets_moves_custody_and_nothing_else(database: Database) -> None:
    who, item = merchant(), new_uuid7()
    source = accounts.deposit_custody(ADDRESS)
    async with database.transaction() as tx:
        await fund(tx, who, 1000)
        swept = outgoing.own_transfer(item, asset=ASSET, source=source, target=HOT, units=1000, happened_at=AT)
        assert [type(result) for result in await post(tx, [swept, swept])] == [Posted, Replayed]
        assert (await balance(tx, source, ASSET), await balance(tx, HOT, ASSET)) == (0, 1000)
        (row,) = await balances(tx, who)
        assert row.available_units == 1000
        again = outgoing.own_transfer(new_uuid7(), asset=ASSET, source=source, target=HOT, units=1, happened_at=AT)
        assert isinstance((await post(tx, [again]))[0], InsufficientBalance)


@pytest.mark.parametrize("is_shared", [False, True])
async def test_money_that_came_straight_to_a_wallet_becomes_the_companys(database: Database, is_shared: bool) -> None:
    """On TON the wallet that pays takes deposits too: there the money stays on the account that it arrived on."""
    what = deposit()
    arrived = accounts.deposit_custody(ADDRESS)
    custody = arrived if is_shared else accounts.hot_custody(ADDRESS)
    same = {"asset": ASSET, "units": 500, "happened_at": AT}
    async with database.transaction() as tx:
        await post_all(
            tx, [chart.unattributed_seen(what, address=ADDRESS, **same), chart.unattributed_final(what, **same)]
        )
        funded = outgoing.unattributed_funded(what, address=ADDRESS, custody=custody, **same)
        await post_all(tx, [funded])
        assert await balance(tx, custody, ASSET) == 500
        assert await balance(tx, accounts.EQUITY, ASSET) == 500
        assert await balance(tx, accounts.unattributed(what), ASSET) == 0
        claimed = chart.unattributed_claimed(what, merchant_id=merchant(), **same)
        assert isinstance((await post(tx, [claimed]))[0], ExistsDifferent)
    assert await broken(database) == set()


@pytest.mark.parametrize("address", [ADDRESS, "0:" + "ab" * 32])
async def test_DEP_04_claimed_money_that_a_deep_reorganisation_took_leaves_the_equity(
    database: Database, address: str
) -> None:
    what = deposit()
    is_ton = ":" in address
    custody = accounts.deposit_custody(address) if is_ton else accounts.hot_custody(address)
    same = {"asset": ASSET, "units": 500, "happened_at": AT}
    async with database.transaction() as tx:
        await post_all(
            tx,
            [
                chart.unattributed_seen(what, address=address, **same),
                chart.unattributed_final(what, **same),
                outgoing.unattributed_funded(what, address=address, custody=custody, **same),
                outgoing.claimed_reversed(what, address=address, **same),
            ],
        )
        assert await balance(tx, custody, ASSET) == 0
        assert await balance(tx, accounts.EQUITY, ASSET) == 0
    assert await broken(database) == set()


def test_the_events_of_money_out_are_told_apart() -> None:
    assert {event for event in LedgerEvent if event.startswith("payout_")} == {
        LedgerEvent.PAYOUT_RESERVED,
        LedgerEvent.PAYOUT_RELEASED,
        LedgerEvent.PAYOUT_COMPLETED,
    }
