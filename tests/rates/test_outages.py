"""The book and the refresh while things break."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal

import pytest
from tests.support.clock import ManualClock

from bitlinkpay.db.pool import Database
from bitlinkpay.rates import store
from bitlinkpay.rates.consensus import Legs
from bitlinkpay.rates.model import Leg, LegKind, NoQuote
from bitlinkpay.rates.service import RateBook, refresh
from bitlinkpay.rates.sources import FixedPrices, Market, Reference, Ticker


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@dataclass
class Script:
    """A source that says what a test tells it to."""

    said: list[Sequence[Leg] | Exception]
    asked_with: list[Legs] = field(default_factory=list)

    async def legs(self, previous: Legs) -> Sequence[Leg]:
        self.asked_with.append(previous)
        answer = self.said.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def _leg(clock: ManualClock, value: str | None, *, reason: str = "", base: str = "BTC") -> Leg:
    now = clock.now()
    price = Decimal(value) if value is not None else None
    return Leg(base, "USD", LegKind.MARKET, price, now, now + timedelta(seconds=60), reason, {"a": value or "?"})


async def _cut(owner_dsn: str) -> None:
    owner = await Database.connect(owner_dsn, size=1)
    async with owner.transaction() as tx:
        await tx.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity "
            "where datname = current_database() and usename = 'bitlinkpay_app'"
        )
    await owner.close()


async def test_a_source_sees_what_was_believed_before(database: Database, clock: ManualClock):
    source = Script([[_leg(clock, "100")], [_leg(clock, "101")]])
    await refresh(database, source)
    await refresh(database, source)
    assert source.asked_with[0] == {}
    assert source.asked_with[1]["BTC", "USD"].value == Decimal(100)


async def test_EXC_02_a_halt_is_lifted_by_the_next_agreement(database: Database, clock: ManualClock):
    source = Script([[_leg(clock, "100")]])
    await refresh(database, source)
    clock.advance(timedelta(seconds=5))
    source.said = [[_leg(clock, None, reason="the sources contradict each other")]]
    await refresh(database, source)
    with pytest.raises(NoQuote, match="contradict"):
        await RateBook(database, clock).rate("BTC", "USD")
    clock.advance(timedelta(seconds=5))
    source.said = [[_leg(clock, "102")]]
    await refresh(database, source)
    assert await RateBook(database, clock).price("BTC", "USD") == Decimal(102)


async def test_a_source_that_breaks_leaves_everything_as_it_was(database: Database, clock: ManualClock):
    await refresh(database, Script([[_leg(clock, "100")]]))
    with pytest.raises(ZeroDivisionError):
        await refresh(database, Script([ZeroDivisionError()]))
    assert await RateBook(database, clock).price("BTC", "USD") == Decimal(100)


async def test_two_refreshes_at_once_do_not_lock_each_other_out(database: Database, clock: ManualClock):
    legs = [_leg(clock, "100", base=base) for base in ("BTC", "ETH", "BNB", "TRX")]
    await asyncio.gather(
        *(refresh(database, Script([legs if number % 2 else legs[::-1]])) for number in range(8)),
    )
    assert await RateBook(database, clock).price("TRX", "USD") == Decimal(100)


async def test_the_book_recovers_from_cut_connections(database: Database, clock: ManualClock, schema_owner_dsn: str):
    await refresh(database, FixedPrices(clock))
    now_s = 0.0
    book = RateBook(database, clock, monotonic_s=lambda: now_s)
    assert await book.price("USDT", "CNY") == Decimal("7.2")
    await _cut(schema_owner_dsn)
    assert await book.price("USDT", "CNY") == Decimal("7.2"), "still in memory"
    now_s = 1.0
    answers = []
    for _ in range(20):
        try:
            answers.append(await book.price("USDT", "CNY"))
        except Exception:
            await asyncio.sleep(0.05)
    assert answers
    assert set(answers) == {Decimal("7.2")}


async def test_a_caller_that_gives_up_does_not_break_the_others(database: Database, clock: ManualClock):
    await refresh(database, FixedPrices(clock))
    book = RateBook(database, clock)
    callers = [asyncio.create_task(book.price("USDT", "CNY")) for _ in range(20)]
    await asyncio.sleep(0)
    for caller in callers[:10]:
        caller.cancel()
    answers = await asyncio.gather(*callers, return_exceptions=True)
    assert answers[10:] == [Decimal("7.2")] * 10


async def test_EXC_01_nobody_answers_at_all(database: Database, clock: ManualClock):
    """Refused connections, all of them: no leg, no exception, no order at a guessed price."""
    dead = "http://127.0.0.1:9"
    tickers = [Ticker("kraken", "kraken", f"{dead}/{{symbol}}", {"USDT/USD": "USDTUSD", "BTC/USD": "XBTUSD"})]
    market = Market(clock, tickers, Reference("ecb", f"{dead}/latest"))
    assert await refresh(database, market) == []
    with pytest.raises(NoQuote):
        await RateBook(database, clock).rate("USDT", "CNY")


async def test_what_was_heard_is_kept_for_whoever_asks_why(database: Database, clock: ManualClock):
    leg = _leg(clock, "100")
    await refresh(database, Script([[leg]]))
    async with database.reader() as tx:
        assert (await store.list_legs(tx))["BTC", "USD"] == leg
