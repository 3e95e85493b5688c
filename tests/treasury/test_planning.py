"""When a sweep pays, and what it may cost at most."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.flows.harness import REGISTRY

from bitlinkpay.chains.outgoing import FeeQuote
from bitlinkpay.treasury.planning import SAME, SHARE_MAX, Cost, Worth, judge, judge_fixed

ETH, USDT = REGISTRY.assets["eth-ethereum"], REGISTRY.assets["usdt-ethereum"]
TRX, TRON_USDT = REGISTRY.assets["trx-tron"], REGISTRY.assets["usdt-tron"]

units = st.integers(min_value=0, max_value=10**30)
costs = st.builds(lambda expected, more: Cost(expected, expected + more), units, units)
prices = st.decimals(min_value="0.000001", max_value="1000000", places=6).filter(lambda price: price > 0)


def test_a_fee_is_worth_what_the_price_says_rounded_against_the_sweep():
    worth = Worth.at(Decimal(3500), native=ETH, asset=USDT)
    assert worth.of_fee(10**18) == 3500 * 10**6
    assert worth.of_fee(10**15) == 3_500_000
    assert worth.of_fee(1) == 1  # a wei costs at least the smallest unit
    assert worth.of_fee(0) == 0
    assert worth.in_native(3500 * 10**6) == 10**18
    assert worth.in_native(1) == 10**12 // 3500
    tron = Worth.at(Decimal("0.305555555556"), native=TRX, asset=TRON_USDT)
    assert tron.of_fee(6_400_000) == 1_955_556
    assert SAME.of_fee(7) == SAME.in_native(7) == 7


@pytest.mark.parametrize("price", ["0", "-1"])
def test_a_coin_is_worth_something(price: str):
    with pytest.raises(AssertionError):
        Worth.at(Decimal(price), native=ETH, asset=USDT)


def test_SWP_04_a_sweep_that_costs_more_than_its_share_waits_and_says_so():
    cost = Cost(1_000, 3_000)
    assert judge(10_000, cost, SAME).pays
    assert not judge(9_999, cost, SAME).pays
    assert judge(9_999, cost, SAME).reason == "moving it costs 11 % of it, at most 10 % is paid"
    assert judge(2_000, cost, SAME).reason == "moving it costs 50 % of it, at most 10 % is paid"
    assert judge(999, cost, SAME).reason == "moving it costs more than all of it, at most 10 % is paid"
    assert judge(0, cost, SAME).reason == judge(-5, cost, SAME).reason == "it holds less than the fee"


def test_the_most_that_a_sweep_may_cost_is_what_a_plan_of_now_could_take():
    assert judge(10_000, Cost(1_000, 3_000), SAME).fee_max_units == 3_000
    assert judge(10_000, Cost(1_000, 30_000), SAME).fee_max_units == 10_000


@given(units=units, cost=costs, price=prices)
def test_SWP_04_no_sweep_is_ever_made_at_a_loss(units: int, cost: Cost, price: Decimal):
    worth = Worth.at(price, native=ETH, asset=USDT)
    verdict = judge(units, cost, worth)
    if verdict.pays:
        assert worth.of_fee(cost.units) <= units * SHARE_MAX
        assert verdict.fee_max_units * worth.units_per_native <= units
        assert verdict.fee_max_units >= min(cost.units, cost.units_max)
    else:
        assert verdict.fee_max_units == 0
        assert units <= 0 or worth.of_fee(cost.units) > units * SHARE_MAX


@given(units=units, cost=costs, price=prices)
def test_what_cannot_be_capped_is_refused_where_bad_luck_would_cost_all(units: int, cost: Cost, price: Decimal):
    worth = Worth.at(price, native=ETH, asset=USDT)
    verdict = judge_fixed(units, cost, worth)
    if verdict.pays:
        assert verdict.fee_max_units == cost.units_max
        assert cost.units_max * worth.units_per_native <= units
    elif judge(units, cost, worth).pays:
        assert verdict.reason == "with bad luck moving it costs more than all of it"
        assert worth.in_native(units) < cost.units_max


@given(quote=st.builds(FeeQuote, units, units), count=st.integers(1, 100))
def test_shares_of_a_fee_add_up_to_at_least_the_fee(quote: FeeQuote, count: int):
    share = Cost.share_of(quote, count)
    assert share.units * count >= quote.units
    assert share.units_max * count >= quote.units_max
    assert (share.units - 1) * count < quote.units


def test_two_transactions_cost_what_both_cost():
    assert Cost(1, 2).beside(FeeQuote(10, 20)) == Cost(11, 22)
    assert SHARE_MAX == Fraction(1, 10)
