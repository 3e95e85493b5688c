"""`bitlinkpay unassigned`: odd money, and what a person decides about it."""

import argparse
import asyncio
from collections.abc import Sequence

from bitlinkpay.app.platform import Platform, open_platform
from bitlinkpay.cli.console import add_data_dir, add_json, find_deployment, show
from bitlinkpay.cli.naming import find_merchant
from bitlinkpay.core.errors import NotFound
from bitlinkpay.core.ids import DepositId, parse_id, show_id
from bitlinkpay.core.money import format_units
from bitlinkpay.db.driver import Tx
from bitlinkpay.deposits import store as deposits
from bitlinkpay.deposits.model import Deposit
from bitlinkpay.merchants import service as merchants
from bitlinkpay.payins import settling
from bitlinkpay.settings import Settings

_LIMIT = 1000


def run(parser: argparse.ArgumentParser, words: Sequence[str]) -> int:
    """List odd money, or decide about one piece of it."""
    actions = parser.add_subparsers(dest="action", required=True)
    listing = actions.add_parser("list", help="unassigned and quarantined money, newest first")
    listing.add_argument("--merchant", default=None, help="broker id, merchant id or name")
    for name, text in (
        ("accept", "take it as its order's payment: the order is paid, its callback goes out"),
        ("credit", "credit it to the merchant's balance; the order stays as it is"),
        ("release", "let quarantined money go on to unassigned"),
    ):
        actions.add_parser(name, help=text).add_argument("id", help="dep_…, as `unassigned list` shows it")
    for action in actions.choices.values():
        add_data_dir(action)
        add_json(action)
    given = parser.parse_args(words)
    settings = find_deployment(given.data_dir)
    if given.action == "list":
        show(asyncio.run(_list(settings, given.merchant)), as_json=given.json)
        return 0
    show(asyncio.run(_decide(settings, given.action, DepositId(parse_id("dep", given.id)))), as_json=given.json)
    return 0


async def _list(settings: Settings, merchant: str | None) -> list[dict[str, object]]:
    async with open_platform(settings) as platform, platform.database.reader() as tx:
        owner = (await find_merchant(tx, merchant)).merchant_id if merchant else None
        return [_row(platform, deposit) for deposit in await deposits.list_put_aside(tx, owner, _LIMIT)]


async def _decide(settings: Settings, action: str, deposit_id: DepositId) -> dict[str, object]:
    async with open_platform(settings) as platform:

        async def work(tx: Tx) -> Deposit:
            await _apply(tx, platform, action, deposit_id)
            decided = await deposits.find(tx, deposit_id)
            assert decided is not None
            return decided

        return _row(platform, await platform.database.unit(work))


async def _apply(tx: Tx, platform: Platform, action: str, deposit_id: DepositId) -> None:
    now = platform.clock.now()
    if action == "accept":
        await settling.accept(tx, platform.registry, deposit_id, now)
    elif action == "release":
        await settling.release(tx, deposit_id, now)
    else:
        found = await deposits.find(tx, deposit_id)
        if found is None or found.merchant_id is None:
            raise NotFound("no unassigned money with this id; see `bitlinkpay unassigned list`")
        merchant = await merchants.get(tx, found.merchant_id)
        await settling.credit(tx, deposit_id, fee_ppm=merchant.fee_ppm, now=now)


def _row(platform: Platform, deposit: Deposit) -> dict[str, object]:
    asset = platform.registry.assets[deposit.asset]
    return {
        "id": show_id("dep", deposit.deposit_id),
        "state": deposit.state,
        "label": deposit.label,
        "asset": deposit.asset,
        "amount": format_units(deposit.units, asset.decimals),
        "fee": format_units(deposit.fee_units, asset.decimals),
        "order_id": deposit.payin_id.hex if deposit.payin_id else None,
        "txid": deposit.txid,
        "seen_at": deposit.seen_at.isoformat(),
    }
