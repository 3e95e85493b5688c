"""What an earlier server left behind: a lock file that lies, or processes that still run.

PostgreSQL itself believes that any live process with the recorded id is its predecessor, which in a container, where
ids start over, keeps it from starting for ever. Here a process counts only if it runs `postgres` in this very cluster.
"""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from bitlinkpay.core.errors import Unavailable

_POLL_S = 0.02


def server_processes(cluster: Path) -> list[int]:
    """Return the ids of all live `postgres` processes whose working directory is this cluster."""
    if not sys.platform.startswith("linux"):
        recorded = read_pid(cluster)
        return [recorded] if recorded is not None and _is_postgres(recorded) else []
    place = cluster.resolve()
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal() and _works_in(entry, place)]


def read_pid(cluster: Path) -> int | None:
    """Return the process id on the first line of `postmaster.pid`, or None without one."""
    lines = _read_lines(cluster)
    return int(lines[0]) if lines and lines[0].strip().isdecimal() else None


def is_ready(cluster: Path, pid: int) -> bool:
    """Say whether the server with this process id accepts connections (line 8 of `postmaster.pid`)."""
    lines = _read_lines(cluster)
    return len(lines) >= 8 and lines[0].strip() == str(pid) and lines[7].strip() == "ready"  # noqa: PLR2004


def await_end(cluster: Path, *, patience_s: float) -> None:
    """Wait until no server process of this cluster is left, and stop those that stay.

    A server whose supervisor was killed has been told to stop by the kernel and writes its last checkpoint. The signals
    grow from a fast shutdown to an immediate one, which PostgreSQL recovers from; no process of another cluster is ever
    touched.

    Raises:
        Unavailable: processes remain that could not be stopped.
    """
    for number in (None, signal.SIGINT, signal.SIGQUIT):
        if number is not None:
            _send(server_processes(cluster), number)
        deadline = time.monotonic() + patience_s
        while time.monotonic() < deadline:
            if not server_processes(cluster):
                return
            time.sleep(_POLL_S)
    raise Unavailable(f"processes {server_processes(cluster)} still use {cluster}; stop them first")


def disown_lock_files(cluster: Path, sockets: Path) -> None:
    """Make lock files of a dead server harmless. Call only after `await_end`.

    `postmaster.pid` is not removed: it also names the shared memory by which PostgreSQL finds surviving backends. Its
    process id is replaced by ours: PostgreSQL takes the id of its own parent for stale, and still checks the memory.
    """
    lines = _read_lines(cluster)
    if lines:
        descriptor = os.open(cluster / "postmaster.pid", os.O_WRONLY | os.O_TRUNC | os.O_NOFOLLOW)
        with os.fdopen(descriptor, "w") as file:
            file.write("\n".join([str(os.getpid()), *lines[1:], ""]))
    for path in sockets.glob(".s.PGSQL.*"):
        path.unlink(missing_ok=True)


def _read_lines(cluster: Path) -> list[str]:
    try:
        return (cluster / "postmaster.pid").read_text().splitlines()
    except FileNotFoundError:
        return []


def _works_in(process: Path, place: Path) -> bool:
    try:
        return (process / "cwd").readlink() == place and (process / "exe").readlink().name == "postgres"
    except OSError:  # ended meanwhile, a zombie, or another user's process
        return False


def _is_postgres(pid: int) -> bool:
    listed = subprocess.run(["/bin/ps", "-p", str(pid), "-o", "comm="], capture_output=True, text=True, check=False)  # noqa: S603
    return Path(listed.stdout.strip()).name == "postgres"


def _send(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)
