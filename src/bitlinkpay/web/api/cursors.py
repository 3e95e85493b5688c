"""Opaque cursors: where a list goes on, as text that means nothing to who holds it.

A cursor holds a position and no tenant: whose rows it walks is decided by the key that signs the request.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as NotBase64
from collections.abc import Callable, Sequence
from typing import Final, TypeVar
from uuid import UUID

import msgspec

from bitlinkpay.core.errors import Invalid
from bitlinkpay.web.api.shapes import Page

T = TypeVar("T")
B = TypeVar("B")

_MAX_PLACE: Final = 2**63 - 1
_Place = tuple[str, int]


class BadCursor(Invalid):
    """The cursor is none of this list's."""

    code = "cursor.invalid"

    def __init__(self) -> None:
        super().__init__("take next_cursor of the page before, of this very list", param="cursor")


def write_cursor(kind: str, *, number: int = 0, id_: UUID | None = None) -> str:
    """Return the cursor of a position in a list of some kind."""
    return urlsafe_b64encode(msgspec.json.encode([kind, id_.hex if id_ else "", number])).decode().rstrip("=")


def read_number(kind: str, cursor: str) -> int | None:
    """Return the number of a cursor, None for "".

    Raises:
        BadCursor: it is of another list, or of nobody.
    """
    return _read(kind, cursor)[1] if cursor else None


def read_id(kind: str, cursor: str) -> UUID | None:
    """Return the id of a cursor, None for "". Raises as `read_number`."""
    found = read_id_and_number(kind, cursor)
    return found[0] if found else None


def read_id_and_number(kind: str, cursor: str) -> tuple[UUID, int] | None:
    """Return both parts of a cursor, None for "". Raises as `read_number`."""
    if not cursor:
        return None
    text, number = _read(kind, cursor)
    try:
        return UUID(hex=text), number
    except ValueError:
        raise BadCursor from None


def _read(kind: str, cursor: str) -> _Place:
    try:
        found = msgspec.json.decode(urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)), type=tuple[str, str, int])
    except (NotBase64, ValueError, msgspec.MsgspecError):
        raise BadCursor from None
    if found[0] != kind or not 0 <= found[2] <= _MAX_PLACE:
        raise BadCursor
    return found[1], found[2]


def page_of(rows: Sequence[T], limit: int, show: Callable[[T], B], cursor_of: Callable[[T], str]) -> Page[B]:
    """Return a page from rows that were asked for with one more than `limit`: the one more tells that it goes on."""
    shown = rows[:limit]
    return Page(data=[show(row) for row in shown], next_cursor=cursor_of(shown[-1]) if len(rows) > limit else None)
