"""Deployments of both modes on a database of the test's own."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.cli.deployment import Deployment

from bitlinkpay.app.worker import _prepare
from bitlinkpay.connection import connect
from bitlinkpay.core.mode import Mode
from bitlinkpay.settings import load_settings
from bitlinkpay.signer.keys import derive_keyring
from bitlinkpay.wallets import service as wallets

RING = derive_keyring(bytes(range(64)))


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch, tmp_path):
    names = ("BITLINKPAY_DATA_DIR", "BITLINKPAY_DATABASE_DSN", "BITLINKPAY_DATABASE_OWNER_DSN")
    for name in (*names, "BITLINKPAY_SIGNER_PASSPHRASE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def make(app_dsn: str, schema_owner_dsn: str, tmp_path: Path, capsys) -> Callable[[Mode], Deployment]:
    """Make a deployment's folder and prepare its database as `serve` does."""

    def made(mode: Mode) -> Deployment:
        folder = tmp_path / "deployment"
        folder.mkdir()
        lines = [f'mode = "{mode}"', "[web]", 'url = "https://pay.example"']
        lines += ["[database]", f"dsn = {json.dumps(app_dsn)}", f"owner_dsn = {json.dumps(schema_owner_dsn)}"]
        (folder / "bitlinkpay.toml").write_text("\n".join(lines))
        asyncio.run(_fill(folder))
        deployment = Deployment(folder, schema_owner_dsn, capsys)
        if mode is Mode.SANDBOX:
            deployment.follow()
        return deployment

    return made


async def _fill(folder: Path) -> None:
    settings = load_settings(folder)
    database = await connect(settings)
    try:
        async with database.transaction() as tx:
            await wallets.import_keyring(tx, RING)
    finally:
        await database.close()
    await _prepare(settings)


@pytest.fixture
def sandbox(make) -> Deployment:
    return make(Mode.SANDBOX)


@pytest.fixture
def live(make) -> Deployment:
    return make(Mode.LIVE)
