"""Sealed files: what opens them, what must not."""

import json
import os
import stat
import tempfile
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl import pwhash
from nacl.secret import SecretBox

from bitlinkpay.signer.problems import BadUnlock, DamagedFile, LooseFile, SignerExists, SignerMissing, WrongUnlock
from bitlinkpay.signer.sealing import (
    PASSPHRASE_VARIABLE,
    Content,
    Purpose,
    Sealed,
    Unlock,
    choose_unlock,
    create_key_file,
    from_key_file,
    from_passphrase,
    read_sealed,
    seal,
    unseal,
)

CONTENT = Content(Purpose.SEED, "f" * 32, "2026-11-23T12:00:00+00:00", bytes(range(64)), {"evm": 3})


@pytest.fixture
def sealed(tmp_path: Path, unlock: Unlock) -> Path:
    seal(tmp_path / "seed.sealed", CONTENT, unlock)
    return tmp_path / "seed.sealed"


def test_round_trip(sealed: Path, unlock: Unlock) -> None:
    assert unseal(sealed, Purpose.SEED, unlock) == CONTENT


def test_a_passphrase_opens_what_it_sealed_and_guessing_is_dear(tmp_path: Path) -> None:
    path = tmp_path / "p.sealed"
    seal(path, CONTENT, from_passphrase("correct horse battery"))
    shown = read_sealed(path, Purpose.SEED)
    assert shown.memory >= 256 << 20
    assert shown.operations >= 3
    assert unseal(path, Purpose.SEED, from_passphrase("correct horse battery")) == CONTENT
    with pytest.raises(WrongUnlock, match="does not open"):
        unseal(path, Purpose.SEED, from_passphrase("correct horse batterz"))


def test_another_key_file_does_not_open_it(sealed: Path, tmp_path: Path) -> None:
    create_key_file(tmp_path / "other.key")
    with pytest.raises(WrongUnlock, match=r"seed\.sealed"):
        unseal(sealed, Purpose.SEED, from_key_file(tmp_path / "other.key"))


def test_PAY_40_the_file_shows_nothing_of_the_seed(sealed: Path) -> None:
    raw = sealed.read_bytes()
    assert CONTENT.seed not in raw
    assert CONTENT.seed.hex().encode() not in raw
    assert set(json.loads(raw)) == {
        "format",
        "purpose",
        "fingerprint",
        "made_at",
        "operations",
        "memory",
        "salt",
        "box",
        "checksum",
    }


def test_PAY_40_repr_of_secrets_is_silent(unlock: Unlock) -> None:
    assert str(CONTENT.seed) not in repr(CONTENT)
    assert unlock.material.decode() not in repr(unlock)


def test_two_files_of_one_content_share_no_box(sealed: Path, tmp_path: Path, unlock: Unlock) -> None:
    seal(tmp_path / "again.sealed", CONTENT, unlock)
    assert json.loads(sealed.read_bytes())["box"] != json.loads((tmp_path / "again.sealed").read_bytes())["box"]


def test_files_are_for_the_owner_only(sealed: Path) -> None:
    assert stat.S_IMODE(sealed.stat().st_mode) == 0o600
    assert [p.name for p in sealed.parent.iterdir() if p.name.startswith(".")] == []


def test_nothing_is_overwritten(sealed: Path, unlock: Unlock) -> None:
    before = sealed.read_bytes()
    with pytest.raises(SignerExists, match="never overwritten"):
        seal(sealed, CONTENT, unlock)
    assert sealed.read_bytes() == before


def test_every_altered_byte_is_noticed(sealed: Path, unlock: Unlock) -> None:
    raw = sealed.read_bytes()
    for position in range(len(raw) - 1):
        sealed.write_bytes(raw[:position] + bytes([raw[position] ^ 1]) + raw[position + 1 :])
        with pytest.raises((DamagedFile, WrongUnlock)):
            unseal(sealed, Purpose.SEED, unlock)


def test_every_truncation_is_noticed(sealed: Path, unlock: Unlock) -> None:
    raw = sealed.read_bytes().rstrip()
    for length in range(0, len(raw), 7):
        sealed.write_bytes(raw[:length])
        with pytest.raises(DamagedFile):
            unseal(sealed, Purpose.SEED, unlock)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("fingerprint", "0" * 32, DamagedFile),
        ("made_at", "2020-01-01T00:00:00+00:00", DamagedFile),
        ("purpose", "backup", DamagedFile),
        ("operations", 2, WrongUnlock),
        ("operations", 10**6, DamagedFile),
        ("memory", 1 << 40, DamagedFile),
        ("memory", -1, DamagedFile),
        ("memory", 1, DamagedFile),
        ("salt", "AAAA", DamagedFile),
        ("box", "AAAA", DamagedFile),
        ("box", "A" * 400, WrongUnlock),
        ("format", "bitlinkpay-sealed-9", DamagedFile),
    ],
)
def test_a_forger_who_mends_the_checksum_gains_nothing(
    sealed: Path, unlock: Unlock, name: str, value: object, expected: type[Exception]
) -> None:
    forged = msgspec.convert(json.loads(sealed.read_bytes()) | {name: value}, type=Sealed)
    sealed.write_bytes(msgspec.json.encode(msgspec.structs.replace(forged, checksum=forged.sum())))
    with pytest.raises(expected):
        unseal(sealed, Purpose.SEED, unlock)


@pytest.mark.parametrize("plain", [b"", b"{}", b"junk", b'"\xff"', b'{"purpose": "seed"}', b'{"purpose": "\x80"}'])
def test_foreign_content_in_a_box_of_our_key_is_damage(sealed: Path, unlock: Unlock, plain: bytes) -> None:
    salt = bytes(pwhash.argon2id.SALTBYTES)
    key = pwhash.argon2id.kdf(32, unlock.material, salt, opslimit=unlock.operations, memlimit=unlock.memory)
    found = msgspec.json.decode(sealed.read_bytes(), type=Sealed)
    forged = msgspec.structs.replace(found, salt=salt, box=bytes(SecretBox(key).encrypt(plain)))
    sealed.write_bytes(msgspec.json.encode(msgspec.structs.replace(forged, checksum=forged.sum())))
    with pytest.raises(DamagedFile):
        unseal(sealed, Purpose.SEED, unlock)


@given(st.binary(max_size=600))
def test_any_bytes_are_no_sealed_file(raw: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "f"
        path.touch(mode=0o600)
        path.write_bytes(raw)
        with pytest.raises(DamagedFile):
            read_sealed(path, Purpose.BACKUP)


@pytest.mark.parametrize("name", ["purpose", "fingerprint", "made_at", "salt", "box", "checksum", "format"])
def test_bytes_that_are_no_text_are_damage(sealed: Path, unlock: Unlock, name: str) -> None:
    raw = sealed.read_bytes()
    position = raw.index(f'"{name}":"'.encode()) + len(name) + 4
    sealed.write_bytes(raw[:position] + b"\xff" + raw[position + 1 :])
    with pytest.raises(DamagedFile):
        unseal(sealed, Purpose.SEED, unlock)


def test_a_seed_is_no_backup(sealed: Path, unlock: Unlock) -> None:
    with pytest.raises(DamagedFile, match="not a backup file"):
        unseal(sealed, Purpose.BACKUP, unlock)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o601])
def test_loose_files_are_refused(sealed: Path, unlock: Unlock, mode: int) -> None:
    sealed.chmod(mode)
    with pytest.raises(LooseFile, match="chmod"):
        unseal(sealed, Purpose.SEED, unlock)


def test_a_missing_file_is_named(tmp_path: Path, unlock: Unlock) -> None:
    with pytest.raises(SignerMissing, match="signer init"):
        unseal(tmp_path / "absent", Purpose.SEED, unlock)


def test_short_passphrases_are_refused() -> None:
    with pytest.raises(BadUnlock, match="12 characters"):
        from_passphrase("elevenchars")


@pytest.mark.parametrize(
    "content", [b"", b"short\n", b"A" * 64, b"g" * 64, b"a" * 63, b"a" * 65, b"a" * 64 + b"\n\n", b"a" * 200]
)
def test_key_files_have_one_form(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.key"
    path.touch(mode=0o600)
    path.write_bytes(content)
    with pytest.raises(BadUnlock, match="openssl rand -hex 32"):
        from_key_file(path)


def test_a_loose_key_file_is_refused(tmp_path: Path) -> None:
    create_key_file(tmp_path / "k")
    (tmp_path / "k").chmod(0o644)
    with pytest.raises(LooseFile):
        from_key_file(tmp_path / "k")


def test_key_files_are_random_private_and_never_overwritten(tmp_path: Path) -> None:
    create_key_file(tmp_path / "a")
    create_key_file(tmp_path / "b")
    assert (tmp_path / "a").read_bytes() != (tmp_path / "b").read_bytes()
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o600
    with pytest.raises(SignerExists):
        create_key_file(tmp_path / "a")


def test_the_environment_gives_its_passphrase_once() -> None:
    environment = {PASSPHRASE_VARIABLE: "a long enough phrase", "PATH": os.defpath}
    assert choose_unlock(environment, None) == from_passphrase("a long enough phrase")
    assert environment == {"PATH": os.defpath}


def test_exactly_one_way_to_unlock(tmp_path: Path) -> None:
    create_key_file(tmp_path / "k")
    with pytest.raises(BadUnlock, match="name a key file"):
        choose_unlock({}, None)
    with pytest.raises(BadUnlock, match="not both"):
        choose_unlock({PASSPHRASE_VARIABLE: "a long enough phrase"}, tmp_path / "k")
    assert choose_unlock({}, tmp_path / "k") == from_key_file(tmp_path / "k")
