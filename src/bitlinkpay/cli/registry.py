"""`bitlinkpay registry check FILE`: is an operator's file of networks and assets sound?"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from bitlinkpay.chains.registry import load_registry
from bitlinkpay.cli.console import add_json, show


def run(parser: argparse.ArgumentParser, words: Sequence[str]) -> int:
    """Read a registry file strictly and show the rows that result; a wrong row is named with what to change."""
    parser.add_argument("action", choices=["check"])
    parser.add_argument("file", type=Path)
    add_json(parser)
    given = parser.parse_args(words)
    registry = load_registry(given.file)
    rows = [
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
    show(rows, as_json=given.json)
    return 0
