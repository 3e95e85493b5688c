"""`bitlinkpay registry`: is an operator's file of networks and assets sound, and is a token's contract what it was?"""

import argparse
import asyncio
import os
from collections.abc import Sequence
from pathlib import Path

from bitlinkpay.app.platform import open_platform
from bitlinkpay.chains.registry import load_registry
from bitlinkpay.cli.console import add_data_dir, add_json, find_deployment, show
from bitlinkpay.deposits.assets import service as assets
from bitlinkpay.settings import Settings


def run(parser: argparse.ArgumentParser, words: Sequence[str]) -> int:
    """Check a registry file, or end the hold on an asset whose contract a person has looked at."""
    actions = parser.add_subparsers(dest="action", required=True)
    check = actions.add_parser("check", help="read a file strictly and show the rows that result")
    check.add_argument("file", type=Path)
    accept = actions.add_parser("accept", help="take a held asset's contract as it is now: its money goes on")
    accept.add_argument("asset", help="such as usdt-ethereum; `chains status` shows what is on hold and why")
    add_data_dir(accept)
    for action in actions.choices.values():
        add_json(action)
    given = parser.parse_args(words)
    if given.action == "accept":
        show(asyncio.run(_accept(find_deployment(given.data_dir), given.asset)), as_json=given.json)
    else:
        show(_rows(given.file), as_json=given.json)
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


def _rows(file: Path) -> list[dict[str, object]]:
    registry = load_registry(file)
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
        }
        for asset in registry.assets.values()
    ]
