"""Typed fields of a request: what is absent, what is exact, and what is refused under its own name."""

from collections.abc import Callable
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitlinkpay.core.errors import Invalid
from bitlinkpay.wm.fields import DIGITS, MAX_INT, PLACES, Fields
from bitlinkpay.wm.strictjson import JsonValue, Number, parse_object


def of(value: JsonValue) -> Fields:
    return Fields({"x": value})


def refused(read: Callable[[], object], match: str) -> None:
    with pytest.raises(Invalid, match=match) as caught:
        read()
    assert caught.value.param == "x"


@pytest.mark.parametrize("fields", [Fields({}), of(None), of("")], ids=["missing", "null", "empty"])
def test_absent_has_three_spellings(fields: Fields) -> None:
    assert fields.optional_text("x", limit=5) == ""
    assert fields.optional_decimal("x") is None
    refused(lambda: fields.text("x", limit=5), "x is required")
    refused(lambda: fields.decimal("x"), "x is required and must be above zero")
    refused(lambda: fields.integer("x"), "x")


@pytest.mark.parametrize("text", [" ", "0", "null", " a ", "\u00e9", "e\u0301", "A\tb"])
def test_a_text_comes_exactly_as_sent(text: str) -> None:
    assert of(text).text("x", limit=5) == of(text).optional_text("x", limit=5) == text


@pytest.mark.parametrize("letter", ["a", "\u6c49", "\U0001f600"])
def test_a_limit_counts_characters_and_is_still_allowed(letter: str) -> None:
    assert of(letter * 8).text("x", limit=8) == letter * 8
    refused(lambda: of(letter * 9).text("x", limit=8), "longer than 8 characters")


@pytest.mark.parametrize("value", [Number("1"), True, False, [], {}, ["a"], {"a": "b"}])
def test_nothing_else_passes_for_a_text(value: JsonValue) -> None:
    refused(lambda: of(value).optional_text("x", limit=5), "must be a text")


@pytest.mark.parametrize(("text", "value"), [("0", 0), ("7", 7), ("2147483647", MAX_INT)])
def test_integers_are_those_of_32_bits(text: str, value: int) -> None:
    assert of(Number(text)).integer("x") == value


@pytest.mark.parametrize(
    "value",
    [
        *map(Number, ("2147483648", "9999999999", "99999999999", "-1", "-0", "1.0", "1e0", "1E2", "01", "0.0")),
        "7",
        True,
        False,
        [Number("7")],
        {},
    ],
)
def test_nothing_else_passes_for_an_integer(value: JsonValue) -> None:
    refused(lambda: of(value).integer("x"), "whole JSON number")


@pytest.mark.parametrize("value", ["0", "0.0", "0.000000000000000000", Number("0"), Number("0.00"), Number("0e9")])
def test_any_zero_is_an_absent_decimal(value: JsonValue) -> None:
    assert of(value).optional_decimal("x") is None
    refused(lambda: of(value).decimal("x"), "above zero")


@pytest.mark.parametrize(
    ("value", "exact"),
    [
        ("10.50", "10.5"),
        (Number("10.50"), "10.5"),
        (Number("1E+2"), "100"),
        (Number("1e-18"), "0.000000000000000001"),
        (Number("123.4e1"), "1234"),
        ("0." + "0" * 17 + "1", "0.000000000000000001"),
        ("9" * 22 + "." + "9" * 18, "9" * 22 + "." + "9" * 18),
        (Number("9" * 22 + "." + "9" * 18), "9" * 22 + "." + "9" * 18),
        (Number("0.1"), "0.1"),
    ],
)
def test_decimals_are_exact_and_in_their_shortest_form(value: JsonValue, exact: str) -> None:
    found = of(value).decimal("x")
    assert f"{found:f}" == exact
    assert of(value).optional_decimal("x") == found


@pytest.mark.parametrize(
    "value",
    [
        "1" + "0" * DIGITS,
        Number("1" + "0" * DIGITS),
        Number(f"1e{DIGITS}"),
        Number("1e999"),
        "0." + "0" * PLACES + "1",
        Number("0." + "0" * PLACES + "1"),
        Number(f"1e-{PLACES + 1}"),
        Number("1e-999"),
        Number("1" * 65),
        Number("-1"),
        Number("-0.5"),
        Number("1e1000"),
        "-1",
        "+1",
        "1e2",
        "1,5",
        "1_000",
        " 1",
        "1 ",
        "NaN",
        "Infinity",
        "0x10",
        "\u0661",
        ".5",
        True,
        [],
        {},
    ],
)
def test_what_is_no_plain_decimal_in_range_is_refused_under_its_name(value: JsonValue) -> None:
    refused(lambda: of(value).optional_decimal("x"), ".")


UNITS = st.integers(1, 10 ** (DIGITS + PLACES) - 1)


@given(UNITS)
def test_text_and_number_of_one_value_give_the_same_decimal(units: int) -> None:
    digits = str(units).rjust(PLACES + 1, "0")
    text = f"{digits[:-PLACES]}.{digits[-PLACES:]}"
    found = of(text).decimal("x")
    assert found == of(Number(text)).decimal("x") == of(Number(f"{units}e-{PLACES}")).decimal("x")
    whole, _, fraction = f"{found:f}".partition(".")
    assert int(whole + fraction.ljust(PLACES, "0")) == units


@given(st.text(max_size=12))
def test_a_decimal_never_comes_from_a_text_that_is_none(text: str) -> None:
    try:
        found = of(text).optional_decimal("x")
    except Invalid as problem:
        assert problem.param == "x"
        return
    assert found is None or (found > 0 and set(text) <= set("0123456789."))


def test_keys_that_nobody_asks_for_are_not_looked_at() -> None:
    fields = Fields(parse_object(b'{"x": "a", "amount": [[]], "X": 5, "__proto__": {}}'))
    assert fields.text("x", limit=1) == "a"


def test_fields_of_a_parsed_body_are_read_without_a_binary_float() -> None:
    fields = Fields(parse_object(b'{"x": 0.1, "y": 1234567890123456789012.123456789012345678}'))
    assert fields.decimal("x") == Decimal("0.1")
    assert str(fields.decimal("y")) == "1234567890123456789012.123456789012345678"
