"""Private files: whole or absent, never over another, never through somebody else's link."""

import multiprocessing
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bitlinkpay.signer import files
from bitlinkpay.signer.problems import LooseFile, SignerBusy, SignerExists, SignerMissing


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


@contextmanager
def umask(value: int) -> Iterator[None]:
    before = os.umask(value)
    try:
        yield
    finally:
        os.umask(before)


def test_a_new_folder_is_private_under_any_umask(tmp_path: Path) -> None:
    with umask(0):
        files.make_private_folder(tmp_path / "a" / "b" / "keys")
    assert mode_of(tmp_path / "a" / "b" / "keys") == 0o700
    files.make_private_folder(tmp_path / "a" / "b" / "keys")


@pytest.mark.parametrize("mode", [0o701, 0o710, 0o750, 0o777, 0o704])
def test_an_open_folder_is_refused_with_what_to_do(tmp_path: Path, mode: int) -> None:
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys").chmod(mode)
    with pytest.raises(LooseFile, match=f"{mode:04o}.*chmod go-rwx"):
        files.make_private_folder(tmp_path / "keys")


def test_new_files_are_private_under_any_umask(tmp_path: Path) -> None:
    with umask(0):
        files.write_new(tmp_path / "secret", b"x")
        files.replace(tmp_path / "other", b"x")
        files.write_new(tmp_path / "public", b"x", mode=0o644)
    assert [mode_of(tmp_path / name) for name in ("secret", "other", "public")] == [0o600, 0o600, 0o644]


def test_write_new_never_overwrites_and_leaves_nothing_behind(tmp_path: Path) -> None:
    files.write_new(tmp_path / "f", b"first")
    with pytest.raises(SignerExists, match="never overwritten"):
        files.write_new(tmp_path / "f", b"second")
    assert (tmp_path / "f").read_bytes() == b"first"
    assert [path.name for path in tmp_path.iterdir()] == ["f"]


def test_write_new_is_not_led_astray_by_a_dangling_link(tmp_path: Path) -> None:
    (tmp_path / "f").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(SignerExists):
        files.write_new(tmp_path / "f", b"secret")
    assert not (tmp_path / "elsewhere").exists()


def test_replace_takes_the_links_place_and_leaves_its_target(tmp_path: Path) -> None:
    (tmp_path / "target").write_bytes(b"theirs")
    (tmp_path / "f").symlink_to(tmp_path / "target")
    files.replace(tmp_path / "f", b"ours")
    assert (tmp_path / "target").read_bytes() == b"theirs"
    assert not (tmp_path / "f").is_symlink()
    assert (tmp_path / "f").read_bytes() == b"ours"


def test_what_cannot_be_written_is_an_error_and_no_half_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        files.write_new(tmp_path / "absent" / "f", b"x")
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError):
        files.replace(tmp_path / "folder", b"x")
    assert (tmp_path / "folder").is_dir()


@pytest.mark.parametrize("content", [b"", b"\x00" * 10, os.urandom(100_000)])
def test_round_trip(tmp_path: Path, content: bytes) -> None:
    files.write_new(tmp_path / "f", content)
    assert files.read_private(tmp_path / "f") == content


def test_reading_is_bounded_and_checked(tmp_path: Path) -> None:
    files.write_new(tmp_path / "f", b"x" * 3_000_000)
    assert len(files.read_private(tmp_path / "f")) == 1 << 20
    (tmp_path / "f").chmod(0o604)
    with pytest.raises(LooseFile):
        files.read_private(tmp_path / "f")
    with pytest.raises(SignerMissing):
        files.read_private(tmp_path / "absent")
    with pytest.raises(SignerMissing):
        files.read_private(tmp_path / "f" / "below-a-file")


def hold(folder: Path, held: "multiprocessing.synchronize.Event") -> None:
    with files.folder_lock(folder):
        held.set()
        time.sleep(60)


def test_a_lock_is_between_processes_and_dies_with_its_holder(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    held = context.Event()
    holder = context.Process(target=hold, args=(tmp_path, held))
    holder.start()
    try:
        assert held.wait(30)
        with pytest.raises(SignerBusy, match="another process"), files.folder_lock(tmp_path):
            pytest.fail("two hold one lock")
    finally:
        holder.kill()
        holder.join()
    with files.folder_lock(tmp_path):
        pass


def test_a_turn_waits_for_the_lock(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    held = context.Event()
    holder = context.Process(target=hold, args=(tmp_path, held))
    holder.start()
    assert held.wait(30)
    holder.kill()
    with files.folder_turn(tmp_path):  # however long the dying takes
        assert mode_of(tmp_path / ".lock") == 0o600
    holder.join()


def test_a_lock_is_free_again_after_an_exception(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="inside"), files.folder_lock(tmp_path):
        raise ValueError("inside")
    with files.folder_lock(tmp_path):
        pass


def test_the_lock_file_is_not_led_astray_by_a_link(tmp_path: Path) -> None:
    (tmp_path / ".lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic links"), files.folder_lock(tmp_path):
        pytest.fail("it followed the link")
    assert not (tmp_path / "elsewhere").exists()
