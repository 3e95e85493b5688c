"""What the supervisor starts, what its children may see, when they start again, and how a deployment ends."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from urllib.request import urlopen

import pytest
from tests.support.live import children
from tests.support.server import free_port

from bitlinkpay.core.errors import Unavailable
from bitlinkpay.db.embedded import EmbeddedPostgres
from bitlinkpay.db.home import ClusterLost, open_home
from bitlinkpay.settings import Address, DatabaseSettings, Settings
from bitlinkpay.supervisor.child import PASSPHRASE_VARIABLE, Child, Patience, environment
from bitlinkpay.supervisor.deployment import Supervisor, _must_be_free, _plan, _reap, _rest_s, _run_all

EXTERNAL = DatabaseSettings(dsn="postgresql://nowhere")


def program(text: str) -> list[str]:
    return [sys.executable, "-c", text]


def running(child: Child) -> Child:
    child.launch(Patience())
    return child


def test_the_plan_has_one_signer_one_worker_and_as_many_apis_as_asked(tmp_path):
    plan = _plan(Settings(tmp_path, api_processes=3))
    assert [child.name for child in plan] == ["signer", "worker", "api 0", "api 1", "api 2"]
    assert [child.name for child in plan if child.is_trusted] == ["signer"]
    for child in plan[1:]:
        assert child.command[-2:] == ["--data-dir", str(tmp_path)]


def test_the_signer_is_told_of_a_key_file_only_without_a_passphrase(tmp_path, monkeypatch):
    monkeypatch.delenv(PASSPHRASE_VARIABLE, raising=False)
    assert list(_plan(Settings(tmp_path))[0].command)[-2:] == ["--key-file", str(tmp_path / "signer.key")]
    monkeypatch.setenv(PASSPHRASE_VARIABLE, "correct horse battery staple")
    command = _plan(Settings(tmp_path))[0].command
    assert "--key-file" not in command
    assert not any("horse" in word for word in command)


def test_only_trusted_children_see_the_passphrase(monkeypatch):
    monkeypatch.setenv(PASSPHRASE_VARIABLE, "secret")
    assert environment(is_trusted=True) == dict(os.environ)
    assert environment(is_trusted=False) == {k: v for k, v in os.environ.items() if k != PASSPHRASE_VARIABLE}


def test_an_untrusted_child_really_lacks_it(monkeypatch, capfd):
    monkeypatch.setenv(PASSPHRASE_VARIABLE, "secret")
    told = f"import os; print(os.environ.get({PASSPHRASE_VARIABLE!r}, 'hidden'))"
    for is_trusted, seen in ((False, "hidden\n"), (True, "secret\n")):
        assert running(Child("teller", program(told), is_trusted=is_trusted)).process.wait() == 0
        assert capfd.readouterr() == ("", seen)  # what a child prints is for the log


def test_a_child_that_died_young_waits_longer_each_time(tmp_path):
    supervisor = Supervisor(Settings(tmp_path, database=EXTERNAL))
    child = running(Child("short", program("pass")))
    child.process.wait()
    first = child.process
    assert [_rest_s(failures) for failures in (0, 1, 3, 10, 50)] == [0.1, 0.2, 0.8, 15, 15]
    child.failures, child.started_at = 50, time.monotonic()  # 15 s: a machine may stall for some of them
    supervisor._restart(child)
    assert (child.process, child.failures) == (first, 50)
    child.started_at -= 15
    supervisor._restart(child)
    assert (child.process is not first, child.failures) == (True, 51)
    child.process.wait()


def test_a_child_that_lived_long_is_started_at_once_with_a_clean_slate(tmp_path):
    supervisor = Supervisor(Settings(tmp_path, database=EXTERNAL))
    child = running(Child("old", program("pass"), failures=9))
    first = child.process
    first.wait()
    child.started_at = time.monotonic() - 61
    supervisor._restart(child)
    assert (child.failures, child.process is not first) == (0, True)
    child.process.wait()


def test_a_child_that_can_not_be_started_is_tried_again_later(tmp_path, caplog):
    supervisor = Supervisor(Settings(tmp_path, database=EXTERNAL))
    child = running(Child("worker", program("pass")))
    child.process.wait()
    working, child.command = child.command, [str(tmp_path / "nowhere")]
    child.started_at = time.monotonic() - 61
    supervisor._restart(child)
    assert "worker can't be started" in caplog.text
    child.failures = 50  # it waits for 15 s, and not for a tenth of one
    supervisor._restart(child)
    assert caplog.text.count("can't be started") == 1  # not before it has waited
    child.command, child.started_at = working, time.monotonic() - 61
    supervisor._restart(child)
    assert child.process.wait() == 0


def test_a_postgresql_that_does_not_come_back_is_tried_until_it_does(folder, caplog):
    supervisor = Supervisor(Settings(folder))
    postgres = supervisor._postgres
    postgres.start()
    try:
        os.kill(postgres.pid, signal.SIGKILL)
        while postgres.is_running():
            time.sleep(0.01)
        control = open_home(folder / "postgres").cluster / "global" / "pg_control"
        away = control.rename(control.with_name("away"))
        supervisor._mend()
        assert "PostgreSQL does not start, it is tried again in 1 s" in caplog.text
        with pytest.raises(Unavailable, match="another process runs"):  # nobody comes in between
            EmbeddedPostgres(folder / "postgres").start()
        away.rename(control)
        supervisor._postgres_at += 60  # however long that took
        supervisor._mend()
        assert not postgres.is_running()  # not before it has waited
        supervisor._postgres_at = 0
        supervisor._mend()
        assert (postgres.is_running(), supervisor._postgres_failures) == (True, 0)
    finally:
        postgres.stop()
    with EmbeddedPostgres(folder / "postgres"):
        pass


def test_a_cluster_that_is_gone_ends_the_deployment(folder):
    supervisor = Supervisor(Settings(folder))
    with supervisor._postgres as postgres:
        home = open_home(folder / "postgres").cluster
        os.kill(postgres.pid, signal.SIGKILL)
        while postgres.is_running():
            time.sleep(0.01)
        home.rename(home.with_name("unmounted"))
        with pytest.raises(ClusterLost):
            supervisor._mend()


def test_a_one_off_command_that_fails_is_named():
    _run_all([program("pass")])
    command = [sys.executable, "-m", "bitlinkpay.cli.main", "frobnicate", "now", "--data-dir", "x"]
    with pytest.raises(Unavailable, match="`bitlinkpay frobnicate now` failed"):
        _run_all([command])


def test_a_child_that_ignores_the_request_to_end_is_killed():
    stubborn = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); signal.pause()"
    process = subprocess.Popen(program(stubborn), stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"deaf\n"
    process.terminate()
    _reap(process, time.monotonic() + 0.2)
    assert process.returncode == -signal.SIGKILL


def serve(folder: Path, wm_port: int, web_port: int, **more: str) -> subprocess.Popen:
    ports = ["--wm-port", str(wm_port), "--web-port", str(web_port)]
    words = ["serve", "--data-dir", str(folder), *ports]
    log = (folder / "serve.log").open("w")
    command = [sys.executable, "-m", "bitlinkpay.cli.main", *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, env={**os.environ, **more})


def family(pid: int) -> set[int]:
    found = set(children(pid))
    return found.union(*(family(child) for child in found))


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_deployment_says_its_urls_ends_on_request_and_leaves_no_process(folder):
    wm_port, web_port = free_port(), free_port()
    systemd = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    systemd.bind(f"\0{folder.name}-{os.getpid()}")
    systemd.settimeout(60)
    watched = {"NOTIFY_SOCKET": f"@{folder.name}-{os.getpid()}", "WATCHDOG_USEC": "60000000"}
    server = serve(folder, wm_port, web_port, **watched)
    try:
        lines = [server.stdout.readline().strip() for _ in range(3)]
        assert lines == [f"wm https://127.0.0.1:{wm_port}", f"web http://127.0.0.1:{web_port}", "ready"]
        assert [systemd.recv(100), systemd.recv(100)] == [b"READY=1", b"WATCHDOG=1"]  # its own words, and nobody else's
        socket.create_connection(("127.0.0.1", wm_port), 5).close()
        with urlopen(f"http://127.0.0.1:{web_port}/healthz", timeout=60) as answer:
            assert json.load(answer) == {"status": "healthy", "reason": ""}
        everybody = family(server.pid)
        assert len(everybody) >= 4
        server.send_signal(signal.SIGTERM)
        assert server.wait(60) == 0
        assert server.stdout.read() == ""
        assert [pid for pid in everybody if alive(pid)] == []
        assert "ready" not in (folder / "serve.log").read_text()  # the parts told the supervisor, and printed nothing
    finally:
        systemd.close()
        if server.poll() is None:
            server.terminate()
            server.wait(60)


def test_a_taken_port_is_one_clear_line_and_exit_code_1(folder):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        server = serve(folder, taken.getsockname()[1], free_port())
        assert server.wait(120) == 1
    assert server.stdout.read() == ""
    log = (folder / "serve.log").read_text()
    assert "Traceback" not in log
    assert [line for line in log.splitlines() if "cannot listen" in line and "--wm-port" in line] != []


def test_a_port_that_api_processes_share_is_taken_for_another_deployment():
    with socket.create_server(("127.0.0.1", 0), reuse_port=True) as shared:
        with pytest.raises(Unavailable, match=r"cannot listen.*--wm-port"):
            _must_be_free(Address("127.0.0.1", shared.getsockname()[1]))


def test_a_port_that_is_just_being_let_go_is_waited_for():
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
        threading.Timer(0.3, held.close).start()
        _must_be_free(Address("127.0.0.1", port))


def test_a_request_to_stop_ends_a_start_that_waits(folder, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as silent:  # a database that takes connections and never answers
        monkeypatch.setenv("BITLINKPAY_DATABASE_DSN", f"postgresql://app@127.0.0.1:{silent.getsockname()[1]}/pay")
        server = serve(folder, free_port(), free_port())
        silent.settimeout(60)
        connection, _ = silent.accept()
        everybody = family(server.pid)
        server.send_signal(signal.SIGTERM)
        assert server.wait(60) == 0
        connection.close()
    assert everybody != set()
    assert [pid for pid in everybody if alive(pid)] == []
    told = (folder / "serve.log").read_text()
    assert "asked to stop before everything was up" in told
    assert "Traceback" not in told
