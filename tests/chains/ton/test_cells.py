"""Cells and bags of cells against the reference library, published bytes and whatever anyone may send."""

import contextlib
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pytoniq_core import Address, begin_cell
from pytoniq_core import Cell as OracleCell
from ton_core.contrib.contracts.codes import CONTRACT_CODES

from bitlinkpay.chains.ton.boc import crc32c, parse_boc, serialize_boc
from bitlinkpay.chains.ton.cell import BITS_MAX, BadCell, Builder, Cell, Slice

RAW = "0:" + "5b" * 32


def leaf(value: int, size: int) -> tuple[Cell, OracleCell]:
    oracle = begin_cell().store_uint(value, size) if size else begin_cell()
    return Builder().uint(value, size).end(), oracle.end_cell()


@st.composite
def trees(draw: st.DrawFn) -> tuple[Cell, OracleCell]:
    """The same tree by our hand and by the library's."""
    return _tree(random.Random(draw(st.integers(0, 2**32))), draw(st.integers(0, 4)))


def _tree(chance: random.Random, depth: int) -> tuple[Cell, OracleCell]:
    size = chance.choice([0, 1, 7, 8, 9, 1016, 1022, 1023, chance.randrange(1024)])
    value = chance.getrandbits(size) if size else 0
    builder, oracle = Builder().uint(value, size), begin_cell()
    if size:
        oracle.store_uint(value, size)
    for _ in range(chance.randrange(5) if depth else 0):
        ours, theirs = _tree(chance, depth - 1)
        builder.ref(ours)
        oracle.store_ref(theirs)
    return builder.end(), oracle.end_cell()


@given(trees())
def test_hashes_and_bytes_are_those_of_the_reference(pair: tuple[Cell, OracleCell]) -> None:
    ours, theirs = pair
    assert ours.hash == theirs.hash
    assert OracleCell.one_from_boc(serialize_boc(ours)).hash == theirs.hash
    for form in ({}, {"has_idx": True}, {"hash_crc32": False}):
        assert parse_boc(theirs.to_boc(**form)) == ours


@given(st.binary(max_size=200))
def test_any_bytes_are_a_cell_or_refused(data: bytes) -> None:
    with contextlib.suppress(BadCell):
        parse_boc(data)


@given(trees(), st.data())
def test_a_changed_bag_is_refused_or_is_what_it_says(pair: tuple[Cell, OracleCell], data: st.DataObject) -> None:
    """With a checksum every change of a byte is found."""
    boc = bytearray(serialize_boc(pair[0]))
    at = data.draw(st.integers(5, len(boc) - 1))  # the fifth byte says whether there is a checksum
    boc[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises(BadCell):
        parse_boc(bytes(boc))


@given(trees(), st.data())
def test_without_a_checksum_a_changed_bag_never_crashes(pair: tuple[Cell, OracleCell], data: st.DataObject) -> None:
    boc = bytearray(pair[1].to_boc(hash_crc32=False))
    for _ in range(data.draw(st.integers(1, 4))):
        boc[data.draw(st.integers(0, len(boc) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(BadCell):
        parse_boc(bytes(boc))


@pytest.mark.parametrize(
    ("name", "code"), [(str(name), code) for name, code in CONTRACT_CODES.items()], ids=map(str, CONTRACT_CODES)
)
def test_published_contract_codes_are_read_and_written_back(name: str, code: str) -> None:
    """Source: the code of well-known contracts as `ton_core` ships it, some of them library cells."""
    theirs = OracleCell.one_from_boc(code)
    ours = parse_boc(bytes.fromhex(code))
    assert ours.hash == theirs.hash
    assert parse_boc(serialize_boc(ours)) == ours
    assert ours.is_library == code.startswith("b5ee9c7201010101002300084202")


def test_crc32c_is_that_of_the_standard() -> None:
    """RFC 3720, appendix B.4."""
    assert crc32c(bytes(32)) == 0x8A9136AA
    assert crc32c(b"\xff" * 32) == 0x62A8AB43
    assert crc32c(bytes(range(32))) == 0x46DD794E


ONE = serialize_boc(Builder().uint(5, 3).end())


def bag(cells: bytes, count: int, *, roots: int = 1, root: int = 0, absent: int = 0, size: int = 1) -> bytes:
    numbers = b"".join(number.to_bytes(size, "big") for number in (count, roots, absent))
    return (
        bytes.fromhex("b5ee9c72")
        + bytes([size, 1])
        + numbers
        + bytes([len(cells)])
        + root.to_bytes(size, "big")
        + cells
    )


@pytest.mark.parametrize(
    "data",
    [
        b"",
        ONE[:3],
        b"\x00" + ONE[1:],
        ONE + b"\x00",
        ONE[:-1],
        bag(b"\x00\x00", 1, roots=2),
        bag(b"\x00\x00", 1, root=1),
        bag(b"\x00\x00", 1, absent=1),
        bag(b"", 0),
        bytes.fromhex("b5ee9c72") + bytes([1, 1, 1, 1, 0, 3, 0, 0, 0]),  # two bytes of cells, and it says three
        bag(b"\x00\x00", 200),
        bag(b"\x00\x00\x00\x00", 2),  # nothing points to the second
        bag(b"\x01\x00\x00", 1),  # to itself
        bag(b"\x01\x00\x01\x01\x00\x00", 2),  # in a circle
        bag(b"\x01\x00\x09", 1),  # to nowhere
        bag(b"\x05\x00\x01\x01\x01\x01\x01\x00\x00", 2),  # five references
        bag(b"\x00\x01\x00", 1),  # no end mark
        bag(b"\x10\x00", 1),  # hashes stored along
        bag(b"\x20\x00", 1),  # a level
        bag(b"\x08\x02\x03", 1),  # a Merkle proof
        bag(b"\x08\x40\x02" + bytes(31), 1),  # a library reference with another length
        bytes.fromhex("b5ee9c72") + bytes([0x20 | 1, 1]) + ONE[6:],
        bytes.fromhex("b5ee9c72") + bytes([0, 1]) + bytes(20),
    ],
)
def test_other_forms_are_refused(data: bytes) -> None:
    with pytest.raises(BadCell):
        parse_boc(data)


def test_a_bag_that_claims_millions_of_cells_costs_nothing() -> None:
    claim = bytes.fromhex("b5ee9c72") + bytes([4, 4]) + (2**31).to_bytes(4, "big") + (1).to_bytes(4, "big") + bytes(12)
    with pytest.raises(BadCell):
        parse_boc(claim)


def test_a_very_deep_tree_is_refused_and_one_at_the_limit_is_read() -> None:
    cell = Builder().end()
    for _ in range(1024):
        cell = Builder().ref(cell).end()
    assert parse_boc(serialize_boc(cell)) == cell
    with pytest.raises(BadCell):
        Builder().ref(cell).end()


def test_equal_cells_are_stored_once() -> None:
    same = Builder().uint(7, 1000).end()
    twice = Builder().ref(same).ref(Builder().ref(same).end()).ref(same).end()
    assert len(serialize_boc(twice)) < 180
    assert parse_boc(serialize_boc(twice)) == twice


@pytest.mark.parametrize(
    "make",
    [
        lambda: Builder().uint(8, 3),
        lambda: Builder().uint(-1, 8),
        lambda: Builder().uint(0, BITS_MAX + 1).end(),
        lambda: Builder().ref(Cell(0, 0)).ref(Cell(0, 0)).ref(Cell(0, 0)).ref(Cell(0, 0)).ref(Cell(0, 0)).end(),
        lambda: Builder().coins(1 << 120),
        lambda: Builder().coins(-5),
        lambda: Slice(Cell(0, 3)).uint(4),
        lambda: Slice(Cell(0, 0)).ref(),
        lambda: Slice(Cell(0, 0)).address(),
        lambda: Slice(Builder().uint(15, 4).end()).coins(),
        lambda: Cell(5, 8, is_library=True),
    ],
)
def test_what_does_not_fit_is_refused(make: object) -> None:
    with pytest.raises(BadCell):
        make()


@given(st.integers(0, 2**120 - 1))
def test_amounts_are_those_of_the_reference(units: int) -> None:
    ours = Builder().coins(units).end()
    assert ours.hash == begin_cell().store_coins(units).end_cell().hash
    assert Slice(ours).coins() == units


@given(st.sampled_from([0, -1]), st.binary(min_size=32, max_size=32))
def test_addresses_are_those_of_the_reference(workchain: int, account: bytes) -> None:
    raw = f"{workchain}:{account.hex()}"
    ours = Builder().address(raw).end()
    assert ours.hash == begin_cell().store_address(Address(raw)).end_cell().hash
    assert Slice(ours).address() == raw


def test_every_other_form_of_address_is_skipped_by_its_length() -> None:
    mark = 0b1011
    forms = [
        begin_cell().store_uint(0, 2),
        begin_cell().store_uint(0b01, 2).store_uint(0, 9),
        begin_cell().store_uint(0b01, 2).store_uint(511, 9).store_uint(1, 511),
        begin_cell().store_uint(0b101, 3).store_uint(30, 5).store_uint(9, 30).store_uint(0, 264),
        begin_cell().store_uint(0b110, 3).store_uint(12, 9).store_uint(0, 32).store_uint(3, 12),
        begin_cell()
        .store_uint(0b111, 3)
        .store_uint(1, 5)
        .store_uint(1, 1)
        .store_uint(12, 9)
        .store_uint(0, 32)
        .store_uint(3, 12),
    ]
    for form in forms:
        fields = Slice(parse_boc(form.store_uint(mark, 4).end_cell().to_boc()))
        assert fields.address() == ""
        assert (fields.uint(4), fields.bits_left) == (mark, 0)


def test_the_rest_of_a_slice_is_a_cell_of_its_own() -> None:
    inner = Builder().uint(9, 9).end()
    fields = Slice(Builder().uint(1, 1).uint(77, 30).ref(inner).end())
    fields.uint(1)
    assert fields.rest() == Builder().uint(77, 30).ref(inner).end()
    assert Builder().bit(1).rest(fields.rest()).end() == Builder().uint(1, 1).uint(77, 30).ref(inner).end()
    assert Builder().uint(0, 23).room == 1000
    assert RAW == Slice(Builder().address(RAW).end()).address()
    assert Cell(1, 1) != Cell(1, 2)
    assert Cell(1, 1) != 1
    assert len({Cell(1, 1), Cell(1, 1)}) == 1
