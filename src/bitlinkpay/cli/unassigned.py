"""`bitlinkpay unassigned`: odd money, and what a person decides about it."""

import argparse
import asyncio
import getpass
from collections.abc import Sequence
from datetime import datetime

from bitlinkpay.app.platform import Platform, open_platform
from bitlinkpay.chains.address import show_address
from bitlinkpay.cli import refunding
from bitlinkpay.cli.console import add_usual, find_deployment, show
from bitlinkpay.cli.naming import find_merchant
from bitlinkpay.cli.order import find_order
from bitlinkpay.core.errors import NotFound
from bitlinkpay.core.ids import DepositId, parse_id, show_id
from bitlinkpay.core.money import format_units
from bitlinkpay.db.driver import Tx
from bitlinkpay.deposits import store as deposits
from bitlinkpay.deposits.model import Deposit
from bitlinkpay.merchants import service as merchants
from bitlinkpay.payins import assigning, settling
from bitlinkpay.settings import Settings

_LIMIT = 1000
_ID = "dep_…, as `unassigned list` shows it"


def run(parser: argparse.ArgumentParser, words: Sequence[str]) -> int:
    """List odd money, decide about one piece of it, or send it to where its merchant wants it."""
    actions = parser.add_subparsers(dest="action", required=True)
    listing = actions.add_parser("list", help="unassigned and quarantined money, newest first")
    listing.add_argument("--merchant", default=None, help="broker id, merchant id or name")
    for name, text in (
        ("accept", "take it as its order's payment: the order is paid, its callback goes out"),
        ("credit", "credit it to the merchant's balance; the order stays as it is"),
        ("release", "let quarantined money go on to unassigned"),
    ):
        actions.add_parser(name, help=text).add_argument("id", help=_ID)
    assign = actions.add_parser("assign", help="say whose TON money without a tag is: an order's, or just a merchant's")
    assign.add_argument("id", help=_ID)
    assign.add_argument("--order", default=None, help="order id or source id; then accept or credit it")
    assign.add_argument("--merchant", default=None, help="broker id, merchant id or name; alone: credit it then")
    refunding.add_words(actions)
    add_usual(actions)
    given = parser.parse_args(words)
    settings = find_deployment(given.data_dir)
    if given.action == "list":
        show(asyncio.run(_list(settings, given.merchant)), as_json=given.json)
        return 0
    if given.action == "assign" and given.order is None and given.merchant is None:
        parser.error("name the owner: --order, --merchant, or both where two merchants share a source id")
    if given.action in refunding.ACTIONS:
        show(asyncio.run(refunding.run(settings, given)), as_json=given.json)
        return 0
    show(asyncio.run(_decide(settings, given, DepositId(parse_id("dep", given.id)))), as_json=given.json)
    return 0


async def _list(settings: Settings, merchant: str | None) -> list[dict[str, object]]:
    async with open_platform(settings) as platform, platform.database.reader() as tx:
        owner = (await find_merchant(tx, merchant)).merchant_id if merchant else None
        return [_row(platform, deposit) for deposit in await deposits.list_put_aside(tx, owner, _LIMIT)]


async def _decide(settings: Settings, given: argparse.Namespace, deposit_id: DepositId) -> dict[str, object]:
    async with open_platform(settings) as platform:

        async def work(tx: Tx) -> Deposit:
            await _apply(tx, platform, given, deposit_id)
            decided = await deposits.find(tx, deposit_id)
            assert decided is not None
            return decided

        return _row(platform, await platform.database.unit(work))


async def _apply(tx: Tx, platform: Platform, given: argparse.Namespace, deposit_id: DepositId) -> None:
    now = platform.clock.now()
    match given.action:
        case "accept":
            await settling.accept(tx, platform.registry, deposit_id, now, by=getpass.getuser())
        case "release":
            await settling.release(tx, deposit_id, now, by=getpass.getuser())
        case "assign":
            await _assign(tx, platform, given, deposit_id)
        case _:
            await _credit(tx, deposit_id, now)


async def _assign(tx: Tx, platform: Platform, given: argparse.Namespace, deposit_id: DepositId) -> None:
    registry, now, operator = platform.registry, platform.clock.now(), getpass.getuser()
    if given.order is not None:
        payin = await find_order(tx, given.order, given.merchant)
        await assigning.to_order(tx, registry, deposit_id, payin.payin_id, by=operator, now=now)
    else:
        merchant = await find_merchant(tx, given.merchant)
        await assigning.to_merchant(tx, registry, deposit_id, merchant.merchant_id, by=operator, now=now)


async def _credit(tx: Tx, deposit_id: DepositId, now: datetime) -> None:
    found = await deposits.find(tx, deposit_id)
    if found is None:
        raise NotFound("no unassigned money with this id; see `bitlinkpay unassigned list`")
    if found.merchant_id is None:
        raise settling.Ownerless
    merchant = await merchants.get(tx, found.merchant_id)
    await settling.credit(tx, deposit_id, fee_ppm=merchant.fee_ppm, now=now, by=getpass.getuser())


def _row(platform: Platform, deposit: Deposit) -> dict[str, object]:
    asset = platform.registry.asset(deposit.asset)
    return {
        "id": show_id("dep", deposit.deposit_id),
        "state": deposit.state,
        "label": deposit.label,
        "asset": deposit.asset,
        "amount": format_units(deposit.units, asset.decimals),
        "fee": format_units(deposit.fee_units, asset.decimals),
        "merchant": show_id("mer", deposit.merchant_id) if deposit.merchant_id else None,
        "order_id": deposit.payin_id.hex if deposit.payin_id else None,
        "sender": show_address(platform.registry.networks[deposit.network], deposit.source) if deposit.source else "",
        "tag": deposit.tag,
        "txid": deposit.txid,
        "seen_at": deposit.seen_at.isoformat(),
    }
