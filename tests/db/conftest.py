import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from tests.support.embedded import embedded
from tests.support.memory import roomy_memory
from tests.support.server import TestServer
from tests.support.wire import Wire, listening

from bitlinkpay.db.cluster import APP_ROLE
from bitlinkpay.db.driver import connect
from bitlinkpay.db.embedded import EmbeddedPostgres
from bitlinkpay.db.pool import Database

WORK_TABLE = """
CREATE TABLE work (key text PRIMARY KEY, amount numeric(78,0) NOT NULL);
CREATE TABLE totals (name text PRIMARY KEY, amount numeric(78,0) NOT NULL CONSTRAINT totals_positive CHECK (amount >= 0));
INSERT INTO totals VALUES ('all', 0);
GRANT SELECT, INSERT, UPDATE, DELETE ON work, totals TO bitlinkpay_app;
"""


@pytest.fixture
async def work_table(schema_owner_dsn: str) -> None:
    """Two tables of a made-up flow: rows with a unique key, and a total that one row holds."""
    owner = await connect(schema_owner_dsn)
    await owner.execute(WORK_TABLE)
    await owner.close()


@pytest.fixture
async def wire(server: TestServer) -> Wire:
    return Wire(Path(server.host) / f".s.PGSQL.{server.port}")


@pytest.fixture
async def wired(wire: Wire, folder: Path, database_name: str, work_table: None) -> AsyncIterator[Database]:
    """The test's database, reached through `wire`."""
    async with listening(wire, folder) as host:
        database = await Database.connect(f"postgresql://{APP_ROLE}@/{database_name}?host={host}", size=2)
        yield database
        await database.close()


@pytest.fixture(scope="session")
def fresh_home() -> Iterator[Path]:
    """The data folder of a server that was started once and stopped."""
    with tempfile.TemporaryDirectory(prefix="blp-", dir=roomy_memory() or "/tmp") as name:
        Path(name).chmod(0o755)
        home = Path(name) / "deployment" / "postgres"
        with embedded(home):
            pass
        yield home


@pytest.fixture
def data_dir(folder: Path, fresh_home: Path) -> Path:
    """The data folder of a stopped server, a copy of its own for each test."""
    copy = folder / "deployment" / "postgres"
    copy.mkdir(parents=True)
    copy.chmod(0o755)
    for part in fresh_home.iterdir():
        how = "-al" if part.name.startswith("binaries") else "-a"
        subprocess.run(["/bin/cp", how, str(part), str(copy)], check=True)
    return copy


@pytest.fixture
def running(data_dir: Path) -> Iterator[EmbeddedPostgres]:
    with embedded(data_dir) as server:
        yield server
