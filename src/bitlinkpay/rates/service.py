"""Rates for orders, and the worker's refresh that keeps them fresh."""

import asyncio
import math
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Final

from bitlinkpay.core.clock import Clock
from bitlinkpay.core.errors import Problem
from bitlinkpay.core.money import EXACT, divide, multiply
from bitlinkpay.db.pool import Database, Tx
from bitlinkpay.rates import store
from bitlinkpay.rates.consensus import Legs
from bitlinkpay.rates.model import PIVOT, Leg, NoQuote, Rate, UnknownCurrency
from bitlinkpay.rates.sources import COINS, RateSource

__all__ = ["RateBook", "cross", "refresh"]

_CACHE_S: Final = 1.0
_SHOWN: Final = Context(prec=12, rounding=ROUND_HALF_EVEN)
_WIDE: Final = Context(prec=60, rounding=ROUND_HALF_EVEN)
_PLACES: Final = Decimal(1).scaleb(-18)


async def refresh(database: Database, source: RateSource) -> list[Leg]:
    """Ask a source and keep what it says; returns the legs. No transaction is open while it asks."""

    async def keep(tx: Tx) -> None:
        await store.save(tx, legs)

    async with database.reader() as tx:
        previous = await store.list_legs(tx)
    legs = list(await source.legs(previous))
    if legs:
        await database.unit(keep)
    return legs


class RateBook:
    """The rates that orders use: read from the database, at most one second old in memory, never from the network."""

    def __init__(self, database: Database, clock: Clock, *, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._clock = clock
        self._monotonic_s = monotonic_s
        self._legs: Mapping[tuple[str, str], Leg] = {}
        self._crossed: dict[tuple[str, str], Rate] = {}  # from these legs
        self._read_at = -math.inf
        self._reading = asyncio.Lock()

    async def rate(self, base: str, quote: str) -> Rate:
        """Return the price of one `base` in `quote`, coin or currency on either side.

        Raises:
            UnknownCurrency: nobody quotes a side.
            NoQuote: a side's price is not there yet, halted or stale.
            Unavailable: the database cannot be read.
        """
        legs, now = await self._current(), self._clock.now()
        known = self._crossed.get((base, quote))
        if known is None or not known.holds_at(now):
            known = self._crossed[base, quote] = cross(legs, base, quote, now=now)
        return known

    async def price(self, base: str, quote: str) -> Decimal:
        """Return only the value of `rate`, for those who price orders."""
        return (await self.rate(base, quote)).value

    async def _current(self) -> Legs:
        if self._monotonic_s() - self._read_at < _CACHE_S:
            return self._legs
        async with self._reading:
            if self._monotonic_s() - self._read_at >= _CACHE_S:
                started = self._monotonic_s()
                async with self._database.reader() as tx:
                    self._legs, self._crossed = await store.list_legs(tx), {}
                self._read_at = started
        return self._legs


def cross(legs: Legs, base: str, quote: str, *, now: datetime) -> Rate:
    """Return the price of one `base` in `quote` through the pivot currency. Pure.

    Raises:
        UnknownCurrency: nobody quotes a side.
        NoQuote: a side's price is not there yet, halted or stale.
    """
    over, base_leg = _in_pivot(legs, base, now)
    under, quote_leg = _in_pivot(legs, quote, now)
    exact_over = multiply(over[0], under[1])
    exact_under = multiply(over[1], under[0])
    value = _SHOWN.plus(divide(exact_over, exact_under)).quantize(_PLACES, context=_WIDE)
    if value <= 0:
        raise NoQuote(f"the price of {base} in {quote} is too small to be told")
    used = [leg for leg in (base_leg, quote_leg) if leg is not None]
    return Rate(
        base,
        quote,
        value,
        at=min((leg.observed_at for leg in used), default=now),
        until=min((leg.expires_at for leg in used if leg.expires_at), default=None),
        sources=tuple(dict.fromkeys(name for leg in used for name in leg.heard or (leg.kind.value,))),
    )


def _absent(legs: Legs, code: str) -> Problem:
    """Say why there is no leg: a coin's may come, and so may any before the currencies' sources have spoken."""
    if code in COINS or not any(leg.base == PIVOT for leg in legs.values()):
        return NoQuote(f"there is no price of {code} yet")
    return UnknownCurrency(code)


def _in_pivot(legs: Legs, code: str, now: datetime) -> tuple[tuple[Decimal, Decimal], Leg | None]:
    """Return what one `code` costs in the pivot currency, as an exact fraction."""
    one = Decimal(1)
    if code == PIVOT:
        return (one, one), None
    leg = legs.get((code, PIVOT)) or legs.get((PIVOT, code))
    if leg is None:
        raise _absent(legs, code)
    if leg.value is None:
        raise NoQuote(f"the price of {code} is halted: {leg.reason}")
    if leg.expires_at is not None and leg.expires_at <= now:
        raise NoQuote(f"the price of {code} is stale")
    value = EXACT.plus(leg.value)
    return ((value, one) if leg.base == code else (one, value)), leg
