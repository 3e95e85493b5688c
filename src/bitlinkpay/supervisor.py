"""Runs a whole deployment: PostgreSQL as a direct child, then signer, worker and API as processes of their own.

Kept light (it imports neither the web nor the database driver): whatever it needs done once, it runs as a command.
A child that dies is started again; a supervisor that dies takes its children along (the kernel sees to it).
"""

import ctypes
import logging
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import FrameType
from typing import IO, Final

from bitlinkpay.core.errors import Unavailable
from bitlinkpay.db.embedded import EmbeddedPostgres
from bitlinkpay.settings import Address, Settings, write_running

log = logging.getLogger(__name__)

READY_LINE: Final = "ready"
_READY_S: Final = 60
_STOP_S: Final = 10
_SLOWEST_RESTART_S: Final = 15
_PORT_S: Final = 2  # APIs whose supervisor was killed let go of their ports within moments
_PR_SET_PDEATHSIG: Final = 1
PASSPHRASE_VARIABLE: Final = "BITLINKPAY_SIGNER_PASSPHRASE"  # noqa: S105 - its name; see `signer.sealing`


@dataclass(slots=True)
class Child:
    """One supervised process. `is_trusted` children alone see the signer's passphrase."""

    name: str
    command: Sequence[str]
    is_trusted: bool = False
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0
    failures: int = field(default=0)


class _AskedToStop(BaseException):
    """SIGINT or SIGTERM came during the start."""


class Supervisor:
    """All processes of one all-in-one deployment."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._postgres = None if settings.database.dsn else EmbeddedPostgres(settings.data_dir / "postgres")
        self._postgres_at: float = 0
        self._postgres_failures = 0
        self._children = _plan(settings)
        self._is_starting = True
        self._is_stopping = False

    def run(self, on_ready: Callable[[], None]) -> int:
        """Start everything, call `on_ready`, and keep it running until SIGINT or SIGTERM; return the exit code.

        Raises:
            Unavailable: a part did not come up the first time.
        """
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._ask_to_stop)
        try:
            self._start()
            self._is_starting = False
            on_ready()
            while not self._is_stopping:
                time.sleep(0.2)
                self._mend()
        except _AskedToStop:
            log.info("asked to stop before everything was up")
        finally:
            self._is_starting = False
            self._stop()
        return 0

    def _ask_to_stop(self, _number: int, _frame: FrameType | None) -> None:
        self._is_stopping = True
        if self._is_starting:  # a start waits for others in many places: leave whichever it is
            self._is_starting = False
            raise _AskedToStop

    def _start(self) -> None:
        self._settings.data_dir.mkdir(parents=True, exist_ok=True)
        write_running(self._settings)
        if self._postgres:
            self._postgres.start()
        _run_all([_program(self._settings, "migrate"), _program(self._settings, "signer", "ensure")])
        for address in (self._settings.wm, self._settings.web):
            _must_be_free(address)
        for child in self._children:
            self._launch(child)
        for child in self._children:
            _await_ready(child)

    def _launch(self, child: Child) -> None:
        child.started_at = time.monotonic()
        child.process = subprocess.Popen(  # noqa: S603 - our own program
            child.command,
            env=_environment(is_trusted=child.is_trusted),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            preexec_fn=_die_with_parent,  # noqa: PLW1509 - the supervisor has one thread
        )

    def _mend(self) -> None:
        if self._postgres and not self._postgres.is_running() and time.monotonic() >= self._postgres_at:
            self._revive(self._postgres)
        for child in self._children:
            if child.process and child.process.poll() is not None:
                self._restart(child)

    def _revive(self, postgres: EmbeddedPostgres) -> None:
        """Start PostgreSQL again; what keeps it down, such as a full disk, may pass: it is tried until it is up.

        Raises:
            ClusterLost: its cluster is gone, and nothing but a person brings it back.
        """
        log.error("PostgreSQL ended; starting it again")
        try:
            postgres.start()
        except (Unavailable, OSError) as error:
            pause_s = min(2 ** min(self._postgres_failures, 8), _SLOWEST_RESTART_S)
            self._postgres_failures += 1
            self._postgres_at = time.monotonic() + pause_s
            log.critical("PostgreSQL does not start, it is tried again in %d s: %s", pause_s, error)
        else:
            self._postgres_failures = 0

    def _restart(self, child: Child) -> None:
        lived = time.monotonic() - child.started_at
        if lived < min(2 ** min(child.failures, 8) / 10, _SLOWEST_RESTART_S):
            return
        child.failures = 0 if lived > _READY_S else child.failures + 1
        code = child.process.returncode if child.process else None
        log.error("%s ended (%s); starting it again", child.name, code)
        try:
            self._launch(child)
        except OSError as error:  # no memory, or no process to be had: the next try may have more luck
            log.critical("%s can't be started: %s", child.name, error)

    def _stop(self) -> None:
        for child in reversed(self._children):
            if child.process and child.process.poll() is None:
                child.process.terminate()
        deadline = time.monotonic() + _STOP_S
        for child in reversed(self._children):
            if child.process:
                _reap(child.process, deadline)
        if self._postgres:
            self._postgres.stop()


def _plan(settings: Settings) -> list[Child]:
    apis = [Child(f"api {number}", _program(settings, "api")) for number in range(settings.api_processes)]
    return [Child("signer", _signer(settings), is_trusted=True), Child("worker", _program(settings, "worker")), *apis]


def _program(settings: Settings, *words: str) -> list[str]:
    return [sys.executable, "-m", "bitlinkpay.cli.main", *words, "--data-dir", str(settings.data_dir)]


def _signer(settings: Settings) -> list[str]:
    """Return the signer's own small program: it imports neither the database nor the web."""
    words = [sys.executable, "-m", "bitlinkpay.signer.server", "--dir", str(settings.signer_dir)]
    return words if PASSPHRASE_VARIABLE in os.environ else [*words, "--key-file", str(settings.signer_key_file)]


def _environment(*, is_trusted: bool) -> Mapping[str, str]:
    hidden = () if is_trusted else (PASSPHRASE_VARIABLE,)
    return {name: value for name, value in os.environ.items() if name not in hidden}


def _run_all(commands: Sequence[Sequence[str]]) -> None:
    """Run one-off commands side by side; what they print goes to stderr."""
    started: list[subprocess.Popen[bytes]] = []
    try:
        for command in commands:
            environment = _environment(is_trusted=True)
            started.append(subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=2))  # noqa: S603
        for command, process in zip(commands, started, strict=True):
            if process.wait():
                raise Unavailable(f"`bitlinkpay {' '.join(command[3:-2])}` failed, see above")
    finally:
        for process in started:
            process.kill()  # does nothing to one that has ended
            process.wait()


def _must_be_free(address: Address) -> None:
    """Refuse a port on which anything listens. The API processes share theirs and so would not notice.

    Raises:
        Unavailable: it is taken.
    """
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    deadline = time.monotonic() + _PORT_S
    while True:
        try:
            socket.create_server((address.host, address.port), family=family).close()
        except OSError as error:
            if time.monotonic() > deadline:
                raise Unavailable(f"cannot listen: {error}; choose another --wm-port or --web-port") from error
            time.sleep(0.1)
        else:
            return


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _await_ready(child: Child) -> None:
    assert child.process is not None
    assert child.process.stdout is not None
    with selectors.DefaultSelector() as selector:
        selector.register(child.process.stdout, selectors.EVENT_READ)
        deadline = time.monotonic() + _READY_S
        while time.monotonic() < deadline:
            if selector.select(timeout=0.2) and _reads_ready(child.process.stdout):
                return
            if child.process.poll() is not None:
                break
    raise Unavailable(f"{child.name} did not become ready, see its messages above")


def _reads_ready(stream: IO[bytes]) -> bool:
    return stream.readline().decode().strip() == READY_LINE


def _reap(process: subprocess.Popen[bytes], deadline: float) -> None:
    try:
        process.wait(max(0.1, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
