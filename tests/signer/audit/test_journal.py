"""The audit: whole or absent after a crash, and never altered, cut or shuffled without being noticed."""

import errno
import os
import resource
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitlinkpay.signer.audit.chain import GENESIS, BrokenAudit, decode, encode, follow, seal
from bitlinkpay.signer.audit.events import ColdInForce, ColdList, Event, Opened, Recovered, Refused
from bitlinkpay.signer.audit.files import Head, list_files, mend, read_all
from bitlinkpay.signer.audit.journal import LONGEST_FILE, Journal, Past, open_past
from bitlinkpay.signer.problems import AuditBroken, AuditFailed, ClockBehind, LooseFile

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
DAY = timedelta(days=1)


def opening() -> Opened:
    return Opened("f" * 32, "sandbox", "", None, None)


def refused(number: int) -> Refused:
    return Refused(UUID(int=number), "signer.refused", f"no, for the {number}th time: 鎖", ())


def start(folder: Path, now: datetime = NOW) -> tuple[Journal, Past]:
    past = open_past(folder, now=now, horizon=DAY)
    return Journal(folder, past.head, opening), past


def write(folder: Path, count: int, now: datetime = NOW, *, longest_file: int = LONGEST_FILE) -> None:
    journal, _ = start(folder, now)
    journal.longest_file = longest_file
    for number in range(count):
        journal.append(refused(number), now)
    journal.close()


def events(folder: Path) -> list[Event]:
    return [record.event for record in read_all(folder)]


def test_what_was_appended_is_read_back_in_order(tmp_path: Path) -> None:
    write(tmp_path / "audit", 5)
    write(tmp_path / "audit", 2)
    assert events(tmp_path / "audit") == [refused(n) for n in (0, 1, 2, 3, 4, 0, 1)]
    records = list(read_all(tmp_path / "audit"))
    assert [record.seq for record in records] == list(range(1, 8))
    assert records[0].before == GENESIS
    assert open_past(tmp_path / "audit", now=NOW, horizon=DAY).head == Head(7, records[-1].hash)


def test_folder_and_files_are_for_the_owner_only(tmp_path: Path) -> None:
    write(tmp_path / "audit", 1)
    assert stat.S_IMODE((tmp_path / "audit").stat().st_mode) == 0o700
    assert [stat.S_IMODE(path.stat().st_mode) for path in list_files(tmp_path / "audit")] == [0o600]
    list_files(tmp_path / "audit")[0].chmod(0o644)
    with pytest.raises(LooseFile):
        start(tmp_path / "audit")


def test_a_record_is_on_the_disk_before_append_returns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal, _ = start(tmp_path / "audit")
    calls: list[str] = []
    write_, sync = os.write, os.fdatasync
    monkeypatch.setattr(os, "write", lambda *given: (calls.append("write"), write_(*given))[1])
    monkeypatch.setattr(os, "fdatasync", lambda *given: (calls.append("sync"), sync(*given))[1])
    journal.append(refused(1), NOW)
    assert calls == ["write", "sync"]


@pytest.mark.parametrize("lost", [1, 2, 100])
def test_a_torn_record_is_cut_off_at_the_next_start(tmp_path: Path, lost: int) -> None:
    folder = tmp_path / "audit"
    write(folder, 3)
    path = list_files(folder)[0]
    whole = path.read_bytes()
    path.write_bytes(whole + encode(seal(4, NOW, "0", refused(3)))[:lost])
    assert events(folder) == [refused(n) for n in range(3)]  # a reader beside the signer leaves it out
    journal, past = start(folder)
    assert past.lost == lost
    journal.append(Recovered(past.lost), NOW)
    assert events(folder)[:3] == [refused(n) for n in range(3)]
    assert path.read_bytes().startswith(whole)


def test_every_cut_leaves_the_records_before_it(tmp_path: Path) -> None:
    """Cut the file at each byte: what is read is a prefix of what was written, and writing goes on after it."""
    folder = tmp_path / "audit"
    write(folder, 3)
    (path,) = list_files(folder)
    whole = path.read_bytes()
    for length in range(0, len(whole), 7):
        for stale in list_files(folder):
            stale.unlink()
        path.write_bytes(whole[:length])
        path.chmod(0o600)
        journal, past = start(folder)
        assert [record.event for record in past.records] == [refused(n) for n in range(len(past.records))]
        assert past.lost == length - sum(len(encode(record)) for record in past.records)
        journal.append(refused(9), NOW)
        journal.close()
        assert events(folder) == [record.event for record in past.records] + [refused(9)]


def lines_of(folder: Path) -> list[bytes]:
    (path,) = list_files(folder)
    return path.read_bytes().splitlines(keepends=True)


def put_back(folder: Path, lines: Sequence[bytes]) -> None:
    (path,) = list_files(folder)
    path.write_bytes(b"".join(lines))


@pytest.mark.parametrize(
    ("alter", "reason"),
    [
        (lambda lines: [*lines[:2], lines[2].replace(b"2th", b"3th"), *lines[3:]], "record 3 was altered"),
        (lambda lines: [*lines[:2], *lines[3:]], "record 4 does not follow record 2"),
        (lambda lines: [*lines[:2], lines[3], lines[2], lines[4]], "record 4 does not follow record 2"),
        (lambda lines: [*lines, lines[4]], "record 5 does not follow record 5"),
        (lambda lines: lines[1:], "does not begin with its record"),
        (lambda lines: [*lines[:2], b"\n", *lines[2:]], "not a record"),
        (lambda lines: [*lines[:2], b"[]\n", *lines[2:]], "not a record"),
        (lambda lines: [lines[0].replace(b'"seq":1', b'"seq":7'), *lines[1:]], "altered"),
    ],
    ids=["edited", "removed", "reordered", "doubled", "beheaded", "blank line", "foreign line", "renumbered"],
)
def test_WEB_24_an_audit_that_was_altered_stops_the_start_and_verification(tmp_path: Path, alter, reason: str) -> None:
    folder = tmp_path / "audit"
    write(folder, 5)
    put_back(folder, alter(lines_of(folder)))
    with pytest.raises(BrokenAudit, match=reason):
        list(read_all(folder))
    with pytest.raises(AuditBroken, match=f"{reason}.*find out who"):
        start(folder)


def test_WEB_24_records_cut_off_at_the_end_show_against_a_head_kept_elsewhere(tmp_path: Path) -> None:
    folder = tmp_path / "audit"
    write(folder, 5)
    kept = open_past(folder, now=NOW, horizon=DAY).head
    put_back(folder, lines_of(folder)[:3])
    found = {record.seq: record.hash for record in read_all(folder)}
    assert kept.seq not in found
    assert max(found) == 3


def test_WEB_24_a_record_forged_with_a_right_hash_breaks_the_chain_behind_it(tmp_path: Path) -> None:
    folder = tmp_path / "audit"
    write(folder, 5)
    lines = lines_of(folder)
    old = decode(lines[2])
    forged = seal(old.seq, old.at, old.before, refused(77))
    put_back(folder, [*lines[:2], encode(forged), *lines[3:]])
    with pytest.raises(BrokenAudit, match="record 4 does not follow record 3"):
        list(read_all(folder))


def test_files_are_rolled_and_each_begins_with_what_later_records_build_on(tmp_path: Path) -> None:
    folder = tmp_path / "audit"
    write(folder, 40, longest_file=2_000)
    files = list_files(folder)
    assert len(files) > 3
    for path in files[1:]:
        first = decode(path.read_bytes().splitlines()[0])
        assert first.event == opening()
        assert path.name == f"{first.seq:016d}.jsonl"
    assert [event for event in events(folder) if event != opening()] == [refused(n) for n in range(40)]


def test_only_files_of_the_horizon_are_read_at_a_start(tmp_path: Path) -> None:
    folder = tmp_path / "audit"
    for day in range(5):
        write(folder, 10, NOW + day * DAY, longest_file=2_000)
    past = open_past(folder, now=NOW + 4 * DAY, horizon=DAY)
    assert past.records[-1].at == NOW + 4 * DAY
    assert past.records[0].at < NOW + 3 * DAY
    assert len(past.records) < len(list(read_all(folder)))
    list_files(folder)[0].unlink()  # archived elsewhere: starts go on, a full verification needs it back
    assert open_past(folder, now=NOW + 4 * DAY, horizon=DAY).head == past.head
    with pytest.raises(BrokenAudit):
        list(read_all(folder))


def test_a_missing_file_in_the_middle_is_noticed(tmp_path: Path) -> None:
    folder = tmp_path / "audit"
    write(folder, 20, longest_file=1_000)
    list_files(folder)[-2].unlink()
    with pytest.raises(AuditBroken, match="does not follow"):
        start(folder)


def test_PAY_38_a_clock_behind_the_newest_record_stops_the_start(tmp_path: Path) -> None:
    folder = tmp_path / "audit"
    write(folder, 1, NOW)
    start(folder, NOW - timedelta(seconds=1))
    with pytest.raises(ClockBehind, match="2026-11-25 12:00:00 UTC; set it"):
        start(folder, NOW - timedelta(seconds=3))


@contextmanager
def room_for(path: Path, more: int) -> Iterator[None]:
    """The kernel itself lets the file grow by so many bytes only: a write is cut short, the next one fails."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + more, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("more", [0, 50])
def test_OPS_04_after_a_failed_write_nothing_is_written_any_more(tmp_path: Path, more: int) -> None:
    folder = tmp_path / "audit"
    journal, _ = start(folder)
    journal.append(refused(0), NOW)
    with room_for(list_files(folder)[0], more), pytest.raises(AuditFailed, match="nothing is signed"):
        journal.append(refused(1), NOW)
    with pytest.raises(AuditFailed, match="restart the signer"):
        journal.append(refused(2), NOW)
    again, past = start(folder)
    assert [record.event for record in past.records] == [refused(0)]
    again.append(refused(3), NOW)
    assert events(folder) == [refused(0), refused(3)]


@pytest.mark.parametrize("number", [errno.EIO, errno.EDQUOT])
def test_OPS_04_a_disk_that_does_not_confirm_is_a_failed_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    journal, _ = start(tmp_path / "audit")

    def fail(_: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fdatasync", fail)
    with pytest.raises(AuditFailed):
        journal.append(refused(1), NOW)
    monkeypatch.undo()
    with pytest.raises(AuditFailed, match="earlier write failed"):
        journal.append(refused(1), NOW)


def test_a_link_in_the_place_of_a_file_is_not_followed(tmp_path: Path) -> None:
    folder = tmp_path / "audit"
    folder.mkdir(mode=0o700)
    (folder / "0000000000000001.jsonl").symlink_to(tmp_path / "elsewhere")
    with pytest.raises((OSError, AuditBroken)):
        start(folder)
    assert not (tmp_path / "elsewhere").exists()


def test_mending_nothing_is_nothing(tmp_path: Path) -> None:
    assert mend(tmp_path) == 0
    write(tmp_path / "audit", 2)
    assert mend(tmp_path / "audit") == 0


@settings(max_examples=200, deadline=None)
@given(
    st.integers(1, 2**60), st.text(max_size=50), st.dictionaries(st.text(max_size=9), st.text(max_size=9), max_size=3)
)
def test_records_survive_their_line(seq: int, text: str, addresses: dict[str, str]) -> None:
    for event in (Refused(None, text, text), ColdInForce(ColdList(seq, addresses))):
        record = seal(seq, NOW, text, event)
        line = encode(record)
        assert line.count(b"\n") == 1
        assert decode(line) == record
        follow(record, None) if (seq, text) == (1, GENESIS) else None


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_one_changed_byte_is_always_noticed(data: st.DataObject) -> None:
    line = bytearray(encode(seal(3, NOW, "a" * 64, refused(1)))[:-1])
    position = data.draw(st.integers(0, len(line) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda value: value != line[position]))
    line[position] = byte
    try:
        found = decode(bytes(line))
    except BrokenAudit:
        return
    assert found == decode(encode(found)[:-1]) == seal(3, NOW, "a" * 64, refused(1))  # another spelling of the same
