"""One embedded PostgreSQL per test run, shared by all xdist workers; a fresh clone of a migrated database per test."""

import asyncio
import fcntl
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import asdict
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from tests.support.clock import ManualClock
from tests.support.databases import Databases
from tests.support.memory import roomy_memory
from tests.support.schedule import Schedule
from tests.support.server import TestServer, free_port

from bitlinkpay.db.cluster import APP_ROLE, OWNER_ROLE, Options
from bitlinkpay.db.embedded import EmbeddedPostgres
from bitlinkpay.db.migrate import migrate
from bitlinkpay.db.pool import Database

# The same examples at every run and no limit of time: a busy machine must not fail what is right.
settings.register_profile("steady", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("steady")

_TEMPLATE = "template_migrated"
_PREFIX = "blp-test-"
_SERVER = pytest.StashKey[TestServer]()
_RUNNING = pytest.StashKey[tuple[EmbeddedPostgres, Path]]()


def pytest_configure(config: pytest.Config) -> None:
    workerinput = getattr(config, "workerinput", None)
    if workerinput is not None:
        config.stash[_SERVER] = TestServer(**workerinput["postgres"])


def _remove_abandoned(parent: Path) -> None:
    """Remove what killed test runs left: folders whose lock nobody holds."""
    for lock in parent.glob(f"{_PREFIX}*/postgres/lock"):
        try:
            with lock.open() as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(lock.parent.parent, ignore_errors=True)
        except OSError:
            continue


def _launch(config: pytest.Config) -> TestServer:
    """Start the server in this process, once; under xdist this is the controller."""
    if _SERVER not in config.stash:
        parent = roomy_memory()
        _remove_abandoned(Path(parent or tempfile.gettempdir()))
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
        folder.chmod(0o711)
        port = int(os.environ.get("BITLINKPAY_TEST_PORT", "0")) or free_port()
        server = EmbeddedPostgres(folder / "postgres", Options(is_durable=False, tcp_port=port, max_connections=200))
        server.start()
        config.stash[_RUNNING] = (server, folder)
        server.administer(f"ALTER ROLE {OWNER_ROLE} CREATEDB; GRANT pg_signal_backend TO {OWNER_ROLE}")
        server.administer(f"CREATE DATABASE {_TEMPLATE} OWNER {OWNER_ROLE}")
        config.stash[_SERVER] = found = TestServer.of(server, port)
        asyncio.run(migrate(found.dsn(OWNER_ROLE, _TEMPLATE)))
    return config.stash[_SERVER]


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node) -> None:
    server = _launch(node.config)
    node.workerinput["postgres"] = asdict(server)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log) -> Schedule:
    return Schedule(config, log)


def pytest_unconfigure(config: pytest.Config) -> None:
    if _RUNNING in config.stash:
        server, folder = config.stash[_RUNNING]
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def server(pytestconfig: pytest.Config) -> TestServer:
    """The test run's PostgreSQL."""
    return _launch(pytestconfig)


@pytest.fixture(scope="session")
def databases(server: TestServer) -> Iterator[Databases]:
    """What makes and drops this process's databases."""
    with Databases(server) as found:
        yield found


@pytest.fixture
def database_name(databases: Databases) -> Iterator[str]:
    """Name of a fresh migrated database, dropped after the test."""
    name = databases.create(_TEMPLATE)
    yield name
    databases.drop(name)


@pytest.fixture
def app_dsn(server: TestServer, database_name: str) -> str:
    """Connection string of the application role to this test's database."""
    return server.dsn(APP_ROLE, database_name)


@pytest.fixture
def schema_owner_dsn(server: TestServer, database_name: str) -> str:
    """Connection string of the owner role to this test's database."""
    return server.dsn(OWNER_ROLE, database_name)


@pytest.fixture
async def database(app_dsn: str) -> AsyncIterator[Database]:
    """A fresh migrated database, as the application role."""
    found = await Database.connect(app_dsn)
    yield found
    await found.close()


@pytest.fixture
def owner_dsn(server: TestServer, databases: Databases) -> Iterator[str]:
    """Connection string of the owner role to a fresh, empty database."""
    name = databases.create("template1")
    yield server.dsn(OWNER_ROLE, name)
    databases.drop(name)


@pytest.fixture
def folder() -> Iterator[Path]:
    """A short-named folder that every user may enter; pytest's own lie below a private one."""
    with tempfile.TemporaryDirectory(prefix="blp-", dir=roomy_memory() or "/tmp") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture
def clock() -> ManualClock:
    """A clock that stands still until the test moves it."""
    return ManualClock()
