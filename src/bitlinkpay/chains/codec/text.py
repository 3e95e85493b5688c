"""Foreign text, fit to be shown."""

from typing import Final

_MOST_CHARS: Final = 160


def printable(text: str) -> str:
    """Return foreign text fit for one log line: printable characters only, cut short."""
    return "".join(c if c.isprintable() else "?" for c in text[:_MOST_CHARS])
