"""Which prices are believed: pure."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitlinkpay.rates.consensus import settle, settle_reference
from bitlinkpay.rates.model import Guard, Leg, LegKind, Quote

settings.register_profile("patient", deadline=None)
settings.load_profile("patient")

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
GUARD = Guard()


def _quote(
    source: str, price: str | Decimal, *, pair: str = "BTC/USD", at: datetime = NOW, ask: str | None = None
) -> Quote:
    base, quote = pair.split("/")
    return Quote(base, quote, Decimal(price), Decimal(ask or price), at, source)


def _btc(*quotes: Quote) -> Leg | None:
    legs = settle(quotes, coins=["BTC"], guard=GUARD, now=NOW)
    return next((leg for leg in legs if leg.base == "BTC"), None)


def test_three_that_agree_give_the_median_of_their_middles():
    leg = _btc(_quote("a", "100", ask="100.2"), _quote("b", "101"), _quote("c", "100.5"))
    assert leg is not None
    assert leg.value == Decimal("100.5")
    assert leg.heard == {"a": "100.1", "b": "101", "c": "100.5"}
    assert leg.expires_at == NOW + GUARD.valid_for
    assert leg.reason == ""


def test_two_that_agree_give_their_middle():
    leg = _btc(_quote("a", "100"), _quote("b", "101"))
    assert leg is not None
    assert leg.value == Decimal("100.5")


@pytest.mark.parametrize(
    "quotes",
    [
        [],
        [_quote("a", "100")],
        [_quote("a", "100"), _quote("b", "100", at=NOW - GUARD.stale_after - timedelta(seconds=1))],
        [_quote("a", "100"), _quote("b", "100", at=NOW + timedelta(seconds=61))],
    ],
    ids=["none", "one", "one and a stale one", "one and one from the future"],
)
def test_EXC_01_sources_down_or_stale_make_no_quote(quotes: list[Quote]):
    assert _btc(*quotes) is None


def test_EXC_01_just_in_time_counts():
    assert _btc(_quote("a", "100"), _quote("b", "100", at=NOW - GUARD.stale_after)) is not None


def test_EXC_02_one_of_three_that_deviates_is_dropped():
    for wrong in ("102.1", "97.9", "1", "1000"):
        leg = _btc(_quote("a", "100"), _quote("b", wrong), _quote("c", "100"))
        assert leg is not None
        assert leg.value == Decimal(100)
    leg = _btc(_quote("a", "100"), _quote("b", "102"), _quote("c", "100"))
    assert leg is not None
    assert leg.value == Decimal(100)


@pytest.mark.parametrize(
    "prices",
    [["100", "103"], ["100", "103", "106"], ["100", "100", "103", "103"], ["1", "100", "100", "7"]],
    ids=["two", "three", "two against two", "two of four"],
)
def test_EXC_02_too_few_left_is_a_halt(prices: list[str]):
    leg = _btc(*(_quote(str(number), price) for number, price in enumerate(prices)))
    assert leg is not None
    assert leg.value is None
    assert leg.reason == "the sources contradict each other"


@pytest.mark.parametrize(
    ("bid", "ask", "fault"),
    [
        ("101", "100", "crossed"),
        ("0", "0", "out of range"),
        ("0", "100", "out of range"),
        ("-1", "100", "out of range"),
        ("-100", "-100", "out of range"),
        ("1000000000", "1000000000", "out of range"),
        ("100", "1E+20", "out of range"),
        ("NaN", "100", "out of range"),
        ("100", "Infinity", "out of range"),
        ("1E-9", "1E-9", "out of range"),
        ("100", "103", "thin"),
    ],
)
def test_EXC_03_absurd_prices_are_refused(bid: str, ask: str, fault: str):
    wrong = Quote("BTC", "USD", Decimal(bid), Decimal(ask), NOW, "wrong")
    leg = _btc(_quote("a", "100"), _quote("b", "100"), wrong)
    assert leg is not None
    assert leg.value == Decimal(100)
    assert leg.heard["wrong"] == fault
    assert _btc(_quote("a", "100"), wrong) is None


@given(
    honest=st.lists(st.decimals("99.5", "100.5", places=2), min_size=2, max_size=6),
    wrong=st.decimals("0.01", "900000", places=2),
)
def test_EXC_11_one_manipulated_venue_moves_the_price_no_further_than_honest_ones_stand(
    honest: list[Decimal], wrong: Decimal
):
    quotes = [_quote(str(number), price) for number, price in enumerate(honest)]
    leg = _btc(*quotes, _quote("wrong", wrong))
    assert leg is not None
    assert leg.value is not None
    assert min(honest) <= leg.value <= max(honest)


@given(st.lists(st.decimals("90", "110", places=4), max_size=7))
def test_a_price_is_backed_by_a_majority_within_the_guard(prices: list[Decimal]):
    leg = _btc(*(_quote(str(number), price) for number, price in enumerate(prices)))
    if leg is None:
        assert len(prices) < GUARD.sources_min
    elif leg.value is not None:
        near = [price for price in prices if abs(price - leg.value) <= leg.value * Decimal("0.0409")]
        assert 2 * len(near) > len(prices)
        assert len(near) >= GUARD.sources_min


def test_exchanges_in_usdt_count_through_the_price_of_usdt():
    quotes = [_quote("a", "0.99", pair="USDT/USD"), _quote("b", "0.99", pair="USDT/USD")]
    legs = settle(
        [*quotes, _quote("c", "100", pair="BTC/USDT"), _quote("d", "100", pair="BTC/USDT"), _quote("a", "99")],
        coins=["BTC", "USDT"],
        guard=GUARD,
        now=NOW,
    )
    assert {leg.base: leg.value for leg in legs} == {"USDT": Decimal("0.99"), "BTC": Decimal(99)}


def test_without_a_price_of_usdt_they_do_not_count():
    quotes = [_quote("a", "0.9", pair="USDT/USD"), _quote("b", "1.1", pair="USDT/USD")]
    legs = settle(
        [*quotes, _quote("c", "100", pair="BTC/USDT"), _quote("d", "100", pair="BTC/USDT")],
        coins=["BTC"],
        guard=GUARD,
        now=NOW,
    )
    assert [(leg.base, leg.value) for leg in legs] == [("USDT", None)]


def test_long_decimals_stay_exact_until_the_end():
    long = "100." + "1" * 29 + "3"
    leg = _btc(_quote("a", long), _quote("b", long))
    assert leg is not None
    assert leg.value == Decimal("100.111111111111111")


# --- reference rates


def _fiat(base: str, *, day: datetime = NOW, **rates: str) -> list[Quote]:
    return [Quote(base, code, Decimal(value), Decimal(value), day, "ecb") for code, value in rates.items()]


def _settle(quotes: list[Quote], previous: dict[tuple[str, str], Leg] | None = None) -> dict[str, Leg]:
    legs = settle_reference(quotes, previous=previous or {}, guard=GUARD, now=NOW)
    assert all(leg.base == "USD" for leg in legs)
    return {leg.quote: leg for leg in legs}


def test_reference_in_the_pivot_is_taken_as_it_is():
    legs = _settle(_fiat("USD", CNY="7.2", EUR="0.9"))
    assert {code: leg.value for code, leg in legs.items()} == {"CNY": Decimal("7.2"), "EUR": Decimal("0.9")}
    assert legs["CNY"].kind is LegKind.REFERENCE
    assert legs["CNY"].expires_at == NOW + GUARD.reference_after


def test_reference_in_another_base_is_turned_around():
    legs = _settle(_fiat("EUR", CNY="7.6", USD="1.25"))
    assert {code: leg.value for code, leg in legs.items()} == {"CNY": Decimal("6.08"), "EUR": Decimal("0.8")}


def test_EXC_01_a_reference_too_old_or_without_the_pivot_is_none():
    assert _settle(_fiat("USD", day=NOW - GUARD.reference_after - timedelta(days=1), CNY="7.2")) == {}
    assert _settle(_fiat("EUR", CNY="7.6")) == {}
    assert _settle([]) == {}


def test_EXC_03_absurd_references_are_left_out():
    legs = _settle(_fiat("USD", CNY="7.2", XTS="0", YYY="-1", ZZZ="1000000000"))
    assert set(legs) == {"CNY"}


def test_a_reference_over_a_long_weekend_still_counts():
    assert _settle(_fiat("USD", day=NOW - timedelta(days=5), CNY="7.2"))["CNY"].value == Decimal("7.2")


def test_EXC_02_a_reference_that_jumps_is_halted_until_the_old_one_would_have_run_out():
    before = _settle(_fiat("USD", CNY="7.2"))
    previous = {("USD", "CNY"): before["CNY"]}
    assert _settle(_fiat("USD", CNY="7.9"), previous)["CNY"].value == Decimal("7.9")
    halted = _settle(_fiat("USD", CNY="8.0"), previous)["CNY"]
    assert (halted.value, halted.reason) == (None, "jumped from 7.2 to 8")
    again = _settle(_fiat("USD", CNY="8.0"), {("USD", "CNY"): halted})["CNY"]
    assert (again.value, again.expires_at) == (None, before["CNY"].expires_at)
    late = NOW + GUARD.reference_after
    (leg,) = settle_reference(
        _fiat("USD", day=late, CNY="8.0"), previous={("USD", "CNY"): halted}, guard=GUARD, now=late
    )
    assert leg.value == Decimal(8)
