"""The list file itself: large, unreadable, switched under our feet."""

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.support.clock import ManualClock

from bitlinkpay.db.pool import Database
from bitlinkpay.risk.listfile import ListFile
from bitlinkpay.risk.model import Finding, ProviderDown, VerdictKind

BAD = "0x7f367cc41522ce07553e823bf3be79a889debe1b"


def _file(folder: Path, *lines: str, name: str = "list.txt") -> Path:
    path = folder / name
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


async def _ask(provider: ListFile, *addresses: str) -> Sequence[Finding]:
    provider._looked_at -= 10  # as if the second between two looks had passed
    return await provider.look_up("ethereum", addresses or (BAD,))


def _provider(database: Database, path: Path, **named: str) -> ListFile:
    return ListFile(database, path, ManualClock(), **named)


async def test_a_large_list_does_not_stop_the_loop(database: Database, tmp_path: Path):
    path = _file(tmp_path, *(f"0x{number:040x}" for number in range(100_000)), BAD)
    longest, going = 0.0, True

    async def tick() -> None:
        nonlocal longest
        while going:
            started = time.thread_time()
            await asyncio.sleep(0.01)
            longest = max(longest, time.thread_time() - started)

    ticking = asyncio.create_task(tick())
    started = time.process_time()
    (finding,) = await _ask(_provider(database, path))
    worked = time.process_time() - started
    going = False
    await ticking
    assert finding.kind is VerdictKind.LISTED
    assert longest < 0.5 * worked, "most of the work is not the loop's, at least not in one piece"


async def test_a_link_that_is_switched_is_noticed(database: Database, tmp_path: Path):
    first, second = _file(tmp_path, "0x" + "1" * 40, name="1.txt"), _file(tmp_path, BAD, name="2.txt")
    link = tmp_path / "current.txt"
    link.symlink_to(first)
    provider = _provider(database, link)
    assert (await _ask(provider))[0].kind is VerdictKind.CLEAR
    link.unlink()
    link.symlink_to(second)
    assert (await _ask(provider))[0].kind is VerdictKind.LISTED


async def test_going_back_to_an_older_version_is_a_change_like_any_other(database: Database, tmp_path: Path):
    path = _file(tmp_path, BAD)
    provider = _provider(database, path)
    versions = [(await _ask(provider))[0].list_version]
    for lines in ((BAD, "0x" + "1" * 40), (BAD, "0x" + "2" * 40), (BAD, "0x" + "1" * 40)):
        _file(tmp_path, *lines)
        versions.append((await _ask(provider))[0].list_version)
    assert versions[1] == versions[3] != versions[2] != versions[0]


async def test_AML_05_a_folder_or_a_missing_file_is_no_list(database: Database, tmp_path: Path):
    for path in (tmp_path, tmp_path / "missing.txt"):
        with pytest.raises(ProviderDown):
            await _ask(_provider(database, path, name=f"list:{path.name}"))


async def test_AML_05_a_file_that_comes_later_is_taken_in(database: Database, tmp_path: Path):
    provider = _provider(database, tmp_path / "list.txt")
    with pytest.raises(ProviderDown):
        await _ask(provider)
    _file(tmp_path, BAD)
    assert (await _ask(provider))[0].kind is VerdictKind.LISTED


async def test_AML_05_a_damaged_file_at_a_first_start_is_no_list(database: Database, tmp_path: Path):
    path = tmp_path / "list.txt"
    path.write_text(f"{BAD}\n0x12")
    with pytest.raises(ProviderDown, match="cut off"):
        await _ask(_provider(database, path))


async def test_two_lists_are_kept_apart(database: Database, tmp_path: Path):
    one = _provider(database, _file(tmp_path, BAD, name="ofac.txt"))
    other = _provider(database, _file(tmp_path, "0x" + "1" * 40, name="eu.txt"))
    assert (one.name, other.name) == ("list:ofac", "list:eu")
    assert (await _ask(one))[0].kind is VerdictKind.LISTED
    assert (await _ask(other))[0].kind is VerdictKind.CLEAR
    again = _provider(database, tmp_path / "gone" / "ofac.txt")
    assert (await _ask(again))[0].kind is VerdictKind.LISTED, "its own last good version, not the other's"


async def test_the_content_of_every_accepted_version_is_kept(database: Database, tmp_path: Path):
    path = _file(tmp_path, BAD)
    provider = _provider(database, path)
    await _ask(provider)
    first = path.read_bytes()
    _file(tmp_path, BAD, "0x" + "1" * 40)
    await _ask(provider)
    async with database.reader() as tx:
        rows = await tx.fetch("select content, rows from risk_lists where name = 'list:list' order by rows")
    assert [row["content"] for row in rows] == [first, path.read_bytes()]


async def test_findings_come_one_per_address_in_order(database: Database, tmp_path: Path):
    provider = _provider(database, _file(tmp_path, BAD))
    good = "0x" + "1" * 40
    findings = await _ask(provider, good, BAD, good)
    assert [finding.address for finding in findings] == [good, BAD, good]
    assert [finding.kind.value for finding in findings] == ["clear", "listed", "clear"]
    assert await _ask(provider) == [findings[1]]
