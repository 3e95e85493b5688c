"""Where an embedded server lives on disk, and as whom it runs.

    DATA_DIR/
    ├── lock             held (flock) by the process that runs the server
    ├── created          says where the cluster was made: one that is gone is missed, never replaced by an empty one
    ├── elsewhere        only where needed: path of the home, when the server's user cannot enter DATA_DIR
    └── (the home, unless elsewhere)
        ├── cluster/          PGDATA, 0700, owned by the server's user
        ├── conf/             postgresql.conf, pg_hba.conf, pg_ident.conf: rewritten at each start
        ├── local.conf        the operator's own settings, optional, never touched
        ├── socket/           0700, owned by the server's user
        ├── socket-elsewhere  only where needed: path of a short socket folder
        ├── binaries-18-X/    only as root: the programs, readable by the server's user
        └── postgres.log      and postgres.log.1

PostgreSQL refuses to run as root. Root therefore drops to a system user, and everything root writes lies in folders
that root owns, so that the server's user cannot lead root astray with a symbolic link. The mode of a folder that
existed before is never changed: where the server's user cannot enter one above, the home moves to a shelter such as
`/var/lib/bitlinkpay/<id>`.
"""

import os
import pwd
import secrets
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bitlinkpay.core.errors import Conflict, Unavailable

SHELTERS = (Path("/var/lib/bitlinkpay"), Path("/srv/bitlinkpay"), Path("/opt/bitlinkpay"))
PORT = 5432
_SOCKET_BYTES_MAX = 107  # sun_path of unix(7) is 108 bytes with its closing NUL
_SERVICE_USER = "bitlinkpay"
_STAND_INS = ("postgres", "nobody")


class ClusterLost(Conflict):
    """The cluster that this deployment's data was in is not where it was made."""

    code = "postgres.cluster_lost"

    def __init__(self, where: str, record: Path) -> None:
        super().__init__(
            f"the database in {where} is gone: mount it, or put it back from a copy. An empty one would hand out the"
            f" same addresses again; only to begin anew, or to restore a dump, remove {record}"
        )


@dataclass(frozen=True, slots=True)
class Account:
    """An operating system user."""

    name: str
    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class Home:
    """The folder of one server and the user it runs as."""

    root: Path
    account: Account

    @property
    def cluster(self) -> Path:
        """PGDATA."""
        return self.root / "cluster"

    @property
    def conf(self) -> Path:
        """Folder of the configuration files."""
        return self.root / "conf"

    @property
    def log(self) -> Path:
        """The server's log."""
        return self.root / "postgres.log"

    @property
    def drop_uid(self) -> int | None:
        """User id that a child process must take on; None when we are that user already."""
        return None if os.geteuid() == self.account.uid else self.account.uid

    @property
    def drop_gid(self) -> int | None:
        """Group id that goes with `drop_uid`."""
        return None if self.drop_uid is None else self.account.gid

    @property
    def drop_groups(self) -> list[int] | None:
        """Supplementary groups that go with `drop_uid`: none at all."""
        return None if self.drop_uid is None else []


def myself() -> Account:
    """Return the user of this process.

    Raises:
        Unavailable: the user id has no entry in the user database; neither `initdb` nor peer authentication work then.
    """
    uid = os.geteuid()
    try:
        return _account(pwd.getpwuid(uid))
    except KeyError:
        raise Unavailable(f"user id {uid} has no name on this machine; run as a named user or set a DSN") from None


def make_data_dir(data_dir: Path) -> None:
    """Create the folder if it is missing; one that exists keeps its mode."""
    _make_folder(data_dir, mode=0o700 if os.geteuid() else 0o711)


def open_home(data_dir: Path, shelters: Sequence[Path] = SHELTERS) -> Home:
    """Find the home of `data_dir`, or choose and record one. Hold the lock of `data_dir` meanwhile.

    Raises:
        Unavailable: no user to drop to, no folder that this user can enter, or the cluster belongs to another user.
    """
    root = find_root(data_dir)
    if os.geteuid() != 0:
        me, owner = myself(), _owner_of(root / "cluster")
        if owner is not None and owner != me:
            raise Unavailable(f"{root} belongs to the user {owner.name!r}; start as that user or as root")
        return Home(root, me)
    account = _owner_of(root / "cluster") or _service_account()
    if root != data_dir or can_enter(account, data_dir):
        return Home(root, account)
    return Home(_shelter(data_dir, account, shelters), account)


def find_root(data_dir: Path) -> Path:
    """Return the recorded home of `data_dir`; without a record, `data_dir` itself."""
    record = data_dir / "elsewhere"
    return Path(record.read_text().strip()) if record.is_file() else data_dir


def miss_cluster(data_dir: Path) -> None:
    """Refuse to make a cluster where one was made before.

    Raises:
        ClusterLost: see there.
    """
    record = data_dir / "created"
    if record.is_file():
        raise ClusterLost(record.read_text().strip(), record)


def note_cluster(data_dir: Path, home: Home) -> None:
    """Record where the cluster is, so that it is missed when it is gone."""
    record, words = data_dir / "created", f"{home.cluster}\n"
    if not record.is_file() or record.read_text() != words:
        write_file(record, words)


def find_sockets(root: Path) -> Path:
    """Return the folder of the server's socket."""
    record = root / "socket-elsewhere"
    return Path(record.read_text().strip()) if record.is_file() else root / "socket"


def prepare_sockets(home: Home) -> Path:
    """Create the socket folder, 0700 and owned by the server's user, short enough for a socket address."""
    inside = home.root / "socket"
    if len(os.fsencode(inside / f".s.PGSQL.{PORT}")) <= _SOCKET_BYTES_MAX:
        give_folder(inside, home.account)
        return inside
    recorded = find_sockets(home.root)
    if recorded != inside and _is_private(recorded, home.account):
        return recorded
    short = Path(tempfile.mkdtemp(prefix="blp-", dir=_short_parent(home.account)))
    os.chown(short, home.account.uid, home.account.gid)
    write_file(home.root / "socket-elsewhere", f"{short}\n")
    return short


def give_folder(folder: Path, account: Account) -> None:
    """Make sure that `folder` exists, belongs to `account` and is closed to all others."""
    folder.mkdir(mode=0o700, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        os.fchmod(descriptor, 0o700)
        os.fchown(descriptor, account.uid, account.gid)
    finally:
        os.close(descriptor)


def write_file(path: Path, text: str) -> None:
    """Replace a file in one step; readers see the old text or the new one. Never writes through a symbolic link."""
    unfinished = path.with_name(f"{path.name}.new")
    unfinished.unlink(missing_ok=True)
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    with os.fdopen(descriptor, "w") as file:
        os.fchmod(descriptor, 0o644)
        file.write(text)
    unfinished.replace(path)


def can_enter(account: Account, folder: Path) -> bool:
    """Say whether the user may traverse `folder` and every folder above it."""
    return all(_has_search_right(account, step.stat()) for step in (folder, *folder.parents))


def _has_search_right(account: Account, status: os.stat_result) -> bool:
    if status.st_uid == account.uid:
        return bool(status.st_mode & stat.S_IXUSR)
    if status.st_gid == account.gid:
        return bool(status.st_mode & stat.S_IXGRP)
    return bool(status.st_mode & stat.S_IXOTH)


def _make_folder(folder: Path, *, mode: int) -> None:
    if not folder.is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(mode)


def _shelter(data_dir: Path, account: Account, shelters: Sequence[Path]) -> Path:
    for parent in shelters:
        try:
            _make_folder(parent, mode=0o755)
            if not can_enter(account, parent):
                continue
            root = parent / secrets.token_hex(8)
            root.mkdir()
            root.chmod(0o711)
        except OSError:
            continue
        write_file(data_dir / "elsewhere", f"{root}\n")
        return root
    raise Unavailable(
        f"the user {account.name!r} that PostgreSQL runs as cannot enter {data_dir}; "
        "choose a data folder outside of private folders, or start as an ordinary user"
    )


def _is_private(folder: Path, account: Account) -> bool:
    try:
        status = folder.lstat()
    except FileNotFoundError:
        return False
    return stat.S_ISDIR(status.st_mode) and status.st_uid == account.uid and stat.S_IMODE(status.st_mode) == 0o700  # noqa: PLR2004


def _short_parent(account: Account) -> Path:
    runtime = Path(os.environ.get("XDG_RUNTIME_DIR", "/nonexistent"))
    for parent in (Path("/run"), runtime, Path("/tmp")):  # noqa: S108 - mkdtemp makes a fresh private folder in it
        if (
            os.access(parent, os.W_OK | os.X_OK)
            and can_enter(account, parent)
            and len(os.fsencode(parent)) < _SOCKET_BYTES_MAX // 2
        ):
            return parent
    raise Unavailable(
        "no folder with a short path for the socket of PostgreSQL; choose a data folder with a shorter path"
    )


def _owner_of(folder: Path) -> Account | None:
    try:
        owner = folder.stat().st_uid
        return _account(pwd.getpwuid(owner)) if owner != 0 else None
    except (FileNotFoundError, KeyError):
        return None


def _service_account() -> Account:
    found = _find_account(_SERVICE_USER)
    if found is None and (useradd := shutil.which("useradd", path="/usr/sbin:/sbin:/usr/bin")):
        command = [useradd, "--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent"]
        subprocess.run([*command, "--shell", "/bin/false", _SERVICE_USER], check=False, capture_output=True)  # noqa: S603 - fixed words
        found = _find_account(_SERVICE_USER)
    for name in _STAND_INS:
        found = found or _find_account(name)
    if found is None:
        raise Unavailable(
            "PostgreSQL does not run as root and this machine has no user to drop to; add a user 'bitlinkpay'"
        )
    return found


def _find_account(name: str) -> Account | None:
    try:
        return _account(pwd.getpwnam(name))
    except KeyError:
        return None


def _account(entry: pwd.struct_passwd) -> Account:
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)
