"""A process that starts again while the signer is dead or hangs: it goes on with the public keys that it has."""

import asyncio
import socket
from pathlib import Path

import pytest
from tests.cli.deployment import Deployment

from bitlinkpay.app import platform
from bitlinkpay.app.platform import enroll
from bitlinkpay.connection import connect
from bitlinkpay.core.errors import Unavailable
from bitlinkpay.settings import DatabaseSettings, Settings, load_settings
from bitlinkpay.signer.client import SOCKET


async def start(settings: Settings) -> None:
    database = await connect(settings)
    try:
        await enroll(settings, database)
    finally:
        await database.close()


@pytest.fixture
def hasty(monkeypatch) -> None:
    monkeypatch.setattr(platform, "_SIGNER_S", 0.3)


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("hangs", [True, False])
def test_without_a_signers_answer_the_databases_keys_serve(sandbox: Deployment, caplog, hangs: bool):
    room = sandbox.folder / "signer"
    room.mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX) as silent:
        if hangs:
            silent.bind(str(room / SOCKET))
            silent.listen()
        asyncio.run(start(load_settings(sandbox.folder)))
    assert "the signer is away, the public keys are those of the database" in caplog.text
    sandbox.merchant()
    assert sandbox.order().address


@pytest.mark.usefixtures("hasty")
def test_without_any_keys_nothing_starts(app_dsn: str, tmp_path: Path):
    settings = Settings(tmp_path, database=DatabaseSettings(dsn=app_dsn))
    settings.signer_dir.mkdir(mode=0o700)
    with pytest.raises(Unavailable, match="the signer does not answer within"):
        asyncio.run(start(settings))
    settings.signer_dir.rmdir()
    asyncio.run(start(settings))  # a host without a signer waits for none
