"""Secrets at rest: XSalsa20-Poly1305 (libsodium secretbox) under a key stretched by Argon2id (RFC 9106).

A sealed file is one JSON object. What it shows in clear (purpose, fingerprint, date) stands again inside the box and
must agree; a checksum over the whole tells damage from a wrong passphrase, it protects nothing by itself.
"""

import hashlib
import os
import re
from collections.abc import MutableMapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

import msgspec
from nacl import pwhash, secret
from nacl.exceptions import CryptoError

from bitlinkpay.signer.files import read_private, write_new
from bitlinkpay.signer.problems import BadUnlock, DamagedFile, NoMemory, WrongUnlock

PASSPHRASE_VARIABLE = "BITLINKPAY_SIGNER_PASSPHRASE"  # noqa: S105 (the name of a variable)
SHORTEST_PASSPHRASE = 12

_FORMAT = "bitlinkpay-sealed-1"
_KEY_FILE = re.compile(rb"[0-9a-f]{64}\n?")
_MIB = 1 << 20
_MOST_MEMORY = 1 << 30
_MOST_OPERATIONS = 16


class Purpose(StrEnum):
    """What a sealed file is for."""

    SEED = "seed"
    BACKUP = "backup"
    OPERATOR = "operator"  # an operator's own key, which approves payments


@dataclass(frozen=True, slots=True)
class Unlock:
    """What opens a sealed file, with the work that guessing it should cost."""

    material: bytes = field(repr=False)
    operations: int
    memory: int


class Sealed(msgspec.Struct, frozen=True):
    """The file as it stands on disk."""

    format: str
    purpose: Purpose
    fingerprint: str
    made_at: str
    operations: int
    memory: int
    salt: bytes
    box: bytes
    checksum: str = ""

    def sum(self) -> str:
        """Return the checksum that the other fields have."""
        return hashlib.sha256(msgspec.json.encode(msgspec.structs.replace(self, checksum=""))).hexdigest()


class Content(msgspec.Struct, frozen=True):
    """What is inside the box.

    `floors`: per key family the lowest index that may be handed out.
    """

    purpose: Purpose
    fingerprint: str
    made_at: str
    seed: bytes
    floors: dict[str, int]

    def __repr__(self) -> str:
        """Name the content without showing it."""
        return f"Content({self.purpose}, {self.fingerprint})"


def from_passphrase(text: str) -> Unlock:
    """Take a passphrase; guessing costs 256 MiB and 3 passes a try (libsodium's "moderate").

    Raises:
        BadUnlock: shorter than 12 characters.
    """
    if len(text) < SHORTEST_PASSPHRASE:
        raise BadUnlock(f"the passphrase needs at least {SHORTEST_PASSPHRASE} characters")
    return Unlock(text.encode(), pwhash.argon2id.OPSLIMIT_MODERATE, pwhash.argon2id.MEMLIMIT_MODERATE)


def from_key_file(path: Path) -> Unlock:
    """Take the 256 bits of a key file; as nobody can guess them, stretching is kept short.

    Raises:
        BadUnlock: the file is not 64 lower-case hex digits.
        LooseFile, SignerMissing: other users may read it, or it is not there.
    """
    content = read_private(path, limit=128)
    if not _KEY_FILE.fullmatch(content):
        raise BadUnlock(f"{path} must hold 64 hex digits, as `openssl rand -hex 32` prints them")
    return Unlock(content.strip(), pwhash.argon2id.OPSLIMIT_MIN, 8 * _MIB)


def create_key_file(path: Path) -> None:
    """Write a new random key file, mode 0600.

    Raises:
        SignerExists: the name is taken.
    """
    write_new(path, os.urandom(32).hex().encode() + b"\n")


def choose_unlock(
    environment: MutableMapping[str, str], key_file: Path | None, *, variable: str = PASSPHRASE_VARIABLE
) -> Unlock:
    """Take the key file, or else the passphrase of the environment, which is removed from there.

    Raises:
        BadUnlock: neither or both are given, or what is given has not the required form.
    """
    passphrase = environment.pop(variable, "")
    if key_file is not None and passphrase:
        raise BadUnlock(f"give a key file or {variable}, not both")
    if key_file is not None:
        return from_key_file(key_file)
    if not passphrase:
        raise BadUnlock(f"set {variable} or name a key file")
    return from_passphrase(passphrase)


def seal(path: Path, content: Content, unlock: Unlock) -> None:
    """Write a new sealed file, mode 0600.

    Raises:
        SignerExists: the name is taken.
    """
    salt = os.urandom(pwhash.argon2id.SALTBYTES)
    key = _stretch(unlock.material, salt, operations=unlock.operations, memory=unlock.memory)
    sealed = Sealed(
        format=_FORMAT,
        purpose=content.purpose,
        fingerprint=content.fingerprint,
        made_at=content.made_at,
        operations=unlock.operations,
        memory=unlock.memory,
        salt=salt,
        box=bytes(secret.SecretBox(key).encrypt(msgspec.json.encode(content))),
    )
    write_new(path, msgspec.json.encode(msgspec.structs.replace(sealed, checksum=sealed.sum())) + b"\n")


def read_sealed(path: Path, purpose: Purpose) -> Sealed:
    """Read a sealed file without opening the box.

    Raises:
        DamagedFile: not our form, another purpose, or the checksum differs.
        LooseFile, SignerMissing: other users may read it, or it is not there.
    """
    try:
        sealed = msgspec.json.decode(read_private(path), type=Sealed)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise DamagedFile(path, "not a sealed file") from None
    if sealed.format != _FORMAT or sealed.purpose is not purpose:
        raise DamagedFile(path, f"it is not a {purpose} file")
    if sealed.sum() != sealed.checksum:
        raise DamagedFile(path, "its checksum differs")
    if not (0 < sealed.operations <= _MOST_OPERATIONS and 0 < sealed.memory <= _MOST_MEMORY):
        raise DamagedFile(path, "it asks for absurd work")
    return sealed


def unseal(path: Path, purpose: Purpose, unlock: Unlock) -> Content:
    """Open a sealed file.

    Raises:
        WrongUnlock: another passphrase or key file sealed it.
        NoMemory: the machine cannot spare what stretching the passphrase takes.
        DamagedFile, LooseFile, SignerMissing: as `read_sealed`, or box and clear text disagree.
    """
    sealed = read_sealed(path, purpose)
    try:
        key = _stretch(unlock.material, sealed.salt, operations=sealed.operations, memory=sealed.memory)
        content = msgspec.json.decode(secret.SecretBox(key).decrypt(sealed.box), type=Content)
    except (
        ValueError,
        msgspec.MsgspecError,
    ):  # a salt or box of impossible length, impossible work, or foreign content
        raise DamagedFile(path, "its content has not our form") from None
    except CryptoError:
        raise WrongUnlock(path) from None
    shown = (sealed.purpose, sealed.fingerprint, sealed.made_at)
    if (content.purpose, content.fingerprint, content.made_at) != shown:
        raise DamagedFile(path, "what it shows is not what it holds")
    return content


def _stretch(material: bytes, salt: bytes, *, operations: int, memory: int) -> bytes:
    size = secret.SecretBox.KEY_SIZE
    try:
        key: bytes = pwhash.argon2id.kdf(size, material, salt, opslimit=operations, memlimit=memory)
    except RuntimeError:
        raise NoMemory(memory) from None
    return key
