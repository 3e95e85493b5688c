"""Files of payouts: what spreadsheets do to them, what is read, and what each wrong line is told."""

import csv
import io
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitlinkpay.payouts.batch_file import MOST_BYTES, MOST_LINES, BadFile, BadLine, Line, parse_batch, write_cells

HEAD = "source_id,asset,address,amount,tag"
GOOD = Line(2, "w-1", "usdt-tron", "TAddress", Decimal("12.5"), "")


def read(*lines: str, end: str = "\n") -> list[Line | BadLine]:
    return parse_batch(end.join((HEAD, *lines, "")).encode())


@pytest.mark.parametrize(
    "content",
    [
        f"{HEAD}\nw-1,usdt-tron,TAddress,12.5,\n",
        f"{HEAD}\r\nw-1,usdt-tron,TAddress,12.5,\r\n",
        f"{HEAD}\nw-1,usdt-tron,TAddress,12.5,",
        f"\ufeff{HEAD}\nw-1,usdt-tron,TAddress,12.5,\n",
        "\ufeffsource_id;asset;address;amount\r\nw-1;usdt-tron;TAddress;12.5\r\n",
        "source_id\tasset\taddress\tamount\nw-1\tusdt-tron\tTAddress\t12.5\n",
        'amount,"address",ASSET, source_id \n12.50,"TAddress",usdt-tron,"w-1"\n',
        f"{HEAD}\n w-1 , usdt-tron , TAddress , 12.5 , \n,,,,\n\n",
    ],
)
def test_what_spreadsheets_write_is_read_as_it_was_meant(content: str) -> None:
    assert parse_batch(content.encode()) == [GOOD]


def test_quotes_hold_the_delimiter_and_quotes() -> None:
    (line,) = read('"a,""b""",usdt-ton,EQ,1,"memo, 7"')
    assert isinstance(line, Line)
    assert (line.source_id, line.tag) == ('a,"b"', "memo, 7")


def test_a_line_is_known_by_its_number_in_the_file() -> None:
    lines = read("a,x,y,1,", "", "b,x,y,oops,", 'c,x,y,1,"broken\nin two"', "d,x,y,1,")
    assert [(line.number, type(line)) for line in lines] == [(2, Line), (4, BadLine), (5, BadLine), (7, Line)]


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ("w,usdt-tron,T,1.5E+05,", "shortened by a spreadsheet"),
        ("w,usdt-tron,T,1e5,", "shortened by a spreadsheet"),
        ("w,ton-ton,EQ,1,1.23457E+15", "tag '1.23457E+15' was shortened by a spreadsheet"),
        ("1.23457E+17,usdt-tron,T,1,", "source_id '1.23457E+17' was shortened"),
        ('w,usdt-tron,T,"1,500.00",', "without separators between thousands"),
        ('w,usdt-tron,T,"1,500",', "without separators between thousands"),
        ("w,usdt-tron,T,1 500,", "without separators between thousands"),
        ("w,usdt-tron,T,1'500.25,", "without separators between thousands"),
        ("w,usdt-tron,T,1.500.000,", "without separators between thousands"),
        ("w,usdt-tron,T,1\u00a0500,", "that can't be seen"),
        ('w,usdt-tron,T,"12,5",', "write a decimal point"),
        ("w,usdt-tron,T,-5,", "plain digits"),
        ("w,usdt-tron,T,$5,", "plain digits"),
        ("w,usdt-tron,T,=1+4,", "plain digits"),
        ("w,usdt-tron,T,(5),", "plain digits"),
        ("w,usdt-tron,T,NaN,", "plain digits"),
        ("w,usdt-tron,T,\u0665,", "plain digits"),
        ("w,usdt-tron,T,,", "amount is empty"),
        (",usdt-tron,T,1,", "source_id is empty"),
        ("w,,T,1,", "asset is empty"),
        ("w,usdt-tron,,1,", "address is empty"),
        ("w,usdt-tron,T,1", "4 fields, the first line has 5"),
        ("w,usdt-tron,T,1,,,", "7 fields, the first line has 5"),
        (f"{'w' * 129},usdt-tron,T,1,", "source_id is too long"),
        (f"w,usdt-tron,{'T' * 257},1,", "address is too long"),
        ("w\u202e,usdt-tron,T,1,", "that can't be seen"),
    ],
)
def test_PAY_42_a_wrong_line_is_told_what_to_change_and_spoils_no_other(fields: str, told: str) -> None:
    first, wrong, last = read("a,usdt-tron,T,1,", fields, "z,usdt-tron,T,1,")
    assert isinstance(wrong, BadLine), wrong
    assert told in wrong.problem.message
    assert wrong.number == 3
    assert isinstance(first, Line)
    assert isinstance(last, Line)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "empty"),
        (b"\n\n", "empty"),
        (HEAD.encode("utf-16"), "UTF-16"),
        (b"source_id,asset\0", "UTF-16"),
        (HEAD.encode() + b"\n\xff,x,y,1,", "not UTF-8"),
        (b"a,b,c\n1,2,3\n", "source_id is missing"),
        (b"source_id,asset,address\n", "amount is missing"),
        (f"{HEAD},amount\n".encode(), "'amount' that is unknown or there twice"),
        (f"{HEAD},fee\n".encode(), "'fee' that is unknown"),
        (f'{HEAD}\na,x,y,1,\nb,"x,y,1,\nc,x,y,1,\n'.encode(), "line 3"),
        (f'{HEAD}\nb,"x"y,z,1,\n'.encode(), "quote opens or closes"),
        (b"x" * (MOST_BYTES + 1), "longer than"),
        ((HEAD + "\nw,x,y,1," * (MOST_LINES + 1)).encode(), f"at most {MOST_LINES}"),
    ],
)
def test_a_file_whose_lines_cannot_be_told_apart_is_refused_whole(content: bytes, told: str) -> None:
    with pytest.raises(BadFile, match="nothing of the file was done") as refused:
        parse_batch(content)
    assert told in refused.value.message


@given(st.binary(max_size=300) | st.text(max_size=200).map(lambda text: f"{HEAD}\n{text}".encode()))
def test_whatever_comes_is_read_or_refused(content: bytes) -> None:
    try:
        lines = parse_batch(content)
    except BadFile:
        return
    for line in lines:
        assert isinstance(line, BadLine) or (line.amount >= 0 and line.source_id and line.address)


@given(st.lists(st.text(max_size=12), min_size=1, max_size=4))
def test_no_cell_of_a_result_begins_a_formula(cells: list[str]) -> None:
    written = write_cells([["head"] * len(cells), cells]).decode()
    rows = list(csv.reader(io.StringIO(written, newline="")))
    assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r")) for row in rows for cell in row)
    assert [cell.removeprefix("'") for cell in rows[1]] == [cell.removeprefix("'") for cell in cells]
