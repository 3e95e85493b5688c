"""A child that hangs: how the supervisor notices, whom it leaves alone, and what it does not hold against anybody."""

import logging
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bitlinkpay.core.errors import Unavailable
from bitlinkpay.settings import DatabaseSettings, Settings
from bitlinkpay.supervisor.child import Child, Patience, _worked_s
from bitlinkpay.supervisor.deployment import Supervisor

BEATS = """
import asyncio, sys
from bitlinkpay.heartbeat import beat_until
from bitlinkpay.notifier import Notifier
notifier = Notifier.take()
{first}
notifier.announce()
asyncio.run(beat_until(notifier, asyncio.Event()))
"""
BEATING = BEATS.format(first="")
PRINTING = BEATS.format(first="print('x' * (1 << 20), flush=True)")
DEAF = (
    "import os, signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(os.getpid(), flush=True); signal.pause()"
)
NEVER_READY = "import signal; signal.pause()"
LONG = 1000.0
"""Seconds, longer than any patience: how far a moment is put back that a test does not wait for."""


@pytest.fixture
def supervise(tmp_path: Path) -> Iterator[Callable[[str], tuple[Supervisor, Child]]]:
    """Give a supervisor whose only child runs a program, and is started already."""
    started: list[Child] = []

    def begin(program: str, patience: Patience | None = None) -> tuple[Supervisor, Child]:
        settings = Settings(tmp_path, database=DatabaseSettings(dsn="postgresql://nowhere"))
        supervisor, child = Supervisor(settings), Child("worker", [sys.executable, "-c", program])
        supervisor._children = [child]
        child.launch(patience or Patience())
        started.append(child)
        return supervisor, child

    yield begin
    for child in started:
        child.process.kill()
        child.process.wait()
        child.line.close()


def stop(child: Child) -> None:
    """Stop a child, and return when it is; what it said before still waits to be read."""
    child.process.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, child.process.pid, os.WSTOPPED)


def look(supervisor: Supervisor) -> None:
    """Let the supervisor look as often as it does, however slow this machine is just now."""
    supervisor._looked_at = time.monotonic()
    supervisor._mend()


def blamed(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == logging.CRITICAL]


def mend_until(supervisor: Supervisor, done: Callable[[], bool]) -> None:
    while not done():
        look(supervisor)
        time.sleep(0.01)


def test_a_child_is_ready_when_it_says_so(supervise):
    supervisor, child = supervise(BEATING)
    supervisor._await_ready()
    assert (child.is_ready, child.has_ended()) == (True, False)


def test_a_child_that_ends_before_it_is_ready_is_named(supervise):
    supervisor, _ = supervise("raise SystemExit(3)")
    with pytest.raises(Unavailable, match="worker did not become ready"):
        supervisor._await_ready()


def test_a_child_that_hangs_at_the_first_start_is_named(supervise):
    supervisor, child = supervise(NEVER_READY)
    supervisor._looked_at, child.heard_at = time.monotonic(), child.heard_at - LONG
    with pytest.raises(Unavailable, match="worker did not become ready"):
        supervisor._await_ready()


def test_a_stopped_child_is_killed_and_another_takes_its_place(supervise, caplog):
    supervisor, child = supervise(BEATING)
    supervisor._await_ready()
    first = child.process
    stop(child)
    look(supervisor)
    assert blamed(caplog) == []  # it spoke a moment ago
    child.heard_at -= LONG
    look(supervisor)
    assert first.wait() == -signal.SIGKILL
    (told,) = blamed(caplog)
    assert told.startswith("worker gave no sign of life for 100")
    mend_until(supervisor, lambda: child.process is not first)
    assert not child.is_ready
    mend_until(supervisor, lambda: child.is_ready)
    assert not child.has_ended()


def test_a_child_that_beats_is_left_alone(supervise, caplog):
    supervisor, child = supervise(BEATING, Patience(running_s=0.1))
    supervisor._await_ready()
    for _ in range(5):
        while child.line in select.select([child.line], [], [], 0)[0]:
            child.line.recv(4096)
        assert select.select([child.line], [], [], 60)[0]  # its next beat waits to be read
        child.heard_at -= LONG
        look(supervisor)
        assert blamed(caplog) == []
        assert child.heard_at > time.monotonic() - LONG


def test_a_child_that_prints_more_than_a_pipe_holds_goes_on(supervise, capfd):
    supervisor, child = supervise(PRINTING)
    supervisor._await_ready()
    assert (capfd.readouterr().err.count("x"), child.has_ended()) == (1 << 20, False)


def test_a_supervisor_that_was_stopped_itself_blames_nobody(supervise, caplog):
    supervisor, child = supervise(BEATING)
    supervisor._await_ready()
    stop(child)  # together, as Ctrl-Z does: not even a word waits
    look(supervisor)
    child.heard_at -= LONG
    supervisor._looked_at -= LONG
    supervisor._mend()
    child.process.send_signal(signal.SIGCONT)
    look(supervisor)
    assert blamed(caplog) == []


def test_a_stopped_supervisor_gives_a_start_a_fresh_span(supervise, caplog):
    supervisor, child = supervise(NEVER_READY)
    child.heard_at, child.started_at = child.heard_at - LONG, child.started_at - LONG
    supervisor._looked_at -= LONG
    supervisor._mend()
    assert blamed(caplog) == []
    assert child.started_at > time.monotonic() - LONG


def test_a_child_that_was_started_again_must_become_ready_too(supervise, caplog):
    supervisor, child = supervise(NEVER_READY)
    first = child.process
    look(supervisor)
    assert blamed(caplog) == []
    child.heard_at -= LONG
    look(supervisor)
    assert first.wait() == -signal.SIGKILL
    assert blamed(caplog)[0].startswith("worker did not become ready in 100")
    mend_until(supervisor, lambda: child.process is not first)


def test_a_start_that_works_is_waited_for_but_not_for_ever(supervise, caplog):
    supervisor, child = supervise(NEVER_READY)
    child.worked_s = -LONG  # it has used more CPU since it was seen last
    child.heard_at -= LONG
    look(supervisor)
    assert blamed(caplog) == []
    child.worked_s = -LONG
    child.started_at -= LONG
    look(supervisor)
    assert child.process.wait() == -signal.SIGKILL


def test_work_is_what_the_kernel_counts():
    before_s = time.process_time()
    worked_s = _worked_s(os.getpid())
    ticks_s = 3 / os.sysconf("SC_CLK_TCK")
    assert before_s - ticks_s <= worked_s <= time.process_time() + ticks_s
    assert _worked_s(0) == 0  # nobody


def test_a_child_that_nothing_ends_is_killed_once_in_a_span(supervise, caplog):
    """As one that its disk holds: it does not go at once."""
    supervisor, child = supervise(BEATING)
    supervisor._await_ready()
    stop(child)
    look(supervisor)
    child.heard_at -= LONG
    supervisor._end(child, time.monotonic())
    assert not child.is_hung(time.monotonic(), Patience())
    assert len(blamed(caplog)) == 1


def test_a_child_that_hangs_does_not_outlive_its_supervisor():
    """It would keep its ports and locks, and the next deployment could not begin."""
    code = f"""
import signal, sys
from bitlinkpay.supervisor.child import Child, Patience
child = Child("deaf", [sys.executable, "-c", {DEAF!r}])
child.launch(Patience())
signal.pause()
"""
    supervisor = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True)
    deaf = int(supervisor.stderr.readline())
    os.kill(deaf, signal.SIGSTOP)
    supervisor.kill()
    supervisor.wait()
    with supervisor.stderr as line:
        assert line.read() == "", "whoever held its end of the line is gone"
