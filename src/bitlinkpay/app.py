"""The composition root: builds every concrete thing from the settings and hands the pieces down."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from bitlinkpay.chains.registry import Registry, load_registry
from bitlinkpay.core.clock import Clock, SystemClock
from bitlinkpay.db.embedded import APP_ROLE, OWNER_ROLE, EmbeddedPostgres
from bitlinkpay.db.pool import Database
from bitlinkpay.merchants.service import Directory
from bitlinkpay.payins.service import Payins
from bitlinkpay.rates.service import RateBook
from bitlinkpay.sandbox.clock import SandboxClock
from bitlinkpay.settings import Settings
from bitlinkpay.wallets.service import Allocator
from bitlinkpay.webhooks.policy import UrlPolicy, live_policy, sandbox_policy

log = logging.getLogger(__name__)

_NEVER: Final = timedelta(days=1)


def database_dsns(settings: Settings) -> tuple[str, str]:
    """Return the connection strings of the owner (migrations) and of the application role."""
    external = settings.database
    if external.dsn:
        return external.owner_dsn or external.dsn, external.dsn
    postgres = EmbeddedPostgres(settings.data_dir / "postgres")
    return postgres.dsn(OWNER_ROLE), postgres.dsn(APP_ROLE)


async def connect(settings: Settings) -> Database:
    """Connect to the deployment's database as the application role.

    Raises:
        Unavailable: it is not running.
    """
    return await Database.connect(database_dsns(settings)[1], size=settings.database.pool_size)


def load_networks(settings: Settings) -> Registry:
    """Return the registry of networks that are on: all of them in a sandbox, those with endpoints in a live deployment."""
    registry = load_registry(*settings.registry_paths)
    if settings.is_sandbox:
        return registry
    return registry.only(settings.networks)


def url_policy(settings: Settings) -> UrlPolicy:
    """Return what merchant URLs may name in this deployment."""
    callbacks = settings.callbacks
    if settings.is_sandbox:
        return sandbox_policy(allowed_networks=callbacks.allowed_networks)
    schemes = ("https", "http") if callbacks.is_http_allowed else ("https",)
    return live_policy(allowed_networks=callbacks.allowed_networks, ports=callbacks.allowed_ports, schemes=schemes)


@dataclass(frozen=True, slots=True)
class Platform:
    """What every process of a deployment is made of."""

    settings: Settings
    database: Database
    registry: Registry
    clock: Clock
    directory: Directory
    rates: RateBook
    allocator: Allocator
    payins: Payins
    urls: UrlPolicy


@asynccontextmanager
async def open_platform(settings: Settings) -> AsyncIterator[Platform]:
    """Build the platform on its database and take it apart again.

    Raises:
        Unavailable: the database is not running.
    """
    database = await connect(settings)
    try:
        yield await _assemble(settings, database)
    finally:
        await database.close()


async def _assemble(settings: Settings, database: Database) -> Platform:
    clock = await _clock(settings, database)
    registry = load_networks(settings)
    rates = RateBook(database, clock)
    allocator = await Allocator.open(database)
    return Platform(
        settings=settings,
        database=database,
        registry=registry,
        clock=clock,
        directory=Directory(database),
        rates=rates,
        allocator=allocator,
        payins=Payins(registry=registry, allocator=allocator, market=rates.price, clock=clock),
        urls=url_policy(settings),
    )


async def _clock(settings: Settings, database: Database) -> Clock:
    if not settings.is_sandbox:
        return SystemClock()
    clock = SandboxClock()
    await clock.refresh(database)
    return clock
