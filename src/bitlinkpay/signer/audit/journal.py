"""Writing the audit: durable before anybody is answered."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from bitlinkpay.signer.audit.chain import BrokenAudit, encode, seal
from bitlinkpay.signer.audit.events import Event, Record
from bitlinkpay.signer.audit.files import Head, list_files, mend, path_of, read_recent
from bitlinkpay.signer.files import make_private_folder, sync_folder
from bitlinkpay.signer.problems import AuditBroken, AuditFailed, ClockBehind

FOLDER: Final = "audit"
LONGEST_FILE: Final = 16 << 20  # bytes
CLOCK_SLACK: Final = timedelta(seconds=2)


@dataclass(frozen=True, slots=True)
class Past:
    """What an audit held when it was opened: its newest records, and how many bytes of a torn one were cut off."""

    records: list[Record]
    lost: int

    @property
    def head(self) -> Head:
        """The newest record."""
        return Head(self.records[-1].seq, self.records[-1].hash) if self.records else Head()


def open_past(folder: Path, *, now: datetime, horizon: timedelta) -> Past:
    """Read the records of the last `horizon` (older ones may come along).

    Raises:
        AuditBroken: records were altered or taken out.
        ClockBehind: the clock is behind the newest record.
        LooseFile: other users may read it.
    """
    make_private_folder(folder)
    lost = mend(folder)
    try:
        past = Past(read_recent(folder, now - horizon), lost)
    except BrokenAudit as error:
        raise AuditBroken(folder, str(error)) from None
    if past.records and past.records[-1].at > now + CLOCK_SLACK:
        raise ClockBehind(past.records[-1].at)
    return past


class Journal:
    """The audit of one signer folder, for the process that holds the folder's lock.

    After a failed write nothing more is written: what reached the disk shows at the next start.

    Attributes:
        head: the newest record.
        longest_file: from how many bytes on a file is followed by the next.
    """

    def __init__(self, folder: Path, head: Head, opening: Callable[[], Event]) -> None:
        """Go on after `head`; `opening` gives the record that each file begins with."""
        self.head = head
        self.longest_file = LONGEST_FILE
        self._folder = folder
        self._opening = opening
        self._has_failed = False
        files = list_files(folder)
        self._descriptor = _open(files[-1]) if files else self._next_file()

    def append(self, event: Event, at: datetime) -> Record:
        """Write a record and wait until the disk has it.

        Raises:
            AuditFailed: it may be there or not; nothing may be answered.
        """
        if os.fstat(self._descriptor).st_size >= self.longest_file:
            os.close(self._descriptor)
            self._descriptor = self._next_file()
            self._write(self._opening(), at)
        return self._write(event, at)

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._descriptor)

    def _next_file(self) -> int:
        descriptor = _open(path_of(self._folder, self.head.seq + 1))
        sync_folder(self._folder)
        return descriptor

    def _write(self, event: Event, at: datetime) -> Record:
        if self._has_failed:
            raise AuditFailed(self._folder, "an earlier write failed; restart the signer")
        record = seal(self.head.seq + 1, at, self.head.hash, event)
        line = encode(record)
        self._has_failed = True  # until it is known to be on the disk
        try:
            written = os.write(self._descriptor, line)
            os.fdatasync(self._descriptor)
        except OSError as error:
            raise AuditFailed(self._folder, str(error)) from None
        if written != len(line):
            raise AuditFailed(self._folder, "the disk is full")
        self._has_failed = False
        self.head = Head(record.seq, record.hash)
        return record


def _open(path: Path) -> int:
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    return os.open(path, flags, 0o600)
