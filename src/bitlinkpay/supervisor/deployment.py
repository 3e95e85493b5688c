"""Runs a whole deployment: PostgreSQL as a direct child, then signer, worker and API as processes of their own.

Kept light (it imports neither the web nor the database driver): whatever it needs done once, it runs as a command.
A child that dies or hangs is started again; a supervisor that dies takes its children along (the kernel sees to it).
"""

import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Final

from bitlinkpay.core.errors import Unavailable
from bitlinkpay.db.embedded import EmbeddedPostgres
from bitlinkpay.notifier import Notifier
from bitlinkpay.settings import Address, Settings, write_running
from bitlinkpay.supervisor.child import PASSPHRASE_VARIABLE, Child, Patience, environment

log = logging.getLogger(__name__)

_LOOK_S: Final = 0.2
_AWAY_S: Final = 5
"""Who has not looked for this long was stopped itself, or busy with PostgreSQL: nobody is blamed for that time."""

_LONG_LIFE_S: Final = 60
_STOP_S: Final = 10
_SLOWEST_RESTART_S: Final = 15
_PORT_S: Final = 2  # APIs whose supervisor was killed let go of their ports within moments


class _AskedToStop(BaseException):
    """SIGINT or SIGTERM came during the start."""


class Supervisor:
    """All processes of one all-in-one deployment."""

    def __init__(self, settings: Settings, notifier: Notifier | None = None, patience: Patience | None = None) -> None:
        """Plan; nothing is started before `run`.

        Args:
            settings: the deployment.
            notifier: the line to whoever started this process.
            patience: how long children may be silent.
        """
        self._settings = settings
        self._notifier = notifier or Notifier()
        self._patience = patience or Patience()
        self._looked_at = time.monotonic()
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
            self._notifier.ready()
            while not self._is_stopping:
                self._notifier.beat()
                time.sleep(_LOOK_S)
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
            child.launch(self._patience)
        self._await_ready()

    def _await_ready(self) -> None:
        while waiting := [child for child in self._children if not child.is_ready]:
            time.sleep(_LOOK_S / 10)
            now = self._listen()
            for child in waiting:
                if not child.is_ready and (child.has_ended() or child.is_hung(now, self._patience)):
                    raise Unavailable(f"{child.name} did not become ready, see its messages above")

    def _listen(self) -> float:
        """Take in what the children have said, and return the time. What waits is read before anybody is judged."""
        now = time.monotonic()
        was_away, self._looked_at = now - self._looked_at > _AWAY_S, now
        for child in self._children:
            child.hear(now)
            if was_away:
                child.forgive(now)
        return now

    def _mend(self) -> None:
        if self._postgres and not self._postgres.is_running() and time.monotonic() >= self._postgres_at:
            self._revive(self._postgres)
        now = self._listen()
        for child in self._children:
            if child.has_ended():
                self._restart(child)
            elif child.is_hung(now, self._patience):
                self._end(child, now)

    def _end(self, child: Child, now: float) -> None:
        silence_s = now - child.heard_at
        if child.is_ready:
            log.critical("%s gave no sign of life for %.0f s: killed, and started again", child.name, silence_s)
        else:
            log.critical("%s did not become ready in %.0f s: killed, and started again", child.name, silence_s)
        child.kill(now)

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
        if lived < _rest_s(child.failures):
            return
        child.failures = 0 if lived > _LONG_LIFE_S else child.failures + 1
        code = child.process.returncode if child.process else None
        log.error("%s ended (%s); starting it again", child.name, code)
        try:
            child.launch(self._patience)
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


def _rest_s(failures: int) -> float:
    """Return how long a child that failed so often lives at least before it is started again."""
    return min((1 << min(failures, 8)) / 10, _SLOWEST_RESTART_S)


def _plan(settings: Settings) -> list[Child]:
    apis = [Child(f"api {number}", _program(settings, "api")) for number in range(settings.api_processes)]
    return [Child("signer", _signer(settings), is_trusted=True), Child("worker", _program(settings, "worker")), *apis]


def _program(settings: Settings, *words: str) -> list[str]:
    return [sys.executable, "-m", "bitlinkpay.cli.main", *words, "--data-dir", str(settings.data_dir)]


def _signer(settings: Settings) -> list[str]:
    """Return the signer's own small program: it imports neither the database nor the web."""
    words = [sys.executable, "-m", "bitlinkpay.signer.server", "--dir", str(settings.signer_dir)]
    return words if PASSPHRASE_VARIABLE in os.environ else [*words, "--key-file", str(settings.signer_key_file)]


def _run_all(commands: Sequence[Sequence[str]]) -> None:
    """Run one-off commands side by side; what they print goes to stderr."""
    started: list[subprocess.Popen[bytes]] = []
    try:
        for command in commands:
            known = environment(is_trusted=True)
            started.append(subprocess.Popen(command, env=known, stdin=subprocess.DEVNULL, stdout=2))  # noqa: S603
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


def _reap(process: subprocess.Popen[bytes], deadline: float) -> None:
    try:
        process.wait(max(0.1, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
