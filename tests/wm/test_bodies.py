"""The strict grammar of requests: what is absent, what is a decimal, and what is refused before any business code."""

import json
import time
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitlinkpay.core.errors import Invalid
from bitlinkpay.wm.bodies import (
    CreateOrder,
    CreatePreOrder,
    Lookup,
    Withdraw,
    parse_create_order,
    parse_create_pre_order,
    parse_lookup,
    parse_withdraw,
    write_request,
)
from bitlinkpay.wm.strictjson import MAX_DEPTH, Malformed, Number, parse_object

ORDER: dict[str, object] = {
    "source_id": "a-1",
    "chain_id": 1,
    "coin_id": 1,
    "fiat_amount": "7.18",
    "symbol": "USDT/CNY",
}


def order_with(field: str, literal: str) -> bytes:
    """The order with one field set to a raw JSON literal."""
    body = json.dumps({name: value for name, value in ORDER.items() if name != field})
    return f'{body[:-1]},"{field}":{literal}}}'.encode()


def order_without(field: str) -> bytes:
    return json.dumps({name: value for name, value in ORDER.items() if name != field}).encode()


BAD_DECIMALS = [
    '"1e3"', '"1E3"', '"NaN"', '"Infinity"', '"-0"', '"+1"', '" 1"', '"1 "', '"1,000"', '"1."', '".5"', '"0x10"',
    '"1_000"', '"\u0661\u0662"', '"\uff11"', '"' + "9" * 400 + '"', '"1.0000000000000000001"', '"-5"', '"1..2"', '"--1"', '"01"',
    '"12345678901234567890123"', '"1\\u0000"', '"\\n1"', '"1/2"', '"\u00bd"', "-1", "-0", "-0.0", "-1e-3", "1e23", "1E+400",
    "1e-19", "1.0000000000000000001", "1e9999", "1e-9999", "9" * 400, "0." + "0" * 399 + "1", "true", "false", "[1]",
    '{"a":1}', "NaN", "Infinity", "-Infinity",
]  # fmt: skip


@pytest.mark.parametrize("literal", BAD_DECIMALS)
@pytest.mark.parametrize("field", ["fiat_amount", "amount", "exchange_rate"])
def test_API_24_a_decimal_outside_the_strict_grammar_is_refused(field: str, literal: str) -> None:
    with pytest.raises(Invalid):
        parse_create_order(order_with(field, literal))


def test_API_24_float_noise_in_a_text_is_too_many_digits_and_not_rounded_away() -> None:
    with pytest.raises(Invalid):
        parse_create_order(order_with("amount", '"0.1000000000000000055511151231257827"'))


@pytest.mark.parametrize("literal", ["0", "0.0", "0E-8", "0e0", "0.000", '"0"', '"0.00"', '""', "null"])
def test_API_26_a_required_amount_that_is_zero_or_absent_is_refused(literal: str) -> None:
    with pytest.raises(Invalid) as refused:
        parse_create_order(order_with("fiat_amount", literal))
    assert refused.value.param == "fiat_amount"


def test_API_26_more_than_decimal_40_18_carries_is_refused_and_the_limits_themselves_are_not() -> None:
    largest = "9" * 22 + "." + "9" * 18
    assert parse_create_order(order_with("fiat_amount", f'"{largest}"')).fiat_amount == Decimal(largest)
    assert parse_create_order(order_with("fiat_amount", largest)).fiat_amount == Decimal(largest)
    for beyond in ("1" + "0" * 22, "0." + "0" * 18 + "1"):
        for literal in (beyond, f'"{beyond}"'):
            with pytest.raises(Invalid):
                parse_create_order(order_with("fiat_amount", literal))


@pytest.mark.parametrize("literal", ["0", "0.0", "0E-8", "0E+3", '"0"', '"0.00"', '""', "null"])
@pytest.mark.parametrize("field", ["amount", "exchange_rate"])
def test_every_sdks_way_to_leave_a_decimal_out_is_none(field: str, literal: str) -> None:
    assert getattr(parse_create_order(order_with(field, literal)), field) is None
    assert getattr(parse_create_order(json.dumps(ORDER).encode()), field) is None


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("100", "100"), ("100", "1E+2"), ("100", "1e2"), ("100", "100.00"), ("0.5", "5E-1"), ("7.18", "7.18"),
        ("7.18", "718e-2"), ("0.000000000000000001", "1E-18"), ("1200", "1.2E+3"), ("0.1", "0.1"), ("0.3", "0.3"),
        ("123456789012.123456789012345678", "123456789012.123456789012345678"),
    ],
)  # fmt: skip
def test_API_27_text_and_number_give_the_same_decimal_exactly(text: str, number: str) -> None:
    as_text = parse_create_order(order_with("amount", f'"{text}"')).amount
    as_number = parse_create_order(order_with("amount", number)).amount
    assert as_text is not None
    assert as_number is not None
    assert as_text.as_tuple() == as_number.as_tuple()
    assert as_text == Decimal(text)


@given(value=st.decimals(min_value=0, max_value=10**22 - 1, places=18))
@settings(max_examples=200)
def test_API_27_no_digit_is_lost_on_any_decimal_40_18(value: Decimal) -> None:
    plain = format(value, "f")
    parsed = parse_create_order(order_with("amount", f'"{plain}"')).amount
    assert parsed == (value or None)
    assert parse_create_order(order_with("amount", plain)).amount == parsed


def test_API_28_a_duplicate_key_is_refused_at_any_depth() -> None:
    for body in (
        b'{"source_id":"a","source_id":"b"}',
        b'{"source_id":"a","extra":{"x":1,"x":1}}',
        b'{"a":1,"\\u0061":2}',
    ):
        with pytest.raises(Malformed):
            parse_object(body)


@pytest.mark.parametrize("opening", ["[", '{"a":', '[{"b":'])
def test_API_28_deep_nesting_is_refused_quickly(opening: str) -> None:
    body = ('{"source_id":' + opening * (60_000 // len(opening))).encode()
    started = time.process_time()
    with pytest.raises(Malformed):
        parse_object(body)
    assert time.process_time() - started < 2


def test_API_28_an_unterminated_text_of_escaped_quotes_costs_linear_time() -> None:
    body = b"{[" * 5 + b'"' + b'\\"' * 30_000
    started = time.process_time()
    with pytest.raises(Malformed):
        parse_object(body)
    assert time.process_time() - started < 2


def test_API_28_brackets_inside_a_text_are_no_nesting() -> None:
    body = {"source_id": "[{" * 40 + '\\"]'}
    assert parse_object(json.dumps(body).encode()) == body


def nested(levels: int) -> bytes:
    return b'{"a":' * levels + b"1" + b"}" * levels


def test_API_28_the_depth_limit_is_exact() -> None:
    assert parse_object(nested(MAX_DEPTH))
    with pytest.raises(Malformed):
        parse_object(nested(MAX_DEPTH + 1))


@pytest.mark.parametrize(
    "body",
    [
        '{"source_id":"a"}'.encode("utf-16"),
        '{"source_id":"a"}'.encode("utf-16-le"),
        '{"source_id":"a"}'.encode("utf-32-be"),
        b'\xef\xbb\xbf{"source_id":"a"}',
        b'{"source_id":"a\x00"}',
        b'{"source_id":"a\\u0000"}',
        b'{"source_id\\u0000":"a"}',
        b'{"source_id":"\\ud800"}',
        b'{"source_id":"\\uDFFF tail"}',
        b'{"extra":["\\ud83d"],"source_id":"a"}',
        b'{"source_id":"\xed\xa0\x80"}',
        b'{"source_id":"\xff"}',
        b'{"source_id":"\xc0\xaf"}',
        b'{"source_id":"a"}{}',
        b'{"source_id":"a"} x',
        b"{'source_id':'a'}",
        b'{"source_id":"a",}',
        b'{"source_id":"a\nb"}',
        b'{"source_id":"a" /* c */}',
        b'["source_id"]',
        b'"source_id"',
        b"7",
        b"null",
        b"",
        b" ",
    ],
)
def test_API_28_what_is_not_one_strict_utf8_object_is_refused(body: bytes) -> None:
    with pytest.raises(Malformed):
        parse_object(body)


def test_API_28_a_surrogate_pair_is_one_honest_character() -> None:
    assert parse_lookup(b'{"source_id":"\\ud83d\\ude00"}') == Lookup("\U0001f600")


@given(st.binary(max_size=300))
@settings(max_examples=300)
def test_API_28_no_bytes_make_the_parser_raise_anything_else(data: bytes) -> None:
    try:
        parse_object(data)
    except Malformed:
        pass


@given(
    st.recursive(
        st.none() | st.booleans() | st.text(max_size=5), lambda inner: st.lists(inner, max_size=3), max_leaves=6
    )
)
@settings(max_examples=100)
def test_strict_parsing_agrees_with_the_plain_parser_on_honest_objects(value: object) -> None:
    text = json.dumps({"v": value})
    if "\\u0000" not in text:
        assert parse_object(text.encode()) == {"v": value}


def test_API_29_unknown_fields_bind_nothing() -> None:
    extra = {
        "status": 8,
        "merchant_id": "x",
        "fee": "0",
        "service_fee": "0",
        "order_id": "f" * 32,
        "state": "paid",
        "__class__": "x",
    }
    assert parse_create_order(json.dumps(ORDER | extra).encode()) == parse_create_order(json.dumps(ORDER).encode())


@pytest.mark.parametrize(
    "text",
    [
        "'; DROP TABLE payins; --", "{{7*7}}", "${jndi:ldap://x}", "a\r\nSet-Cookie: b=c", "<script>alert(1)</script>",
        "\U0001f4b8", "\u202egnp.exe", "\u202d\u2066", "  spaced  ", "%00%0d%0a", "../../etc/passwd", "a\tb", "caf\u00e9",
    ],
)  # fmt: skip
def test_API_37_hostile_text_stays_text_exactly(text: str) -> None:
    order = parse_create_order(json.dumps(ORDER | {"source_id": text, "lang": text}).encode())
    assert (order.source_id, order.lang) == (text, text)
    assert json.loads(write_request(order)) == json.loads(json.dumps(ORDER | {"source_id": text, "lang": text}))


@pytest.mark.parametrize("field", ["source_id", "chain_id", "coin_id", "fiat_amount", "symbol"])
def test_a_required_field_left_out_is_named(field: str) -> None:
    with pytest.raises(Invalid) as refused:
        parse_create_order(order_without(field))
    assert refused.value.param == field


@pytest.mark.parametrize(("field", "limit"), [("source_id", 128), ("symbol", 32), ("lang", 64), ("callback_url", 2048)])
def test_a_text_may_be_as_long_as_its_limit_and_no_longer(field: str, limit: int) -> None:
    assert len(getattr(parse_create_order(order_with(field, json.dumps("x" * limit))), field)) == limit
    with pytest.raises(Invalid) as refused:
        parse_create_order(order_with(field, json.dumps("x" * (limit + 1))))
    assert refused.value.param == field


@pytest.mark.parametrize(
    "literal", ['"1"', "1.0", "1e0", "-1", "01", "2147483648", "9999999999999", "true", "null", "[1]", '""']
)
def test_ids_are_json_integers_only(literal: str) -> None:
    with pytest.raises(Invalid):
        parse_create_order(order_with("chain_id", literal))


@pytest.mark.parametrize("literal", ["7", "true", '["a"]', '{"a":1}'])
def test_a_text_field_takes_a_text_only(literal: str) -> None:
    for field in ("source_id", "symbol", "callback_url", "lang"):
        with pytest.raises(Invalid):
            parse_create_order(order_with(field, literal))


def test_java_escapes_and_php_slashes_read_the_same() -> None:
    java = b'{"source_id":"a","chain_id":1,"coin_id":1,"fiat_amount":7.18,"symbol":"USDT/CNY","callback_url":"https://m.example/c?a\\u003db\\u0026c"}'
    php = b'{"source_id":"a","chain_id":1,"coin_id":1,"fiat_amount":"7.18","symbol":"USDT\\/CNY","callback_url":"https:\\/\\/m.example\\/c?a=b&c","exchange_rate":"","amount":""}'
    assert parse_create_order(java) == parse_create_order(php)


def test_what_our_client_writes_reads_back() -> None:
    order = CreateOrder(
        source_id="a", chain_id=1, coin_id=1, fiat_amount=Decimal("1E+2"), symbol="USDT/CNY", amount=Decimal("0.10")
    )
    assert parse_create_order(write_request(order)) == order
    assert json.loads(write_request(order))["fiat_amount"] == "100"
    pre = CreatePreOrder(source_id="a", coin="USDT", fiat_amount=Decimal(5), home_url="https://m.example/")
    assert parse_create_pre_order(write_request(pre)) == pre
    withdraw = Withdraw(source_id="a", chain_id=2, coin_id=1, address="UQ", amount=Decimal(4), tag="42")
    assert parse_withdraw(write_request(withdraw)) == withdraw
    assert parse_lookup(write_request(Lookup("a"))) == Lookup("a")


def test_numbers_keep_their_text() -> None:
    assert parse_object(b'{"a":1E+2,"b":0.10,"c":12345678901234567890}') == {
        "a": Number("1E+2"),
        "b": Number("0.10"),
        "c": Number("12345678901234567890"),
    }
