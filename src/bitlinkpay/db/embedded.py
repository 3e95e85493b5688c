"""The embedded PostgreSQL: one direct child process per data folder.

The server dies with its supervisor (the kernel sends it a fast shutdown), and a supervisor that starts again finds
every committed row.
Roles: `bitlinkpay_owner` owns the schema and migrates, `bitlinkpay_app` does everything else.
"""

import ctypes
import fcntl
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

from bitlinkpay.core.errors import Unavailable
from bitlinkpay.db.binaries import Binaries, copy_binaries, find_binaries
from bitlinkpay.db.cluster import (
    APP_ROLE,
    DATABASE,
    ENVIRONMENT,
    OWNER_ROLE,
    SUPERUSER,
    Options,
    check_version,
    configure,
    create_cluster,
    run_program,
)
from bitlinkpay.db.home import (
    PORT,
    SHELTERS,
    Home,
    find_root,
    find_sockets,
    make_data_dir,
    miss_cluster,
    myself,
    note_cluster,
    open_home,
    prepare_sockets,
)
from bitlinkpay.db.leftovers import await_end, disown_lock_files, is_ready

__all__ = ["APP_ROLE", "OWNER_ROLE", "EmbeddedPostgres", "Options"]

_READY_S = 120.0  # crash recovery of a large log takes its time
_STOP_S = 30.0
_POLL_S = 0.004
_LOG_BYTES_MAX = 4 << 20
_PR_SET_PDEATHSIG = 1


class EmbeddedPostgres:
    """The server of one data folder; also a context manager. Not thread-safe.

    `start` belongs to the process's main thread: the kernel's death signal is tied to the thread that made the child.
    """

    def __init__(
        self,
        data_dir: Path,
        options: Options | None = None,
        *,
        shelters: Sequence[Path] = SHELTERS,
        patience_s: float = 30.0,
    ) -> None:
        """Prepare; nothing is touched before `start`.

        Args:
            data_dir: the deployment's folder for PostgreSQL; see `home` for what lies in it.
            options: what a deployment may choose.
            shelters: where the cluster may move when its user cannot enter `data_dir`.
            patience_s: how long a server whose supervisor died may take to end by itself before it is stopped.
        """
        self.data_dir = data_dir.absolute()
        self._options = options or Options()
        self._shelters = shelters
        self._patience_s = patience_s
        self._home: Home | None = None
        self._binaries: Binaries | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._lock: int | None = None

    def start(self) -> None:
        """Start the server, creating the cluster the first time, and return once it accepts connections.

        Does nothing while it runs; starts it again after it died.

        Raises:
            Unavailable: the server did not come up, or another process runs it; the message says why.
            ClusterLost: the cluster was made before, and is gone.
        """
        assert threading.current_thread() is threading.main_thread(), "the server would end with this thread"
        if self.is_running():
            return
        was_ours = self._lock is not None
        if self._lock is None:
            make_data_dir(self.data_dir)
            self._lock = _take_lock(self.data_dir / "lock")
        try:
            self._home = open_home(self.data_dir, self._shelters)
            self._launch(self._home)
        except BaseException:
            self._end_server()
            if not was_ours:  # who had it may try again: nobody else comes between
                self._let_go()
            raise

    def stop(self) -> None:
        """Shut the server down in order: open transactions are rolled back, the last checkpoint is written."""
        self._end_server()
        self._let_go()

    def _end_server(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            _end(process)

    def _let_go(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def is_running(self) -> bool:
        """Say whether our child is alive; reaps it if it died."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """Process id of the server.

        Raises:
            Unavailable: it was not started by this object.
        """
        if self._process is None:
            raise Unavailable("the embedded PostgreSQL was not started here")
        return self._process.pid

    def dsn(self, role: str, database: str = DATABASE) -> str:
        """Return the connection string of a role; any process of the same user may ask, not only the supervisor."""
        host = quote(str(find_sockets(find_root(self.data_dir))), safe="/")
        return f"postgresql://{role}@/{database}?host={host}&port={self._options.tcp_port or PORT}"

    def administer(self, words: str, database: str = "postgres") -> str:
        """Run SQL as the superuser through `psql` (as the server's user) and return its unaligned output.

        Raises:
            Unavailable: a statement failed, or the server was not started by this object.
        """
        home, binaries = self._home, self._binaries
        if home is None or binaries is None:
            raise Unavailable("the embedded PostgreSQL was not started here")
        where = [
            "-h",
            str(find_sockets(home.root)),
            "-p",
            str(self._options.tcp_port or PORT),
            "-U",
            SUPERUSER,
            "-d",
            database,
        ]
        psql = str(binaries.program("psql"))
        return run_program(
            [psql, "-X", "-q", "-A", "-t", "-w", "-v", "ON_ERROR_STOP=1", *where, "-f", "-"], home, words=words
        )

    def __enter__(self) -> Self:
        """Start."""
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop."""
        self.stop()

    def _launch(self, home: Home) -> None:
        if not home.cluster.is_dir():
            miss_cluster(self.data_dir)
        wheel = find_binaries()
        binaries = wheel if home.drop_uid is None else copy_binaries(wheel, home.root)
        self._binaries = binaries
        if not home.cluster.is_dir():
            create_cluster(binaries, home, self._options)
        note_cluster(self.data_dir, home)
        check_version(home)
        sockets = prepare_sockets(home)
        await_end(home.cluster, patience_s=self._patience_s)
        disown_lock_files(home.cluster, sockets)
        configure(home, sockets, myself(), self._options)
        self._process = _spawn(binaries, home)
        _await_ready(self._process, home)


def _take_lock(path: Path) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise Unavailable(
            f"another process runs the PostgreSQL of {path.parent}: `bitlinkpay serve` runs there already, end it first"
        ) from None
    return descriptor


def _spawn(binaries: Binaries, home: Home) -> subprocess.Popen[bytes]:
    _rotate(home.log)
    command = [
        str(binaries.program("postgres")),
        "-D",
        str(home.cluster),
        "-c",
        f"config_file={home.conf / 'postgresql.conf'}",
    ]
    with os.fdopen(os.open(home.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600), "ab") as log:
        return subprocess.Popen(  # noqa: S603 - our own program, no shell
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=home.root,
            env=ENVIRONMENT,
            umask=0o077,
            start_new_session=True,  # Ctrl-C in a terminal is for the supervisor, which stops the server last
            user=home.drop_uid,
            group=home.drop_gid,
            extra_groups=home.drop_groups,
            preexec_fn=_death_signal(),  # noqa: PLW1509 - runs two system calls, after the change of user, which would reset the signal
        )


def _death_signal() -> Callable[[], None] | None:
    """Return what the child does before it becomes `postgres`: ask for a fast shutdown when its parent dies."""
    if not sys.platform.startswith("linux"):
        return None
    libc = ctypes.CDLL(None, use_errno=True)
    parent = os.getpid()

    def ask() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGINT), 0, 0, 0)
        if os.getppid() != parent:  # it died before we asked
            os._exit(1)

    return ask


def _await_ready(process: subprocess.Popen[bytes], home: Home) -> None:
    deadline = time.monotonic() + _READY_S
    while not is_ready(home.cluster, process.pid):
        if process.poll() is not None or time.monotonic() > deadline:
            raise Unavailable(f"PostgreSQL did not start; {home.log} ends with: {_last_words(home.log)}")
        time.sleep(_POLL_S)


def _end(process: subprocess.Popen[bytes]) -> None:
    for number, patience_s in ((signal.SIGINT, _STOP_S), (signal.SIGQUIT, 10.0), (signal.SIGKILL, 10.0)):
        if process.poll() is None:
            process.send_signal(number)
        try:
            process.wait(patience_s)
        except subprocess.TimeoutExpired:
            continue
        return


def _rotate(log: Path) -> None:
    if log.is_file() and log.stat().st_size > _LOG_BYTES_MAX:
        log.replace(log.with_name(f"{log.name}.1"))


def _last_words(log: Path) -> str:
    return " / ".join(log.read_text(errors="replace").splitlines()[-5:])
