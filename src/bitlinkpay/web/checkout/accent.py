"""A merchant's accent colour, moved just far enough to be readable (WCAG 2.2, 1.4.3: contrast of 4.5 to 1).

The colour reaches the page as a tiny style sheet of its own, since the page allows no inline style.
"""

import re
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import Final

_HEX: Final = re.compile(r"#?([0-9a-fA-F]{6})", re.ASCII)
_READABLE_TENTHS: Final = 45
_LIGHT_CARD: Final = (255, 255, 255)
_DARK_CARD: Final = (23, 27, 34)
_DARK_TEXT: Final = (11, 13, 16)
_STEPS: Final = 50

Colour = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Accent:
    """The accent on a light and on a dark page, and the text colour that is readable on it, as `#rrggbb`."""

    light: str
    on_light: str
    dark: str
    on_dark: str

    def style_sheet(self) -> str:
        """Return the CSS that overrides the page's own accent."""
        return (
            f":root{{--accent:{self.light};--on-accent:{self.on_light}}}"
            f"@media(prefers-color-scheme:dark){{:root{{--accent:{self.dark};--on-accent:{self.on_dark}}}}}"
        )


def accent_key(text: str) -> str | None:
    """Return six lower-case hex digits for `#RRGGBB` or `RRGGBB`, None for anything else (then no accent is used)."""
    match = _HEX.fullmatch(text)
    return match[1].lower() if match else None


@lru_cache(maxsize=256)
def readable(key: str) -> Accent:
    """Return the accent of six hex digits, darkened for the light page and lightened for the dark one as needed."""
    wanted = (int(key[0:2], 16), int(key[2:4], 16), int(key[4:6], 16))
    light = _moved(wanted, towards=(0, 0, 0), against=_LIGHT_CARD)
    dark = _moved(wanted, towards=(255, 255, 255), against=_DARK_CARD)
    return Accent(_show(light), _show(_text_on(light)), _show(dark), _show(_text_on(dark)))


def contrast_tenths(one: Colour, other: Colour) -> int:
    """Return the contrast ratio of two colours in tenths, rounded down: 45 is 4.5 to 1."""
    high, low = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (high + 500) * 10 // (low + 500)


def _moved(colour: Colour, *, towards: Colour, against: Colour) -> Colour:
    for step in range(_STEPS + 1):
        mixed = _mix(colour, towards, step)
        if contrast_tenths(mixed, against) >= _READABLE_TENTHS:
            return mixed
    return towards


def _mix(colour: Colour, towards: Colour, step: int) -> Colour:
    red, green, blue = (
        (part * (_STEPS - step) + goal * step) // _STEPS for part, goal in zip(colour, towards, strict=True)
    )
    return red, green, blue


def _text_on(colour: Colour) -> Colour:
    return max((_LIGHT_CARD, _DARK_TEXT), key=lambda text: contrast_tenths(text, colour))


def _luminance(colour: Colour) -> int:
    """Return the relative luminance in ten-thousandths (WCAG 2.2, "relative luminance")."""
    red, green, blue = (_linear(part) for part in colour)
    return (2126 * red + 7152 * green + 722 * blue) // 10_000


@lru_cache(maxsize=256)
def _linear(part: int) -> int:
    share = Decimal(part) / 255
    is_dark = share <= Decimal("0.04045")
    linear = share / Decimal("12.92") if is_dark else ((share + Decimal("0.055")) / Decimal("1.055")) ** Decimal("2.4")
    return round(linear * 10_000)


def _show(colour: Colour) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)
