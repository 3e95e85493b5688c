"""These tests run on the loop that production runs on. No part is a stand-in."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping

import pytest
import uvloop
from tests.web.api.platform import Rest, Signer

from bitlinkpay.chains.registry import Registry, load_registry
from bitlinkpay.client.rest import RestClient
from bitlinkpay.core.mode import Mode
from bitlinkpay.db.pool import Database
from bitlinkpay.signer.keyring import KeyRing
from bitlinkpay.signer.keys import derive_keyring


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture(scope="session")
def registry() -> Registry:
    return load_registry()


@pytest.fixture(scope="session")
def ring() -> KeyRing:
    return derive_keyring(bytes(range(64)))


@pytest.fixture
async def rest(database: Database, registry: Registry, ring: KeyRing) -> AsyncIterator[Rest]:
    """The API of a sandbox, on a fresh database."""
    async with Rest.start(database, registry, ring) as found:
        yield found


@pytest.fixture
async def live_rest(database: Database, registry: Registry, ring: KeyRing) -> AsyncIterator[Rest]:
    """The API as a live deployment has it."""
    async with Rest.start(database, registry, ring, mode=Mode.LIVE) as found:
        yield found


@pytest.fixture
async def signer(rest: Rest) -> Signer:
    """A merchant with a key for everything."""
    return await rest.signer()


@pytest.fixture
async def client(rest: Rest, signer: Signer) -> AsyncIterator[RestClient]:
    """That merchant's client."""
    async with rest.client(signer) as found:
        yield found
