"""Make, back up, restore and look at a signer folder: what `bitlinkpay signer ...` calls.

A folder (0700) holds `seed.sealed` and, while the server runs, its socket. Nothing here returns a private key, except
`open_seed`, for the signer's own process and for recovery.
"""

import socket
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from bitlinkpay.core.assets import Family
from bitlinkpay.signer import selftest
from bitlinkpay.signer.files import folder_lock, make_private_folder
from bitlinkpay.signer.keyring import KeyRing
from bitlinkpay.signer.keys import derive_keyring, new_seed
from bitlinkpay.signer.problems import KeysDiffer, SignerExists
from bitlinkpay.signer.protocol import socket_name
from bitlinkpay.signer.sealing import Content, Purpose, Unlock, read_sealed, seal, unseal

SEED_FILE = "seed.sealed"
RESTORE_GAP = 1_000_000  # indexes skipped by a restore, for what was handed out after the backup was made


@dataclass(frozen=True, slots=True)
class FolderStatus:
    """What a signer folder shows without being opened."""

    fingerprint: str
    made_at: str
    is_running: bool


def init(folder: Path, unlock: Unlock, *, now: datetime) -> KeyRing:
    """Create the folder with a new random seed and return its public keys.

    Raises:
        SignerExists: a seed is there already.
        SelfTestFailed, LooseFile, SignerBusy: see `signer.problems`.
    """
    selftest.run()
    return _settle(folder, new_seed(), {}, unlock, now)


def backup(
    folder: Path, unlock: Unlock, target: Path, target_unlock: Unlock, *, highest: Mapping[str, int], now: datetime
) -> str:
    """Write a sealed backup file that knows how far each key family has been handed out; return its fingerprint.

    Args:
        folder: the signer folder.
        unlock: what opens it.
        target: the backup file to write, mode 0600.
        target_unlock: what shall open the backup; may be the same.
        highest: per key family the highest index handed out (`wallets.service.highest_indexes`).
        now: the wall time.

    Raises:
        SignerExists: `target` exists.
        WrongUnlock, DamagedFile, KeysDiffer, SignerMissing, LooseFile: the folder could not be opened.
    """
    content = open_seed(folder, unlock)
    floors = {f.value: max(content.floors.get(f, 0), highest.get(f, -1) + 1) for f in Family}
    written = Content(Purpose.BACKUP, content.fingerprint, now.isoformat(timespec="seconds"), content.seed, floors)
    seal(target, written, target_unlock)
    assert unseal(target, Purpose.BACKUP, target_unlock) == written, "the backup does not read back"
    return content.fingerprint


def restore(folder: Path, unlock: Unlock, source: Path, source_unlock: Unlock, *, now: datetime) -> KeyRing:
    """Create the folder from a backup, with the same keys, and floors above everything that may have been handed out.

    Raises:
        SignerExists: a seed is there already.
        WrongUnlock, DamagedFile, KeysDiffer, SignerMissing, LooseFile: the backup could not be opened.
    """
    selftest.run()
    content = unseal(source, Purpose.BACKUP, source_unlock)
    check_keys(content)
    floors = {f.value: content.floors.get(f, 0) + RESTORE_GAP for f in Family}
    return _settle(folder, content.seed, floors, unlock, now)


def status(folder: Path) -> FolderStatus:
    """Describe a signer folder without its passphrase.

    Raises:
        DamagedFile, SignerMissing, LooseFile: there is no sound seed file.
    """
    sealed = read_sealed(folder / SEED_FILE, Purpose.SEED)
    return FolderStatus(sealed.fingerprint, sealed.made_at, _is_running(folder))


def open_seed(folder: Path, unlock: Unlock) -> Content:
    """Open the seed and check that it still yields the keys it was written for.

    Raises:
        WrongUnlock, DamagedFile, KeysDiffer, SignerMissing, LooseFile: see `signer.problems`.
    """
    content = unseal(folder / SEED_FILE, Purpose.SEED, unlock)
    check_keys(content)
    return content


def check_keys(content: Content) -> KeyRing:
    """Derive the public keys of an opened file.

    Raises:
        KeysDiffer: they are not those that the file was written for.
    """
    ring = derive_keyring(content.seed, content.floors)
    if ring.fingerprint != content.fingerprint:
        raise KeysDiffer(written=content.fingerprint, derived=ring.fingerprint)
    return ring


def _settle(folder: Path, seed: bytes, floors: Mapping[str, int], unlock: Unlock, now: datetime) -> KeyRing:
    make_private_folder(folder)
    path = folder / SEED_FILE
    with folder_lock(folder):
        if path.exists():
            raise SignerExists(path)
        ring = derive_keyring(seed, floors)
        made_at = now.isoformat(timespec="seconds")
        seal(path, Content(Purpose.SEED, ring.fingerprint, made_at, seed, dict(floors)), unlock)
        assert unseal(path, Purpose.SEED, unlock).seed == seed, "the seed file does not read back"
    return ring


def _is_running(folder: Path) -> bool:
    with socket_name(folder) as name, socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(name)
        except OSError:
            return False
        return True
