"""From what sources say to prices that are believed: staleness, sanity, median, deviation, majority. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Final

from bitlinkpay.core.money import EXACT, PPM, divide, format_decimal, multiply
from bitlinkpay.rates.model import BRIDGE, PIVOT, Guard, Leg, LegKind, Quote

PRICE_MAX: Final = Decimal(10) ** 9
PRICE_MIN: Final = Decimal(1).scaleb(-9)
_CLOCKS_APART: Final = timedelta(seconds=60)
_KEPT: Final = Context(prec=18, rounding=ROUND_HALF_EVEN)  # digits of an agreed price, more than any market has
_HALF: Final = Decimal("0.5")

Legs = Mapping[tuple[str, str], Leg]


@dataclass(frozen=True, slots=True)
class _Word:
    """A quote that passed the sanity checks, as one price."""

    price: Decimal
    at: datetime
    source: str


def settle(quotes: Sequence[Quote], *, coins: Sequence[str], guard: Guard, now: datetime) -> list[Leg]:
    """Return a leg in the pivot currency for each coin that any source spoke about.

    An exchange that quotes in the bridge coin counts through the bridge's own agreed price. A coin whose sources are
    silent gets no leg (what was agreed before runs out by itself); one whose sources contradict each other gets a
    halted leg at once.
    """
    bridge = _agree(BRIDGE, [q for q in quotes if (q.base, q.quote) == (BRIDGE, PIVOT)], guard, now)
    legs = [bridge]
    for coin in (coin for coin in coins if coin != BRIDGE):
        direct = [q for q in quotes if (q.base, q.quote) == (coin, PIVOT)]
        bridged = [q for q in quotes if (q.base, q.quote) == (coin, BRIDGE)]
        through = bridge.value if bridge is not None else None
        crossed = [_crossed(quote, through) for quote in bridged] if through is not None else []
        legs.append(_agree(coin, [*direct, *crossed], guard, now))
    return [leg for leg in legs if leg is not None]


def settle_reference(quotes: Sequence[Quote], *, previous: Legs, guard: Guard, now: datetime) -> list[Leg]:
    """Return a leg pivot → currency for each currency of a reference source, whatever its own base is.

    A value that jumped from the last one is halted for as long as that one would have been valid.
    """
    by_currency = {quote.quote: quote for quote in quotes if _fault(quote, guard, now, guard.reference_after) == ""}
    base = next(iter(by_currency.values())).base if by_currency else PIVOT
    if base != PIVOT and PIVOT not in by_currency:
        return []
    pivot = by_currency[PIVOT].bid if base != PIVOT else Decimal(1)
    values = {code: quote.bid for code, quote in by_currency.items() if code != PIVOT}
    if base != PIVOT:
        values[base] = Decimal(1)
    source = next(iter(by_currency.values()), None)
    if source is None:
        return []
    until = source.at + guard.reference_after
    fresh = [
        Leg(PIVOT, code, LegKind.REFERENCE, price, source.at, until, heard={source.source: format_decimal(price)})
        for code, price in ((code, _KEPT.plus(divide(value, pivot))) for code, value in values.items())
    ]
    return [_unless_jumped(leg, previous.get((PIVOT, leg.quote)), guard, now) for leg in fresh]


def _unless_jumped(leg: Leg, last: Leg | None, guard: Guard, now: datetime) -> Leg:
    """Halt a reference that is far from its last valid value, and keep it halted until that has run out."""
    if last is None or last.kind is not LegKind.REFERENCE or last.expires_at is None or last.expires_at <= now:
        return leg
    assert leg.value is not None
    if last.value is None:
        return replace(leg, value=None, reason=last.reason, expires_at=last.expires_at)
    if _is_within(leg.value, last.value, guard.jump_ppm):
        return leg
    jump = f"jumped from {format_decimal(last.value)} to {format_decimal(leg.value)}"
    return replace(leg, value=None, reason=jump, expires_at=last.expires_at)


def _crossed(quote: Quote, bridge: Decimal) -> Quote:
    return replace(quote, quote=PIVOT, bid=multiply(quote.bid, bridge), ask=multiply(quote.ask, bridge))


def _fault(quote: Quote, guard: Guard, now: datetime, stale_after: timedelta) -> str:
    """Say why a quote is not listened to, "" if it is."""
    if not (quote.bid.is_finite() and quote.ask.is_finite() and quote.bid > PRICE_MIN and quote.ask < PRICE_MAX):
        return "out of range"
    if quote.bid > quote.ask:
        return "crossed"
    if not _is_within(quote.ask, quote.bid, guard.spread_ppm):
        return "thin"
    if quote.at > now + _CLOCKS_APART:
        return "from the future"
    if now - quote.at > stale_after:
        return "stale"
    return ""


def _agree(coin: str, quotes: Iterable[Quote], guard: Guard, now: datetime) -> Leg | None:
    """Return what the sources agree on: a leg, a halted leg, or None when too few spoke to tell.

    The yardstick is the low median, a price that somebody really said; who deviates from it is dropped. Those who
    are left must be `sources_min` and the greater part of all that were listened to: of two against two, nobody wins.
    """
    heard: dict[str, str] = {}
    words: list[_Word] = []
    for quote in quotes:
        fault = _fault(quote, guard, now, guard.stale_after)
        price = _middle(quote.bid, quote.ask) if not fault else None
        heard[quote.source] = fault or (format_decimal(price) if price is not None else "")
        if price is not None:
            words.append(_Word(price, quote.at, quote.source))
    if len(words) < guard.sources_min:
        return None
    yardstick = _low_median([word.price for word in words])
    left = [word for word in words if _is_within(word.price, yardstick, guard.deviation_ppm)]
    observed_at = min(word.at for word in (left or words))
    leg = Leg(coin, PIVOT, LegKind.MARKET, None, observed_at, now + guard.valid_for, heard=heard)
    if len(left) < guard.sources_min or 2 * len(left) <= len(words):
        return replace(leg, reason="the sources contradict each other")
    return replace(leg, value=_KEPT.plus(_median([word.price for word in left])))


def _is_within(value: Decimal, yardstick: Decimal, ppm: int) -> bool:
    return multiply(abs(EXACT.subtract(value, yardstick)), Decimal(PPM)) <= multiply(yardstick, Decimal(ppm))


def _middle(left: Decimal, right: Decimal) -> Decimal:
    return multiply(EXACT.add(left, right), _HALF)


def _low_median(values: Sequence[Decimal]) -> Decimal:
    return sorted(values)[(len(values) - 1) // 2]


def _median(values: Sequence[Decimal]) -> Decimal:
    ordered = sorted(values)
    middle = len(ordered) // 2
    if len(ordered) % 2:
        return ordered[middle]
    return _middle(ordered[middle - 1], ordered[middle])
