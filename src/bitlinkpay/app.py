"""The composition root: builds every concrete thing from the settings and hands the pieces down."""

import logging
import signal
from asyncio import Event, TaskGroup, gather, get_running_loop
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from types import MappingProxyType

from bitlinkpay.chains.base import Chain
from bitlinkpay.chains.evm.chain import EvmChain, EvmOptions
from bitlinkpay.chains.evm.reader import Proof
from bitlinkpay.chains.registry import Registry, load_registry
from bitlinkpay.chains.registry_rows import Endpoints
from bitlinkpay.chains.rpc import Endpoint
from bitlinkpay.chains.simulated import SimulatedChain
from bitlinkpay.core.assets import Family, Network
from bitlinkpay.core.clock import Clock, SystemClock
from bitlinkpay.core.errors import Invalid, Unavailable
from bitlinkpay.db.driver import Tx
from bitlinkpay.db.embedded import APP_ROLE, OWNER_ROLE, EmbeddedPostgres
from bitlinkpay.db.pool import Database
from bitlinkpay.ledger import invariants
from bitlinkpay.ledger.model import Check
from bitlinkpay.merchants import service as merchants
from bitlinkpay.merchants.authority import Authority
from bitlinkpay.merchants.directory import Directory
from bitlinkpay.payins.clearing import Clearing
from bitlinkpay.payins.events import EVENT_KINDS, delivery_of
from bitlinkpay.payins.invariants import PAYINS
from bitlinkpay.payins.reconciling import Reconciling
from bitlinkpay.payins.service import Payins
from bitlinkpay.rates.service import RateBook, refresh
from bitlinkpay.rates.sources import FixedPrices, Market
from bitlinkpay.risk.listfile import ListFile
from bitlinkpay.risk.model import Provider, Screener
from bitlinkpay.risk.service import NoLists, Screening
from bitlinkpay.sandbox.actions import SandboxActions
from bitlinkpay.sandbox.clock import SandboxClock
from bitlinkpay.sandbox.service import Sandbox, mine_due
from bitlinkpay.sandbox.store import BLOCK_CHANNEL, SandboxState
from bitlinkpay.settings import NetworkSettings, Settings
from bitlinkpay.signer.client import SignerClient
from bitlinkpay.wallets import service as wallets
from bitlinkpay.wallets.service import Allocator
from bitlinkpay.web.checkout.orders import Changes, Orders
from bitlinkpay.web.checkout.routes import build_routes
from bitlinkpay.web.site import Site
from bitlinkpay.web.tls import TlsFiles, server_context
from bitlinkpay.web.wm.app import WmApp
from bitlinkpay.web.wm.desk import Desk
from bitlinkpay.web.wm.gate import ClosedGate, EncryptedGate, PlainGate
from bitlinkpay.web.wm.listener import Listener
from bitlinkpay.web.wm.opener import Opener
from bitlinkpay.webhooks.policy import UrlPolicy, live_policy, sandbox_policy
from bitlinkpay.webhooks.relay import Relay
from bitlinkpay.webhooks.sender import Sender
from bitlinkpay.webhooks.subscriber import FanOut
from bitlinkpay.workers.chores import Chore, run_chores
from bitlinkpay.workers.duties import expire_unpicked, fill_pool, forget_events, forget_seals, refresh_rates
from bitlinkpay.workers.loop import forever
from bitlinkpay.workers.watcher import Parts, Watcher

log = logging.getLogger(__name__)


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
    """Return the registry of networks that are on: all in a sandbox, those with endpoints in a live deployment."""
    registry = load_registry(*settings.registry_paths)
    unknown = settings.networks.keys() - registry.networks.keys()
    if unknown:
        raise Invalid(f"bitlinkpay.toml names unknown networks: {', '.join(sorted(unknown))}")
    named = {name: Endpoints(row.endpoints, row.quorum) for name, row in settings.networks.items() if row.endpoints}
    endpoints = {**registry.endpoints, **named}
    on = registry.networks.keys() if settings.is_sandbox else endpoints.keys()
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
        payins=Payins(registry=registry, allocator=allocator, market=rates.price, clock=clock),
        urls=url_policy(settings),
    )


async def _clock(settings: Settings, database: Database) -> Clock:
    if not settings.is_sandbox:
        return SystemClock()
    clock = SandboxClock()
    await clock.refresh(database)
    return clock


async def enroll(settings: Settings, database: Database) -> None:
    """Take the signer's public keys into the database, where the signer runs beside us."""
    if not settings.signer_dir.is_dir():
        return
    ring = await SignerClient(settings.signer_dir).keyring()

    async def work(tx: Tx) -> None:
        await wallets.import_keyring(tx, ring)

    await database.unit(work)


def open_authority(settings: Settings) -> Authority:
    """Open the platform's CA, server certificate and envelope key; make them at the first start."""
    hosts = [host for host in (settings.wm.host, *settings.hosts) if host not in {"0.0.0.0", "::", ""}]  # noqa: S104
    return Authority.open(settings.keys_dir, hosts, now=SystemClock().now())


def chains_of(platform: Platform) -> Mapping[str, Chain]:
    """Return an adapter for every network that is on and whose family is supported."""
    chains = {network.id: _chain(platform, network) for network in platform.registry.networks.values()}
    return {name: chain for name, chain in chains.items() if chain is not None}


def _chain(platform: Platform, network: Network) -> Chain | None:
    settings, registry = platform.settings, platform.registry
    assets = registry.assets_of(network.id)
    if settings.is_sandbox:
        return SimulatedChain(network, assets, SandboxState(platform.database))
    if network.family is not Family.EVM:
        log.error("%s: this release reads %s networks in a sandbox only", network.id, network.family)
        return None
    named = settings.networks.get(network.id, NetworkSettings())
    endpoints = registry.endpoints[network.id]
    return EvmChain(
        network,
        assets,
        [Endpoint(url) for url in endpoints.urls],
        quorum=endpoints.quorum,
        options=EvmOptions(finality=named.finality, proof=Proof(named.proof)),
    )


def sandbox_actions(platform: Platform) -> SandboxActions:
    """Return what may be done to a sandbox's networks and clock."""
    return SandboxActions(database=platform.database, registry=platform.registry, clock=platform.clock)


async def check_books(database: Database) -> list[Check]:
    """Run every invariant of the books and of the orders behind them."""
    async with database.reader() as tx:
        return await invariants.check(tx, extra=PAYINS)


async def run_worker(settings: Settings, on_ready: Callable[[], None]) -> None:
    """Run every loop of a deployment until SIGTERM or SIGINT.

    Raises:
        Unavailable: the database or the signer did not answer at the start.
    """
    await _prepare(settings)
    async with open_platform(settings) as platform:
        chains = chains_of(platform)
        sender = Sender(platform.urls)
        try:
            async with TaskGroup() as group:
                tasks = [group.create_task(loop) for loop in _loops(platform, chains, sender)]
                on_ready()
                await _until_told()
                for task in tasks:
                    task.cancel()
        finally:
            await sender.aclose()
            await gather(*(chain.aclose() for chain in chains.values()))


async def _prepare(settings: Settings) -> None:
    database = await connect(settings)
    try:
        await enroll(settings, database)
        if settings.is_sandbox:
            clock = SandboxClock()
            await clock.refresh(database)
            sandbox = Sandbox(load_networks(settings))
            await database.unit(lambda tx: sandbox.prepare(tx, clock.now()))
            await refresh(database, FixedPrices(clock))
    finally:
        await database.close()


def _loops(platform: Platform, chains: Mapping[str, Chain], sender: Sender) -> list[Coroutine[object, object, None]]:
    relay = Relay(platform.database, sender, merchants.webhook_secrets, clock=platform.clock)
    screener = Screening(platform.database, _providers(platform), platform.clock)
    watchers = [_watch(platform, chain, screener) for chain in chains.values()]
    fanning = FanOut(platform.database, dict.fromkeys(EVENT_KINDS, delivery_of), relay.wake)
    return [*watchers, fanning.run(), relay.run(), run_chores(_chores(platform)), *_following(platform)]


def _following(platform: Platform) -> list[Coroutine[object, object, None]]:
    return [platform.clock.follow(platform.database)] if isinstance(platform.clock, SandboxClock) else []


def _providers(platform: Platform) -> Sequence[Provider]:
    lists = platform.settings.screening_lists
    files = [ListFile(platform.database, platform.settings.data_dir / name, platform.clock) for name in lists]
    return files or [NoLists()]


async def _watch(platform: Platform, chain: Chain, screener: Screener) -> None:
    database, registry, clock = platform.database, platform.registry, platform.clock
    hides_transfers = chain.network.family in {Family.EVM, Family.TRON}  # a contract's inner call moves native coins
    watcher = Watcher(
        Parts(
            database=database,
            registry=registry,
            chain=chain,
            payins=platform.payins,
            clearing=Clearing(database=database, registry=registry, chain=chain, screener=screener, clock=clock),
            reconciling=Reconciling(database=database, registry=registry, chain=chain, clock=clock)
            if hides_transfers
            else None,
            clock=clock,
        )
    )
    wake = Event()
    if platform.settings.is_sandbox:
        await database.listen(BLOCK_CHANNEL, lambda _: wake.set())
    await forever(chain.network.id, watcher.step, pause=_pause(platform.settings, chain.network), wake=wake)


def _pause(settings: Settings, network: Network) -> timedelta:
    if settings.is_sandbox:
        return timedelta(seconds=1)
    return settings.poll_of.get(network.id) or min(network.block_time / 2, timedelta(seconds=1))


def _chores(platform: Platform) -> list[Chore]:
    database, settings, clock = platform.database, platform.settings, platform.clock
    source = FixedPrices(clock) if settings.rates.is_static else Market(clock)
    chores = [
        Chore("pre-orders", timedelta(seconds=1), partial(expire_unpicked, database, platform.payins)),
        Chore("rates", timedelta(seconds=settings.rates.refresh_s), partial(refresh_rates, database, source)),
        Chore("seals", timedelta(minutes=1), partial(forget_seals, database)),
        Chore("events", timedelta(hours=1), partial(forget_events, database)),
        Chore("books", timedelta(minutes=5), partial(_audit, database)),
    ]
    if settings.signer_dir.is_dir():
        signer = SignerClient(settings.signer_dir)
        chores.append(Chore("address pool", timedelta(seconds=5), partial(fill_pool, database, signer)))
    if settings.is_sandbox and settings.sandbox.block_s:
        interval = timedelta(seconds=settings.sandbox.block_s)
        chores.append(Chore("blocks", interval / 4, partial(_mine, database, clock, interval)))
    return chores


async def _audit(database: Database) -> bool:
    for check in await check_books(database):
        if not check.ok:
            log.critical("the books do not hold: %s: %s", check.name, check.detail)
    return False


async def _mine(database: Database, clock: Clock, interval: timedelta) -> bool:
    await database.unit(lambda tx: mine_due(tx, clock.now(), interval))
    return False


async def _until_told() -> None:
    told = Event()
    loop = get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told.set)
    await told.wait()


async def run_api(settings: Settings, on_ready: Callable[[], None]) -> None:
    """Answer the merchant API and the hosted pages until SIGTERM or SIGINT.

    Raises:
        Unavailable: the database does not answer, or a port is taken.
    """
    async with open_platform(settings) as platform, AsyncExitStack() as stack:
        await platform.directory.start()
        changes = Changes()
        await changes.follow(platform.database)
        tasks = await stack.enter_async_context(TaskGroup())
        running = [tasks.create_task(loop) for loop in _following(platform)]
        authority = open_authority(settings)
        opener = Opener(authority.envelope)
        stack.push_async_callback(opener.close)
        desk = _desk(platform)
        listeners = [
            Listener(
                WmApp(EncryptedGate(platform.directory, opener, wall=SystemClock()), desk),
                host=settings.wm.host,
                port=settings.wm.port,
                tls=server_context(
                    TlsFiles(authority.server_certificate_path, authority.server_key_path, authority.ca_path)
                ),
            ),
            Listener(_site(platform, desk, changes), host=settings.web.host, port=settings.web.port, tls=None),
        ]
        for listener in listeners:
            await _listen(listener)
            stack.push_async_callback(listener.stop)
        on_ready()
        await _until_told()
        for task in running:
            task.cancel()


async def _listen(listener: Listener) -> None:
    try:
        await listener.start()
    except OSError as error:
        raise Unavailable(f"cannot listen: {error}; choose another --wm-port or --web-port") from error


def _desk(platform: Platform) -> Desk:
    return Desk(
        platform.database,
        platform.payins,
        platform.registry,
        mode=platform.settings.mode,
        urls=platform.urls,
        order_url=platform.settings.order_url,
        wall=SystemClock(),
    )


def _site(platform: Platform, desk: Desk, changes: Changes) -> Site:
    settings = platform.settings
    orders = Orders(platform.database, platform.registry, platform.payins, chains_of(platform), changes)
    routes = build_routes(
        orders,
        clock=platform.clock,
        support_contact=settings.support_contact,
        sandbox=sandbox_actions(platform) if settings.is_sandbox else None,
    )
    gate = PlainGate(platform.directory, settings.mode) if settings.is_sandbox else ClosedGate()
    return Site(routes, WmApp(gate, desk))
