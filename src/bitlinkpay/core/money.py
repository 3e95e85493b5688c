"""Money: integer base units of an asset, and exact decimals at the edges only.

Python's default decimal context rounds silently to 28 digits, so every conversion here runs in a context of
160 digits that traps `Inexact`, behind a strict ASCII grammar.
"""

import re
from dataclasses import dataclass
from decimal import (
    ROUND_CEILING,
    ROUND_FLOOR,
    Context,
    Decimal,
    DivisionByZero,
    Inexact,
    InvalidOperation,
    Overflow,
)
from typing import NewType

from bitlinkpay.core.assets import Asset
from bitlinkpay.core.errors import Invalid

Units = NewType("Units", int)
PPM = 1_000_000
MAX_UNITS = 10**78 - 1  # numeric(78,0), wide enough for 2^256 - 1

EXACT = Context(prec=160, traps=[Inexact, InvalidOperation, DivisionByZero, Overflow])
_ROUNDED = Context(prec=160, traps=[InvalidOperation, DivisionByZero, Overflow])
_PLAIN = re.compile(r"(0|[1-9][0-9]*)(\.[0-9]+)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Amount:
    """A quantity of one asset in integer base units, never negative."""

    asset: Asset
    units: int

    def __post_init__(self) -> None:
        assert 0 <= self.units <= MAX_UNITS, f"amount out of range: {self.units}"

    def __str__(self) -> str:
        """Return major units in plain notation with the asset's id: `12.5 usdt-tron`."""
        return f"{format_units(self.units, self.asset.decimals)} {self.asset.id}"


def parse_decimal(text: str, *, places: int = 18, digits: int = 22, param: str | None = None) -> Decimal:
    """Parse plain ASCII decimal notation exactly: digits with at most one point, no sign, exponent or space.

    Args:
        text: what the user wrote.
        places: how many digits may stand after the point.
        digits: how many may stand before it.
        param: field name for the error.

    Raises:
        Invalid: any other form, or more digits than allowed.
    """
    if len(text) > places + digits + 1 or not _PLAIN.fullmatch(text):
        raise Invalid("write the number in plain digits with at most one point, such as 12.5", param=param)
    whole, _, fraction = text.partition(".")
    if len(whole) > digits or len(fraction) > places:
        raise Invalid(f"at most {digits} digits before the point and {places} after it", param=param)
    return Decimal(text)


def format_decimal(value: Decimal) -> str:
    """Return plain notation without exponent or trailing zeros: `Decimal("1E+2")` is `"100"`."""
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def to_units(value: Decimal, decimals: int, *, param: str | None = None) -> int:
    """Convert major units to base units exactly.

    Raises:
        Invalid: the value has more digits after the point than the asset.
    """
    try:
        scaled = EXACT.scaleb(value, decimals)
        units = int(EXACT.quantize(scaled, Decimal(1)))
    except (Inexact, InvalidOperation):
        raise Invalid(f"at most {decimals} digits after the point", param=param) from None
    if not 0 <= units <= MAX_UNITS:
        raise Invalid("the amount is out of range", param=param)
    return units


def to_units_up(value: Decimal, *, decimals: int, places: int) -> int:
    """Convert major units to base units, rounded UP to `places` digits after the point (`places <= decimals`)."""
    assert 0 <= places <= decimals
    step: int = 10 ** (decimals - places)
    rounded = int(_ROUNDED.scaleb(value, places).to_integral_value(rounding=ROUND_CEILING, context=_ROUNDED))
    return rounded * step


def from_units(units: int, decimals: int) -> Decimal:
    """Convert base units to major units exactly."""
    return EXACT.scaleb(Decimal(units), -decimals)


def format_units(units: int, decimals: int) -> str:
    """Return major units in plain notation, as `"12.5"`."""
    return format_decimal(from_units(units, decimals))


def multiply(left: Decimal, right: Decimal) -> Decimal:
    """Multiply exactly (160 digits, trapped)."""
    return EXACT.multiply(left, right)


def divide(left: Decimal, right: Decimal, *, places: int = 40) -> Decimal:
    """Divide, rounded down to `places` digits after the point."""
    quotient = _ROUNDED.divide(left, right)
    return quotient.quantize(Decimal(1).scaleb(-places), rounding=ROUND_FLOOR, context=_ROUNDED)


def share_down(units: int, rate_ppm: int) -> int:
    """Return `units * rate_ppm / 1,000,000`, rounded down to whole base units (fees round down)."""
    assert units >= 0
    assert 0 <= rate_ppm <= PPM
    return units * rate_ppm // PPM
