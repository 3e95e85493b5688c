"""What a balance yields: fees and reserve fit, and not one unit more would."""

from hypothesis import given
from hypothesis import strategies as st

from bitlinkpay.payouts.checks import fee_units
from bitlinkpay.payouts.model import Terms
from bitlinkpay.settlements.amounts import everything

balances = st.integers(0, 2**256)
small = st.integers(0, 10**9)


def cost(units: int, terms: Terms) -> int:
    return units + fee_units(units, terms)


@given(st.one_of(balances, small), st.integers(0, 200_000), small, small, small)
def test_it_fits_and_one_unit_more_does_not(available: int, ppm: int, flat: int, keep: int, network: int) -> None:
    terms = Terms(fee_ppm=ppm, fee_flat_units=flat)
    units = everything(available, terms, keep_units=keep, network_fee_units=network)
    left = available - keep - network
    assert units >= 0
    assert units == 0 or cost(units, terms) <= left
    assert cost(units + 1, terms) > left or left <= flat


def test_a_merchant_without_fees_gets_all_of_it() -> None:
    assert everything(12_345, Terms()) == 12_345
    assert everything(12_345, Terms(), keep_units=2_345) == 10_000
    assert everything(12_345, Terms(), keep_units=12_345) == 0
    assert everything(12_345, Terms(), keep_units=20_000) == 0


def test_fees_come_out_of_the_balance_and_not_on_top() -> None:
    assert everything(100_300, Terms(fee_ppm=3_000)) == 100_000
    assert everything(100_310, Terms(fee_ppm=3_000, fee_flat_units=4), network_fee_units=6) == 100_000
    assert everything(10, Terms(fee_flat_units=10)) == 0
