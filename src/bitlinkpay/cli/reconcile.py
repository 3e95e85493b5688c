"""`bitlinkpay reconcile`: compare books with chains now, look at differences, resolve them and let payments go on."""

import argparse
import asyncio
import getpass
from collections.abc import Sequence
from uuid import UUID

from bitlinkpay.app.auditing import reconcilers_of
from bitlinkpay.app.networks import chains_of
from bitlinkpay.app.platform import Platform, open_platform
from bitlinkpay.chains.address import show_address
from bitlinkpay.cli.console import add_usual, find_deployment, show
from bitlinkpay.core.ids import parse_id, show_id
from bitlinkpay.core.money import format_units
from bitlinkpay.db.driver import Tx
from bitlinkpay.reconciliation import resolving
from bitlinkpay.reconciliation.differences import store
from bitlinkpay.reconciliation.model import COLD, UNRESOLVED, Difference
from bitlinkpay.settings import Settings

_LIMIT = 200


def run(parser: argparse.ArgumentParser, words: Sequence[str]) -> int:
    """Compare, show or resolve; exit code 1 where a difference waits for a person or a chain cannot be read."""
    actions = parser.add_subparsers(dest="action", required=True)
    compared = actions.add_parser("run", help="compare every place of ours with its chain now")
    compared.add_argument("--network", default=None, help="one network only")
    shown = actions.add_parser("show", help="differences, those that wait for a person first")
    shown.add_argument("id", nargs="?", default=None, help="dif_…: one of them, with its transactions and its history")
    resolved = actions.add_parser("resolve", help="say that a difference is explained, and let payments go on")
    resolved.add_argument("id", help="dif_…, as `reconcile show` shows it")
    resolved.add_argument("--reason", required=True, help="what it was; kept for ever")
    resolved.add_argument("--book", action="store_true", help="make the books agree: a loss, or money of the company's")
    add_usual(actions)
    given = parser.parse_args(words)
    shows, is_well = asyncio.run(_run(find_deployment(given.data_dir), given))
    show(shows, as_json=given.json)
    return 0 if is_well else 1


async def _run(settings: Settings, given: argparse.Namespace) -> tuple[object, bool]:
    async with open_platform(settings) as platform:
        match given.action:
            case "run":
                return await _compare(platform, given.network)
            case "show" if given.id is None:
                return await _list(platform)
            case "show":
                return await _one(platform, parse_id("dif", given.id)), True
            case _:
                return await _resolve(platform, given), True


async def _compare(platform: Platform, network: str | None) -> tuple[object, bool]:
    only = platform.registry.network(network).id if network else None
    chains = chains_of(platform.settings, platform.registry, platform.database, platform.ring)
    chosen = {name: chain for name, chain in chains.items() if only in {None, name}}
    try:
        reports = [report for one in reconcilers_of(platform, chosen) for report in await one.run_all()]
    finally:
        await asyncio.gather(*(chain.aclose() for chain in chains.values()))
    rows = [
        {
            "network": report.network,
            "asset": report.asset,
            "height": report.height,
            "places": report.places,
            "moving": report.moving,
            "differing": report.differing,
            "unread": report.unread,
        }
        for report in reports
    ]
    return rows, not any(report.differing or report.unread for report in reports)


async def _list(platform: Platform) -> tuple[object, bool]:
    async with platform.database.reader() as tx:
        found = await store.list_newest(tx, _LIMIT)
    return [_row(platform, one) for one in found], not any(one.state in UNRESOLVED for one in found)


async def _one(platform: Platform, difference_id: UUID) -> dict[str, object]:
    async def read(tx: Tx) -> tuple[Difference, list[dict[str, object]]]:
        found = await store.lock(tx, difference_id)
        events = await store.list_events(tx, difference_id)
        return found, [
            {"event": event, "to": state, "cause": cause, "at": at.isoformat()} for event, state, cause, at in events
        ]

    found, history = await platform.database.unit(read)
    evidence = [
        {"kind": one.kind, "txid": one.txid, "height": one.height, "amount": _amount(platform, found, one.units)}
        for one in found.evidence
    ]
    return _row(platform, found) | {"transactions": evidence, "history": history}


async def _resolve(platform: Platform, given: argparse.Namespace) -> dict[str, object]:
    difference_id, now, operator = parse_id("dif", given.id), platform.clock.now(), getpass.getuser()
    resolve = resolving.book if given.book else resolving.look_at

    async def work(tx: Tx) -> Difference:
        return await resolve(tx, difference_id, reason=given.reason, by=operator, now=now)

    return _row(platform, await platform.database.unit(work))


def _row(platform: Platform, found: Difference) -> dict[str, object]:
    sight = found.sight
    network = platform.registry.networks.get(sight.network)
    place = sight.place if sight.place == COLD or network is None else show_address(network, sight.place)
    return {
        "id": show_id("dif", found.difference_id),
        "state": found.state,
        "asset": sight.asset,
        "place": place,
        "height": sight.height,
        "books": _amount(platform, found, sight.books_units),
        "chain": _amount(platform, found, sight.chain_units),
        "difference": _amount(platform, found, sight.difference_units),
        "explained": found.is_explained,
        "seen_at": found.seen_at.isoformat(),
    }


def _amount(platform: Platform, found: Difference, units: int) -> str:
    asset = platform.registry.assets.get(found.sight.asset)
    return format_units(units, asset.decimals) if asset else str(units)
