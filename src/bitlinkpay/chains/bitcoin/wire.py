"""Blocks and transactions as bytes (BIP-144 serialization), read strictly: what is not exactly one block is none.

Kept of a transaction is what money needs: its id, which outputs it spends, which outputs it makes. Scripts of inputs
and witnesses are walked over, since no credit may depend on them.
"""

import hashlib
import struct
from collections.abc import Callable
from typing import Final, TypeVar

import msgspec

from bitlinkpay.chains.base import EndpointFailed

HEADER_BYTES: Final = 80
HASH_BYTES: Final = 32
OUTPOINT_BYTES: Final = 36
UNITS_MAX: Final = 21_000_000 * 100_000_000  # MAX_MONEY of consensus
NULL_OUTPOINT: Final = bytes(HASH_BYTES) + b"\xff\xff\xff\xff"  # what a coinbase transaction "spends"

_HEADER: Final = struct.Struct("<i32s32sIII")
_LOCKTIME_BYTES: Final = 4
_U16: Final = struct.Struct("<H")
_U32: Final = struct.Struct("<I")
_U64: Final = struct.Struct("<Q")
_ONE_BYTE_MAX, _TWO_BYTES, _FOUR_BYTES = 0xFC, 0xFD, 0xFE  # CompactSize: one byte, or a mark and 2, 4 or 8 bytes
_U16_MAX, _U32_MAX = 0xFFFF, 0xFFFFFFFF

R = TypeVar("R")


class Malformed(EndpointFailed):
    """A node's answer is not what Bitcoin's serialization or its own interface promises."""


class Header(msgspec.Struct, frozen=True, gc=False):
    """A block header. Hashes are in the usual spelling: hex, the last byte first."""

    hash: str
    parent: str
    merkle_root: bytes
    time: int
    bits: int


class Output(msgspec.Struct, frozen=True, gc=False):
    """What a transaction pays: base units to whoever satisfies the script."""

    units: int
    script: bytes


class Transaction(msgspec.Struct, frozen=True, gc=False):
    """One transaction.

    Attributes:
        hash: double SHA-256 of it without its witness, as the merkle tree has it; `txid` is its usual spelling.
        spends: the outpoints that it spends, 36 bytes each.
        outputs: what it pays, in order.
    """

    hash: bytes
    spends: list[bytes]
    outputs: list[Output]

    @property
    def txid(self) -> str:
        """Return the transaction id in its usual spelling."""
        return self.hash[::-1].hex()

    @property
    def is_coinbase(self) -> bool:
        """Say whether it makes new coins instead of spending old ones."""
        return self.spends == [NULL_OUTPOINT]


class RawBlock(msgspec.Struct, frozen=True, gc=False):
    """A header and the transactions behind it; whether they belong together is for `proof` to say."""

    header: Header
    transactions: list[Transaction]


def sha256d(data: bytes) -> bytes:
    """Return the double SHA-256 that Bitcoin names things by."""
    return hashlib.sha256(hashlib.sha256(data).digest()).digest()


def outpoint(txid: str, vout: int) -> bytes:
    """Return the 36 bytes that name an output."""
    return bytes.fromhex(txid)[::-1] + _U32.pack(vout)


def read_header(raw: bytes) -> Header:
    """Read the 80 bytes of a header.

    Raises:
        Malformed: not 80 bytes.
    """
    if len(raw) != HEADER_BYTES:
        raise Malformed("a block header has 80 bytes")
    _, parent, root, time, bits, _ = _HEADER.unpack(raw)
    return Header(sha256d(raw)[::-1].hex(), parent[::-1].hex(), root, time, bits)


def read_block(raw: bytes) -> RawBlock:
    """Read a whole block, to its last byte.

    Raises:
        Malformed: anything else than one serialized block.
    """
    header = read_header(raw[:HEADER_BYTES])
    return RawBlock(header, _whole(_read_transactions, raw, HEADER_BYTES))


def read_transaction(raw: bytes) -> Transaction:
    """Read one transaction, to its last byte.

    Raises:
        Malformed: anything else than one serialized transaction.
    """
    return _whole(_read_transaction, raw, 0)


def _whole(read: Callable[[bytes, int], tuple[R, int]], raw: bytes, at: int) -> R:
    """Return what `read` finds from `at` to the very end; a slice past the end shows as a wrong end."""
    try:
        found, end = read(raw, at)
    except (IndexError, struct.error):
        raise Malformed("a node sent a block or transaction that is cut short") from None
    if end != len(raw):
        raise Malformed("a node sent more or less than one block or transaction")
    return found


def _read_transactions(raw: bytes, at: int) -> tuple[list[Transaction], int]:
    count, at = _read_size(raw, at)
    found: list[Transaction] = []
    for _ in range(count):
        transaction, at = _read_transaction(raw, at)
        found.append(transaction)
    return found, at


def _read_transaction(raw: bytes, at: int) -> tuple[Transaction, int]:
    """Read a transaction with or without witness (BIP-144: marker 0, flag 1, witnesses before the lock time)."""
    start, body = at, at + 4
    is_segwit = raw[body] == 0
    if is_segwit:
        if raw[body + 1] != 1:
            raise Malformed("a node sent a transaction without inputs or of an unknown form")
        body += 2
    spends, at = _read_inputs(raw, body)
    outputs, at = _read_outputs(raw, at)
    end_of_outputs = at
    if is_segwit:
        at = _skip_witnesses(raw, at, len(spends))
    end = at + _LOCKTIME_BYTES
    plain = raw[start : start + 4] + raw[body:end_of_outputs] + raw[at:end] if is_segwit else raw[start:end]
    return Transaction(sha256d(plain), spends, outputs), end


def _read_inputs(raw: bytes, at: int) -> tuple[list[bytes], int]:
    count, at = _read_size(raw, at)
    if not count:
        raise Malformed("a node sent a transaction without inputs")
    spends: list[bytes] = []
    for _ in range(count):
        spends.append(raw[at : at + OUTPOINT_BYTES])
        size = raw[at + OUTPOINT_BYTES]
        at += OUTPOINT_BYTES + 1
        if size > _ONE_BYTE_MAX:
            size, at = _read_size(raw, at - 1)
        at += size + 4  # the script and the sequence number
    return spends, at


def _read_outputs(raw: bytes, at: int) -> tuple[list[Output], int]:
    count, at = _read_size(raw, at)
    if not count:
        raise Malformed("a node sent a transaction without outputs")
    outputs: list[Output] = []
    for _ in range(count):
        (units,) = _U64.unpack_from(raw, at)
        if units > UNITS_MAX:
            raise Malformed("a node sent an output of more coins than there can be")
        size = raw[at + 8]
        at += 9
        if size > _ONE_BYTE_MAX:
            size, at = _read_size(raw, at - 1)
        outputs.append(Output(units, raw[at : at + size]))
        at += size
    return outputs, at


def _skip_witnesses(raw: bytes, at: int, inputs: int) -> int:
    """Walk over the witness of each input; Bitcoin Core refuses the form with witnesses where all are empty."""
    items = 0
    for _ in range(inputs):
        count, at = _read_size(raw, at)
        items += count
        for _ in range(count):
            size, at = _read_size(raw, at)
            at += size
    if not items:
        raise Malformed("a node sent a transaction with a superfluous witness")
    return at


def _read_size(raw: bytes, at: int) -> tuple[int, int]:
    """Read a CompactSize number; like Bitcoin Core, take none that could be shorter, or that is beyond all reason."""
    first = raw[at]
    if first <= _ONE_BYTE_MAX:
        return first, at + 1
    if first == _TWO_BYTES:
        (size,) = _U16.unpack_from(raw, at + 1)
        least, end = _ONE_BYTE_MAX + 1, at + 3
    elif first == _FOUR_BYTES:
        (size,) = _U32.unpack_from(raw, at + 1)
        least, end = _U16_MAX + 1, at + 5
    else:
        (size,) = _U64.unpack_from(raw, at + 1)
        least, end = _U32_MAX + 1, at + 9
    if size < least:
        raise Malformed("a node sent a number that is not in its shortest form")
    if size > len(raw):
        raise Malformed("a node sent a number that is larger than all that it sent")
    return size, end
