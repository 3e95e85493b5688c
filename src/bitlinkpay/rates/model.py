"""Prices as exchanges say them, legs as we agree on them, rates as orders use them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import ClassVar, Final

from bitlinkpay.core.errors import Invalid, Kind, Problem

PIVOT: Final = "USD"
BRIDGE: Final = "USDT"


class NoQuote(Problem):
    """There is no trustworthy price now: none is better than a wrong one."""

    code: ClassVar[str] = "rate.no_quote"
    kind: ClassVar[Kind] = Kind.UNAVAILABLE


class UnknownCurrency(Invalid):
    """Nobody quotes this code here, now or later: asking again does not help."""

    code: ClassVar[str] = "rate.unknown_currency"

    def __init__(self, code: str) -> None:
        super().__init__(
            f"no price of {code[:12]} is known here; check the code, or send exchange_rate or amount of your own",
            param="symbol",
        )


@dataclass(frozen=True, slots=True)
class Quote:
    """One source's word: what one `base` costs in `quote`, best bid and best ask.

    Attributes:
        at: the source's own time where it tells one, else when the answer came.
        source: name of the source.
    """

    base: str
    quote: str
    bid: Decimal
    ask: Decimal
    at: datetime
    source: str


class LegKind(StrEnum):
    """How a leg came about."""

    MARKET = "market"  # agreed by exchanges
    REFERENCE = "reference"  # published once a day by a reference source
    FIXED = "fixed"  # set by configuration (the sandbox); never goes stale


@dataclass(frozen=True, slots=True)
class Leg:
    """An agreed price of one `base` in `quote`, where one side is the pivot currency.

    Attributes:
        value: None while halted.
        expires_at: after this moment there is no quote; None for a fixed price.
        reason: why it is halted, "" otherwise.
        heard: what each source said or why it was not listened to.
    """

    base: str
    quote: str
    kind: LegKind
    value: Decimal | None
    observed_at: datetime
    expires_at: datetime | None
    reason: str = ""
    heard: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Rate:
    """The price of one `base` in `quote`: 12 significant digits, at most 18 after the point.

    Attributes:
        at: when its oldest part was observed.
        until: from this moment on it is stale; None for fixed prices.
        sources: who said so.
    """

    base: str
    quote: str
    value: Decimal
    at: datetime
    until: datetime | None
    sources: tuple[str, ...]

    def holds_at(self, moment: datetime) -> bool:
        """Say whether none of its parts is stale at a moment."""
        return self.until is None or moment < self.until


@dataclass(frozen=True, slots=True)
class Guard:
    """When sources are believed.

    Attributes:
        stale_after: older words of exchanges are not listened to.
        valid_for: an agreed price ends so long after it was agreed.
        reference_after: both for a reference source, over weekends and holidays.
        deviation_ppm: how far from the median a source may be.
        spread_ppm: how far apart a source's own bid and ask may be (a thin book is easily moved).
        jump_ppm: how far a reference may be from its last value while that is still valid.
        sources_min: fewer that agree is no quote.
    """

    stale_after: timedelta = timedelta(seconds=120)
    valid_for: timedelta = timedelta(seconds=60)
    reference_after: timedelta = timedelta(days=6)
    deviation_ppm: int = 20_000
    spread_ppm: int = 20_000
    jump_ppm: int = 100_000
    sources_min: int = 2
