"""The audit's files: one record a line, one file after the other, each named by the first record in it."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from bitlinkpay.signer.audit.chain import GENESIS, BrokenAudit, decode, follow
from bitlinkpay.signer.audit.events import Record
from bitlinkpay.signer.files import check_private

_SUFFIX = ".jsonl"


@dataclass(frozen=True, slots=True)
class Head:
    """The newest record: number and hash. Kept elsewhere, it shows later whether records were cut off or rewritten."""

    seq: int = 0
    hash: str = GENESIS


def path_of(folder: Path, seq: int) -> Path:
    """Return the name of the file that begins with record `seq`."""
    return folder / f"{seq:016d}{_SUFFIX}"


def list_files(folder: Path) -> list[Path]:
    """Return the audit's files, oldest first."""
    return sorted(folder.glob(f"*{_SUFFIX}"))


def mend(folder: Path) -> int:
    """Cut off what a crash left of a record that was never answered; return how many bytes that were."""
    files = list_files(folder)
    if not files:
        return 0
    raw = files[-1].read_bytes()
    sound = raw.rfind(b"\n") + 1
    if sound < len(raw):
        os.truncate(files[-1], sound)
    if sound == 0:
        files[-1].unlink()
    return len(raw) - sound


def read_recent(folder: Path, since: datetime) -> list[Record]:
    """Return all records from `since` on, in whole files: older ones may come along.

    Raises:
        BrokenAudit: a record was altered, or records are missing between those read.
        LooseFile: other users may read a file.
    """
    found: list[Record] = []
    for path in reversed(list_files(folder)):
        part = list(_read(path))
        if found:
            follow(found[0], part[-1])
        found = [*part, *found]
        if found[0].at < since:
            break
    return found


def read_all(folder: Path) -> Iterator[Record]:
    """Read every record there is, checking each; one that is being written just now is left out.

    Raises:
        BrokenAudit: a record was altered, moved or taken out.
    """
    last: Record | None = None
    for path in list_files(folder):
        for record in _read(path):
            follow(record, last)
            last = record
            yield record


def _read(path: Path) -> Iterator[Record]:
    """Read one file; it holds at least one record."""
    check_private(path)
    last: Record | None = None
    raw = path.read_bytes()
    for line in raw[: raw.rfind(b"\n") + 1].splitlines():
        record = decode(line)
        if last is None and path != path_of(path.parent, record.seq):
            raise BrokenAudit(f"{path.name} does not begin with its record")
        if last is not None:
            follow(record, last)
        last = record
        yield record
    if last is None:
        raise BrokenAudit(f"{path.name} is empty")
