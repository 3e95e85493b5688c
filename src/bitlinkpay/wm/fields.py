"""Reading typed fields out of a parsed object by the SDKs' rules of absence, and writing them back."""

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Final

from bitlinkpay.core.errors import Invalid
from bitlinkpay.core.money import format_decimal, parse_decimal
from bitlinkpay.wm.strictjson import JsonValue, Number

PLACES: Final = 18
DIGITS: Final = 22
MAX_INT: Final = 2**31 - 1  # the clients hold ids in 32-bit integers
_INTEGER: Final = re.compile(r"0|[1-9][0-9]{0,9}", re.ASCII)
_NUMBER: Final = re.compile(r"[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]{1,3})?", re.ASCII)
_MAX_NUMBER: Final = 64  # characters; the longest honest form has 41 digits, a point and an exponent


class Fields:
    """Typed access to one JSON object; keys nobody asks for are ignored, never bound.

    Absent means a missing key, `null` or `""`; for decimals also any spelling of zero. Every method raises `Invalid`
    with `param` set when the value is of another kind, too long, or absent where it is required.
    """

    def __init__(self, values: Mapping[str, JsonValue]) -> None:
        self._values = values

    def text(self, name: str, *, limit: int) -> str:
        """Return a required text of at most `limit` characters, exactly as sent."""
        value = self.optional_text(name, limit=limit)
        if value == "":
            raise Invalid(f"{name} is required", param=name)
        return value

    def optional_text(self, name: str, *, limit: int) -> str:
        """Return a text of at most `limit` characters, or "" when absent."""
        value = self._values.get(name)
        if value is None:
            return ""
        if not isinstance(value, str):
            raise Invalid(f"{name} must be a text", param=name)
        if len(value) > limit:
            raise Invalid(f"{name} is longer than {limit} characters", param=name)
        return value

    def integer(self, name: str) -> int:
        """Return a required JSON integer of 0 to 2^31 - 1."""
        value = self._values.get(name)
        if value is None:
            raise Invalid(f"{name} is required", param=name)
        if not isinstance(value, Number) or not _INTEGER.fullmatch(value.text) or int(value.text) > MAX_INT:
            raise Invalid(f"{name} must be a whole JSON number", param=name)
        return int(value.text)

    def decimal(self, name: str) -> Decimal:
        """Return a required decimal above zero, exact, at most 22 digits before the point and 18 after it."""
        value = self.optional_decimal(name)
        if value is None:
            raise Invalid(f"{name} is required and must be above zero", param=name)
        return value

    def optional_decimal(self, name: str) -> Decimal | None:
        """Return a decimal above zero, or None when absent. Text and number of one value give the same decimal."""
        match self._values.get(name):
            case None | "":
                return None
            case str() as text:
                value = parse_decimal(text, places=PLACES, digits=DIGITS, param=name)
            case Number(text=text):
                value = _parse_number(text, name)
            case _:
                raise Invalid(f"{name} must be a decimal, as a text or a number", param=name)
        return Decimal(format_decimal(value)) if value else None


def _parse_number(text: str, name: str) -> Decimal:
    """Read a JSON number exactly: here, and only here, an exponent is allowed (Java prints a BigDecimal so)."""
    if len(text) > _MAX_NUMBER or not _NUMBER.fullmatch(text):
        raise Invalid(f"{name} must be a plain decimal, not negative", param=name)
    value = Decimal(text)
    if not value:
        return value
    exponent = value.as_tuple().exponent
    assert isinstance(exponent, int)
    if -exponent > PLACES or value.adjusted() >= DIGITS:
        raise Invalid(f"at most {DIGITS} digits before the point and {PLACES} after it", param=name)
    return value
