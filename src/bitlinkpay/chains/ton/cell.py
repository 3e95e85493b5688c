"""Cells, the one data structure of TON: up to 1,023 bits and four references (TON whitepaper, 3.1).

A cell is a value: it knows its hash and depth from the moment it is made, so that two cells are equal exactly where
the network takes them for equal. `Builder` makes one, `Slice` reads one. Bits are kept as a number and a length.
"""

import hashlib
from dataclasses import dataclass, field
from typing import Final, Self

BITS_MAX: Final = 1023
REFS_MAX: Final = 4
DEPTH_MAX: Final = 1024
_LIBRARY_BITS = 264  # the one exotic form that is read: 8 bits of type 2, the hash of code kept in the masterchain
_LIBRARY_TYPE = 2
_EXOTIC = 8  # in the first descriptor byte


class BadCell(ValueError):
    """Bits or references that are not what they should be, or more than a cell holds."""


@dataclass(frozen=True, slots=True, eq=False)
class Cell:
    """One cell.

    Attributes:
        value: its bits as a number.
        size: how many bits.
        refs: the cells it points to.
        is_library: whether it stands for code kept elsewhere; no other exotic cell is taken.
        depth: the longest way down its references.
        hash: its representation hash (TON whitepaper, 3.1.5), which the network knows it by.
    """

    value: int
    size: int
    refs: tuple["Cell", ...] = ()
    is_library: bool = False
    depth: int = field(init=False)
    hash: bytes = field(init=False)

    def __post_init__(self) -> None:
        depth = 1 + max(ref.depth for ref in self.refs) if self.refs else 0
        if self.size > BITS_MAX or len(self.refs) > REFS_MAX or depth > DEPTH_MAX:
            raise BadCell("more than a cell holds")
        if self.is_library and (self.size, self.refs, self.value >> 256) != (_LIBRARY_BITS, (), _LIBRARY_TYPE):
            raise BadCell("an exotic cell that is no library reference")
        object.__setattr__(self, "depth", depth)
        below = b"".join(ref.depth.to_bytes(2, "big") for ref in self.refs) + b"".join(ref.hash for ref in self.refs)
        object.__setattr__(self, "hash", hashlib.sha256(self.content() + below).digest())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Cell) and self.hash == other.hash

    def __hash__(self) -> int:
        return hash(self.hash)

    def content(self) -> bytes:
        """Return its two descriptor bytes and its bits, filled up to whole bytes by a 1 and zeroes."""
        whole, odd = divmod(self.size, 8)
        data, length = self.value, whole
        if odd:
            data, length = (self.value << 1 | 1) << (7 - odd), whole + 1
        first = len(self.refs) + (_EXOTIC if self.is_library else 0)
        return bytes((first, whole + length)) + data.to_bytes(length, "big")


class Builder:
    """Makes one cell; each call returns the builder, so that a layout reads like its definition."""

    __slots__ = ("_refs", "_size", "_value")

    def __init__(self) -> None:
        self._value = 0
        self._size = 0
        self._refs: list[Cell] = []

    def uint(self, value: int, size: int) -> Self:
        """Append a number of `size` bits, most significant first."""
        if value < 0 or value >> size:
            raise BadCell(f"no number of {size} bits")
        self._value = self._value << size | value
        self._size += size
        return self

    def bit(self, value: int | bool) -> Self:  # noqa: FBT001 - a bit is the value itself
        """Append one bit."""
        return self.uint(int(value), 1)

    def bytes(self, data: bytes) -> Self:
        """Append whole bytes."""
        return self.uint(int.from_bytes(data, "big"), 8 * len(data))

    def coins(self, units: int) -> Self:
        """Append a `VarUInteger 16`: four bits of length in bytes, then the number."""
        length = (units.bit_length() + 7) // 8
        return self.uint(length, 4).uint(units, 8 * length)

    def address(self, raw: str) -> Self:
        """Append a `MsgAddress`: `addr_std` without anycast, `addr_none` for ""."""
        if not raw:
            return self.uint(0, 2)
        workchain, _, account = raw.partition(":")
        return self.uint(0b100, 3).uint(int(workchain) & 0xFF, 8).bytes(bytes.fromhex(account))

    def ref(self, cell: Cell) -> Self:
        """Append a reference."""
        self._refs.append(cell)
        return self

    def rest(self, cell: Cell) -> Self:
        """Append the bits and references of a whole cell."""
        self._refs.extend(cell.refs)
        return self.uint(cell.value, cell.size)

    @property
    def room(self) -> int:
        """Return how many bits still fit."""
        return BITS_MAX - self._size

    def end(self) -> Cell:
        """Return the cell.

        Raises:
            BadCell: it is more than a cell holds.
        """
        return Cell(self._value, self._size, tuple(self._refs))


class Slice:
    """Reads one cell from front to back; whatever is not there is a `BadCell`."""

    __slots__ = ("_left", "_refs", "_value")

    def __init__(self, cell: Cell) -> None:
        if cell.is_library:
            raise BadCell("code kept elsewhere")
        self._value = cell.value
        self._left = cell.size
        self._refs = cell.refs

    @property
    def bits_left(self) -> int:
        """Return how many bits were not read."""
        return self._left

    @property
    def refs_left(self) -> int:
        """Return how many references were not taken."""
        return len(self._refs)

    def uint(self, size: int) -> int:
        """Read a number of `size` bits."""
        if size > self._left:
            raise BadCell("fewer bits than expected")
        self._left -= size
        return self._value >> self._left & ((1 << size) - 1)

    def bytes(self, count: int) -> bytes:
        """Read whole bytes."""
        return self.uint(8 * count).to_bytes(count, "big")

    def coins(self) -> int:
        """Read a `VarUInteger 16`."""
        return self.uint(8 * self.uint(4))

    def address(self) -> str:
        """Read a `MsgAddress`; only `addr_std` without anycast has a canonical text, every other form gives "".

        Anyone may put any form into a message, so all of them are skipped by their right length (block.tlb).
        """
        match self.uint(2):
            case 0b00:
                return ""
            case 0b01:
                self.uint(self.uint(9))
                return ""
            case 0b10:
                is_plain = self._has_no_anycast()
                workchain = self.uint(8)
                account = self.bytes(32).hex()
                return f"{workchain - 256 if workchain > 127 else workchain}:{account}" if is_plain else ""  # noqa: PLR2004
            case _:
                self._has_no_anycast()
                length = self.uint(9)
                self.uint(32 + length)
                return ""

    def _has_no_anycast(self) -> bool:
        """Skip an `Anycast`; say whether there was none."""
        if not self.uint(1):
            return True
        self.uint(self.uint(5))
        return False

    def ref(self) -> Cell:
        """Take the next reference."""
        if not self._refs:
            raise BadCell("fewer references than expected")
        first, *others = self._refs
        self._refs = tuple(others)
        return first

    def rest(self) -> Cell:
        """Return what was not read as a cell of its own."""
        return Cell(self._value & ((1 << self._left) - 1), self._left, self._refs)
