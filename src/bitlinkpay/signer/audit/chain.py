"""Records as lines, each sealed to the one before; pure."""

from datetime import datetime
from hashlib import sha256

import msgspec

from bitlinkpay.signer.audit.events import Event, Record

GENESIS = "0" * 64
"""What the first record follows."""

_RECORD = msgspec.json.Decoder(Record)


class BrokenAudit(Exception):
    """A line is not what was written there, or does not follow the one before."""


def seal(seq: int, at: datetime, before: str, event: Event) -> Record:
    """Return a record with its hash."""
    bare = Record(seq, at, before, event)
    return msgspec.structs.replace(bare, hash=_hash(bare))


def encode(record: Record) -> bytes:
    """Return a record as its line."""
    return msgspec.json.encode(record) + b"\n"


def decode(line: bytes) -> Record:
    """Read a line and check its own hash.

    Raises:
        BrokenAudit: it is not a record as it was written.
    """
    try:
        record = _RECORD.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, AssertionError) as error:
        raise BrokenAudit(f"not a record: {error}") from None
    if _hash(record) != record.hash:
        raise BrokenAudit(f"record {record.seq} was altered")
    return record


def follow(record: Record, last: Record | None) -> None:
    """Check that a record comes right after another, or is the very first.

    Raises:
        BrokenAudit: records are missing, or in another order.
    """
    seq, before = (last.seq, last.hash) if last else (0, GENESIS)
    if (record.seq, record.before) != (seq + 1, before):
        raise BrokenAudit(f"record {record.seq} does not follow record {seq}")


def _hash(record: Record) -> str:
    return sha256(msgspec.json.encode(msgspec.structs.replace(record, hash=""))).hexdigest()
