"""Statements as other programs read them: JSON objects and CSV, amounts in major units."""

import csv
from collections.abc import Mapping, Sequence
from io import StringIO
from typing import Final

from bitlinkpay.core.assets import Asset
from bitlinkpay.core.ids import show_id
from bitlinkpay.core.money import format_units
from bitlinkpay.statements.model import Line, Movement, Pots, Statement

_POTS: Final = ("available", "reserved", "pending", "unassigned", "quarantined", "debt")
COLUMNS: Final = (
    "merchant_id", "merchant", "asset", "day", "closed", "row", "event", "postings", *_POTS, "fees", "first", "last",
)  # fmt: skip
LINE_COLUMNS: Final = (
    "merchant_id", "merchant", "asset", "day", "posting", "recorded_at", "event", "key", *_POTS, "fees",
)  # fmt: skip
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")  # and full-width ones


def show_statement(statement: Statement, asset: Asset) -> dict[str, object]:
    """Return a statement as a JSON object."""
    return {
        "merchant_id": show_id("mer", statement.merchant_id),
        "asset": statement.asset,
        "day": statement.day.isoformat(),
        "closed": statement.is_closed,
        "opening": show_pots(statement.opening, asset),
        "movements": [_movement(movement, asset) for movement in statement.movements],
        "fees": format_units(statement.fee_units, asset.decimals),
        "closing": show_pots(statement.closing, asset),
    }


def show_line(line: Line, asset: Asset) -> dict[str, object]:
    """Return one posting as a JSON object."""
    return {
        "posting": show_id("pst", line.posting_id),
        "recorded_at": line.recorded_at.isoformat(),
        "event": line.event,
        "key": line.key,
        "change": show_pots(line.change, asset),
        "fees": format_units(line.fee_units, asset.decimals),
    }


def show_pots(pots: Pots, asset: Asset) -> dict[str, str]:
    """Return the pots by name in major units."""
    units = (
        pots.available_units,
        pots.reserved_units,
        pots.pending_units,
        pots.unassigned_units,
        pots.quarantined_units,
        pots.debt_units,
    )
    return {name: format_units(one, asset.decimals) for name, one in zip(_POTS, units, strict=True)}


def _movement(movement: Movement, asset: Asset) -> dict[str, object]:
    return {
        "event": movement.event,
        "postings": movement.postings,
        "first": show_id("pst", movement.first),
        "last": show_id("pst", movement.last),
        "change": show_pots(movement.change, asset),
        "fees": format_units(movement.fee_units, asset.decimals),
    }


def statements_csv(statements: Sequence[Statement], assets: Mapping[str, Asset], merchant: str) -> str:
    """Return statements as CSV (RFC 4180): per statement an opening, its movements, a closing.

    Args:
        statements: of one merchant.
        assets: those of the statements, by id.
        merchant: the merchant's name, free text.
    """
    return _csv(COLUMNS, [row for one in statements for row in statement_rows(one, assets[one.asset], merchant)])


def lines_csv(found: Sequence[tuple[Statement, Line]], assets: Mapping[str, Asset], merchant: str) -> str:
    """Return the postings behind statements of one merchant as CSV, one a row."""
    return _csv(LINE_COLUMNS, [_line_row(one, line, assets[one.asset], merchant) for one, line in found])


def _line_row(statement: Statement, line: Line, asset: Asset, merchant: str) -> dict[str, str]:
    return (
        _head(statement, merchant)
        | {"posting": show_id("pst", line.posting_id), "recorded_at": line.recorded_at.isoformat()}
        | {"event": line.event, "key": line.key, "fees": format_units(line.fee_units, asset.decimals)}
        | show_pots(line.change, asset)
    )


def statement_rows(statement: Statement, asset: Asset, merchant: str) -> list[dict[str, str]]:
    """Return a statement as rows for people: its opening, its movements, its closing."""
    head = _head(statement, merchant) | {"closed": "yes" if statement.is_closed else "no"}
    movements = [
        head
        | {"row": "movement", "event": movement.event, "postings": str(movement.postings)}
        | {"first": show_id("pst", movement.first), "last": show_id("pst", movement.last)}
        | {"fees": format_units(movement.fee_units, asset.decimals)}
        | show_pots(movement.change, asset)
        for movement in statement.movements
    ]
    fees = {"fees": format_units(statement.fee_units, asset.decimals)}
    return [
        head | {"row": "opening"} | show_pots(statement.opening, asset),
        *movements,
        head | {"row": "closing"} | fees | show_pots(statement.closing, asset),
    ]


def _head(statement: Statement, merchant: str) -> dict[str, str]:
    return {
        "merchant_id": show_id("mer", statement.merchant_id),
        "merchant": safe_cell(merchant),
        "asset": safe_cell(statement.asset),
        "day": statement.day.isoformat(),
    }


def safe_cell(text: str) -> str:
    """Return free text that no spreadsheet takes for a formula: OWASP's "CSV Injection", a quote before it.

    Numbers of ours, whose minus sign is one, never pass through here.
    """
    return f"'{text}" if text.startswith(_FORMULA) else text


def _csv(columns: Sequence[str], rows: Sequence[Mapping[str, str]]) -> str:
    written = StringIO()
    writer = csv.DictWriter(written, columns, restval="")
    writer.writeheader()
    writer.writerows(rows)
    return written.getvalue()
