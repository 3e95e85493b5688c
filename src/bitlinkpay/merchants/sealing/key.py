"""The file `keys/sealing.key`: 64 hex digits, mode 0600 in a 0700 folder. Whoever reads or makes a secret needs it."""

import os
import re
from pathlib import Path
from typing import Final

from bitlinkpay.core.sealing import KEY_BYTES, Sealer
from bitlinkpay.merchants.authority import BadAuthority
from bitlinkpay.signer.files import folder_turn, make_private_folder, read_private, write_new

NAME: Final = "sealing.key"
_FORM = re.compile(rb"[0-9a-f]{64}\n?")


def is_made(folder: Path) -> bool:
    """Say whether the folder holds a sealing key."""
    return (folder / NAME).exists()


def make_sealer(folder: Path) -> Sealer:
    """Open the key, and make it where it is missing. Several processes may do so at once.

    Raises:
        BadAuthority: it is not 64 hex digits.
        LooseFile: it or the folder is open to other users.
    """
    path = folder / NAME
    make_private_folder(folder)
    with folder_turn(folder):
        if not is_made(folder):
            write_new(path, os.urandom(KEY_BYTES).hex().encode() + b"\n")
    content = read_private(path)
    if not _FORM.fullmatch(content):
        raise BadAuthority(path, "not 64 hex digits")
    return Sealer(bytes.fromhex(content.decode()))
