"""Where prices come from: public tickers and a reference source over HTTP, or a fixed table."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from types import MappingProxyType
from typing import Final, Protocol

import aiohttp

from bitlinkpay.core.clock import Clock
from bitlinkpay.core.errors import Invalid
from bitlinkpay.rates.consensus import Legs, settle, settle_reference
from bitlinkpay.rates.model import BRIDGE, PIVOT, Guard, Leg, LegKind, Quote
from bitlinkpay.rates.venues import DIALECTS, BadAnswer, parse_book, parse_reference

_log = logging.getLogger(__name__)

_ANSWER_BYTES_MAX: Final = 262_144
_TOTAL_S: Final = 8
_CONNECTIONS: Final = 16
_REFERENCE_EVERY: Final = timedelta(hours=1)


class RateSource(Protocol):
    """Prices that are believed."""

    async def legs(self, previous: Legs) -> Sequence[Leg]:
        """Return fresh legs; one that is not among them keeps its last value until that runs out."""
        ...


@dataclass(frozen=True, slots=True)
class Ticker:
    """A public ticker endpoint.

    Attributes:
        dialect: one of `venues.DIALECTS`.
        url: template with `{symbol}`.
        symbols: pair such as `BTC/USD` → the exchange's own symbol. Pairs are quoted in USD or USDT.
    """

    name: str
    dialect: str
    url: str
    symbols: Mapping[str, str]

    def __post_init__(self) -> None:
        """Check the row, which may come from the operator's file."""
        if self.dialect not in DIALECTS:
            raise Invalid(f"ticker {self.name}: dialect is one of {', '.join(DIALECTS)}", param="dialect")
        if "{symbol}" not in self.url:
            raise Invalid(f"ticker {self.name}: the URL needs {{symbol}}", param="url")
        for pair in self.symbols:
            if pair.partition("/")[2] not in (PIVOT, BRIDGE):
                raise Invalid(f"ticker {self.name}: {pair} is not quoted in {PIVOT} or {BRIDGE}", param="symbols")


@dataclass(frozen=True, slots=True)
class Reference:
    """A fiat reference source: one answer with many currencies, published once per banking day."""

    name: str
    url: str


COINS: Final = ("USDT", "BTC", "ETH", "SOL", "POL", "BNB", "TRX", "TON")
"""Coins that the built-in tickers quote."""

_IN_USDT: Final = ("BTC", "ETH", "BNB", "TRX", "TON", "SOL", "POL")


def _pairs(coins: Sequence[str], quote: str, pattern: str, **other: str) -> Mapping[str, str]:
    return {f"{coin}/{quote}": pattern.format(other.get(coin, coin)) for coin in coins}


TICKERS: Final = (
    Ticker(
        "kraken",
        "kraken",
        "https://api.kraken.com/0/public/Ticker?pair={symbol}",
        _pairs(COINS, PIVOT, "{}USD", BTC="XBT"),
    ),
    Ticker(
        "coinbase",
        "coinbase",
        "https://api.exchange.coinbase.com/products/{symbol}/ticker",
        _pairs(("USDT", "BTC", "ETH", "SOL", "POL"), PIVOT, "{}-USD"),
    ),
    Ticker(
        "bitstamp",
        "bitstamp",
        "https://www.bitstamp.net/api/v2/ticker/{symbol}/",
        {f"{coin}/{PIVOT}": f"{coin.lower()}usd" for coin in ("USDT", "BTC", "ETH", "SOL")},
    ),
    Ticker(
        "binance",
        "binance",
        "https://api.binance.com/api/v3/ticker/bookTicker?symbol={symbol}",
        _pairs(_IN_USDT, BRIDGE, "{}USDT"),
    ),
    Ticker(
        "okx", "okx", "https://www.okx.com/api/v5/market/ticker?instId={symbol}", _pairs(_IN_USDT, BRIDGE, "{}-USDT")
    ),
)
REFERENCE: Final = Reference("ecb", "https://api.frankfurter.dev/v1/latest?base=USD")


@dataclass(slots=True)
class Market:
    """Exchanges and a reference source over HTTP. A source that fails is left out and logged, never guessed for."""

    clock: Clock
    tickers: Sequence[Ticker] = TICKERS
    reference: Reference = REFERENCE
    guard: Guard = field(default_factory=Guard)
    _reference_at: datetime | None = None

    async def legs(self, previous: Legs) -> Sequence[Leg]:
        """Ask every source at once and return what they agree on."""
        connector = aiohttp.TCPConnector(limit=_CONNECTIONS)
        timeout = aiohttp.ClientTimeout(total=_TOTAL_S)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout, trust_env=False) as http:
            asked = [self._ticker(http, ticker, pair) for ticker in self.tickers for pair in ticker.symbols]
            quotes, fiat = await asyncio.gather(asyncio.gather(*asked), self._fiat(http, previous))
        heard = [quote for quote in quotes if quote is not None]
        coins = dict.fromkeys(pair.partition("/")[0] for ticker in self.tickers for pair in ticker.symbols)
        return [*settle(heard, coins=list(coins), guard=self.guard, now=self.clock.now()), *fiat]

    async def _ticker(self, http: aiohttp.ClientSession, ticker: Ticker, pair: str) -> Quote | None:
        base, _, quote = pair.partition("/")
        try:
            body = await _get(http, ticker.url.format(symbol=ticker.symbols[pair]))
            bid, ask, at = parse_book(ticker.dialect, body)
        except (BadAnswer, aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            _log.warning("no price of %s from %s: %s", pair, ticker.name, error or type(error).__name__)
            return None
        return Quote(base, quote, bid, ask, at or self.clock.now(), ticker.name)

    async def _fiat(self, http: aiohttp.ClientSession, previous: Legs) -> list[Leg]:
        now = self.clock.now()
        if self._reference_at is not None and timedelta(0) <= now - self._reference_at < _REFERENCE_EVERY:
            return []
        try:
            base, day, rates = parse_reference(await _get(http, self.reference.url))
        except (BadAnswer, aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            _log.warning("no reference rates from %s: %s", self.reference.name, error or type(error).__name__)
            return []
        quotes = [Quote(base, code, value, value, day, self.reference.name) for code, value in rates.items()]
        self._reference_at = now
        return settle_reference(quotes, previous=previous, guard=self.guard, now=now)


async def _get(http: aiohttp.ClientSession, url: str) -> bytes:
    async with http.get(url, allow_redirects=False) as response:
        body = bytearray()
        async for chunk in response.content.iter_any():
            body += chunk
            if len(body) > _ANSWER_BYTES_MAX:
                raise BadAnswer("the answer is too long")
        if response.status != 200:  # noqa: PLR2004
            raise BadAnswer(f"HTTP {response.status}")
        return bytes(body)


SANDBOX_USD: Final = MappingProxyType(
    {
        "USDT": Decimal(1),
        "BTC": Decimal(100_000),
        "ETH": Decimal(4_000),
        "BNB": Decimal(800),
        "SOL": Decimal(200),
        "TON": Decimal(3),
        "TRX": Decimal("0.30"),
        "POL": Decimal("0.25"),
    }
)
SANDBOX_FIAT: Final = MappingProxyType(
    {
        "CNY": Decimal("7.2"),
        "EUR": Decimal("0.90"),
        "GBP": Decimal("0.75"),
        "HKD": Decimal("7.8"),
        "JPY": Decimal(150),
        "MOP": Decimal(8),
        "SGD": Decimal("1.3"),
        "TWD": Decimal(32),
    }
)


@dataclass(frozen=True, slots=True)
class FixedPrices:
    """A fixed table, for the sandbox: the same answer every day, without a network and at any time of its clock."""

    clock: Clock
    coins: Mapping[str, Decimal] = field(default_factory=lambda: SANDBOX_USD)
    fiat: Mapping[str, Decimal] = field(default_factory=lambda: SANDBOX_FIAT)

    async def legs(self, previous: Legs) -> Sequence[Leg]:
        """Return the table; nothing of it ever runs out."""
        del previous
        now = self.clock.now()
        pairs = [
            *((coin, PIVOT, value) for coin, value in self.coins.items()),
            *((PIVOT, code, value) for code, value in self.fiat.items()),
        ]
        return [Leg(base, quote, LegKind.FIXED, value, now, None) for base, quote, value in pairs]
