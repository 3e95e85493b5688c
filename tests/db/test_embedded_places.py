"""Where the embedded PostgreSQL lives, as whom, and that it opens no door on the way."""

import asyncio
import os
import pwd
import stat
from pathlib import Path

import pytest
from tests.support.embedded import AS_ROOT, THROW_AWAY, embedded, read, write

import bitlinkpay
from bitlinkpay.core.errors import Unavailable
from bitlinkpay.db.embedded import EmbeddedPostgres
from bitlinkpay.db.home import Account, can_enter, find_root, find_sockets, open_home


def modes(path: Path) -> list[tuple[str, int, int]]:
    return [(str(step), stat.S_IMODE(step.stat().st_mode), step.stat().st_uid) for step in (path, *path.parents)]


@pytest.mark.parametrize("mode", [0o700, 0o750, 0o755, 0o711])
async def test_the_modes_of_folders_above_never_change(folder: Path, mode: int):
    parent = folder / "outer" / "inner"
    parent.mkdir(parents=True)
    parent.chmod(mode)
    parent.parent.chmod(mode)
    before = modes(parent)
    with EmbeddedPostgres(parent / "postgres", THROW_AWAY, shelters=[folder / "shelter"]) as server:
        await write(server, 1)
    assert modes(parent) == before


@pytest.mark.parametrize("mode", [0o700, 0o755])
async def test_a_data_folder_that_exists_keeps_its_mode(folder: Path, mode: int):
    data_dir = folder / "deployment" / "postgres"
    data_dir.mkdir(parents=True)
    data_dir.chmod(mode)
    with embedded(data_dir) as server:
        await write(server, 1)
    assert stat.S_IMODE(data_dir.stat().st_mode) == mode


@AS_ROOT
async def test_below_a_private_folder_the_home_moves_to_a_shelter(folder: Path):
    private = folder / "private"
    private.mkdir(mode=0o700)
    data_dir, shelter = private / "postgres", folder / "shelter"
    with EmbeddedPostgres(data_dir, THROW_AWAY, shelters=[private / "no", shelter]) as server:
        await write(server, 1)
    home = find_root(data_dir)
    assert home.parent == shelter
    assert not (data_dir / "cluster").exists()
    assert stat.S_IMODE((home / "cluster").stat().st_mode) == 0o700
    with EmbeddedPostgres(data_dir, THROW_AWAY, shelters=[shelter]) as again:
        assert await read(again) == [1]
        assert await read(EmbeddedPostgres(data_dir)) == [1], "other processes find the socket by the data folder"
    assert list(shelter.iterdir()) == [home]


@AS_ROOT
async def test_without_any_shelter_the_refusal_says_what_to_do(folder: Path):
    private = folder / "private"
    private.mkdir(mode=0o700)
    with pytest.raises(Unavailable, match="choose a data folder"):
        EmbeddedPostgres(private / "postgres", THROW_AWAY, shelters=[private / "no"]).start()
    assert stat.S_IMODE(private.stat().st_mode) == 0o700


@AS_ROOT
async def test_root_drops_to_a_user_who_owns_only_the_cluster_and_the_socket(running: EmbeddedPostgres):
    account = open_home(running.data_dir).account
    assert account.uid != 0
    assert Path(f"/proc/{running.pid}").stat().st_uid == account.uid
    status = Path(f"/proc/{running.pid}/status").read_text()
    assert "\nGroups:\t \n" in status or "\nGroups:\t\n" in status, "no supplementary groups of root are left"
    owned = {path.name for path in find_root(running.data_dir).iterdir() if path.stat().st_uid == account.uid}
    assert owned == {"cluster", "socket"}


@AS_ROOT
async def test_the_programs_are_copied_once(running: EmbeddedPostgres):
    copy = next(find_root(running.data_dir).glob("binaries-18-*"))
    before = copy.stat().st_ctime_ns
    running.stop()
    running.start()
    assert next(find_root(running.data_dir).glob("binaries-18-*")).stat().st_ctime_ns == before


@AS_ROOT
async def test_root_is_not_led_astray_by_links_that_the_servers_user_left(
    data_dir: Path, folder: Path, running: EmbeddedPostgres
):
    running.stop()
    precious = folder / "precious"
    precious.write_text("precious")
    pid_file = find_root(data_dir) / "cluster" / "postmaster.pid"
    pid_file.symlink_to(precious)
    with pytest.raises(OSError, match="symbolic links"):
        running.start()
    assert precious.read_text() == "precious"
    pid_file.unlink()


async def test_a_long_path_gets_a_short_private_socket_folder(folder: Path):
    data_dir = folder / ("long" * 25) / ("name" * 25) / "postgres"
    with embedded(data_dir) as server:
        await write(server, 1)
        short = find_sockets(data_dir)
        assert len(str(short)) < 60
        assert stat.S_IMODE(short.stat().st_mode) == 0o700
        assert short.stat().st_uid == open_home(data_dir).account.uid
    with embedded(data_dir) as server:
        assert find_sockets(data_dir) == short, "kept while it is still ours"
        assert await read(server) == [1]
    short.rmdir()
    short.mkdir(mode=0o755)  # somebody else's folder of the same name, as after a reboot
    with embedded(data_dir) as server:
        other = find_sockets(data_dir)
        assert other != short
        assert await read(server) == [1]
    short.rmdir()
    other.rmdir()


@AS_ROOT
async def test_an_ordinary_user_runs_the_programs_where_they_are(folder: Path):
    home = folder / "nobody"
    home.mkdir(mode=0o755)
    entry = pwd.getpwnam("nobody")
    os.chown(home, entry.pw_uid, entry.pw_gid)
    if not can_enter(Account(entry.pw_name, entry.pw_uid, entry.pw_gid), Path(bitlinkpay.__file__).parent):
        pytest.skip("the package lies below a private folder")
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.setgroups([])
            os.setgid(entry.pw_gid)
            os.setuid(entry.pw_uid)
            with EmbeddedPostgres(home / "postgres", THROW_AWAY) as server:
                assert server.administer("SELECT 6 * 7").strip() == "42"
                assert not list((home / "postgres").glob("binaries-*"))
                assert stat.S_IMODE((home / "postgres").stat().st_mode) == 0o700
                code = 0
        finally:
            os._exit(code)
    assert await asyncio.to_thread(os.waitpid, child, 0) == (child, 0)
