"""A signer folder under a key file, in a folder of the test's own."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.signer.asking import Asking

from bitlinkpay.signer import service
from bitlinkpay.signer.keyring import KeyRing
from bitlinkpay.signer.sealing import Unlock, create_key_file, from_key_file

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


@pytest.fixture
def unlock(tmp_path: Path) -> Unlock:
    create_key_file(tmp_path / "signer.key")
    return from_key_file(tmp_path / "signer.key")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "signer"


@pytest.fixture
def ring(folder: Path, unlock: Unlock) -> KeyRing:
    return service.init(folder, unlock, now=NOW)


@pytest.fixture
def asking(tmp_path: Path) -> Asking:
    return Asking.start(tmp_path / "signer")
