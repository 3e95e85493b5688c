"""What every process of a deployment is made of."""

from asyncio import sleep
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from bitlinkpay.chains.base import Chain
from bitlinkpay.chains.evm.chain import EvmChain, EvmOptions
from bitlinkpay.chains.evm.reader import Proof
from bitlinkpay.chains.registry import Registry, load_registry
from bitlinkpay.chains.registry_rows import Endpoints
from bitlinkpay.chains.rpc import Endpoint
from bitlinkpay.chains.simulated import SimulatedChain
from bitlinkpay.connection import connect
from bitlinkpay.core.assets import Family, Network
from bitlinkpay.core.clock import Clock, SystemClock
from bitlinkpay.core.errors import Invalid, Unavailable
from bitlinkpay.db.driver import Tx
from bitlinkpay.db.pool import Database
from bitlinkpay.deposits.assets.service import Holds
from bitlinkpay.ledger import invariants
from bitlinkpay.ledger.model import Check
from bitlinkpay.merchants.authority import Authority
from bitlinkpay.merchants.directory import Directory
from bitlinkpay.payins.invariants import PAYINS
from bitlinkpay.payins.service import Payins
from bitlinkpay.rates.service import RateBook
from bitlinkpay.sandbox.actions import SandboxActions
from bitlinkpay.sandbox.clock import SandboxClock
from bitlinkpay.sandbox.store import SandboxState
from bitlinkpay.settings import NetworkSettings, Settings
from bitlinkpay.signer.client import SignerClient
from bitlinkpay.signer.keyring import KeyRing
from bitlinkpay.wallets import service as wallets
from bitlinkpay.wallets.service import Allocator
from bitlinkpay.webhooks.policy import UrlPolicy, live_policy, sandbox_policy

READABLE: Final = frozenset({Family.EVM})  # families with an adapter for real nodes
_SIGNER_TRIES: Final = 300
_SIGNER_PAUSE_S: Final = 0.1


def load_networks(settings: Settings) -> Registry:
    """Return the registry of networks that are on: all in a sandbox, those with endpoints in a live deployment."""
    registry = load_registry(*settings.registry_paths)
    unknown = settings.networks.keys() - registry.networks.keys()
    if unknown:
        raise Invalid(f"bitlinkpay.toml names unknown networks: {', '.join(sorted(unknown))}")
    named = {name: Endpoints(row.endpoints, row.quorum) for name, row in settings.networks.items() if row.endpoints}
    endpoints = {**registry.endpoints, **named}
    on = registry.networks.keys() if settings.is_sandbox else endpoints.keys()
    blind = [name for name in on if registry.networks[name].family not in READABLE]
    if blind and not settings.is_sandbox:
        raise Invalid(f"this release cannot read {', '.join(blind)} yet: take their endpoints out, or use a sandbox")
    return Registry(
        MappingProxyType({name: network for name, network in registry.networks.items() if name in on}),
        MappingProxyType({name: asset for name, asset in registry.assets.items() if asset.network in on}),
        MappingProxyType(endpoints),
    )


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
    async with database.reader() as tx:
        allocator = Allocator(database, await wallets.get_keyring(tx))
    return Platform(
        settings=settings,
        database=database,
        registry=registry,
        clock=clock,
        directory=Directory(database),
        rates=rates,
        payins=Payins(
            registry=registry,
            allocator=allocator,
            market=rates.price,
            clock=clock,
            holds=Holds(database).list_held,
        ),
        urls=url_policy(settings),
    )


async def _clock(settings: Settings, database: Database) -> Clock:
    if not settings.is_sandbox:
        return SystemClock()
    clock = SandboxClock()
    await clock.refresh(database)
    return clock


async def enroll(settings: Settings, database: Database) -> None:
    """Take the signer's public keys into the database, where the signer runs beside us.

    Raises:
        Unavailable: it does not answer within 30 s.
    """
    if not settings.signer_dir.is_dir():
        return
    ring = await _keyring(SignerClient(settings.signer_dir))

    async def work(tx: Tx) -> None:
        await wallets.import_keyring(tx, ring)

    await database.unit(work)


async def _keyring(signer: SignerClient) -> KeyRing:
    for _ in range(_SIGNER_TRIES):
        try:
            return await signer.keyring()
        except Unavailable:
            await sleep(_SIGNER_PAUSE_S)
    return await signer.keyring()


def open_authority(settings: Settings) -> Authority:
    """Open the platform's CA, server certificate and envelope key; make them at the first start."""
    hosts = [host for host in (settings.wm.host, *settings.hosts) if host not in {"0.0.0.0", "::", ""}]  # noqa: S104
    return Authority.open(settings.keys_dir, hosts, now=SystemClock().now())


def chains_of(platform: Platform) -> Mapping[str, Chain]:
    """Return an adapter for every network that is on."""
    return {network.id: _chain(platform, network) for network in platform.registry.networks.values()}


def _chain(platform: Platform, network: Network) -> Chain:
    settings, registry = platform.settings, platform.registry
    assets = registry.assets_of(network.id)
    if settings.is_sandbox:
        return SimulatedChain(network, assets, SandboxState(platform.database))
    named = settings.networks.get(network.id, NetworkSettings())
    endpoints = registry.endpoints[network.id]
    return EvmChain(
        network,
        assets,
        [Endpoint(url) for url in endpoints.urls],
        quorum=endpoints.quorum,
        options=EvmOptions(finality=named.finality, proof=Proof(named.proof or network.proof)),
    )


def sandbox_actions(platform: Platform) -> SandboxActions:
    """Return what may be done to a sandbox's networks and clock."""
    return SandboxActions(database=platform.database, registry=platform.registry, clock=platform.clock)


async def check_books(database: Database) -> list[Check]:
    """Run every invariant of the books and of the orders behind them."""
    async with database.reader() as tx:
        return await invariants.check(tx, extra=PAYINS)


def following(platform: Platform) -> list[Coroutine[object, object, None]]:
    """Return the loops that keep this process's idea of business time right."""
    return [platform.clock.follow(platform.database)] if isinstance(platform.clock, SandboxClock) else []
