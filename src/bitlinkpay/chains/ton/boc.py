"""Bags of cells: how a tree of cells travels as bytes (`serialized_boc` in TON's crypto/tl/boc.tlb).

Reading is strict and bounded, since anyone can put any bytes into a message: one root, references only forward, no
byte left over, the checksum right where there is one. Writing gives the form without index and with checksum.
"""

from dataclasses import dataclass
from typing import Final

from bitlinkpay.chains.ton.cell import REFS_MAX, BadCell, Cell

BYTES_MAX: Final = 1 << 21  # far above the 64 KiB of an external message and the 2^21 bits of any (config parameter 43)

_MAGIC = bytes.fromhex("b5ee9c72")
_HAS_INDEX, _HAS_CRC, _OTHER_FLAGS, _REF_BYTES = 0x80, 0x40, 0x38, 0x07
_EXOTIC, _REFS = 8, 0x0F
_CRC_BYTES = 4
_CASTAGNOLI = 0x82F63B78


def _crc_table() -> tuple[int, ...]:
    rows = []
    for index in range(256):
        value = index
        for _ in range(8):
            value = value >> 1 ^ (_CASTAGNOLI if value & 1 else 0)
        rows.append(value)
    return tuple(rows)


_CRC = _crc_table()


def crc32c(data: bytes) -> int:
    """Return the CRC-32C (Castagnoli) of some bytes (RFC 3720, appendix B.4)."""
    value = 0xFFFFFFFF
    for byte in data:
        value = value >> 8 ^ _CRC[(value ^ byte) & 0xFF]
    return value ^ 0xFFFFFFFF


class _Reader:
    """Takes bytes from front to back."""

    __slots__ = ("_at", "_data")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def left(self) -> int:
        return len(self._data) - self._at

    def take(self, count: int) -> bytes:
        if count > self.left:
            raise BadCell("a bag of cells that is cut short")
        self._at += count
        return self._data[self._at - count : self._at]

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")


@dataclass(frozen=True, slots=True)
class _Stored:
    """A cell as it is stored: its references are places in the bag."""

    value: int
    size: int
    refs: tuple[int, ...]
    is_exotic: bool


def parse_boc(data: bytes) -> Cell:
    """Return the root of a bag of cells with one root.

    Raises:
        BadCell: another form, too large, or an exotic cell other than a library reference.
    """
    if len(data) > BYTES_MAX:
        raise BadCell("a bag of cells that is too large")
    reader = _Reader(_unsealed(data))
    reader.take(len(_MAGIC))
    flags, offset_bytes = reader.number(1), reader.number(1)
    ref_bytes = flags & _REF_BYTES
    count, roots, absent = (reader.number(ref_bytes) for _ in range(3))
    size = reader.number(offset_bytes)
    if flags & _OTHER_FLAGS or not ref_bytes or (roots, absent, reader.number(ref_bytes)) != (1, 0, 0):
        raise BadCell("a bag of cells of another form")
    if count * 2 > reader.left:  # each cell has two descriptor bytes: no memory for what can't be there
        raise BadCell("a bag of cells that is cut short")
    if flags & _HAS_INDEX:
        reader.take(count * offset_bytes)
    if reader.left != size:
        raise BadCell("a bag of cells of another size than it says")
    stored = [_read_cell(reader, ref_bytes) for _ in range(count)]
    return _link(stored, reader.left)


def _unsealed(data: bytes) -> bytes:
    """Return the bytes without their checksum, which must be right where there is one."""
    if data[:4] != _MAGIC or len(data) < len(_MAGIC) + 1 + _CRC_BYTES:
        raise BadCell("no bag of cells")
    if not data[4] & _HAS_CRC:
        return data
    body, seal = data[:-_CRC_BYTES], data[-_CRC_BYTES:]
    if crc32c(body) != int.from_bytes(seal, "little"):
        raise BadCell("a bag of cells with a wrong checksum")
    return body


def _read_cell(reader: _Reader, ref_bytes: int) -> _Stored:
    first, second = reader.number(1), reader.number(1)
    ref_count = first & ~_EXOTIC
    if ref_count > REFS_MAX:  # hashes stored along, levels of proofs, absent cells: never in a message
        raise BadCell("a cell with unknown descriptors")
    value, size = reader.number(second + 1 >> 1), 4 * (second + 1 & ~1)
    if second & 1:  # the last byte ends with a 1 and zeroes that are not part of the cell
        if not value & 0x7F:
            raise BadCell("a cell without its end mark")
        filling = (value & -value).bit_length()
        value, size = value >> filling, size - filling
    refs = tuple(reader.number(ref_bytes) for _ in range(ref_count))
    return _Stored(value, size, refs, bool(first & _EXOTIC))


def _link(stored: list[_Stored], left: int) -> Cell:
    if not stored or left:
        raise BadCell("a bag of cells with nothing or too much in it")
    cells: dict[int, Cell] = {}
    used = {0}
    for index in reversed(range(len(stored))):
        cell = stored[index]
        if any(not index < ref < len(stored) for ref in cell.refs):
            raise BadCell("a reference that does not point forward")
        used.update(cell.refs)
        cells[index] = Cell(cell.value, cell.size, tuple(cells[ref] for ref in cell.refs), is_library=cell.is_exotic)
    if len(used) != len(stored):
        raise BadCell("a cell that nothing points to")
    return cells[0]


def serialize_boc(root: Cell) -> bytes:
    """Return the bag of cells of a tree; equal cells are stored once."""
    order = _ordered(root)
    place = {cell.hash: index for index, cell in enumerate(order)}
    ref_bytes = _bytes_for(len(order))
    parts = [
        cell.content() + b"".join(place[ref.hash].to_bytes(ref_bytes, "big") for ref in cell.refs) for cell in order
    ]
    payload = b"".join(parts)
    offset_bytes = _bytes_for(len(payload))
    head = _MAGIC + bytes((_HAS_CRC | ref_bytes, offset_bytes))
    counts = b"".join(number.to_bytes(ref_bytes, "big") for number in (len(order), 1, 0))
    body = head + counts + len(payload).to_bytes(offset_bytes, "big") + bytes(ref_bytes) + payload
    return body + crc32c(body).to_bytes(_CRC_BYTES, "little")


def _bytes_for(number: int) -> int:
    return max(1, (number.bit_length() + 7) // 8)


def _ordered(root: Cell) -> list[Cell]:
    """Return every cell once, each before all that it points to (a depth-first walk without recursion)."""
    done: dict[bytes, Cell] = {}
    stack: list[tuple[Cell, int]] = [(root, 0)]
    while stack:
        cell, following = stack.pop()
        if cell.hash in done:
            continue
        if following < len(cell.refs):
            stack += [(cell, following + 1), (cell.refs[following], 0)]
        else:
            done[cell.hash] = cell
    return list(reversed(done.values()))
