"""`bitlinkpay chains status`: what is wrong with which network, at a glance."""

import argparse
import asyncio
from collections.abc import Mapping, Sequence

from bitlinkpay.app.networks import chains_of
from bitlinkpay.app.platform import Platform, open_platform
from bitlinkpay.app.unfinished import waiting
from bitlinkpay.chains.base import Chain, ChainError, Head
from bitlinkpay.chains.finality import stalled_since
from bitlinkpay.chains.registry import Registry
from bitlinkpay.chains.transport import count_operators
from bitlinkpay.cli.console import add_data_dir, add_json, find_deployment, show
from bitlinkpay.core.assets import Asset, Network
from bitlinkpay.core.money import format_units
from bitlinkpay.deposits.assets import store as reviews
from bitlinkpay.deposits.journal import store as journal
from bitlinkpay.deposits.model import Cursor
from bitlinkpay.payouts.unfinished.store import Unfinished, list_unfinished
from bitlinkpay.settings import Settings


def run(parser: argparse.ArgumentParser, words: Sequence[str]) -> int:
    """Show every network's head, cursor and endpoints; exit code 1 when one cannot be read or its finality stalls."""
    parser.add_argument("action", choices=["status"])
    add_data_dir(parser)
    add_json(parser)
    given = parser.parse_args(words)
    rows = asyncio.run(_status(find_deployment(given.data_dir)))
    show(rows if given.json else [_short(row) for row in rows], as_json=given.json)
    return 1 if any(row["error"] for row in rows) else 0


async def _status(settings: Settings) -> list[dict[str, object]]:
    async with open_platform(settings) as platform:
        async with platform.database.reader() as tx:
            cursors = {cursor.network: cursor for cursor in await journal.list_cursors(tx)}
            holds = await reviews.list_held(tx)
            off = waiting(platform.registry, await list_unfinished(tx))
        chains = chains_of(platform.settings, platform.registry, platform.database, platform.ring)
        try:
            read = [await _row(platform, chain, cursors.get(name), holds) for name, chain in chains.items()]
            return [*read, *(_switched_off(name, cursors.get(name), found) for name, found in off.items())]
        finally:
            await asyncio.gather(*(chain.aclose() for chain in chains.values()))


async def _row(platform: Platform, chain: Chain, cursor: Cursor | None, holds: Mapping[str, str]) -> dict[str, object]:
    network = chain.network
    assets = platform.registry.assets_of(network.id)
    head, error = await _head(chain)
    lag = (platform.clock.now() - cursor.time).total_seconds() if cursor else None
    return {
        "network": network.id,
        "head": head.latest.height if head else None,
        "final": head.final.height if head else None,
        "cursor": cursor.height if cursor else None,
        "lag_s": round(lag) if lag is not None else None,
        "quorum": _quorum(platform.registry, network, platform.settings.network(network.id).egress),
        "large": [rule for asset in assets for rule in rules_of(asset)],
        "endpoints": [
            {"url": status.url, "ok": status.is_healthy, "height": status.height, "error": status.error}
            for status in await chain.endpoints()
        ],
        "on_hold": [holds[asset.id] for asset in assets if asset.id in holds],
        "error": error,
    }


def _switched_off(network: str, cursor: Cursor | None, waits: Sequence[Unfinished]) -> dict[str, object]:
    return {
        "network": network,
        "head": None,
        "final": None,
        "cursor": cursor.height if cursor else None,
        "lag_s": None,
        "quorum": "",
        "large": [],
        "endpoints": [],
        "on_hold": [],
        "error": f"switched off, for want of endpoints; waiting: {'; '.join(map(str, waits))}",
    }


async def _head(chain: Chain) -> tuple[Head | None, str]:
    """Return where the chain stands, and what is wrong with it."""
    try:
        head = await chain.head()
    except ChainError as error:
        return None, str(error)
    since = stalled_since(chain.network, head)
    return head, f"finality has stalled: no block after {since.height} of {since.time} is final" if since else ""


def _quorum(registry: Registry, network: Network, egress: str) -> str:
    """Return how many operators must agree, how many are named, and whether those are enough for large amounts."""
    nodes = registry.endpoints.get(network.id)
    if nodes is None:
        return ""  # simulated
    operators = count_operators(nodes.urls)
    most = max((rule.quorum for asset in registry.assets_of(network.id) for rule in asset.quorums), default=0)
    text = f"{nodes.quorum} of {operators}" + (", each by two ways" if egress else "")
    return text if most <= operators else f"{text}: large amounts wait for {most}"


def rules_of(asset: Asset) -> list[str]:
    """Return in words what amounts of an asset ask for beyond what its network asks of all."""
    asked: dict[int, list[str]] = {}
    for depth in asset.depths:
        asked.setdefault(depth.from_units, []).append(depth.finality or f"{depth.confirmations} confirmations")
    for rule in asset.quorums:
        asked.setdefault(rule.from_units, []).append(f"{rule.quorum} endpoints")
    return [
        f"{asset.id} from {format_units(units, asset.decimals)}: {', '.join(asked[units])}" for units in sorted(asked)
    ]


def _short(row: dict[str, object]) -> dict[str, object]:
    """Return what fits a line: counts in place of lists that are read with --json."""
    endpoints = row["endpoints"]
    assert isinstance(endpoints, list)
    healthy = sum(1 for endpoint in endpoints if endpoint["ok"])
    shown = {key: value for key, value in row.items() if key != "large"}
    return {**shown, "endpoints": f"{healthy} of {len(endpoints)} healthy"}
