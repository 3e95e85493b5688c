"""A key ring, and networks as the registry has them."""

from collections.abc import AsyncIterator

import pytest

from bitlinkpay.chains.registry import Registry, load_registry
from bitlinkpay.core.assets import Network
from bitlinkpay.db.pool import Database
from bitlinkpay.signer.keyring import KeyRing
from bitlinkpay.signer.keys import derive_keyring
from bitlinkpay.wallets import service
from bitlinkpay.wallets.service import Allocator

SEED = bytes(range(64))


@pytest.fixture(scope="session")
def registry() -> Registry:
    return load_registry()


@pytest.fixture(scope="session")
def networks(registry: Registry) -> dict[str, Network]:
    return dict(registry.networks)


@pytest.fixture(scope="session")
def ring() -> KeyRing:
    return derive_keyring(SEED)


@pytest.fixture
async def allocator(database: Database, ring: KeyRing) -> Allocator:
    async with database.transaction() as tx:
        await service.import_keyring(tx, ring)
    return Allocator(database, ring)


@pytest.fixture
async def second(app_dsn: str) -> AsyncIterator[Database]:
    """The same database as another process would see it."""
    found = await Database.connect(app_dsn)
    yield found
    await found.close()
