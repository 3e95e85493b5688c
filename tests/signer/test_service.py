"""Init, backup, restore, status."""

import stat
from pathlib import Path

import pytest
from tests.signer.conftest import NOW

from bitlinkpay.core.assets import Family
from bitlinkpay.signer import service
from bitlinkpay.signer.files import folder_lock, make_private_folder, read_private, replace
from bitlinkpay.signer.keyring import KeyRing
from bitlinkpay.signer.keys import new_seed, recover_private_key
from bitlinkpay.signer.problems import (
    DamagedFile,
    KeysDiffer,
    LooseFile,
    SignerBusy,
    SignerExists,
    SignerMissing,
    WrongUnlock,
)
from bitlinkpay.signer.sealing import (
    Content,
    Purpose,
    Unlock,
    create_key_file,
    from_key_file,
    from_passphrase,
    seal,
    unseal,
)
from bitlinkpay.wallets.derivation import Derivation


@pytest.fixture
def backup_unlock(tmp_path: Path) -> Unlock:
    create_key_file(tmp_path / "backup.key")
    return from_key_file(tmp_path / "backup.key")


@pytest.fixture
def backup(folder: Path, unlock: Unlock, backup_unlock: Unlock, ring: KeyRing, tmp_path: Path) -> Path:
    target = tmp_path / "signer.backup"
    service.backup(folder, unlock, target, backup_unlock, highest={"evm": 41, "solana": 255}, now=NOW)
    return target


def test_init_makes_a_private_folder(folder: Path, unlock: Unlock, ring: KeyRing) -> None:
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / service.SEED_FILE).stat().st_mode) == 0o600
    content = service.open_seed(folder, unlock)
    assert len(content.seed) == 64
    assert content.fingerprint == ring.fingerprint
    assert ring.floors == {}


def test_init_never_overwrites(folder: Path, unlock: Unlock, ring: KeyRing) -> None:
    before = (folder / service.SEED_FILE).read_bytes()
    with pytest.raises(SignerExists):
        service.init(folder, unlock, now=NOW)
    assert (folder / service.SEED_FILE).read_bytes() == before


def test_two_inits_make_two_seeds(tmp_path: Path, unlock: Unlock) -> None:
    rings = [service.init(tmp_path / name, unlock, now=NOW) for name in ("a", "b")]
    assert rings[0].fingerprint != rings[1].fingerprint


def test_init_refuses_an_open_folder(folder: Path, unlock: Unlock) -> None:
    folder.mkdir()
    folder.chmod(0o755)
    with pytest.raises(LooseFile, match="chmod"):
        service.init(folder, unlock, now=NOW)


def test_init_under_a_passphrase(folder: Path) -> None:
    unlock = from_passphrase("quite a long passphrase")
    ring = service.init(folder, unlock, now=NOW)
    assert service.check_keys(service.open_seed(folder, unlock)) == ring


def test_status_needs_no_passphrase(folder: Path, ring: KeyRing) -> None:
    shown = service.status(folder)
    assert shown == service.FolderStatus(ring.fingerprint, "2026-11-23T12:00:00+00:00", is_running=False)


def test_status_of_nothing(tmp_path: Path) -> None:
    with pytest.raises(SignerMissing):
        service.status(tmp_path)


def test_restore_on_a_clean_machine_gives_the_same_addresses(
    backup: Path, backup_unlock: Unlock, ring: KeyRing, tmp_path: Path, unlock: Unlock
) -> None:
    folder, elsewhere = tmp_path / "signer", tmp_path / "clean" / "signer"
    create_key_file(tmp_path / "new.key")
    new_unlock = from_key_file(tmp_path / "new.key")
    restored = service.restore(elsewhere, new_unlock, backup, backup_unlock, now=NOW)
    names = ("fingerprint", "evm", "tron", "bitcoin", "bitcoin_testnet", "ton_key", "ton_wallet", "solana_zero")
    assert all(getattr(restored, name) == getattr(ring, name) for name in names)
    ours, theirs = service.open_seed(folder, unlock).seed, service.open_seed(elsewhere, new_unlock).seed
    for family in Family:
        assert recover_private_key(ours, family, 17) == recover_private_key(theirs, family, 17)


def test_PAY_41_a_restore_on_a_clean_machine_gives_the_same_hot_and_deposit_addresses(
    backup: Path, backup_unlock: Unlock, ring: KeyRing, tmp_path: Path
) -> None:
    create_key_file(tmp_path / "new.key")
    restored = service.restore(
        tmp_path / "clean" / "signer", from_key_file(tmp_path / "new.key"), backup, backup_unlock, now=NOW
    )
    assert restored.hot == ring.hot
    assert len(restored.hot) == 41
    ours, theirs = Derivation(ring), Derivation(restored)
    for family in (Family.EVM, Family.TRON, Family.BITCOIN):
        for index in (0, 1, 999_999):
            address = ours.address(family, index, testnet=False)
            assert theirs.address(family, index, testnet=False) == address
    assert theirs.place(7) == ours.place(7)
    assert restored.solana_zero == ring.solana_zero


def test_restore_stays_above_all_that_may_have_been_handed_out(
    backup: Path, backup_unlock: Unlock, unlock: Unlock, tmp_path: Path
) -> None:
    restored = service.restore(tmp_path / "r", unlock, backup, backup_unlock, now=NOW)
    gap = service.RESTORE_GAP
    assert restored.floors == {"evm": 42 + gap, "solana": 256 + gap, "tron": gap, "bitcoin": gap, "ton": gap}
    assert restored.solana[0].index == 256 + gap


def test_floors_only_rise_through_generations(
    backup: Path, backup_unlock: Unlock, unlock: Unlock, tmp_path: Path
) -> None:
    first = service.restore(tmp_path / "r1", unlock, backup, backup_unlock, now=NOW)
    service.backup(tmp_path / "r1", unlock, tmp_path / "b2", backup_unlock, highest={"evm": 3}, now=NOW)
    second = service.restore(tmp_path / "r2", unlock, tmp_path / "b2", backup_unlock, now=NOW)
    assert all(second.floors[f] == first.floors[f] + service.RESTORE_GAP for f in Family)


def test_a_backup_is_private_and_never_overwrites(
    backup: Path, folder: Path, unlock: Unlock, backup_unlock: Unlock
) -> None:
    assert stat.S_IMODE(backup.stat().st_mode) == 0o600
    before = backup.read_bytes()
    with pytest.raises(SignerExists):
        service.backup(folder, unlock, backup, backup_unlock, highest={}, now=NOW)
    assert backup.read_bytes() == before


def test_PAY_40_a_backup_shows_nothing(backup: Path, folder: Path, unlock: Unlock) -> None:
    seed = service.open_seed(folder, unlock).seed
    raw = backup.read_bytes()
    assert seed not in raw
    assert seed.hex().encode() not in raw


def test_PAY_41_restore_with_a_wrong_passphrase_makes_nothing(backup: Path, unlock: Unlock, tmp_path: Path) -> None:
    with pytest.raises(WrongUnlock, match=r"does not open .*signer\.backup"):
        service.restore(tmp_path / "r", unlock, backup, unlock, now=NOW)
    assert not (tmp_path / "r").exists()


def test_PAY_41_restore_of_a_damaged_backup_makes_nothing(
    backup: Path, backup_unlock: Unlock, unlock: Unlock, tmp_path: Path
) -> None:
    raw = bytearray(backup.read_bytes())
    raw[len(raw) // 2] ^= 1
    backup.write_bytes(raw)
    with pytest.raises(DamagedFile, match="altered"):
        service.restore(tmp_path / "r", unlock, backup, backup_unlock, now=NOW)
    assert not (tmp_path / "r").exists()


def test_PAY_41_a_seed_that_yields_other_keys_is_refused(folder: Path, unlock: Unlock) -> None:
    folder.mkdir(mode=0o700)
    seal(folder / service.SEED_FILE, Content(Purpose.SEED, "0" * 32, NOW.isoformat(), new_seed(), {}), unlock)
    with pytest.raises(KeysDiffer, match="other rules"):
        service.open_seed(folder, unlock)


def test_PAY_41_restore_checks_the_keys_too(unlock: Unlock, tmp_path: Path) -> None:
    seal(tmp_path / "b", Content(Purpose.BACKUP, "0" * 32, NOW.isoformat(), new_seed(), {}), unlock)
    with pytest.raises(KeysDiffer):
        service.restore(tmp_path / "r", unlock, tmp_path / "b", unlock, now=NOW)
    assert not (tmp_path / "r").exists()


def test_restore_never_overwrites(backup: Path, backup_unlock: Unlock, folder: Path, unlock: Unlock) -> None:
    before = (folder / service.SEED_FILE).read_bytes()
    with pytest.raises(SignerExists):
        service.restore(folder, unlock, backup, backup_unlock, now=NOW)
    assert (folder / service.SEED_FILE).read_bytes() == before


def test_a_seed_file_is_no_backup(folder: Path, unlock: Unlock, ring: KeyRing, tmp_path: Path) -> None:
    with pytest.raises(DamagedFile, match="not a backup"):
        service.restore(tmp_path / "r", unlock, folder / service.SEED_FILE, unlock, now=NOW)


def test_the_backup_knows_the_seed_and_the_floors(
    backup: Path, backup_unlock: Unlock, folder: Path, unlock: Unlock
) -> None:
    content = unseal(backup, Purpose.BACKUP, backup_unlock)
    assert content.seed == service.open_seed(folder, unlock).seed
    assert content.floors == {"evm": 42, "solana": 256, "tron": 0, "bitcoin": 0, "ton": 0}


def test_one_writer_at_a_time(folder: Path, unlock: Unlock) -> None:
    make_private_folder(folder)
    with folder_lock(folder), pytest.raises(SignerBusy):
        service.init(folder, unlock, now=NOW)


def test_replace_is_whole_and_private(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_text("old")
    replace(path, b"new")
    assert read_private(path) == b"new"
    assert list(tmp_path.iterdir()) == [path]


def test_read_private_stops_at_its_limit(tmp_path: Path) -> None:
    replace(tmp_path / "f", b"x" * 100)
    assert read_private(tmp_path / "f", limit=10) == b"x" * 10
