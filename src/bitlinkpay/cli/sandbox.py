"""`bitlinkpay sandbox`: what happens outside, on simulated networks, and the business clock."""

import argparse
import asyncio
import re
from collections.abc import Sequence
from datetime import timedelta

from bitlinkpay.app.platform import open_platform, sandbox_actions
from bitlinkpay.cli.console import add_usual, find_deployment, show
from bitlinkpay.cli.order import find_order
from bitlinkpay.core.errors import Conflict, Invalid
from bitlinkpay.sandbox.actions import SandboxActions
from bitlinkpay.sandbox.model import Fork
from bitlinkpay.settings import Settings

_STEP = re.compile(r"\+?([0-9]{1,7})(s|m|h|d)", re.ASCII)
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def run(parser: argparse.ArgumentParser, words: Sequence[str]) -> int:
    """Pay an order, mine, reorganise or move the clock."""
    actions = parser.add_subparsers(dest="action", required=True)
    pay = actions.add_parser("pay", help="broadcast a transfer to an order's address (right by default)")
    pay.add_argument("order", help="source id or order id")
    pay.add_argument("--amount", default="", help="major units; the asked amount by default")
    pay.add_argument("--asset", default="", help="the asked one by default; another is odd money")
    pay.add_argument("--merchant", default=None, help="broker id, merchant id or name")
    fund = actions.add_parser("fund", help="broadcast the company's own money to the wallet that pays on a network")
    fund.add_argument("asset", help="such as usdt-tron")
    fund.add_argument("amount", help="major units")
    stake = actions.add_parser("stake", help="let the wallet that pays on TRON have staked so much more coin")
    stake.add_argument("network", help="such as tron")
    stake.add_argument("amount", help="major units of the network's coin")
    mine = actions.add_parser("mine", help="add blocks to a network")
    mine.add_argument("network")
    mine.add_argument("blocks", nargs="?", type=int, default=1)
    reorg = actions.add_parser("reorg", help="replace the newest blocks by a longer branch")
    reorg.add_argument("network")
    reorg.add_argument("depth", type=int)
    reorg.add_argument("--keep", action="store_true", help="the transactions come back in another block")
    clock = actions.add_parser("clock", help="move business time forward")
    clock.add_argument("by", help="such as +30m, +72h, +2d")
    add_usual(actions)
    given = parser.parse_args(words)
    show(asyncio.run(_act(find_deployment(given.data_dir), given)), as_json=given.json)
    return 0


async def _act(settings: Settings, given: argparse.Namespace) -> dict[str, object]:
    if not settings.is_sandbox:
        raise Conflict("this is a live deployment; only a sandbox has simulated networks")
    async with open_platform(settings) as platform:
        actions = sandbox_actions(platform)
        if given.action == "fund":
            asset = platform.registry.asset(given.asset)
            wallet = platform.ring.hot_wallet(platform.registry.networks[asset.network])
            return {"wallet": wallet.address, "txid": await actions.fund(asset, wallet.address, given.amount)}
        if given.action == "stake":
            network = platform.registry.network(given.network)
            address = platform.ring.hot_wallet(network).address
            return {"wallet": address, "staked": await actions.stake(network, address, given.amount)}
        if given.action != "pay":
            return await _change(actions, given)
        async with platform.database.reader() as tx:
            payin = await find_order(tx, given.order, given.merchant)
        txid = await actions.pay(payin.payin_id, asset_id=given.asset, amount=given.amount)
        return {"order_id": payin.payin_id.hex, "txid": txid}


async def _change(actions: SandboxActions, given: argparse.Namespace) -> dict[str, object]:
    match given.action:
        case "mine":
            return {"network": given.network, "height": await actions.mine_network(given.network, given.blocks)}
        case "reorg":
            fork = Fork.KEEP if given.keep else Fork.DROP
            return {"network": given.network, "height": await actions.reorg(given.network, given.depth, fork)}
        case _:
            return {"now": (await actions.advance(_parse_step(given.by))).isoformat()}


def _parse_step(text: str) -> timedelta:
    found = _STEP.fullmatch(text)
    if not found:
        raise Invalid("write the step as +30m, +72h or +2d")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})
