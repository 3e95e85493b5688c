"""A file of payouts as spreadsheets write it: read strictly, line by line, and answered line by line. Pure.

The first line names the columns: `source_id`, `asset`, `address`, `amount`, and `tag` if wanted, in any order. Fields
are parted by commas, semicolons or tabs, whichever the first line has; quotes, CRLF and a byte order mark are
understood.
"""

import csv
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from bitlinkpay.core.errors import Invalid
from bitlinkpay.core.money import parse_decimal

MOST_BYTES: Final = 4 * 1024 * 1024
MOST_LINES: Final = 10_000
MOST_SOURCE_ID: Final = 128
"""As in the SDK protocol."""
_REQUIRED: Final = ("source_id", "asset", "address", "amount")
_COLUMNS: Final = frozenset({*_REQUIRED, "tag"})
_LONGEST: Final = 256
_EXPONENT: Final = re.compile(r"[0-9]+([.,][0-9]+)?[eE][+-]?[0-9]+", re.ASCII)
_GROUPED: Final = re.compile(r"[0-9]{1,3}([,' .\u00a0\u202f][0-9]{3})+([.,][0-9]+)?", re.ASCII)
_COMMA: Final = re.compile(r"[0-9]+,[0-9]+", re.ASCII)
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet takes for a formula at the beginning of a cell (OWASP, CSV Injection)."""


@dataclass(frozen=True, slots=True)
class Line:
    """One payout of a file.

    Attributes:
        number: of its first line in the file, from 1; the header is line 1.
    """

    number: int
    source_id: str
    asset: str
    address: str
    amount: Decimal
    tag: str


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that can't be a payout; `source_id` as far as it can be told."""

    number: int
    source_id: str
    problem: Invalid


class BadFile(Invalid):
    """The file as a whole can't be read: none of its lines was done."""

    code = "payout.bad_file"

    def __init__(self, why: str) -> None:
        super().__init__(f"{why}; nothing of the file was done", param="file")


def parse_batch(content: bytes) -> list[Line | BadLine]:
    """Read a file; a line that is wrong spoils none of the others.

    Raises:
        BadFile: too large, not UTF-8 text, without a header, or with quotes that leave open where a line ends.
    """
    text = _text(content)
    heading = text.lstrip("\n").partition("\n")[0]
    rows = _rows(text, delimiter=max((",", ";", "\t"), key=heading.count))
    if not rows:
        raise BadFile("the file is empty")
    columns = _columns(rows[0][1])
    if len(rows) - 1 > MOST_LINES:
        raise BadFile(f"{len(rows) - 1} payouts, at most {MOST_LINES} go into one file")
    return [_line(number, columns, fields) for number, fields in rows[1:]]


def _text(content: bytes) -> str:
    if len(content) > MOST_BYTES:
        raise BadFile(f"longer than {MOST_BYTES} bytes")
    if content.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in content:
        raise BadFile("this is UTF-16 or no text at all; save it as CSV UTF-8")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise BadFile("this is not UTF-8; save it as CSV UTF-8") from None


def _rows(text: str, *, delimiter: str) -> list[tuple[int, list[str]]]:
    """Return what is not empty, each with the number of its first line."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    rows: list[tuple[int, list[str]]] = []
    first = 1
    try:
        for fields in reader:
            if any(field.strip() for field in fields):
                rows.append((first, fields))
            first = reader.line_num + 1
    except csv.Error as error:
        raise BadFile(f"line {first}: {error}: a quote opens or closes in the wrong place") from None
    return rows


def _columns(heading: Sequence[str]) -> list[str]:
    names = [name.strip().lower() for name in heading]
    missing = [name for name in _REQUIRED if name not in names]
    if missing:
        raise BadFile(
            f"the first line has to name the columns source_id, asset, address, amount: {missing[0]} is missing"
        )
    for name in names:
        if name not in _COLUMNS or names.count(name) > 1:
            raise BadFile(f"the first line has a column {name[:40]!r} that is unknown or there twice")
    return names


def _line(number: int, columns: Sequence[str], fields: Sequence[str]) -> Line | BadLine:
    values = {name: field.strip(" ") for name, field in zip(columns, fields, strict=False)}
    source_id = values.get("source_id", "")
    problem = Invalid(f"{len(fields)} fields, the first line has {len(columns)}")
    if len(fields) == len(columns):
        try:
            return _read(number, values)
        except Invalid as found:
            problem = found
    return BadLine(number, source_id[:MOST_SOURCE_ID], problem)


def _read(number: int, values: Mapping[str, str]) -> Line:
    for name, value in values.items():
        if len(value) > (MOST_SOURCE_ID if name == "source_id" else _LONGEST):
            raise Invalid(f"{name} is too long", param=name)
        if not value.isprintable():
            raise Invalid(f"{name} holds a line break or another character that can't be seen", param=name)
        if not value and name != "tag":
            raise Invalid(f"{name} is empty", param=name)
        if _EXPONENT.fullmatch(value):
            raise Invalid(
                f"{name} {value!r} was shortened by a spreadsheet; format the column as text and enter it again",
                param=name,
            )
    amount = _amount(values["amount"])
    return Line(number, values["source_id"], values["asset"], values["address"], amount, values.get("tag", ""))


def _amount(text: str) -> Decimal:
    if _GROUPED.fullmatch(text) and not re.fullmatch(r"[0-9]+\.[0-9]+", text, re.ASCII):
        raise Invalid(f"amount {text!r}: write it without separators between thousands, such as 1234.5", param="amount")
    if _COMMA.fullmatch(text):
        raise Invalid(f"amount {text!r}: write a decimal point, such as 1234.5", param="amount")
    try:
        return parse_decimal(text, param="amount")
    except Invalid as problem:
        raise Invalid(f"amount {text[:40]!r}: {problem.message}", param="amount") from None


def write_cells(rows: Sequence[Sequence[str]]) -> bytes:
    """Return rows as CSV that a spreadsheet opens without running any of it: a cell never begins a formula."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\r\n")
    for row in rows:
        writer.writerow([f"'{cell}" if cell.startswith(_FORMULA) else cell for cell in row])
    return out.getvalue().encode()
