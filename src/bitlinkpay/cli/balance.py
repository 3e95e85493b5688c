"""`bitlinkpay balance MERCHANT`: what a merchant is owed, per asset, in major units."""

import argparse
import asyncio
from collections.abc import Sequence

from bitlinkpay.app.platform import open_platform
from bitlinkpay.cli.console import add_data_dir, add_json, find_deployment, show
from bitlinkpay.cli.naming import find_merchant
from bitlinkpay.core.money import format_units
from bitlinkpay.ledger import service as ledger
from bitlinkpay.settings import Settings


def run(parser: argparse.ArgumentParser, words: Sequence[str]) -> int:
    """Show a merchant's balances."""
    parser.add_argument("merchant", help="broker id, merchant id or name")
    add_data_dir(parser)
    add_json(parser)
    given = parser.parse_args(words)
    show(asyncio.run(_balances(find_deployment(given.data_dir), given.merchant)), as_json=given.json)
    return 0


async def _balances(settings: Settings, name: str) -> list[dict[str, str]]:
    async with open_platform(settings) as platform, platform.database.reader() as tx:
        merchant = await find_merchant(tx, name)
        found = await ledger.balances(tx, merchant.merchant_id)
        decimals = {balance.asset: platform.registry.asset(balance.asset).decimals for balance in found}
        return [
            {
                "asset": balance.asset,
                "available": format_units(balance.available_units, decimals[balance.asset]),
                "reserved": format_units(balance.reserved_units, decimals[balance.asset]),
                "pending": format_units(balance.pending_units, decimals[balance.asset]),
                "unassigned": format_units(balance.unassigned_units, decimals[balance.asset]),
                "quarantined": format_units(balance.quarantined_units, decimals[balance.asset]),
                "debt": format_units(balance.debt_units, decimals[balance.asset]),
            }
            for balance in found
        ]
