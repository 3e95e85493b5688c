"""Files and folders that only their owner may read, written whole or not at all."""

import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bitlinkpay.signer.problems import LooseFile, SignerBusy, SignerExists, SignerMissing

_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def make_private_folder(path: Path) -> None:
    """Create a 0700 folder (parents as the umask says), or accept an existing one of that mode.

    Raises:
        LooseFile: the folder exists and other users have rights on it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        path.mkdir(mode=0o700)
    except FileExistsError:
        check_private(path)


def check_private(path: Path) -> None:
    """Refuse a file or folder that other users have any right on.

    Raises:
        LooseFile: group or others have rights.
        SignerMissing: nothing is there.
    """
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        raise SignerMissing(path) from None
    if mode & _OTHERS:
        raise LooseFile(path, mode)


def read_private(path: Path, *, limit: int = 1 << 20) -> bytes:
    """Return the content of a file that only its owner may read, at most `limit` bytes of it.

    Raises:
        LooseFile, SignerMissing: as `check_private`.
    """
    check_private(path)
    with path.open("rb") as file:
        return file.read(limit)


def write_new(path: Path, content: bytes, *, mode: int = 0o600) -> None:
    """Write a new file so that it is either complete and durable or absent; never over an existing one.

    Raises:
        SignerExists: the name is taken.
    """
    temporary = _write_beside(path, content, mode)
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise SignerExists(path) from None
    finally:
        temporary.unlink()
    sync_folder(path.parent)


def replace(path: Path, content: bytes, *, mode: int = 0o600) -> None:
    """Write a file over whatever stands there, atomically and durably."""
    _write_beside(path, content, mode).replace(path)
    sync_folder(path.parent)


@contextmanager
def folder_lock(folder: Path) -> Iterator[None]:
    """Hold the folder's lock file; the kernel lets go of it when the process dies.

    Raises:
        SignerBusy: another process holds it.
    """
    try:
        with _flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB):
            yield
    except BlockingIOError:
        raise SignerBusy(folder) from None


@contextmanager
def folder_turn(folder: Path) -> Iterator[None]:
    """Hold the folder's lock file, waiting while another process does."""
    with _flock(folder, fcntl.LOCK_EX):
        yield


def sync_folder(folder: Path) -> None:
    """Wait until the disk knows the names in a folder."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _flock(folder: Path, operation: int) -> Iterator[None]:
    descriptor = os.open(folder / ".lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(descriptor, operation)
        yield
    finally:
        os.close(descriptor)


def _write_beside(path: Path, content: bytes, mode: int) -> Path:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}")
    descriptor = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    return temporary
