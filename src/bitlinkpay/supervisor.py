"""Runs a whole deployment: PostgreSQL as a direct child, then signer, worker and API as processes of their own.

Kept light (it imports neither the web nor the database driver): whatever it needs done once, it runs as a command.
A child that dies is started again; a supervisor that dies takes its children along (the kernel sees to it).
"""

import ctypes
import logging
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import FrameType
from typing import IO, Final

from bitlinkpay.core.errors import Unavailable
from bitlinkpay.db.embedded import APP_ROLE, OWNER_ROLE, EmbeddedPostgres
from bitlinkpay.settings import Settings, write_running

log = logging.getLogger(__name__)

READY_LINE: Final = "ready"
_READY_S: Final = 60
_STOP_S: Final = 10
_PR_SET_PDEATHSIG: Final = 1
_SECRETS: Final = ("BITLINKPAY_SIGNER_PASSPHRASE",)


@dataclass(slots=True)
class Child:
    """One supervised process. `is_trusted` children alone see the signer's passphrase."""

    name: str
    words: Sequence[str]
    is_trusted: bool = False
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0
    failures: int = field(default=0)


class Supervisor:
    """All processes of one all-in-one deployment."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._postgres = None if settings.database.dsn else EmbeddedPostgres(settings.data_dir / "postgres")
        self._children = _plan(settings)
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
            on_ready()
            while not self._is_stopping:
                time.sleep(0.2)
                self._mend()
        finally:
            self._stop()
        return 0

    def _ask_to_stop(self, _number: int, _frame: FrameType | None) -> None:
        self._is_stopping = True

    def _start(self) -> None:
        self._settings.data_dir.mkdir(parents=True, exist_ok=True)
        write_running(self._settings)
        if self._postgres:
            self._postgres.start()
        for words in (["migrate"], ["signer", "ensure"]):
            self._once(words)
        for child in self._children:
            self._launch(child, is_first=True)

    def _once(self, words: Sequence[str]) -> None:
        done = subprocess.run(  # noqa: S603 - our own program
            self._command(words),
            env=self._environment(is_trusted=True),
            stdin=subprocess.DEVNULL,
            stdout=2,
            check=False,
        )
        if done.returncode:
            raise Unavailable(f"`bitlinkpay {' '.join(words)}` failed, see above")

    def _command(self, words: Sequence[str]) -> list[str]:
        return [sys.executable, "-m", "bitlinkpay.cli.main", *words, "--data-dir", str(self._settings.data_dir)]

    def _environment(self, *, is_trusted: bool) -> Mapping[str, str]:
        hidden = () if is_trusted else _SECRETS
        return {name: value for name, value in os.environ.items() if name not in hidden}

    def _launch(self, child: Child, *, is_first: bool = False) -> None:
        child.started_at = time.monotonic()
        child.process = subprocess.Popen(  # noqa: S603 - our own program
            self._command(child.words),
            env=self._environment(is_trusted=child.is_trusted),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            preexec_fn=_die_with_parent,  # noqa: PLW1509 - the supervisor has one thread
        )
        if is_first:
            _await_ready(child)

    def _mend(self) -> None:
        if self._postgres and not self._postgres.is_running():
            log.error("PostgreSQL ended; starting it again")
            self._postgres.start()
        for child in self._children:
            if child.process and child.process.poll() is not None:
                self._restart(child)

    def _restart(self, child: Child) -> None:
        lived = time.monotonic() - child.started_at
        child.failures = 0 if lived > _READY_S else child.failures + 1
        if lived < min(2**child.failures / 10, 15):
            return
        code = child.process.returncode if child.process else None
        log.error("%s ended (%s); starting it again", child.name, code)
        self._launch(child)

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
    apis = [Child(f"api {number}", ["api"]) for number in range(settings.api_processes)]
    return [Child("signer", ["signer", "serve"], is_trusted=True), Child("worker", ["worker"]), *apis]


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


def database_dsns(settings: Settings) -> tuple[str, str]:
    """Return the connection strings of the owner (migrations) and of the application role."""
    external = settings.database
    if external.dsn:
        return external.owner_dsn or external.dsn, external.dsn
    postgres = EmbeddedPostgres(settings.data_dir / "postgres")
    return postgres.dsn(OWNER_ROLE), postgres.dsn(APP_ROLE)
