"""An operator's own PostgreSQL, 15 or later, in place of the embedded one. Runs where a system package left one on the machine."""

import asyncio
import os
import pwd
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.migrations.catalogue import catalogue
from tests.migrations.snapshot import SNAPSHOT
from tests.support.clock import ManualClock

from bitlinkpay.core.ids import EventId, new_uuid7
from bitlinkpay.db import outbox
from bitlinkpay.db.driver import connect
from bitlinkpay.db.migrate import list_migrations, migrate
from bitlinkpay.db.pool import Database

FOUND = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), reverse=True)
PASSWORD = "for this test only"
AS_OTHER = {"user": "nobody", "group": pwd.getpwnam("nobody").pw_gid, "extra_groups": []} if os.geteuid() == 0 else {}


@pytest.fixture(params=FOUND, ids=lambda path: path.parent.parent.name)
def external_dsn(request: pytest.FixtureRequest, folder: Path) -> Iterator[str]:
    """A server that listens on TCP with SCRAM passwords; the connection string of an ordinary role that owns a database."""
    bin_dir: Path = request.param.parent
    home = folder / "external"
    home.mkdir(mode=0o755)
    if AS_OTHER:
        shutil.chown(home, "nobody")
    (folder / "password").write_text(PASSWORD)
    (folder / "password").chmod(0o644)
    common = {"cwd": folder, "env": {"LC_ALL": "C"}, "capture_output": True, **AS_OTHER}
    command = [
        f"{bin_dir}/initdb",
        "-D",
        f"{home}/data",
        "-U",
        "admin",
        "-A",
        "scram-sha-256",
        "--pwfile",
        f"{folder}/password",
        "-N",
    ]
    subprocess.run(command, check=True, **common)
    port = 20_000 + os.getpid() % 20_000
    options = [
        "-c",
        f"port={port}",
        "-c",
        f"unix_socket_directories={home}",
        "-c",
        "listen_addresses=127.0.0.1",
        "-c",
        "fsync=off",
    ]
    common.pop("capture_output")
    server = subprocess.Popen(
        [f"{bin_dir}/postgres", "-D", f"{home}/data", *options], stderr=subprocess.DEVNULL, **common
    )
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.send_signal(signal.SIGINT)  # fast: a smart shutdown waits for whoever is still connected
        server.wait(20)


@pytest.mark.skipif(not FOUND, reason="no PostgreSQL of a system package on this machine")
async def test_all_migrations_and_the_application_role_on_an_external_server(external_dsn: str, clock: ManualClock):
    admin = await patient_connect(f"postgresql://admin:{PASSWORD}@{external_dsn}/postgres")
    for role in ("bitlinkpay_owner", "bitlinkpay_app"):
        await admin.execute(f"CREATE ROLE {role} LOGIN PASSWORD '{PASSWORD}'")
    await admin.execute("CREATE DATABASE payments OWNER bitlinkpay_owner")
    await admin.close()
    owner_dsn = f"postgresql://bitlinkpay_owner:{PASSWORD}@{external_dsn}/payments"
    assert await migrate(owner_dsn) == [one.name for one in list_migrations()]
    owner = await connect(owner_dsn)
    assert await catalogue(owner) == SNAPSHOT.read_text().splitlines()
    await owner.close()

    database = await Database.connect(f"postgresql://bitlinkpay_app:{PASSWORD}@{external_dsn}/payments")
    event = outbox.Event(EventId(new_uuid7()), "payin.paid", None, new_uuid7(), {"a": "1"}, clock.now())
    async with database.transaction() as tx:
        await outbox.append(tx, [event])
    async with database.transaction() as tx:
        assert await outbox.claim(tx, "relay", 10) == [event]
    await database.close()


async def patient_connect(dsn: str):
    deadline = time.monotonic() + 60
    while True:
        try:
            return await connect(dsn)
        except Exception:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.05)
