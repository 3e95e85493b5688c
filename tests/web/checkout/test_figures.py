from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.web.checkout.shop import REGISTRY

from bitlinkpay.core.money import format_units, parse_decimal, to_units
from bitlinkpay.web.checkout.figures import (
    epoch_ms,
    figure,
    minutes_up,
    money,
    network_name,
    plain,
    price,
    stressed,
)

USDT = REGISTRY.assets["usdt-tron"]
USDT_BSC = REGISTRY.assets["usdt-bsc"]


@pytest.mark.parametrize(
    ("units", "shown"),
    [(12_500_000, "12.50"), (10_000_000, "10.00"), (1, "0.000001"), (1_234_567, "1.234567"), (0, "0.00")],
)
def test_money_shows_every_digit_and_at_least_two_after_the_point(units: int, shown: str) -> None:
    assert money(units, USDT) == shown


@given(st.integers(min_value=0, max_value=10**40))
def test_money_is_never_rounded(units: int) -> None:
    shown = money(units, USDT_BSC)
    assert to_units(parse_decimal(shown, places=18, digits=40), USDT_BSC.decimals) == units


@given(st.integers(min_value=0, max_value=10**40), st.integers(min_value=0, max_value=18))
def test_groups_joined_are_the_plain_digits(units: int, decimals: int) -> None:
    text = format_units(units, decimals)
    shown = figure(text)
    whole = "".join(shown.groups)
    assert (f"{whole}.{shown.fraction}" if shown.fraction else whole) == text == shown.text
    assert all(1 <= len(group) <= 3 for group in shown.groups)
    assert all(len(group) == 3 for group in shown.groups[1:])


def test_prices_keep_their_own_digits() -> None:
    assert price(Decimal(72)) == "72.00"
    assert price(Decimal("0.123456789")) == "0.123456789"
    assert price(Decimal("1E+2")) == "100.00"


@given(st.text(max_size=100))
def test_a_stressed_text_is_still_the_whole_text(text: str) -> None:
    assert stressed(text).text == text


def test_first_and_last_six_characters_are_stressed() -> None:
    parts = stressed("TJRabPrwbZy45sbavfcjinPJC18kjpRTv8")
    assert (parts.head, parts.tail) == ("TJRabP", "jpRTv8")


def test_networks_carry_both_names() -> None:
    assert network_name(REGISTRY.networks["tron"], USDT) == "TRON (TRC20)"
    assert network_name(REGISTRY.networks["bitcoin"], REGISTRY.assets["btc-bitcoin"]) == "Bitcoin"


@pytest.mark.parametrize("control", ["\u202e", "\u2066", "\u200f", "\x00", "\x1b", "\r", "\n"])
def test_API_37_direction_overrides_and_controls_are_made_visible(control: str) -> None:
    assert plain(f"pay{control}pal") == "pay\ufffdpal"


def test_other_writing_stays_as_it_is() -> None:
    assert plain("茶 & Öl 🍵 שלום") == "茶 & Öl 🍵 שלום"


@pytest.mark.parametrize(("seconds", "minutes"), [(-5, 0), (0, 0), (1, 1), (60, 1), (61, 2), (120, 2), (1800, 30)])
def test_minutes_are_rounded_up(seconds: int, minutes: int) -> None:
    assert minutes_up(timedelta(seconds=seconds)) == minutes


def test_epoch_is_exact_milliseconds() -> None:
    assert epoch_ms(datetime(2026, 3, 1, 12, 0, 0, 999_000, tzinfo=UTC)) == 1_772_366_400_999
