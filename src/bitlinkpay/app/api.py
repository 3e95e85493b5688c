"""The API process: the merchant API on mutual TLS, the hosted pages and the sandbox's plain mode on the web port."""

import os
from asyncio import Event, TaskGroup
from contextlib import AsyncExitStack
from typing import Final

from bitlinkpay.app.lifetime import settle_memory, until_told
from bitlinkpay.app.networks import chains_of
from bitlinkpay.app.paying import payouts_of
from bitlinkpay.app.platform import (
    Platform,
    enroll,
    following,
    open_authority,
    open_platform,
    sandbox_actions,
)
from bitlinkpay.app.rest import build_rest
from bitlinkpay.app.unfinished import check_unfinished
from bitlinkpay.connection import connect
from bitlinkpay.core.clock import SystemClock
from bitlinkpay.core.errors import Unavailable
from bitlinkpay.merchants.authority import Authority
from bitlinkpay.notifier import Notifier
from bitlinkpay.payouts.service import Payouts
from bitlinkpay.settings import Settings
from bitlinkpay.web.api.app import ApiApp
from bitlinkpay.web.checkout.orders import Changes, Orders
from bitlinkpay.web.checkout.routes import build_routes
from bitlinkpay.web.health import LOOK_EVERY, Door, Health
from bitlinkpay.web.site import Front, Site, unreadable
from bitlinkpay.web.tls import TlsFiles, server_context
from bitlinkpay.web.wm.app import WmApp
from bitlinkpay.web.wm.desk import Desk
from bitlinkpay.web.wm.gate import ClosedGate, EncryptedGate, PlainGate
from bitlinkpay.web.wm.listener import Listener, Sharing
from bitlinkpay.web.wm.opener import Opener
from bitlinkpay.web.wm.withdrawals import Withdrawals
from bitlinkpay.workers.loop import forever

_NICENESS: Final = 5  # on a full machine money that came goes before orders that come: the worker runs first


async def run_api(settings: Settings, notifier: Notifier) -> None:
    """Answer the merchant API and the hosted pages until SIGTERM or SIGINT.

    Raises:
        Unavailable: the database does not answer, or a port is taken.
        MissingRows: the registry lacks what the deployment has to finish.
    """
    await _enroll(settings)
    async with open_platform(settings) as platform, AsyncExitStack() as stack:
        await check_unfinished(platform.database, platform.registry)
        await platform.directory.start()
        changes = Changes()
        await changes.follow(platform.database)
        tasks = await stack.enter_async_context(TaskGroup())
        running = [tasks.create_task(loop) for loop in following(platform)]
        authority = await open_authority(settings, platform.database)
        opener = Opener(authority.envelope)
        stack.push_async_callback(opener.close)
        chains = chains_of(settings, platform.registry, platform.database, platform.ring)
        payouts = payouts_of(platform, chains)
        desk = _desk(platform, _withdrawals(platform, payouts))
        rest = await build_rest(platform, payouts)
        wm = WmApp(EncryptedGate(platform.directory, opener, wall=SystemClock()), desk)
        orders = Orders(platform.database, platform.registry, platform.payins, chains, changes)
        health = Health(platform.database, SystemClock())
        await health.look()
        front, site = Door(health, Front(wm, rest)), Door(health, _site(platform, desk, rest, orders))
        listeners = _listeners(settings, authority, front, site)
        for listener in listeners:
            await _listen(listener)
            stack.push_async_callback(listener.stop)
        running.append(tasks.create_task(forever("clock", health.look, pause=LOOK_EVERY, wake=Event())))
        settle_memory()
        notifier.announce()
        os.nice(_NICENESS)  # not before: a start that yields to everybody may take minutes on a full machine
        await until_told(notifier)
        for task in running:
            task.cancel()


def _listeners(settings: Settings, authority: Authority, front: Door, site: Door) -> list[Listener]:
    sharing = Sharing.SIBLINGS if settings.api_processes > 1 else Sharing.ALONE
    files = TlsFiles(authority.server_certificate_path, authority.server_key_path, authority.ca_path)
    tls = server_context(files)
    wm, web = settings.wm, settings.web
    return [
        Listener(front, host=wm.host, port=wm.port, tls=tls, sharing=sharing, unreadable=unreadable),
        Listener(site, host=web.host, port=web.port, tls=None, sharing=sharing, unreadable=unreadable),
    ]


async def _enroll(settings: Settings) -> None:
    database = await connect(settings)
    try:
        await enroll(settings, database)
    finally:
        await database.close()


async def _listen(listener: Listener) -> None:
    try:
        await listener.start()
    except OSError as error:
        raise Unavailable(f"cannot listen: {error}; choose another --wm-port or --web-port") from error


def _withdrawals(platform: Platform, payouts: Payouts) -> Withdrawals:
    return Withdrawals(
        platform.database,
        payouts,
        platform.registry,
        mode=platform.settings.mode,
        urls=platform.urls,
        wall=SystemClock(),
    )


def _desk(platform: Platform, withdrawals: Withdrawals) -> Desk:
    return Desk(
        platform.database,
        platform.payins,
        withdrawals,
        platform.registry,
        mode=platform.settings.mode,
        urls=platform.urls,
        order_url=platform.settings.order_url,
        wall=SystemClock(),
    )


def _site(platform: Platform, desk: Desk, rest: ApiApp, orders: Orders) -> Site:
    settings = platform.settings
    routes = build_routes(
        orders,
        clock=platform.clock,
        support_contact=settings.support_contact,
        sandbox=sandbox_actions(platform) if settings.is_sandbox else None,
    )
    gate = PlainGate(platform.directory, settings.mode) if settings.is_sandbox else ClosedGate()
    return Site(routes, WmApp(gate, desk), rest)
