"""Where a merchant's credentials are written: four new files that nobody else may read, never in place of others."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from bitlinkpay.core.errors import Invalid
from bitlinkpay.db.pool import OutcomeUnknown
from bitlinkpay.merchants.service import Credentials

_PRIVATE: Final = 0o600
_NAMES: Final = ("ca.crt", "client.crt", "client.key", "public_key.pem")


@contextmanager
def new_files(folder: Path) -> Iterator[None]:
    """Make the four files, empty, and take them away again when what they are for is not done.

    Raises:
        Invalid: one can't be made, or is there already: its key is kept nowhere else.
    """
    made: list[Path] = []
    try:
        for name in _NAMES:
            _make(folder / name)
            made.append(folder / name)
        yield
    except OutcomeUnknown:  # done, perhaps: then the key in them is the only one
        raise
    except BaseException:
        for path in made:
            path.unlink(missing_ok=True)
        raise


def _make(path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=_PRIVATE, exist_ok=False)
    except FileExistsError as error:
        taken = error.filename or path
        raise Invalid(f"{taken} exists already and is never overwritten; name another folder", param="out") from None
    except OSError as error:
        raise Invalid(f"{path} can't be written: {error.strerror}", param="out") from None


def write(folder: Path, credentials: Credentials) -> dict[str, str]:
    """Fill the files that `new_files` made, in the transaction that makes them count: before its COMMIT.

    Raises:
        Invalid: the disk does not take them.
    """
    contents = (credentials.ca_pem, credentials.certificate_pem, credentials.key_pem, credentials.public_key_pem)
    for name, content in zip(_NAMES, contents, strict=True):
        try:
            with (folder / name).open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise Invalid(f"{folder / name} can't be written: {error.strerror}", param="out") from None
    return {kind: str(folder / name) for kind, name in zip(("ca", "cert", "key", "public_key"), _NAMES, strict=True)}
