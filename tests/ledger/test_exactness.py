"""No unit is lost: large numbers, small numbers, shares."""

import pytest
from tests.ledger.makers import ADDRESS, ASSET, AT, broken, deposit, merchant, posting

from bitlinkpay.core.money import MAX_UNITS, share_down
from bitlinkpay.db.pool import Database
from bitlinkpay.ledger import accounts, chart
from bitlinkpay.ledger.model import BalanceOverflow, Posted
from bitlinkpay.ledger.service import balance, balances, post, post_all

ETHER = "eth-ethereum"


@pytest.mark.parametrize("units", [2**53 + 1, 2**63, 10**28 + 1, 10**38 - 1, 10**38 + 1, 2**256 - 1, MAX_UNITS])
async def test_LED_11_large_numbers_are_exact(database: Database, units: int) -> None:
    who, what = merchant(), deposit()
    same = {"merchant_id": who, "asset": ETHER, "units": units, "happened_at": AT}
    fee = share_down(units, 3000)
    async with database.transaction() as tx:
        await post_all(
            tx,
            [
                chart.deposit_seen(what, address="0x1", **same),
                chart.deposit_credited(what, fee_units=fee, debt_units=0, **same),
            ],
        )
        (row,) = await balances(tx, who)
        assert row.available_units == units - fee
        assert await balance(tx, accounts.FEES_PAYIN, ETHER) == fee
        assert await balance(tx, accounts.deposit_custody("0x1"), ETHER) == units
    assert await broken(database) == set()


async def test_LED_11_a_sum_beyond_the_widest_number_is_refused_alone(database: Database) -> None:
    move = (accounts.COLD, accounts.EQUITY)
    async with database.transaction() as tx:
        results = await post(
            tx,
            [
                posting("most", (*move, MAX_UNITS - 1)),
                posting("too much", (*move, 2)),
                posting("last", (*move, 1)),
                posting("one more", (*move, 1)),
                posting("elsewhere", ("custody:staked", "exchange:long", 1)),
            ],
        )
        assert [type(result) for result in results] == [Posted, BalanceOverflow, Posted, BalanceOverflow, Posted]
        assert await balance(tx, accounts.COLD, ASSET) == MAX_UNITS
    assert await broken(database) == set()


@pytest.mark.parametrize(
    ("units", "fee_ppm", "net_units", "fee_units"),
    [
        (1, 3000, 1, 0),
        (333, 3000, 333, 0),
        (334, 3000, 333, 1),
        (10, 333_333, 7, 3),
        (10, 0, 10, 0),
        (1, 1_000_000, 0, 1),
    ],
)
async def test_LED_12_fees_round_down_and_the_rest_is_the_merchants(
    database: Database, units: int, fee_ppm: int, net_units: int, fee_units: int
) -> None:
    who, what = merchant(), deposit()
    split = chart.split_credit(units, fee_units=share_down(units, fee_ppm), debt_units=0)
    assert (split.net_units, split.fee_units, split.debt_units) == (net_units, fee_units, 0)
    same = {"merchant_id": who, "asset": ASSET, "units": units, "happened_at": AT}
    async with database.transaction() as tx:
        credited = chart.deposit_credited(what, fee_units=split.fee_units, debt_units=split.debt_units, **same)
        await post_all(tx, [chart.deposit_seen(what, address=ADDRESS, **same), credited])
        assert await balance(tx, accounts.available(who), ASSET) == net_units
        assert await balance(tx, accounts.FEES_PAYIN, ASSET) == fee_units
    assert await broken(database) == set()


def test_LED_12_ten_shared_in_three_is_ten() -> None:
    assert chart.split_credit(10, fee_units=3, debt_units=3) == chart.Split(net_units=4, fee_units=3, debt_units=3)


@pytest.mark.parametrize(
    ("units", "fee_units", "debt_units", "split"),
    [
        (5, 6, 0, (0, 5, 0)),
        (5, 5, 0, (0, 5, 0)),
        (5, 6, 9, (0, 5, 0)),
        (5, 2, 9, (0, 2, 3)),
        (5, 2, 3, (0, 2, 3)),
        (5, 2, 2, (1, 2, 2)),
        (0, 0, 0, (0, 0, 0)),
    ],
)
def test_LED_13_a_fee_above_the_amount_takes_the_amount(
    units: int, fee_units: int, debt_units: int, split: tuple[int, int, int]
) -> None:
    assert chart.split_credit(units, fee_units=fee_units, debt_units=debt_units) == chart.Split(*split)


async def test_LED_13_a_credit_that_is_all_fee_gives_the_merchant_nothing(database: Database) -> None:
    who, what = merchant(), deposit()
    same = {"merchant_id": who, "asset": ASSET, "units": 5, "happened_at": AT}
    async with database.transaction() as tx:
        await post_all(
            tx,
            [
                chart.deposit_seen(what, address=ADDRESS, **same),
                chart.deposit_credited(what, fee_units=5, debt_units=0, **same),
            ],
        )
        assert await balances(tx, who) == []
        assert await balance(tx, accounts.FEES_PAYIN, ASSET) == 5
    with pytest.raises(AssertionError):
        chart.deposit_credited(what, fee_units=6, debt_units=0, **same)
