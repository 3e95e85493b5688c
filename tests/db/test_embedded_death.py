"""The embedded PostgreSQL killed, orphaned and lied to in every way that machines and containers do."""

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from tests.support.embedded import IS_ROOT, THROW_AWAY, bury, embedded, read, supervise, until, write

from bitlinkpay.core.errors import Unavailable
from bitlinkpay.db.cluster import OWNER_ROLE
from bitlinkpay.db.driver import connect
from bitlinkpay.db.embedded import EmbeddedPostgres
from bitlinkpay.db.home import ClusterLost, find_root, find_sockets, open_home
from bitlinkpay.db.leftovers import await_end, read_pid, server_processes
from bitlinkpay.db.pool import Database, Tx


async def test_kill_9_of_the_server_loses_nothing(running: EmbeddedPostgres):
    await write(running, *range(20))
    os.kill(running.pid, signal.SIGKILL)
    await until(lambda: not running.is_running())
    running.start()
    assert await read(running) == list(range(20))


async def test_kill_9_of_a_backend_loses_nothing_and_units_of_work_ride_it_out(running: EmbeddedPostgres):
    await write(running, 1)
    database = await Database.connect(running.dsn(OWNER_ROLE))
    runs: list[int] = []

    async def work(tx: Tx) -> None:
        runs.append(1)
        await tx.execute("INSERT INTO kept VALUES (2)")
        if len(runs) == 1:
            os.kill(await tx.fetchval("SELECT pg_backend_pid()"), signal.SIGKILL)
            await tx.execute("SELECT pg_sleep(5)")

    await database.unit(work)
    assert len(runs) == 2
    await database.close()
    assert running.is_running(), "the server recovers by itself"
    assert await read(running) == [1, 2]


async def test_kill_9_of_the_server_under_a_unit_of_work_that_a_restart_completes(running: EmbeddedPostgres):
    await write(running, 1)
    database = await Database.connect(running.dsn(OWNER_ROLE))
    runs: list[int] = []

    async def work(tx: Tx) -> None:
        runs.append(1)
        await tx.execute("INSERT INTO kept VALUES (2)")
        if len(runs) == 1:
            os.kill(running.pid, signal.SIGKILL)
            await until(lambda: not running.is_running())
            running.start()
            await tx.execute("SELECT 1")

    await database.unit(work)
    assert len(runs) == 2
    await database.close()
    assert await read(running) == [1, 2]


async def test_kill_9_of_the_supervisor_shuts_the_server_down_in_order(data_dir: Path):
    supervisor = supervise(data_dir)
    server = embedded(data_dir)
    cluster = find_root(data_dir) / "cluster"
    await write(server, 1, 2, 3)
    assert server_processes(cluster)
    bury(supervisor)
    await until(lambda: not server_processes(cluster))
    with server:
        assert await read(server) == [1, 2, 3]
        log = (find_root(data_dir) / "postgres.log").read_text()
    assert "received fast shutdown request" in log
    assert "not properly shut down" not in log


async def test_a_start_right_after_kill_9_of_the_supervisor_waits_for_the_old_server(data_dir: Path):
    for value in range(3):
        supervisor = supervise(data_dir)
        await write(embedded(data_dir), value)
        bury(supervisor)
    with embedded(data_dir) as server:
        assert await read(server) == [0, 1, 2]


def again_while_it_is_slow(end: Callable[[], None]) -> None:
    """Stop what is left once more where three tenths of a second for each signal were too short for this machine."""
    while True:
        with contextlib.suppress(Unavailable):
            end()
            return


async def test_a_server_that_survived_its_supervisor_is_stopped(data_dir: Path):
    """As when the death signal could not be delivered: the old server holds on, a new supervisor ends it."""
    first = embedded(data_dir)
    first.start()
    await write(first, 1)
    lock, first._lock = first._lock, None
    os.close(lock or -1)
    second = EmbeddedPostgres(data_dir, THROW_AWAY, patience_s=0.3)
    try:
        again_while_it_is_slow(second.start)
        assert not first.is_running()
        assert await read(second) == [1]
    finally:
        second.stop()


async def test_two_supervisors_never_run_one_cluster(running: EmbeddedPostgres):
    await write(running, 1)
    with pytest.raises(Unavailable, match="another process"):
        embedded(running.data_dir).start()
    assert await read(running) == [1]


async def test_a_first_start_that_was_killed_begins_anew(data_dir: Path, running: EmbeddedPostgres):
    running.stop()
    root = find_root(data_dir)
    (root / "cluster").rename(root / "cluster.new")
    (data_dir / "created").unlink()  # it is written last
    for copy in root.glob("binaries-*"):
        copy.rename(copy.with_name(f"{copy.name}.new"))
    running.start()
    await write(running, 1)
    assert await read(running) == [1]
    assert not (root / "cluster.new").exists()


async def test_a_cluster_that_is_gone_is_missed_and_no_empty_one_takes_its_place(
    data_dir: Path, running: EmbeddedPostgres
):
    """An unmounted disk, a folder removed by mistake: while it is stopped, and under the running server."""
    await write(running, 1)
    (data_dir / "created").unlink()  # a deployment from before there was a record gets one
    running.stop()
    running.start()
    cluster = find_root(data_dir) / "cluster"
    away = cluster.with_name("away")
    for is_running in (False, True):
        if not is_running:
            running.stop()
        cluster.rename(away)
        if is_running:
            os.kill(running.pid, signal.SIGKILL)
            await until(
                lambda: not running.is_running()
            )  # PostgreSQL looks after its folder once a minute, and then ends by itself
        for _ in range(2):
            with pytest.raises(ClusterLost, match=f"the database in {cluster} is gone"):
                running.start()
        assert not cluster.exists()
        away.rename(cluster)
        running.start()
        assert await read(running) == [1]


async def test_only_a_removed_record_lets_a_deployment_begin_anew(data_dir: Path, running: EmbeddedPostgres):
    await write(running, 1)
    running.stop()
    shutil.rmtree(find_root(data_dir) / "cluster")
    with pytest.raises(ClusterLost, match=f"remove {data_dir / 'created'}"):
        running.start()
    (data_dir / "created").unlink()
    running.start()
    await write(running, 2)
    assert await read(running) == [2]


def lie(data_dir: Path, pid: int) -> None:
    """Leave lock files as a machine does that lost power, whose process ids were then given out again."""
    cluster, sockets = find_root(data_dir) / "cluster", find_sockets(find_root(data_dir))
    lines = [str(pid), str(cluster), "1700000000", "5432", str(sockets), "", "  5432001    123456", "ready   "]
    (cluster / "postmaster.pid").write_text("\n".join([*lines, ""]))
    (sockets / ".s.PGSQL.5432.lock").write_text("\n".join([*lines[:5], ""]))
    (sockets / ".s.PGSQL.5432").touch()


async def test_a_stale_pid_file_never_counts_as_a_running_server(
    data_dir: Path, folder: Path, running: EmbeddedPostgres
):
    await write(running, 1)
    account = open_home(data_dir).account
    sleeper = subprocess.Popen(["/bin/sleep", "60"], user=account.uid if IS_ROOT else None)
    dead = subprocess.Popen(["/bin/true"])
    dead.wait()
    with embedded(folder / "other" / "postgres") as other:
        for pid in (1, os.getpid(), dead.pid, sleeper.pid, other.pid):
            running.stop()
            lie(data_dir, pid)
            started = time.monotonic()
            running.start()
            assert time.monotonic() - started < 25, "it waited 30 s for a server that is none"
            assert read_pid(find_root(data_dir) / "cluster") == running.pid
            assert await read(running) == [1]
        assert other.is_running()
    assert sleeper.poll() is None, "the stranger with that id was left alone"
    sleeper.kill()
    sleeper.wait()


async def test_backends_that_outlive_their_server_hold_back_the_next_one(running: EmbeddedPostgres):
    """A backend busy in a long query notices late that its server is gone; it must never write beside a new one."""
    await write(running, 1)
    connection = await connect(running.dsn(OWNER_ROLE))
    backend = await connection.fetchval("SELECT pg_backend_pid()")
    busy = asyncio.create_task(connection.execute("SELECT count(*) FROM generate_series(1, 1000000000000)"))
    other = await connect(running.dsn(OWNER_ROLE))
    while not await other.fetchval("SELECT state = 'active' FROM pg_stat_activity WHERE pid = $1", backend):
        await asyncio.sleep(0.02)
    os.kill(running.pid, signal.SIGKILL)
    await until(lambda: not running.is_running())
    cluster = find_root(running.data_dir) / "cluster"
    assert backend in server_processes(cluster)
    await asyncio.to_thread(again_while_it_is_slow, partial(await_end, cluster, patience_s=0.3))
    assert backend not in server_processes(cluster)
    running.start()
    assert await read(running) == [1]
    with pytest.raises(Exception, match=r"(?i)connection|cancel"):
        await busy
