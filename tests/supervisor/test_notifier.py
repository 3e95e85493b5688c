"""What a process says to whoever started it, and to whom."""

import asyncio
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from bitlinkpay.app.lifetime import until_told
from bitlinkpay.heartbeat import beat_until
from bitlinkpay.notifier import Notifier


@pytest.fixture
def line() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with ours, theirs:
        ours.setblocking(False)
        yield ours, theirs


def heard(listener: socket.socket) -> list[bytes]:
    words = []
    listener.setblocking(False)
    while True:
        try:
            words.append(listener.recv(100))
        except BlockingIOError:
            return words


def test_in_a_terminal_nothing_is_said_but_ready(capsys):
    notifier = Notifier.take({})
    notifier.announce()
    notifier.ready()
    notifier.beat()
    assert capsys.readouterr() == ("ready\n", "")


def test_what_the_supervisor_hands_down_is_taken_once(line, capsys):
    ours, theirs = line
    given = os.dup(theirs.fileno())
    os.set_inheritable(given, True)
    environment = {"BITLINKPAY_NOTIFY_FD": str(given), "WATCHDOG_USEC": "60000000", "PATH": "/bin"}
    notifier = Notifier.take(environment)
    assert (environment, os.get_inheritable(given)) == ({"PATH": "/bin"}, False)  # not for those that we start
    notifier.announce()
    notifier.beat()
    notifier.beat()  # a moment later
    assert heard(ours) == [b"READY=1", b"WATCHDOG=1"]
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("is_abstract", [False, True], ids=["a path", "a name outside of the file system"])
def test_systemd_hears_the_same_words_at_its_address(tmp_path: Path, monkeypatch, is_abstract):
    monkeypatch.chdir(tmp_path)  # a short path
    name = f"@bitlinkpay-{os.getpid()}" if is_abstract else "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(name.replace("@", "\0"))
        notifier = Notifier.take({"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "1000", "WATCHDOG_PID": str(os.getpid())})
        notifier.announce()
        notifier.beat()
        assert heard(systemd) == [b"READY=1", b"WATCHDOG=1"]


@pytest.mark.parametrize("minds", [{}, {"WATCHDOG_USEC": "1000", "WATCHDOG_PID": "1"}, {"WATCHDOG_USEC": "soon"}])
def test_nobody_is_told_of_life_who_does_not_mind_silence(line, minds):
    ours, theirs = line
    notifier = Notifier.take({"BITLINKPAY_NOTIFY_FD": str(os.dup(theirs.fileno())), **minds})
    notifier.ready()
    notifier.beat()
    assert heard(ours) == [b"READY=1"]


def test_a_listener_that_is_stopped_or_gone_holds_nobody_up(line):
    ours, theirs = line
    notifier = Notifier(theirs, span_s=60)
    for _ in range(10_000):  # more than the kernel keeps
        notifier.ready()
    assert 0 < len(heard(ours)) < 10_000
    ours.close()
    notifier.ready()
    Notifier(theirs, address="/nowhere/notify").ready()


async def test_beats_come_from_the_loop_that_works(line):
    ours, theirs = line
    notifier, told = Notifier(theirs, span_s=0.04), asyncio.Event()
    beating = asyncio.create_task(beat_until(notifier, told))
    words = []
    while len(words) < 3:
        await asyncio.sleep(0.005)
        words += heard(ours)
    assert set(words) == {b"WATCHDOG=1"}
    told.set()
    await beating
    heard(ours)
    await asyncio.sleep(0.05)
    assert heard(ours) == []


async def test_api_and_worker_beat_until_they_are_told_to_end(line):
    ours, theirs = line
    waiting = asyncio.create_task(until_told(Notifier(theirs, span_s=60)))
    while not (words := heard(ours)):
        await asyncio.sleep(0)
    assert words == [b"WATCHDOG=1"]
    os.kill(os.getpid(), signal.SIGTERM)
    await waiting


async def test_one_whose_silence_nobody_minds_still_ends_when_told():
    told = asyncio.Event()
    beating = asyncio.create_task(beat_until(Notifier(), told))
    await asyncio.sleep(0)
    assert not beating.done()
    told.set()
    await beating
