"""The refresh and the book: real database, price services on loopback."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from datetime import datetime, timedelta
from decimal import Decimal

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st
from tests.support.clock import ManualClock

from bitlinkpay.core.errors import Kind
from bitlinkpay.db.pool import Database, Tx
from bitlinkpay.rates import service, store
from bitlinkpay.rates.model import Guard, Leg, LegKind, NoQuote, UnknownCurrency
from bitlinkpay.rates.service import RateBook, cross, refresh
from bitlinkpay.rates.sources import SANDBOX_FIAT, SANDBOX_USD, FixedPrices, Market, Reference, Ticker


class Exchanges:
    """Three exchanges and a reference source on one loopback server; tests set what they say."""

    def __init__(self) -> None:
        self.kraken = {"USDTUSD": "0.9990", "XBTUSD": "100000"}
        self.coinbase = {"USDT-USD": "1.0000", "BTC-USD": "100100"}
        self.binance = {"BTCUSDT": "100200"}
        self.fiat: dict[str, object] = {"base": "USD", "date": "2026-02-27", "rates": {"CNY": 7.25, "EUR": 0.9}}
        self.time = "2026-03-01T12:00:00Z"
        self.asked = 0
        self.down: set[str] = set()

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        self.asked += 1
        venue, symbol = request.path.strip("/").split("/")
        if venue in self.down:
            return web.Response(status=503)
        return web.Response(text=json.dumps(self._say(venue, symbol)))

    def _say(self, venue: str, symbol: str) -> object:
        match venue:
            case "kraken":
                price = self.kraken[symbol]
                return {"error": [], "result": {symbol: {"a": [price], "b": [price]}}}
            case "coinbase":
                return {"bid": self.coinbase[symbol], "ask": self.coinbase[symbol], "time": self.time}
            case "binance":
                return {"bidPrice": self.binance[symbol], "askPrice": self.binance[symbol]}
            case _:
                return self.fiat

    def market(self, root: str, clock: ManualClock) -> Market:
        def ticker(name: str, symbols: Mapping[str, str]) -> Ticker:
            return Ticker(name, name, f"{root}/{name}/{{symbol}}", symbols)

        tickers = (
            ticker("kraken", {"USDT/USD": "USDTUSD", "BTC/USD": "XBTUSD"}),
            ticker("coinbase", {"USDT/USD": "USDT-USD", "BTC/USD": "BTC-USD"}),
            ticker("binance", {"BTC/USDT": "BTCUSDT"}),
        )
        return Market(clock, tickers, Reference("ecb", f"{root}/fiat/latest"))


@pytest.fixture
async def exchanges() -> AsyncIterator[tuple[Exchanges, str]]:
    made = Exchanges()
    async with AsyncExitStack() as stack:
        runner = web.ServerRunner(web.Server(made.handle), shutdown_timeout=0.1)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield made, f"http://127.0.0.1:{runner.addresses[0][1]}"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


def _fresh(database: Database, clock: ManualClock) -> RateBook:
    """A book with nothing in memory yet."""
    return RateBook(database, clock)


async def test_a_refresh_makes_rates_through_the_pivot(database: Database, clock: ManualClock, exchanges):
    said, root = exchanges
    await refresh(database, said.market(root, clock))
    book = RateBook(database, clock)
    usdt = await book.rate("USDT", "USD")
    assert usdt.value == Decimal("0.9995")
    assert usdt.sources == ("kraken", "coinbase")
    assert (await book.rate("USDT", "CNY")).value == Decimal("7.246375")
    assert (await book.rate("USDT", "CNY")).sources == ("kraken", "coinbase", "ecb")
    bitcoin = await book.rate("BTC", "USD")
    assert bitcoin.value == Decimal(100_100)
    assert await book.price("CNY", "CNY") == 1
    assert await book.price("EUR", "CNY") == Decimal("8.05555555556")
    assert await book.price("CNY", "USDT") == Decimal("0.138000034500")
    assert await book.price("USD", "CNY") == Decimal("7.25")


@pytest.mark.parametrize("pair", [("XYZ", "USD"), ("USDT", "TWD"), ("usdt", "USD"), ("", "")])
async def test_a_currency_that_nobody_quotes_is_said_to_be_unknown(
    database: Database, clock: ManualClock, exchanges, pair: tuple[str, str]
):
    said, root = exchanges
    await refresh(database, said.market(root, clock))
    with pytest.raises(UnknownCurrency, match="no price of") as caught:
        await RateBook(database, clock).rate(*pair)
    assert (caught.value.kind, caught.value.param) == (Kind.INVALID, "symbol")


async def test_a_price_that_may_still_come_is_no_quote_for_now(database: Database, clock: ManualClock, exchanges):
    said, root = exchanges
    said.down = {"fiat"}
    await refresh(database, said.market(root, clock))
    with pytest.raises(NoQuote, match="no price of CNY yet"):
        await RateBook(database, clock).rate("USDT", "CNY")
    said.down = set()
    await refresh(database, said.market(root, clock))
    with pytest.raises(NoQuote, match="no price of SOL yet"):  # a coin that the tickers know, while all are silent
        await RateBook(database, clock).rate("SOL", "CNY")


async def test_EXC_01_a_price_goes_stale(database: Database, clock: ManualClock, exchanges):
    said, root = exchanges
    market = said.market(root, clock)
    await refresh(database, market)
    clock.advance(Guard().valid_for - timedelta(seconds=1))
    assert await _fresh(database, clock).price("USDT", "USD")
    clock.advance(timedelta(seconds=1))
    book = _fresh(database, clock)
    with pytest.raises(NoQuote, match="stale"):
        await book.rate("USDT", "USD")
    with pytest.raises(NoQuote, match="stale"):
        await book.rate("CNY", "USDT")
    assert await book.price("USD", "CNY"), "the reference is good for days"
    said.time = clock.now().isoformat()
    await refresh(database, market)
    assert await _fresh(database, clock).price("USDT", "USD")


async def test_EXC_01_a_price_in_memory_goes_stale_too(database: Database, clock: ManualClock, exchanges):
    said, root = exchanges
    await refresh(database, said.market(root, clock))
    book = RateBook(database, clock)
    first = await book.rate("CNY", "USDT")
    assert await book.rate("CNY", "USDT") is first
    assert first.until == clock.now() + Guard().valid_for
    clock.advance(Guard().valid_for)
    with pytest.raises(NoQuote, match="stale"):
        await book.rate("CNY", "USDT")


async def test_a_new_reading_replaces_the_prices_in_memory(
    database: Database, clock: ManualClock, exchanges, monkeypatch: pytest.MonkeyPatch
):
    said, root = exchanges
    market = said.market(root, clock)
    await refresh(database, market)
    book = RateBook(database, clock)
    before = await book.price("BTC", "USD")
    said.kraken["XBTUSD"], said.coinbase["BTC-USD"], said.binance["BTCUSDT"] = "101000", "101100", "101200"
    await refresh(database, market)
    assert await book.price("BTC", "USD") == before
    monkeypatch.setattr(service, "_CACHE_S", 0.0)
    assert await book.price("BTC", "USD") == Decimal(101_100)


async def test_EXC_01_exchanges_down_leave_the_last_price_until_it_is_stale(
    database: Database, clock: ManualClock, exchanges
):
    said, root = exchanges
    market = said.market(root, clock)
    await refresh(database, market)
    said.down = {"kraken", "coinbase", "binance", "fiat"}
    clock.advance(timedelta(seconds=30))
    assert await refresh(database, market) == []
    assert await _fresh(database, clock).price("BTC", "USD") == Decimal(100_100)
    clock.advance(timedelta(seconds=30))
    with pytest.raises(NoQuote, match="stale"):
        await _fresh(database, clock).rate("BTC", "USD")


async def test_EXC_01_one_of_three_down_is_not_missed(database: Database, clock: ManualClock, exchanges):
    said, root = exchanges
    said.down = {"binance"}
    await refresh(database, said.market(root, clock))
    assert await _fresh(database, clock).price("BTC", "USD") == Decimal(100_050)


async def test_EXC_02_contradiction_halts_at_once(database: Database, clock: ManualClock, exchanges):
    said, root = exchanges
    market = said.market(root, clock)
    await refresh(database, market)
    said.kraken["XBTUSD"], said.coinbase["BTC-USD"], said.binance["BTCUSDT"] = "100000", "90000", "80000"
    clock.advance(timedelta(seconds=5))
    said.time = clock.now().isoformat()
    await refresh(database, market)
    with pytest.raises(NoQuote, match="contradict"):
        await _fresh(database, clock).rate("BTC", "USD")
    assert await _fresh(database, clock).price("USDT", "USD")


async def test_EXC_03_nonsense_of_one_exchange_is_left_out(database: Database, clock: ManualClock, exchanges):
    said, root = exchanges
    said.kraken["XBTUSD"] = "-5"
    await refresh(database, said.market(root, clock))
    assert await _fresh(database, clock).price("BTC", "USD") == Decimal("100124.95")


async def test_the_reference_is_asked_once_an_hour(database: Database, clock: ManualClock, exchanges):
    said, root = exchanges
    market = said.market(root, clock)
    await refresh(database, market)
    per_round = said.asked - 1
    clock.advance(timedelta(minutes=59))
    await refresh(database, market)
    assert said.asked == 2 * per_round + 1
    clock.advance(timedelta(minutes=1))
    await refresh(database, market)
    assert said.asked == 3 * per_round + 2


async def test_redirects_and_long_answers_are_not_listened_to(database: Database, clock: ManualClock, exchanges):
    said, root = exchanges

    async def elsewhere(request: web.BaseRequest) -> web.StreamResponse:
        if request.path.startswith("/fiat"):
            return web.Response(text=" " * 300_000)
        return web.Response(status=302, headers={"Location": f"{root}{request.path}"})

    runner = web.ServerRunner(web.Server(elsewhere))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        market = said.market(f"http://127.0.0.1:{runner.addresses[0][1]}", clock)
        assert await refresh(database, market) == []
    finally:
        await runner.cleanup()
    assert said.asked == 0


async def test_the_book_reads_the_database_once_a_second_however_many_ask(database: Database, clock: ManualClock):
    await refresh(database, FixedPrices(clock))
    now_s = 0.0
    book = RateBook(database, clock, monotonic_s=lambda: now_s)
    await asyncio.gather(*(book.price("USDT", "CNY") for _ in range(50)))
    async with database.transaction() as tx:
        await tx.execute("update rates set value = 8 where quote = 'CNY'")
    now_s = 0.999
    assert await book.price("USDT", "CNY") == Decimal("7.2")
    now_s = 1.0
    assert await book.price("USDT", "CNY") == Decimal(8)


async def test_an_older_word_does_not_replace_a_newer_one(database: Database, clock: ManualClock):
    def leg(at: datetime, value: str) -> Leg:
        return Leg("BTC", "USD", LegKind.MARKET, Decimal(value), at, at + timedelta(seconds=60), heard={"a": value})

    async def save(tx: Tx, *legs: Leg) -> None:
        await store.save(tx, legs)

    async with database.transaction() as tx:
        await save(tx, leg(clock.now(), "100"))
        await save(tx, leg(clock.now() - timedelta(seconds=10), "90"))
        assert (await store.list_legs(tx))["BTC", "USD"].value == Decimal(100)
        await save(tx, leg(clock.now() + timedelta(seconds=10), "110"))
        kept = (await store.list_legs(tx))["BTC", "USD"]
    assert kept == leg(clock.now() + timedelta(seconds=10), "110")


@pytest.mark.parametrize("value", [Decimal(0), Decimal(-1), Decimal(10) ** 9])
async def test_EXC_03_the_database_refuses_absurd_prices(database: Database, clock: ManualClock, value: Decimal):
    wrong = Leg("BTC", "USD", LegKind.MARKET, value, clock.now(), clock.now() + timedelta(seconds=60))
    with pytest.raises(Exception, match="rates_value_sane"):
        async with database.transaction() as tx:
            await store.save(tx, [wrong])


async def test_the_sandbox_has_every_coin_and_currency_at_any_time(database: Database, clock: ManualClock):
    await refresh(database, FixedPrices(clock))
    clock.advance(timedelta(days=4_000))
    book = RateBook(database, clock)
    for coin in SANDBOX_USD:
        for currency in ("USD", *SANDBOX_FIAT):
            assert await book.price(coin, currency) > 0
            assert await book.price(currency, coin) > 0
    assert await book.price("USDT", "CNY") == Decimal("7.2")
    assert (await book.rate("USDT", "CNY")).sources == ("fixed",)


async def test_a_live_source_replaces_fixed_prices(database: Database, clock: ManualClock, exchanges):
    said, root = exchanges
    clock.advance(timedelta(seconds=1))
    await refresh(database, FixedPrices(clock))
    said.time = clock.now().isoformat()
    await refresh(database, said.market(root, clock))
    assert (await _fresh(database, clock).rate("BTC", "USD")).value == Decimal(100_100)


# --- crossing, pure

NOW = ManualClock().now()
PRICES = st.decimals("0.000001", "999999", places=8).filter(lambda value: value > 0)


def _leg(base: str, quote: str, value: Decimal) -> Leg:
    return Leg(base, quote, LegKind.FIXED, value, NOW, None)


@given(PRICES, PRICES)
def test_both_directions_of_a_cross_agree(coin: Decimal, fiat: Decimal):
    legs = {("BTC", "USD"): _leg("BTC", "USD", coin), ("USD", "CNY"): _leg("USD", "CNY", fiat)}
    there = cross(legs, "BTC", "CNY", now=NOW).value
    assert abs(there - coin * fiat) <= coin * fiat * Decimal("1E-11") + Decimal("1E-18")
    assert there.as_tuple().exponent == -18
    try:
        back = cross(legs, "CNY", "BTC", now=NOW).value
    except NoQuote:
        assert there > Decimal("1E+17")
        return
    assert abs(there * back - 1) <= Decimal("1E-10") + there * Decimal("1E-18")


def test_a_price_too_small_to_tell_is_no_quote():
    legs = {
        ("A", "USD"): _leg("A", "USD", Decimal("1E-9")),
        ("C", "USD"): _leg("C", "USD", Decimal("9E+9")),
    }
    with pytest.raises(NoQuote, match="too small"):
        cross(legs, "A", "C", now=NOW)
