"""One supervised process: started, heard, and judged by its silence."""

import ctypes
import os
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bitlinkpay.notifier import LINE_VARIABLE, READY, SPAN_VARIABLE, VARIABLES

PASSPHRASE_VARIABLE: Final = "BITLINKPAY_SIGNER_PASSPHRASE"  # noqa: S105 - its name; see `signer.sealing`
_PR_SET_PDEATHSIG: Final = 1
_WORK_S: Final = 1  # of CPU: more than a process uses that only waits and looks
_MOST_WORDS: Final = 1000  # of one look; more wait for the next
_WORD_BYTES: Final = 4096


@dataclass(frozen=True, slots=True)
class Patience:
    """How long before a child is taken for hung.

    Attributes:
        starting_s: it is not ready, and in that time it worked for less than a second of CPU. On a busy machine a start
            takes as long as it takes.
        start_s: it is not ready, however much it worked.
        running_s: it was ready, and has been silent.
    """

    starting_s: float = 60
    start_s: float = 300
    running_s: float = 60


@dataclass(slots=True)
class Child:
    """One supervised process. `is_trusted` children alone see the signer's passphrase."""

    name: str
    command: Sequence[str]
    is_trusted: bool = False
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0
    heard_at: float = 0
    worked_s: float = 0
    is_ready: bool = False
    failures: int = 0
    line: socket.socket | None = None

    def launch(self, patience: Patience) -> None:
        """Start it, with a line to us; what it prints goes to stderr.

        Raises:
            OSError: no memory, or no process to be had.
        """
        self.started_at = self.heard_at = time.monotonic()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        ours.setblocking(False)
        heard = {LINE_VARIABLE: str(theirs.fileno()), SPAN_VARIABLE: str(round(patience.running_s * 1_000_000))}
        with theirs:
            self.process = subprocess.Popen(  # noqa: S603 - our own program
                self.command,
                env=environment(is_trusted=self.is_trusted) | heard,
                stdin=subprocess.DEVNULL,
                stdout=2,
                pass_fds=(theirs.fileno(),),
                preexec_fn=_die_with_parent,  # noqa: PLW1509 - the supervisor has one thread
            )
        if self.line:
            self.line.close()
        self.line, self.is_ready, self.worked_s = ours, False, 0

    def hear(self, now: float) -> None:
        """Take in what it has said since the last time, and while it starts how much it has worked."""
        if not self.is_ready:
            self._see_work(now)
        for _ in range(_MOST_WORDS):
            try:
                word = self.line.recv(_WORD_BYTES) if self.line else b""
            except OSError:  # nothing more waits
                return
            if not word:
                return
            self.heard_at = now
            self.is_ready = self.is_ready or word == READY

    def has_ended(self) -> bool:
        """Say whether its process is over; reaps it."""
        return self.process is not None and self.process.poll() is not None

    def forgive(self, now: float) -> None:
        """Give it a fresh span: what passed was not watched."""
        self.heard_at = now
        if not self.is_ready:
            self.started_at = now

    def is_hung(self, now: float, patience: Patience) -> bool:
        """Say whether it has been silent, or has started, for too long; one that nobody started is not hung."""
        if self.process is None:
            return False
        if self.is_ready:
            return now - self.heard_at > patience.running_s
        return now - self.heard_at > patience.starting_s or now - self.started_at > patience.start_s

    def kill(self, now: float) -> None:
        """End it without a word, for it would hear none. One that stays, held by its disk, is killed again later."""
        assert self.process is not None
        self.process.kill()
        self.forgive(now)

    def _see_work(self, now: float) -> None:
        worked_s = _worked_s(self.process.pid) if self.process else 0
        if worked_s >= self.worked_s + _WORK_S:
            self.heard_at, self.worked_s = now, worked_s


def environment(*, is_trusted: bool) -> dict[str, str]:
    """Return what a child may know: the passphrase only where it is trusted, and no line but its own."""
    hidden = VARIABLES if is_trusted else (PASSPHRASE_VARIABLE, *VARIABLES)
    return {name: value for name, value in os.environ.items() if name not in hidden}


def _worked_s(pid: int) -> float:
    """Return the seconds of CPU that a process has used, 0 where the kernel does not tell (proc_pid_stat(5), Linux)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    user, system = fields[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def _die_with_parent() -> None:
    """End without a word when the supervisor does: one that hangs would keep its ports and locks from the next."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
