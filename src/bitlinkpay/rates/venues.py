"""What public price services answer: one small parser per dialect, decimals exactly as written. Pure."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final

import msgspec

from bitlinkpay.core.errors import Invalid
from bitlinkpay.core.money import parse_decimal

_DIGITS: Final = 30


class BadAnswer(Exception):
    """A price service's answer that does not have its documented form: it is not listened to."""


class _Book(msgspec.Struct):
    """Bid and ask as text, and the service's own time in seconds, milliseconds or ISO 8601, if it tells one."""

    bid: str
    ask: str
    at: datetime | None


class _Binance(msgspec.Struct):
    bid: str = msgspec.field(name="bidPrice")
    ask: str = msgspec.field(name="askPrice")


class _OkxRow(msgspec.Struct):
    bid: str = msgspec.field(name="bidPx")
    ask: str = msgspec.field(name="askPx")
    ts: str


class _Okx(msgspec.Struct):
    code: str
    data: list[_OkxRow]


class _KrakenRow(msgspec.Struct):
    a: list[str]
    b: list[str]


class _Kraken(msgspec.Struct):
    error: list[str]
    result: dict[str, _KrakenRow] = {}


class _Coinbase(msgspec.Struct):
    bid: str
    ask: str
    time: datetime


class _Bitstamp(msgspec.Struct):
    bid: str
    ask: str
    timestamp: str


class _Reference(msgspec.Struct):
    base: str
    date: str
    rates: dict[str, Decimal]


def _binance(body: bytes) -> _Book:
    said = msgspec.json.decode(body, type=_Binance)
    return _Book(said.bid, said.ask, None)


def _okx(body: bytes) -> _Book:
    said = msgspec.json.decode(body, type=_Okx)
    if said.code != "0" or len(said.data) != 1:
        raise BadAnswer(f"code {said.code[:20]} with {len(said.data)} rows")
    row = said.data[0]
    return _Book(row.bid, row.ask, _from_millis(row.ts))


def _kraken(body: bytes) -> _Book:
    said = msgspec.json.decode(body, type=_Kraken)
    if said.error or len(said.result) != 1:
        raise BadAnswer(f"{said.error[:1]} with {len(said.result)} rows")
    (row,) = said.result.values()
    if not (row.a and row.b):
        raise BadAnswer("an empty side")
    return _Book(row.b[0], row.a[0], None)


def _coinbase(body: bytes) -> _Book:
    said = msgspec.json.decode(body, type=_Coinbase)
    if said.time.tzinfo is None:
        raise BadAnswer("a time without its zone")
    return _Book(said.bid, said.ask, said.time)


def _bitstamp(body: bytes) -> _Book:
    said = msgspec.json.decode(body, type=_Bitstamp)
    return _Book(said.bid, said.ask, _from_millis(f"{said.timestamp}000"))


_MILLIS_DIGITS: Final = 13


def _from_millis(text: str) -> datetime:
    if not (text.isascii() and text.isdigit() and len(text) == _MILLIS_DIGITS):
        raise BadAnswer(f"{text[:20]!r} is no time")
    seconds, millis = divmod(int(text), 1000)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=millis * 1000)


_BOOKS: Final[Mapping[str, Callable[[bytes], _Book]]] = {
    "binance": _binance,
    "okx": _okx,
    "kraken": _kraken,
    "coinbase": _coinbase,
    "bitstamp": _bitstamp,
}
DIALECTS: Final = tuple(_BOOKS)


def parse_book(dialect: str, body: bytes) -> tuple[Decimal, Decimal, datetime | None]:
    """Return bid, ask and the service's own time (None where it tells none) from a ticker's answer.

    Raises:
        BadAnswer: any other form than the documented one, or a price that is not plain digits.
    """
    try:
        book = _BOOKS[dialect](body)
        return _price(book.bid), _price(book.ask), book.at
    except (msgspec.DecodeError, Invalid, UnicodeDecodeError, RecursionError) as error:
        raise BadAnswer(str(error)[:200]) from error


def parse_reference(body: bytes) -> tuple[str, datetime, Mapping[str, Decimal]]:
    """Return base currency, day of publication (its midnight, UTC) and prices of one base in other currencies.

    Raises:
        BadAnswer: any other form than the documented one.
    """
    try:
        said = msgspec.json.decode(body, type=_Reference)
        day = datetime.strptime(said.date, "%Y-%m-%d").replace(tzinfo=UTC)
        rates = {code: _price(format(value, "f")) for code, value in said.rates.items() if _is_short(value)}
    except (msgspec.DecodeError, ValueError, Invalid, RecursionError) as error:
        raise BadAnswer(str(error)[:200]) from error
    return said.base, day, rates


def _is_short(value: Decimal) -> bool:
    """Say whether the number may be written out: `1E+999999` may not."""
    if not value.is_finite() or abs(value.adjusted()) > _DIGITS or len(value.as_tuple().digits) > _DIGITS:
        raise BadAnswer("a number out of range")
    return True


def _price(text: str) -> Decimal:
    return parse_decimal(text, places=_DIGITS, digits=_DIGITS)
