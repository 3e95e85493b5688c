"""The worker process: every loop of a deployment."""

import logging
from asyncio import Event, TaskGroup, gather
from collections.abc import Coroutine, Mapping
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any, Final

from bitlinkpay.app.auditing import audits_of, reconcilers_of
from bitlinkpay.app.lifetime import settle_memory, until_told
from bitlinkpay.app.networks import chains_of, load_networks, stricter_of
from bitlinkpay.app.paying import lanes_of, payouts_of, providers_of, treasuries_of
from bitlinkpay.app.platform import Platform, enroll, following, open_platform
from bitlinkpay.app.sealing import open_sealer
from bitlinkpay.app.settling import automatic_of
from bitlinkpay.app.sightings import sightings_of
from bitlinkpay.app.unfinished import check_unfinished
from bitlinkpay.chains.base import Chain
from bitlinkpay.chains.token import TokenProbe
from bitlinkpay.connection import connect
from bitlinkpay.core.assets import Family, Network
from bitlinkpay.core.clock import Clock
from bitlinkpay.core.sealing import Sealer
from bitlinkpay.db.pool import Database
from bitlinkpay.deposits.assets.service import AssetGuard
from bitlinkpay.merchants import service as merchants
from bitlinkpay.notifier import Notifier
from bitlinkpay.payins import events as payin_events
from bitlinkpay.payins.clearing import Clearing
from bitlinkpay.payins.reconciling import Reconciling
from bitlinkpay.payouts import events as payout_events
from bitlinkpay.rates.service import refresh
from bitlinkpay.rates.sources import REFERENCE, TICKERS, FixedPrices, Market
from bitlinkpay.risk.model import Screener
from bitlinkpay.risk.service import Screening
from bitlinkpay.sandbox.clock import SandboxClock
from bitlinkpay.sandbox.service import Sandbox, mine_due
from bitlinkpay.sandbox.store import BLOCK_CHANNEL
from bitlinkpay.sending.parts import LaneParts
from bitlinkpay.sending.store import SENDINGS_CHANNEL
from bitlinkpay.settings import Settings
from bitlinkpay.signer.client import SignerClient
from bitlinkpay.treasury.parts import TreasuryParts
from bitlinkpay.webhooks.relay import Relay
from bitlinkpay.webhooks.sender import Sender
from bitlinkpay.webhooks.subscriber import FanOut, delivery_of
from bitlinkpay.workers.chores import Chore, run_chores
from bitlinkpay.workers.duties import (
    expire_unpicked,
    fill_pool,
    forget_answers,
    forget_events,
    forget_seals,
    place_events,
    refresh_rates,
    settle_by_rules,
)
from bitlinkpay.workers.loop import forever
from bitlinkpay.workers.payer import Payer
from bitlinkpay.workers.treasurer import Treasurer
from bitlinkpay.workers.watcher import Parts, Watcher

log = logging.getLogger(__name__)

_TREASURY_PAUSE: Final = timedelta(seconds=10)
_DELIVERIES: Final = dict.fromkeys((*payin_events.EVENT_KINDS, *payout_events.EVENT_KINDS), delivery_of)


async def run_worker(settings: Settings, notifier: Notifier) -> None:
    """Run every loop of a deployment until SIGTERM or SIGINT.

    Raises:
        Unavailable: the database or the signer did not answer at the start.
        MissingRows: the registry lacks what the deployment has to finish.
        SealingKeyElsewhere: this host cannot read the secrets that sign callbacks.
    """
    await _prepare(settings)
    async with open_platform(settings) as platform:
        await check_unfinished(platform.database, platform.registry)
        sealer = await open_sealer(settings, platform.database)
        chains = chains_of(platform.settings, platform.registry, platform.database, platform.ring)
        sender = Sender(platform.urls)
        try:
            async with TaskGroup() as group:
                tasks = [group.create_task(loop) for loop in _loops(platform, chains, sender, sealer)]
                settle_memory()
                notifier.announce()
                await until_told(notifier)
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


def _loops(
    platform: Platform, chains: Mapping[str, Chain], sender: Sender, sealer: Sealer
) -> list[Coroutine[object, object, None]]:
    secrets = partial(merchants.webhook_secrets, sealer=sealer)
    relay = Relay(platform.database, sender, secrets, clock=platform.clock)
    screener = Screening(providers_of(platform), platform.clock)
    guards = {name: guard for name, chain in chains.items() if (guard := _guard(platform, chain))}
    watchers = [_watch(platform, chain, screener, guards.get(name)) for name, chain in chains.items()]
    fanning = FanOut(platform.database, _DELIVERIES, relay.wake)
    return [
        *watchers,
        *_payers(platform, chains),
        fanning.run(),
        relay.run(),
        run_chores(
            [
                *_chores(platform),
                *_reviews(guards),
                *audits_of(platform, reconcilers_of(platform, chains)),
                _settler(platform, chains),
            ]
        ),
        *following(platform),
    ]


def _payers(platform: Platform, chains: Mapping[str, Chain]) -> list[Coroutine[object, object, None]]:
    """Return the loops that pay and collect; a process without a signer beside it pays nobody."""
    settings = platform.settings
    if not settings.signer_dir.is_dir():
        return []
    signer = SignerClient(settings.signer_dir)
    return [
        *(_pay(platform, parts) for parts in lanes_of(platform, chains, signer)),
        *(_collect(parts, signer) for parts in treasuries_of(platform, chains)),
    ]


async def _collect(parts: TreasuryParts, signer: SignerClient) -> None:
    await forever(f"{parts.network.id}: treasury", Treasurer(parts, signer).step, pause=_TREASURY_PAUSE, wake=Event())


async def _pay(platform: Platform, parts: LaneParts[Any]) -> None:
    wake = Event()
    await platform.database.listen(SENDINGS_CHANNEL, lambda _payload: wake.set())
    if platform.settings.is_sandbox:
        await platform.database.listen(BLOCK_CHANNEL, partial(_wake_for, parts.network.id, wake))
    pause = _pause(platform.settings, parts.network)
    await forever(f"{parts.network.id}: payments", Payer(parts).step, pause=pause, wake=wake)


def _guard(platform: Platform, chain: Chain) -> AssetGuard | None:
    if not isinstance(chain, TokenProbe):
        return None
    assets = platform.registry.assets_of(chain.network.id)
    return AssetGuard(database=platform.database, chain=chain, assets=assets, clock=platform.clock)


def _reviews(guards: Mapping[str, AssetGuard]) -> list[Chore]:
    return [
        Chore(f"{name}: token contracts", timedelta(minutes=1), partial(_review, guard))
        for name, guard in guards.items()
    ]


async def _review(guard: AssetGuard) -> bool:
    await guard.check()
    return False


async def _watch(platform: Platform, chain: Chain, screener: Screener, guard: AssetGuard | None) -> None:
    database, registry, clock = platform.database, platform.registry, platform.clock
    hides_transfers = chain.network.family in {Family.EVM, Family.TRON}  # a contract's inner call moves native coins
    stricter = stricter_of(platform.settings, registry, chain.network, platform.ring)
    watcher = Watcher(
        Parts(
            database=database,
            registry=registry,
            chain=chain,
            payins=platform.payins,
            clearing=Clearing(
                database=database,
                registry=registry,
                chain=chain,
                screener=screener,
                clock=clock,
                guard=guard,
                stricter=stricter,
            ),
            reconciling=Reconciling(database=database, registry=registry, chain=chain, clock=clock)
            if hides_transfers
            else None,
            sightings=sightings_of(platform, chain),
            clock=clock,
        )
    )
    wake = Event()
    if platform.settings.is_sandbox:
        await database.listen(BLOCK_CHANNEL, partial(_wake_for, chain.network.id, wake))
    try:
        await forever(chain.network.id, watcher.step, pause=_pause(platform.settings, chain.network), wake=wake)
    finally:
        await gather(*(reader.aclose() for reader in stricter.values() if reader))


def _wake_for(network: str, wake: Event, payload: str) -> None:
    if payload in {"", network}:  # "" follows a reconnect: anything may have been missed
        wake.set()


def _pause(settings: Settings, network: Network) -> timedelta:
    if settings.is_sandbox:
        return timedelta(seconds=1)
    return settings.poll_of.get(network.id) or min(network.block_time / 2, timedelta(seconds=1))


def _chores(platform: Platform) -> list[Chore]:
    database, settings, clock = platform.database, platform.settings, platform.clock
    source = FixedPrices(clock) if settings.rates.is_static else _market(settings, clock)
    chores = [
        Chore("pre-orders", timedelta(seconds=1), partial(expire_unpicked, database, platform.payins)),
        Chore("rates", timedelta(seconds=settings.rates.refresh_s), partial(refresh_rates, database, source)),
        Chore("seals", timedelta(minutes=1), partial(forget_seals, database)),
        Chore("events", timedelta(hours=1), partial(forget_events, database)),
        Chore("feed", timedelta(seconds=5), partial(place_events, database)),
        Chore("answers", timedelta(minutes=1), partial(forget_answers, database)),
    ]
    if settings.signer_dir.is_dir():
        signer = SignerClient(settings.signer_dir)
        chores.append(Chore("address pool", timedelta(seconds=5), partial(fill_pool, database, signer)))
    if settings.is_sandbox and settings.sandbox.block_s:
        interval = timedelta(seconds=settings.sandbox.block_s)
        chores.append(Chore("blocks", interval / 4, partial(_mine, database, clock, interval)))
    return chores


def _settler(platform: Platform, chains: Mapping[str, Chain]) -> Chore:
    automatic = automatic_of(platform, payouts_of(platform, chains))
    return Chore("settlements", timedelta(seconds=2), partial(settle_by_rules, automatic))


def _market(settings: Settings, clock: Clock) -> Market:
    named = settings.rates.tickers
    tickers = [replace(ticker, url=named.get(ticker.name, ticker.url)) for ticker in TICKERS]
    reference = replace(REFERENCE, url=settings.rates.fiat_reference or REFERENCE.url)
    return Market(clock, tickers=tickers, reference=reference)


async def _mine(database: Database, clock: Clock, interval: timedelta) -> bool:
    await database.unit(lambda tx: mine_due(tx, clock.now(), interval))
    return False
