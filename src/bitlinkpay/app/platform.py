"""What every process of a deployment is made of."""

import logging
from asyncio import sleep, timeout
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from bitlinkpay.app.networks import load_networks
from bitlinkpay.chains.registry import Registry
from bitlinkpay.connection import connect
from bitlinkpay.core.clock import Clock, SystemClock
from bitlinkpay.core.errors import Unavailable
from bitlinkpay.db.driver import Tx
from bitlinkpay.db.pool import Database
from bitlinkpay.deposits.assets.service import Holds
from bitlinkpay.ledger import invariants
from bitlinkpay.ledger.model import Check
from bitlinkpay.merchants import recognition
from bitlinkpay.merchants.authority import Authority
from bitlinkpay.merchants.directory import Directory
from bitlinkpay.payins.invariants import PAYINS
from bitlinkpay.payins.service import Payins
from bitlinkpay.payouts.invariants import PAYOUTS
from bitlinkpay.payouts.unfinished import store as unfinished
from bitlinkpay.rates.service import RateBook
from bitlinkpay.sandbox.actions import SandboxActions
from bitlinkpay.sandbox.clock import SandboxClock
from bitlinkpay.settings import Settings
from bitlinkpay.settlements.invariants import SETTLEMENTS
from bitlinkpay.signer.client import SignerClient
from bitlinkpay.signer.keyring import KeyRing
from bitlinkpay.statements.invariants import STATEMENTS
from bitlinkpay.wallets import service as wallets
from bitlinkpay.wallets.model import KeyRingMissing
from bitlinkpay.wallets.service import Allocator
from bitlinkpay.webhooks.policy import UrlPolicy, live_policy, sandbox_policy

_log: Final = logging.getLogger(__name__)
_SIGNER_S: Final = 30.0  # one that hangs takes 10 s a question, one that is being started refuses at once
_SIGNER_PAUSE_S: Final = 0.1


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
    ring: KeyRing


@asynccontextmanager
async def open_platform(settings: Settings) -> AsyncIterator[Platform]:
    """Build the platform on its database and take it apart again.

    Raises:
        Unavailable: the database is not running.
        MissingRows: the registry lacks a network that was read.
    """
    database = await connect(settings)
    try:
        yield await _assemble(settings, database)
    finally:
        await database.close()


async def _assemble(settings: Settings, database: Database) -> Platform:
    clock = await _clock(settings, database)
    rates = RateBook(database, clock)
    async with database.reader() as tx:
        ring = await wallets.get_keyring(tx)
        registry = load_networks(settings, used=await unfinished.list_used_networks(tx))
    allocator = Allocator(database, ring)
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
        ring=ring,
    )


async def _clock(settings: Settings, database: Database) -> Clock:
    if not settings.is_sandbox:
        return SystemClock()
    clock = SandboxClock()
    await clock.refresh(database)
    return clock


async def enroll(settings: Settings, database: Database) -> None:
    """Take the signer's public keys into the database, where the signer runs beside us.

    Where it does not answer within 30 s those that the database has are gone on with, so that orders are taken and
    money is seen while the signer is away: it is compared at the next start.

    Raises:
        Unavailable: it does not answer, and the database has none.
    """
    if not settings.signer_dir.is_dir():
        return
    try:
        ring = await _keyring(SignerClient(settings.signer_dir))
    except Unavailable as error:
        if not await _has_keyring(database):
            raise
        _log.warning("the signer is away, the public keys are those of the database: %s", error)
        return

    async def work(tx: Tx) -> None:
        await wallets.import_keyring(tx, ring)

    await database.unit(work)


async def _keyring(signer: SignerClient) -> KeyRing:
    try:
        async with timeout(_SIGNER_S):
            while True:
                try:
                    return await signer.keyring()
                except Unavailable:
                    await sleep(_SIGNER_PAUSE_S)
    except TimeoutError:
        raise Unavailable(f"the signer does not answer within {_SIGNER_S:.0f} s") from None


async def _has_keyring(database: Database) -> bool:
    async with database.reader() as tx:
        try:
            await wallets.get_keyring(tx)
        except KeyRingMissing:
            return False
    return True


async def open_authority(settings: Settings, database: Database) -> Authority:
    """Open the platform's CA, server certificate and envelope key; make them at the deployment's first start.

    Raises:
        AuthorityElsewhere: the deployment has them already, and this host has no copy.
        AuthorityDiffers: those of this host are others.
    """
    async with database.reader() as tx:
        await recognition.check_folder(tx, settings.keys_dir)
    authority = make_authority(settings)
    await database.unit(lambda tx: recognition.recognise(tx, authority.fingerprint))
    return authority


def make_authority(settings: Settings) -> Authority:
    """Open the folder `keys/`, and make what is missing, whatever the deployment recognises."""
    hosts = [host for host in (settings.wm.host, *settings.hosts) if host not in {"0.0.0.0", "::", ""}]  # noqa: S104
    return Authority.open(settings.keys_dir, hosts, now=SystemClock().now())


def sandbox_actions(platform: Platform) -> SandboxActions:
    """Return what may be done to a sandbox's networks and clock."""
    return SandboxActions(database=platform.database, registry=platform.registry, clock=platform.clock)


async def check_standing(database: Database) -> list[Check]:
    """Run the invariants that time alone may break, or a person has to mend."""
    async with database.reader() as tx:
        return await invariants.check_standing(tx)


async def check_books(database: Database) -> list[Check]:
    """Run every invariant of the books, of the orders and payouts behind them and of the days that were closed."""
    async with database.reader() as tx:
        return await invariants.check(tx, extra=(*PAYINS, *PAYOUTS, *SETTLEMENTS, *STATEMENTS))


def following(platform: Platform) -> list[Coroutine[object, object, None]]:
    """Return the loops that keep this process's idea of business time right."""
    return [platform.clock.follow(platform.database)] if isinstance(platform.clock, SandboxClock) else []
