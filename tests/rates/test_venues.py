"""Parsers against answers of the documented form.

Shapes: Binance spot API `GET /api/v3/ticker/bookTicker`; OKX API v5 `GET /api/v5/market/ticker`; Kraken REST
`GET /0/public/Ticker`; Coinbase Exchange `GET /products/{id}/ticker`; Bitstamp HTTP API `GET /api/v2/ticker/{pair}/`;
Frankfurter v1 `GET /v1/latest` (reference rates of the European Central Bank).
"""

import json
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitlinkpay.core.errors import Invalid
from bitlinkpay.rates.sources import TICKERS, Ticker
from bitlinkpay.rates.venues import DIALECTS, BadAnswer, parse_book, parse_reference

settings.register_profile("patient", deadline=None)
settings.load_profile("patient")

BINANCE = {
    "symbol": "LTCBTC",
    "bidPrice": "4.00000000",
    "bidQty": "431.00000000",
    "askPrice": "4.00000200",
    "askQty": "9.00000000",
}
OKX = {
    "code": "0",
    "msg": "",
    "data": [
        {
            "instType": "SPOT",
            "instId": "BTC-USDT",
            "last": "93166.6",
            "lastSz": "0.1",
            "askPx": "93166.7",
            "askSz": "11",
            "bidPx": "93166.6",
            "bidSz": "5",
            "open24h": "90986.9",
            "high24h": "93888",
            "low24h": "90986.9",
            "volCcy24h": "2222",
            "vol24h": "2222",
            "ts": "1732093591811",
        }
    ],
}
KRAKEN = {
    "error": [],
    "result": {
        "XXBTZUSD": {
            "a": ["30300.10000", "1", "1.000"],
            "b": ["30300.00000", "1", "1.000"],
            "c": ["30303.20000", "0.00067643"],
            "v": ["4083.67001100", "4412.73601799"],
            "p": ["30706.77771", "30689.13205"],
            "t": [34619, 38907],
            "l": ["29868.30000", "29868.30000"],
            "h": ["31631.00000", "31631.00000"],
            "o": "30502.80000",
        }
    },
}
COINBASE = {
    "trade_id": 86326522,
    "price": "6268.48",
    "size": "0.00698254",
    "time": "2020-03-20T00:22:57.833897Z",
    "bid": "6265.15",
    "ask": "6267.71",
    "volume": "53602.03940154",
}
BITSTAMP = {
    "timestamp": "1523543610",
    "open": "6940.94",
    "high": "8069.34",
    "low": "6758.45",
    "last": "7675.00",
    "volume": "15671.15645338",
    "vwap": "7369.00",
    "bid": "7675.00",
    "ask": "7675.01",
    "side": "0",
    "open_24": "7501.00",
    "percent_change_24": "2.32",
}
SHAPES = {"binance": BINANCE, "okx": OKX, "kraken": KRAKEN, "coinbase": COINBASE, "bitstamp": BITSTAMP}


@pytest.mark.parametrize(
    ("dialect", "bid", "ask", "at"),
    [
        ("binance", "4.00000000", "4.00000200", None),
        ("okx", "93166.6", "93166.7", datetime(2024, 11, 20, 9, 6, 31, 811000, UTC)),
        ("kraken", "30300.00000", "30300.10000", None),
        ("coinbase", "6265.15", "6267.71", datetime(2020, 3, 20, 0, 22, 57, 833897, UTC)),
        ("bitstamp", "7675.00", "7675.01", datetime(2018, 4, 12, 14, 33, 30, tzinfo=UTC)),
    ],
)
def test_documented_answers_are_read_exactly(dialect: str, bid: str, ask: str, at: datetime | None):
    parsed = parse_book(dialect, json.dumps(SHAPES[dialect]).encode())
    assert parsed == (Decimal(bid), Decimal(ask), at)
    assert str(parsed[0]) == bid


def test_every_dialect_has_a_shape():
    assert set(SHAPES) == set(DIALECTS)


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b"<html>",
        b"\xff",
        b'"ok"',
        b"[" * 100_000,
        b'{"error":["EQuery:Unknown asset pair"]}',
    ],
)
def test_other_forms_are_bad_answers(dialect: str, body: bytes):
    with pytest.raises(BadAnswer):
        parse_book(dialect, body)


@pytest.mark.parametrize(
    "price",
    ["", "abc", "NaN", "Infinity", "1e5", "-1", "+1", " 1", "1,000", "1.", ".5", "٣", "1" * 400, "0x10", None, 4.0],
)
def test_EXC_03_prices_that_are_not_plain_digits_are_bad_answers(price: object):
    with pytest.raises(BadAnswer):
        parse_book("binance", json.dumps(BINANCE | {"bidPrice": price}).encode())


def test_refusals_of_exchanges_are_bad_answers():
    wrong = [
        ("okx", {"code": "51001", "msg": "Instrument ID doesn't exist.", "data": []}),
        ("okx", OKX | {"data": []}),
        ("okx", OKX | {"data": OKX["data"] * 2}),  # type: ignore[operator]
        ("okx", OKX | {"data": [OKX["data"][0] | {"ts": "soon"}]}),  # type: ignore[index]
        ("okx", OKX | {"data": [OKX["data"][0] | {"ts": "9" * 30}]}),  # type: ignore[index]
        ("kraken", {"error": ["EQuery:Unknown asset pair"]}),
        ("kraken", KRAKEN | {"error": ["EService:Busy"]}),
        ("kraken", {"error": [], "result": {}}),
        ("kraken", {"error": [], "result": {"A": {"a": [], "b": []}}}),
        ("coinbase", {"message": "NotFound"}),
        ("coinbase", COINBASE | {"time": "2020-03-20T00:22:57"}),
        ("binance", {"code": -1121, "msg": "Invalid symbol."}),
        ("bitstamp", BITSTAMP | {"timestamp": "later"}),
    ]
    for dialect, answer in wrong:
        with pytest.raises(BadAnswer):
            parse_book(dialect, json.dumps(answer).encode())


def test_reference_numbers_are_read_exactly_from_their_text():
    body = (
        b'{"amount":1.0,"base":"EUR","date":"2024-11-25","rates":{"CNY":7.6128000000000000001,"IDR":16650,"USD":1.05}}'
    )
    base, day, rates = parse_reference(body)
    assert (base, day) == ("EUR", datetime(2024, 11, 25, tzinfo=UTC))
    assert rates == {"CNY": Decimal("7.6128000000000000001"), "IDR": Decimal(16650), "USD": Decimal("1.05")}


@pytest.mark.parametrize(
    "rate", ["1e400", "1E-400", '"NaN"', '"1e5000000"', "-7.2", "null", "true", "[]", "7." + "1" * 60, '"Infinity"']
)
def test_EXC_03_reference_numbers_out_of_range_are_bad_answers(rate: str):
    with pytest.raises(BadAnswer):
        parse_reference(f'{{"base":"USD","date":"2024-11-25","rates":{{"CNY":{rate}}}}}'.encode())


@pytest.mark.parametrize(
    "body", [b"", b"{}", b'{"base":"USD","date":"soon","rates":{}}', b'{"base":1,"date":"2024-11-25"}']
)
def test_other_reference_forms_are_bad_answers(body: bytes):
    with pytest.raises(BadAnswer):
        parse_reference(body)


@given(st.sampled_from(DIALECTS), st.binary(max_size=300))
def test_any_bytes_are_a_price_or_a_bad_answer(dialect: str, body: bytes):
    for parse in (lambda: parse_book(dialect, body), lambda: parse_reference(body)):
        try:
            parse()
        except BadAnswer:
            continue


def test_default_tickers_give_every_coin_at_least_two_voices_and_usdt_three():
    voices: dict[str, int] = {}
    for ticker in TICKERS:
        assert ticker.url.startswith("https://")
        for pair in ticker.symbols:
            coin = pair.partition("/")[0]
            voices[coin] = voices.get(coin, 0) + 1
    assert set(voices) == {"USDT", "BTC", "ETH", "BNB", "TRX", "TON", "SOL", "POL"}
    assert min(voices.values()) >= 3


@pytest.mark.parametrize(
    ("row", "param"),
    [
        (("x", "mtgox", "https://a.example/{symbol}", {}), "dialect"),
        (("x", "kraken", "https://a.example/", {}), "url"),
        (("x", "kraken", "https://a.example/{symbol}", {"BTC/EUR": "XBTEUR"}), "symbols"),
    ],
)
def test_a_wrong_ticker_row_is_refused_with_its_field(row: tuple, param: str):
    with pytest.raises(Invalid) as caught:
        Ticker(*row)
    assert caught.value.param == param
