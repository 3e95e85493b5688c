"""Folders that the database's own user can pass through: pytest's are closed to it, and the cluster would move elsewhere."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.memory import roomy_memory


def _folder() -> Iterator[Path]:
    place = roomy_memory()  # a deployment's database syncs its files; whoever waits for the disk here waits for nothing
    with tempfile.TemporaryDirectory(prefix="bitlinkpay-live-", ignore_cleanup_errors=True, dir=place) as name:
        Path(name).chmod(0o711)
        yield Path(name)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    yield from _folder()


@pytest.fixture(scope="module")
def open_module_folder() -> Iterator[Path]:
    yield from _folder()
