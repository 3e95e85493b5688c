"""These tests run on the loop that production runs on; the TLS port on the standard one too. No part is a stand-in."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest
import uvloop
from tests.support.authority import ThriftyAuthority
from tests.web.wm.platform import MerchantApi

from bitlinkpay.chains.outgoing import Wallet
from bitlinkpay.chains.registry import Registry, load_registry
from bitlinkpay.core.mode import Mode
from bitlinkpay.db.pool import Database
from bitlinkpay.merchants.authority import Authority
from bitlinkpay.signer.keyring import KeyRing
from bitlinkpay.signer.keys import derive_keyring


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    if item.path.name == "test_tls.py":
        return {"uvloop": uvloop.new_event_loop, "asyncio": asyncio.new_event_loop}
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    folder = tmp_path_factory.mktemp("authority") / "keys"
    return ThriftyAuthority.open(folder, ["localhost"], now=datetime.now(UTC))


@pytest.fixture(scope="session")
def registry() -> Registry:
    return load_registry()


@pytest.fixture(scope="session")
def ring() -> KeyRing:
    return derive_keyring(bytes(range(64)))


@pytest.fixture
async def api(
    database: Database, authority: Authority, registry: Registry, ring: KeyRing, tmp_path: Path
) -> AsyncIterator[MerchantApi]:
    """A running merchant API: mutual TLS port and a sandbox's plain port, on a fresh database."""
    async with MerchantApi.start(database, authority, registry, ring, tmp_path) as found:
        yield found


@pytest.fixture
async def live_api(
    database: Database, authority: Authority, registry: Registry, ring: KeyRing, tmp_path: Path
) -> AsyncIterator[MerchantApi]:
    """The mutual TLS port as a live deployment has it."""
    async with MerchantApi.start(database, authority, registry, ring, tmp_path, mode=Mode.LIVE) as found:
        yield found


@pytest.fixture
def hot(registry: Registry, ring: KeyRing) -> Wallet:
    """The wallet that pays on TRON."""
    return ring.hot_wallet(registry.networks["tron"])
