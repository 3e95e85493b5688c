"""What a comment may hold: exact match after one rule, else nobody's (TON-07); every form that wallets send is read."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pytoniq_core import Cell as OracleCell
from pytoniq_core import begin_cell

from bitlinkpay.chains.ton.boc import parse_boc
from bitlinkpay.chains.ton.memo import MEMO_CHARS, comment, memo_of
from bitlinkpay.wallets.tags import is_tag, tag_of

TAG = tag_of(b"secret", 4711)
OP = b"\x00\x00\x00\x00"


def read(cell: OracleCell) -> str:
    return memo_of(parse_boc(cell.to_boc()))


def plain(data: bytes) -> OracleCell:
    return begin_cell().store_bytes(data).end_cell()


def snake(*pieces: bytes) -> OracleCell:
    """Return the pieces, each in the reference of the one before."""
    below: OracleCell | None = None
    for piece in reversed(pieces):
        cell = begin_cell().store_bytes(piece)
        below = (cell.store_ref(below) if below else cell).end_cell()
    return below


def two(first: OracleCell, second: OracleCell) -> OracleCell:
    return begin_cell().store_bytes(OP + TAG.encode()).store_ref(first).store_ref(second).end_cell()


HALF = len(TAG) // 2
COMMENTS = [
    # what wallets send, and people write
    ("as it is", plain(OP + TAG.encode()), TAG),
    ("two cells", snake(OP + TAG[:HALF].encode(), TAG[HALF:].encode()), TAG),
    ("three cells", snake(OP + TAG[:1].encode(), TAG[1:3].encode(), TAG[3:].encode()), TAG),
    ("an empty first cell", snake(OP, TAG.encode()), TAG),
    ("an empty last cell", snake(OP + TAG.encode(), b""), TAG),
    ("a space before", plain(OP + b" " + TAG.encode()), TAG),
    ("a space behind", plain(OP + TAG.encode() + b" "), TAG),
    ("a line end behind", plain(OP + TAG.encode() + b"\r\n"), TAG),
    ("tabs around", plain(OP + b"\t" + TAG.encode() + b"\t\v\f"), TAG),
    ("a hundred spaces around", snake(OP + b" " * 100, TAG.encode() + b" " * 100), TAG),
    # what looks alike and is not it
    ("no comment", begin_cell().end_cell(), ""),
    ("an empty comment", plain(OP), ""),
    ("only spaces", plain(OP + b"   "), ""),
    ("a space within", plain(OP + TAG[:3].encode() + b" " + TAG[3:].encode()), f"{TAG[:3]} {TAG[3:]}"),
    ("a no-break space behind", plain(OP + TAG.encode() + "\u00a0".encode()), TAG + "\ufffd"),
    ("a zero-width space behind", plain(OP + TAG.encode() + "\u200b".encode()), TAG + "\ufffd"),
    ("a zero-width space within", plain(OP + (TAG[:3] + "\u200b" + TAG[3:]).encode()), f"{TAG[:3]}\ufffd{TAG[3:]}"),
    ("a byte order mark", plain(OP + ("\ufeff" + TAG).encode()), "\ufffd" + TAG),
    ("a NUL behind", plain(OP + TAG.encode() + b"\x00"), TAG + "\ufffd"),
    ("an ideographic space", plain(OP + ("\u3000" + TAG).encode()), "\ufffd" + TAG),
    ("Arabic digits", plain(OP + "١٢٣٤٥٦٧٨٩".encode()), "١٢٣٤٥٦٧٨٩"),
    ("full-width digits", plain(OP + "１２３４５６７８９".encode()), "１２３４５６７８９"),
    ("a leading zero", plain(OP + b"0" + TAG.encode()), "0" + TAG),
    ("a plus", plain(OP + b"+" + TAG.encode()), "+" + TAG),
    ("words around", plain(OP + b"order " + TAG.encode()), f"order {TAG}"),
    ("one digit less", plain(OP + TAG[:-1].encode()), TAG[:-1]),
    ("upper case hex", plain(OP + b"0xAB"), "0xAB"),
    ("broken UTF-8", plain(OP + TAG.encode() + b"\xff"), ""),
    ("broken UTF-8 within", plain(OP + TAG[:3].encode() + b"\xc3" + TAG[3:].encode()), ""),
    ("UTF-16", plain(OP + TAG.encode("utf-16-be")), "\ufffd" + "\ufffd".join(TAG)),
    # other bodies
    ("a binary comment", plain(OP + b"\xff" + TAG.encode()), ""),
    ("an encrypted comment", plain(bytes.fromhex("2167da4b") + TAG.encode()), ""),
    ("no operation at all", plain(TAG.encode()), ""),
    ("another operation", plain(b"\x00\x00\x00\x01" + TAG.encode()), ""),
    ("less than an operation", begin_cell().store_uint(0, 31).end_cell(), ""),
    ("parts of a byte", begin_cell().store_bytes(OP + TAG.encode()).store_bit(0).end_cell(), ""),
    ("two ways on", two(plain(b""), plain(b"")), ""),
]


@pytest.mark.parametrize(("cell", "memo"), [row[1:] for row in COMMENTS], ids=[row[0] for row in COMMENTS])
def test_TON_07_a_comment_is_our_tag_exactly_or_not_at_all(cell: OracleCell, memo: str) -> None:
    assert read(cell) == memo
    assert is_tag(memo) == (memo == TAG)


def test_TON_07_the_table_has_genuine_and_other_rows() -> None:
    memos = [row[2] for row in COMMENTS]
    assert len(memos) >= 30
    assert memos.count(TAG) >= 10


@given(st.text(st.characters(codec="utf-8"), max_size=400))
def test_what_we_write_is_read_back_and_is_what_others_write(text: str) -> None:
    written = comment(text)
    assert written.hash == begin_cell().store_uint(0, 32).store_snake_string(text).end_cell().hash
    expected = "".join(c if c.isprintable() else "\ufffd" for c in text.strip(" \t\r\n\v\f")[:MEMO_CHARS])
    if len(text.encode()) <= 4 * MEMO_CHARS:
        assert memo_of(written) == expected


@given(st.lists(st.binary(max_size=127), min_size=1, max_size=12))
def test_any_bytes_in_any_cells_never_crash(pieces: list[bytes]) -> None:
    memo = read(snake(OP + pieces[0][:100], *pieces[1:]))
    assert len(memo) <= MEMO_CHARS
    assert memo.isprintable() or "\ufffd" in memo
    assert "\x00" not in memo


def test_a_text_without_end_costs_no_more_than_its_beginning() -> None:
    long = snake(OP, *[b"7" * 127] * 900)
    assert read(long) == "7" * MEMO_CHARS
    assert not is_tag(read(long))


def test_a_long_text_that_begins_like_a_tag_is_none() -> None:
    assert read(snake(OP + TAG.encode(), *[b" " * 127] * 3, b"x" * 127, b"x" * 127)) != TAG
    assert read(snake(OP + b"1234\xff5678", *[b" " * 127] * 6)) == ""  # broken, wherever it is cut
    cut = "9" * 515 + "é"
    assert read(snake(OP, *[cut.encode()[at : at + 127] for at in range(0, 517, 127)])) == "9" * MEMO_CHARS


def test_a_payload_that_is_code_kept_elsewhere_is_no_memo() -> None:
    library = OracleCell.one_from_boc(bytes.fromhex("b5ee9c7201010101002300084202" + "ba" * 32))
    assert memo_of(parse_boc(library.to_boc())) == ""
    assert memo_of(None) == ""
