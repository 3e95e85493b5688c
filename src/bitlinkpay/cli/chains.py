"""`bitlinkpay chains status`: what is wrong with which network, at a glance."""

import argparse
import asyncio
from collections.abc import Mapping, Sequence

from bitlinkpay.app.networks import chains_of
from bitlinkpay.app.platform import Platform, open_platform
from bitlinkpay.chains.base import Chain, ChainError, Head
from bitlinkpay.cli.console import add_data_dir, add_json, find_deployment, show
from bitlinkpay.deposits.assets import store as reviews
from bitlinkpay.deposits.journal import store as journal
from bitlinkpay.deposits.model import Cursor
from bitlinkpay.settings import Settings


def run(parser: argparse.ArgumentParser, words: Sequence[str]) -> int:
    """Show every network's head, cursor and endpoints; exit code 1 when one cannot be read."""
    parser.add_argument("action", choices=["status"])
    add_data_dir(parser)
    add_json(parser)
    given = parser.parse_args(words)
    rows = asyncio.run(_status(find_deployment(given.data_dir)))
    show(rows if given.json else [_short(row) for row in rows], as_json=given.json)
    return 0 if all(row["head"] is not None for row in rows) else 1


async def _status(settings: Settings) -> list[dict[str, object]]:
    async with open_platform(settings) as platform:
        async with platform.database.reader() as tx:
            cursors = {cursor.network: cursor for cursor in await journal.list_cursors(tx)}
            holds = await reviews.list_held(tx)
        chains = chains_of(platform.settings, platform.registry, platform.database, platform.ring)
        try:
            return [await _row(platform, chain, cursors.get(name), holds) for name, chain in chains.items()]
        finally:
            await asyncio.gather(*(chain.aclose() for chain in chains.values()))


async def _row(platform: Platform, chain: Chain, cursor: Cursor | None, holds: Mapping[str, str]) -> dict[str, object]:
    head, error = await _head(chain)
    lag = (platform.clock.now() - cursor.time).total_seconds() if cursor else None
    return {
        "network": chain.network.id,
        "head": head.latest.height if head else None,
        "final": head.final.height if head else None,
        "cursor": cursor.height if cursor else None,
        "lag_s": round(lag) if lag is not None else None,
        "endpoints": [
            {"url": status.url, "ok": status.is_healthy, "height": status.height, "error": status.error}
            for status in await chain.endpoints()
        ],
        "on_hold": [holds[asset.id] for asset in platform.registry.assets_of(chain.network.id) if asset.id in holds],
        "error": error,
    }


async def _head(chain: Chain) -> tuple[Head | None, str]:
    try:
        return await chain.head(), ""
    except ChainError as error:
        return None, str(error)


def _short(row: dict[str, object]) -> dict[str, object]:
    endpoints = row["endpoints"]
    assert isinstance(endpoints, list)
    healthy = sum(1 for endpoint in endpoints if endpoint["ok"])
    return {**row, "endpoints": f"{healthy} of {len(endpoints)} healthy"}
