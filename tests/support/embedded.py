"""Throw-away embedded servers for tests of the supervisor itself."""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import bitlinkpay
from bitlinkpay.db.cluster import OWNER_ROLE, Options
from bitlinkpay.db.driver import connect
from bitlinkpay.db.embedded import EmbeddedPostgres

IS_ROOT = os.geteuid() == 0
AS_ROOT = pytest.mark.skipif(not IS_ROOT, reason="needs root, who may become other users")
THROW_AWAY = Options(is_durable=False)


def embedded(data_dir: Path, options: Options = THROW_AWAY) -> EmbeddedPostgres:
    return EmbeddedPostgres(data_dir, options, shelters=[data_dir.parent.parent / "shelter"])


async def write(server: EmbeddedPostgres, *values: int) -> None:
    connection = await connect(server.dsn(OWNER_ROLE))
    await connection.execute("CREATE TABLE IF NOT EXISTS kept (value int PRIMARY KEY)")
    for value in values:
        await connection.execute("INSERT INTO kept VALUES ($1)", value)
    await connection.close()


async def read(server: EmbeddedPostgres) -> list[int]:
    connection = await connect(server.dsn(OWNER_ROLE))
    rows = await connection.fetch("SELECT value FROM kept ORDER BY value")
    await connection.close()
    return [row["value"] for row in rows]


async def until(condition: Callable[[], bool], limit_s: float = 60.0) -> None:
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


def supervise(data_dir: Path) -> subprocess.Popen[str]:
    source = str(Path(bitlinkpay.__file__).parent.parent)
    script = Path(__file__).with_name("supervisor.py")
    process = subprocess.Popen(
        [sys.executable, str(script), str(data_dir)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([source, *sys.path])},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def bury(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait()
    assert process.stdout is not None
    process.stdout.close()
