"""Statements for other programs: exact amounts, one shape, and no cell that a spreadsheet would run."""

import csv
from datetime import UTC, date, datetime
from io import StringIO
from uuid import UUID

import pytest
from tests.flows.harness import REGISTRY

from bitlinkpay.core.ids import MerchantId, PostingId, new_uuid7
from bitlinkpay.statements import export
from bitlinkpay.statements.model import Line, Movement, Pots, Statement

ASSET = REGISTRY.assets["usdt-tron"]
ONE, TWO = PostingId(UUID(int=1)), PostingId(UUID(int=2))
CREDITED = Movement(
    event="deposit_credited",
    postings=2,
    first=ONE,
    last=TWO,
    change=Pots(available_units=9_970_000, pending_units=-10_000_000),
    fee_units=30_000,
)
STATEMENT = Statement(
    merchant_id=MerchantId(new_uuid7()),
    asset="usdt-tron",
    day=date(2026, 3, 1),
    is_closed=True,
    opening=Pots(pending_units=10_000_000, debt_units=1),
    movements=(CREDITED,),
)


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(StringIO(text)))


def test_the_json_has_everything_in_major_units() -> None:
    shown = export.show_statement(STATEMENT, ASSET)
    assert shown.keys() == {"merchant_id", "asset", "day", "closed", "opening", "movements", "fees", "closing"}
    assert shown["merchant_id"] == f"mer_{STATEMENT.merchant_id.hex}"
    assert (shown["day"], shown["closed"], shown["fees"]) == ("2026-03-01", True, "0.03")
    empty = {"available": "0", "reserved": "0", "pending": "0", "unassigned": "0", "quarantined": "0", "debt": "0"}
    assert shown["opening"] == empty | {"pending": "10", "debt": "0.000001"}
    assert shown["closing"] == empty | {"available": "9.97", "debt": "0.000001"}
    assert shown["movements"] == [
        {
            "event": "deposit_credited",
            "postings": 2,
            "first": f"pst_{ONE.hex}",
            "last": f"pst_{TWO.hex}",
            "change": empty | {"available": "9.97", "pending": "-10"},
            "fees": "0.03",
        }
    ]


def test_the_csv_adds_up_by_itself() -> None:
    found = rows(export.statements_csv([STATEMENT, STATEMENT], REGISTRY.assets, "Corner Shop"))
    assert [row["row"] for row in found] == ["opening", "movement", "closing"] * 2
    assert tuple(found[0]) == export.COLUMNS
    opening, movement, closing = found[:3]
    assert (movement["event"], movement["postings"], movement["fees"]) == ("deposit_credited", "2", "0.03")
    assert (movement["first"], movement["last"]) == (f"pst_{ONE.hex}", f"pst_{TWO.hex}")
    assert (opening["pending"], movement["pending"], closing["pending"]) == ("10", "-10", "0")
    assert {row["merchant"] for row in found} == {"Corner Shop"}
    assert {row["closed"] for row in found} == {"yes"}


def test_the_postings_are_one_a_row() -> None:
    at = datetime(2026, 3, 1, 12, tzinfo=UTC)
    line = Line(ONE, at, "deposit_seen", "deposit:0a:seen", Pots(pending_units=1), 0)
    (row,) = rows(export.lines_csv([(STATEMENT, line)], REGISTRY.assets, "Corner Shop"))
    assert tuple(row) == export.LINE_COLUMNS
    assert (row["posting"], row["key"], row["pending"]) == (f"pst_{ONE.hex}", "deposit:0a:seen", "0.000001")
    assert row["recorded_at"] == at.isoformat()
    assert export.show_line(line, ASSET)["change"] == export.show_pots(line.change, ASSET)


@pytest.mark.parametrize(
    "name",
    ['=HYPERLINK("http://x","y")', "+1", "-1+2", "@SUM(1)", "\t=1", "\r=1", "\n=1", "\uff1d1", "\uff0b1", "\uff0d1", "\uff201"],
)  # fmt: skip
def test_SET_09_no_name_becomes_a_formula(name: str) -> None:
    """OWASP, CSV Injection: what a spreadsheet would run is written as text."""
    found = rows(export.statements_csv([STATEMENT], REGISTRY.assets, name))
    assert {row["merchant"] for row in found} == {f"'{name}"}


@pytest.mark.parametrize("name", ["Corner Shop", "a=b", 'say "hi", twice', "two\nlines", "'quoted", "1-2", ""])
def test_other_names_stay_as_they_are(name: str) -> None:
    (row, *_) = rows(export.statements_csv([STATEMENT], REGISTRY.assets, name))
    assert row["merchant"] == name


def test_amounts_of_any_size_are_exact() -> None:
    units = 10**78 - 1
    shown = export.show_pots(Pots(available_units=units, pending_units=-units), REGISTRY.assets["eth-ethereum"])
    assert shown["available"] == f"{'9' * 60}.{'9' * 18}"
    assert shown["pending"] == "-" + shown["available"]
