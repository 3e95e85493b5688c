"""How amounts, rates, addresses and foreign text look on the page: exact, grouped by style only, never rounded."""

import unicodedata
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Final

from bitlinkpay.core.assets import Asset, Network
from bitlinkpay.core.money import format_decimal, format_units

_CENTS: Final = 2
_STRESSED: Final = 6
_GROUP: Final = 3
_MINUTE: Final = timedelta(minutes=1)
_BIDI_CONTROLS: Final = frozenset("\u200e\u200f\u061c\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


@dataclass(frozen=True, slots=True)
class Figure:
    """A number as shown.

    Attributes:
        text: plain digits, as copied.
        groups: the digits before the point in groups of three; the page puts thin space between them by style,
            so that selecting and copying yields `text`.
        fraction: the digits after the point, "" for none.
    """

    text: str
    groups: tuple[str, ...]
    fraction: str


def figure(text: str) -> Figure:
    """Group plain digits."""
    whole, _, fraction = text.partition(".")
    first = len(whole) % _GROUP or _GROUP
    groups = (whole[:first], *(whole[at : at + _GROUP] for at in range(first, len(whole), _GROUP)))
    return Figure(text, groups, fraction)


def money(units: int, asset: Asset) -> str:
    """Return every digit of an amount, at least two after the point: `12.50`."""
    return _with_cents(format_units(units, asset.decimals))


def price(value: Decimal) -> str:
    """Return every digit of a fiat price, at least two after the point."""
    return _with_cents(format_decimal(value))


def _with_cents(text: str) -> str:
    whole, _, fraction = text.partition(".")
    return f"{whole}.{fraction.ljust(_CENTS, '0')}"


def network_name(network: Network, asset: Asset) -> str:
    """Return both names by which people know the network of an asset: `TRON (TRC20)`."""
    return f"{network.title} ({asset.standard})" if asset.standard else network.title


@dataclass(frozen=True, slots=True)
class Stressed:
    """An address or hash in three parts whose ends the page stresses; joined they are the whole."""

    head: str
    middle: str
    tail: str

    @property
    def text(self) -> str:
        """Return the whole."""
        return self.head + self.middle + self.tail


def stressed(text: str) -> Stressed:
    """Split off the first and last six characters."""
    if len(text) <= 2 * _STRESSED:
        return Stressed(text, "", "")
    return Stressed(text[:_STRESSED], text[_STRESSED:-_STRESSED], text[-_STRESSED:])


def plain(text: str) -> str:
    """Return foreign text with control characters and direction overrides made visible as a replacement mark."""
    return "".join("\ufffd" if char in _BIDI_CONTROLS or unicodedata.category(char) == "Cc" else char for char in text)


def epoch_ms(moment: datetime) -> int:
    """Return Unix milliseconds."""
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


def minutes_up(duration: timedelta) -> int:
    """Return whole minutes, rounded up; 0 only for nothing or less."""
    return max(0, -(-duration // _MINUTE))
