"""`bitlinkpay registry`: is an operator's file of networks and assets sound, and does the chain bear its rows out?"""

import argparse
import asyncio
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from bitlinkpay.app.networks import chains_of, load_networks
from bitlinkpay.app.platform import open_platform
from bitlinkpay.chains.address import parse_address
from bitlinkpay.chains.base import Chain, ChainError
from bitlinkpay.chains.registry import Registry, load_registry
from bitlinkpay.chains.token import TokenProbe
from bitlinkpay.cli.console import add_usual, find_data_dir, find_deployment, show
from bitlinkpay.core.assets import Asset
from bitlinkpay.core.errors import Invalid, Unavailable
from bitlinkpay.db.pool import Database
from bitlinkpay.deposits.assets import service as assets
from bitlinkpay.deposits.assets import store as reviews
from bitlinkpay.deposits.assets.examining import Examination, examine
from bitlinkpay.settings import Settings

NATIVE, NO_DEPLOYMENT = "the network's own coin", "not asked: name a deployment with --data-dir"
SIMULATED, NO_ENDPOINTS = "not asked: a sandbox's networks are simulated", "not asked: its network has no endpoints"


class LyingRow(Invalid):
    """A row of the registry says something else than the chain."""

    code = "registry.lies"


def run(parser: argparse.ArgumentParser, words: Sequence[str]) -> int:
    """Check a registry file and its tokens, or end the hold on an asset whose contract a person has looked at."""
    actions = parser.add_subparsers(dest="action", required=True)
    check = actions.add_parser("check", help="read a file strictly, hold its tokens against the chain, show the rows")
    check.add_argument("file", type=Path, nargs="?", help="rows beside those that the deployment has already")
    check.add_argument("--asset", default="", help="ask the chain about this one only, such as usdc-polygon")
    check.add_argument("--holder", default="", help="an address that holds --asset: a transfer of it is tried")
    accept = actions.add_parser("accept", help="take a held asset's contract as it is now: its money goes on")
    accept.add_argument("asset", help="such as usdt-ethereum; `chains status` shows what is on hold and why")
    add_usual(actions)
    given = parser.parse_args(words)
    if given.action == "accept":
        show(asyncio.run(_accept(find_deployment(given.data_dir), given.asset)), as_json=given.json)
    else:
        show(_check(given), as_json=given.json)
    return 0


async def _accept(settings: Settings, asset_id: str) -> dict[str, object]:
    actor = "operator " + (os.environ.get("SUDO_USER") or os.environ.get("USER") or f"uid {os.getuid()}")
    async with open_platform(settings) as platform:
        asset = platform.registry.asset(asset_id)
        review = await platform.database.unit(
            lambda tx: assets.accept_asset(tx, platform.clock, asset, actor=actor),
        )
    return {
        "asset": review.asset,
        "state": review.state,
        "contract": review.seen.contract,
        "code_hash": review.seen.code_hash,
        "implementation": review.seen.implementation or None,
        "decimals": review.seen.decimals,
        "symbol": review.seen.symbol,
    }


def _check(given: argparse.Namespace) -> list[dict[str, object]]:
    """Return every row that results, each with what the chain says of it.

    Raises:
        BadRegistry: a row is wrong in itself.
        LyingRow: the chain says otherwise; the message tells what to change.
        Unavailable: the chain could not be asked.
    """
    own = [given.file.absolute()] if given.file else []
    try:
        find_data_dir(given.data_dir)
    except Invalid:
        return _rows(load_registry(*own), {}, NO_DEPLOYMENT)
    settings = find_deployment(given.data_dir)
    settings = replace(settings, registry_files=(*settings.registry_files, *map(str, own)))
    registry = load_registry(*settings.registry_paths)
    if settings.is_sandbox:
        return _rows(registry, {}, SIMULATED)
    return _rows(registry, asyncio.run(_ask(settings, given.asset, given.holder)), NO_ENDPOINTS)


async def _ask(settings: Settings, asset_id: str, holder: str) -> dict[str, str]:
    """Return what the chain says of each token whose network is on, none of which lies."""
    registry = load_networks(settings)
    asked = [registry.asset(asset_id)] if asset_id else [a for a in registry.assets.values() if not a.is_native]
    if holder:
        if not asset_id:
            raise Invalid("--holder goes with the one --asset that it holds", param="holder")
        holder = parse_address(registry.networks[asked[0].network], holder)
    async with open_platform(settings) as platform:
        chains = chains_of(settings, registry, platform.database, platform.ring)
        try:
            seen = [await _examine(platform.database, chains[asset.network], asset, holder) for asset in asked]
        finally:
            await asyncio.gather(*(chain.aclose() for chain in chains.values()))
    if faults := [fault for examination in seen for fault in examination.faults]:
        raise LyingRow("; ".join(faults))
    return {found.asset: "; ".join(("as the row says", *found.notes)) for found in seen}


async def _examine(database: Database, chain: Chain, asset: Asset, holder: str) -> Examination:
    if asset.is_native or not isinstance(chain, TokenProbe):
        raise Invalid(f"{asset.id} is its network's own coin: it has no contract to ask", param="asset")
    async with database.reader() as tx:
        known = await reviews.find(tx, asset.id)
    try:
        return await examine(chain, chain, asset, known, holder)
    except ChainError as error:
        raise Unavailable(f"{asset.id}: the chain can't be asked: {error}") from error


def _rows(registry: Registry, said: Mapping[str, str], unasked: str) -> list[dict[str, object]]:
    return [
        {
            "asset": asset.id,
            "network": asset.network,
            "standard": asset.standard or "native",
            "contract": asset.contract,
            "decimals": asset.decimals,
            "payable": asset.payable,
            "chain_id": registry.networks[asset.network].wm_chain_id,
            "coin_id": asset.wm_coin_id,
            "chain": NATIVE if asset.is_native else said.get(asset.id, unasked),
        }
        for asset in registry.assets.values()
    ]
