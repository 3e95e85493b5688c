"""Memos: what a payer's comment says, by the one rule of this platform (THREATS rule 19).

A memo is a text comment (32 zero bits, then UTF-8, going on in the reference of each cell: docs.ton.org, "snake
format"), without ASCII white space at its ends. Nothing else is changed: no letter case, no digits of other scripts,
no invisible characters. Binary and encrypted comments, broken UTF-8 and any other body are no memo.
"""

from codecs import getincrementaldecoder
from typing import Final

from bitlinkpay.chains.ton.cell import BITS_MAX, BadCell, Builder, Cell, Slice

MEMO_CHARS: Final = 128  # far more than a tag has: what is cut off cannot be one of ours
_OP_BITS = 32
_TEXT_OP = 0
_CELL_BYTES = BITS_MAX // 8
_BYTES_READ = 4 * (MEMO_CHARS + 1)  # a character of UTF-8 has at most four bytes
_SPACE = " \t\r\n\v\f"
_DECODER = getincrementaldecoder("utf-8")


def memo_of(payload: Cell | None) -> str:
    """Return the memo in a message body or a forward payload, "" where it has none that counts.

    The answer is fit for any page and log: characters that do not print (NUL, controls, zero-width) stand as U+FFFD,
    which no tag contains, and it is cut to `MEMO_CHARS`.
    """
    if payload is None:
        return ""
    try:
        text = _text(Slice(payload))
    except (BadCell, UnicodeDecodeError):
        return ""
    return "".join(char if char.isprintable() else "\ufffd" for char in text.strip(_SPACE)[:MEMO_CHARS])


def comment(text: str) -> Cell:
    """Return the body that carries a text comment."""
    data = _TEXT_OP.to_bytes(4, "big") + text.encode()
    body: Cell | None = None
    for at in reversed(range(0, len(data), _CELL_BYTES)):
        builder = Builder().bytes(data[at : at + _CELL_BYTES])
        body = (builder.ref(body) if body else builder).end()
    assert body is not None
    return body


def _text(payload: Slice) -> str:
    if payload.bits_left < _OP_BITS or payload.uint(_OP_BITS) != _TEXT_OP:
        return ""
    data = _snake(payload)
    return _DECODER().decode(data[:_BYTES_READ], final=len(data) <= _BYTES_READ)


def _snake(cell: Slice) -> bytes:
    """Return the bytes that go on from cell to cell, at least as many as a memo needs where there are more."""
    parts: list[bytes] = []
    length = 0
    while True:
        if cell.bits_left % 8 or cell.refs_left > 1:
            raise BadCell("no snake: parts of a byte, or two ways on")
        parts.append(cell.bytes(cell.bits_left // 8))
        length += len(parts[-1])
        if length > _BYTES_READ or not cell.refs_left:
            return b"".join(parts)
        cell = Slice(cell.ref())
