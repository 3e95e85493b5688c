"""`bitlinkpay treasury`: the platform's own wallets: what stands where, what moves and why, money put into them."""

import argparse
import asyncio
import getpass
from collections.abc import Sequence

from bitlinkpay.app.platform import Platform, open_platform
from bitlinkpay.chains.address import parse_address
from bitlinkpay.cli import treasury_levels as levels
from bitlinkpay.cli import treasury_views as views
from bitlinkpay.cli.console import add_usual, find_deployment, show
from bitlinkpay.core.assets import Asset
from bitlinkpay.core.errors import Invalid
from bitlinkpay.core.ids import DepositId, RefillId, parse_id, show_id
from bitlinkpay.core.money import format_units, parse_decimal, to_units
from bitlinkpay.db.driver import Tx
from bitlinkpay.deposits import store as deposits
from bitlinkpay.deposits.model import Deposit
from bitlinkpay.settings import Settings
from bitlinkpay.treasury import funding

_VIEWS = {"status": views.show_status, "plan": views.show_plan, "unclaimed": views.show_unclaimed}


def run(parser: argparse.ArgumentParser, words: Sequence[str]) -> int:
    """Show the wallets and what the treasury plans, set its levels and limits, claim money and refills."""
    actions = parser.add_subparsers(dest="action", required=True)
    actions.add_parser("status", help="each wallet of ours: books, promised, chain, levels")
    actions.add_parser("plan", help="what would be collected now, and why the rest waits")
    moves = actions.add_parser("moves", help="what was moved between our wallets, the newest first")
    moves.add_argument("--network", default="", help="of one network only")
    levels.add_levels(actions.add_parser("levels", help="show or set how much of an asset belongs into the hot wallet"))
    levels.add_gas(actions.add_parser("gas", help="show or set how much gas order addresses may get for their sweeps"))
    levels.add_join_terms(actions.add_parser("consolidation", help="show or set when outputs are joined (Bitcoin)"))
    actions.add_parser("unclaimed", help="money that came straight to our wallets, without an owner")
    claim = actions.add_parser("claim", help="it is the company's own: liquidity and gas of that wallet")
    claim.add_argument("id", help="dep_…, as `treasury unclaimed` shows it")
    claim.add_argument("--sender", default="", help="TON: the company's address that sent it, as `unclaimed` shows it")
    claim.add_argument("--refill", default="", help="rfl_…: it is this refill from cold storage")
    refill = actions.add_parser("refill", help="note what you sent from cold storage towards a hot wallet")
    refill.add_argument("asset")
    refill.add_argument("amount", help="what the hot wallet will get, in major units")
    refill.add_argument("--fee", default="", help="what the network took from cold storage, in its own coin")
    add_usual(actions)
    given = parser.parse_args(words)
    show(asyncio.run(_run(find_deployment(given.data_dir), given)), as_json=given.json)
    return 0


async def _run(settings: Settings, given: argparse.Namespace) -> object:
    async with open_platform(settings) as platform:
        match given.action:
            case "status" | "plan" | "unclaimed":
                return await _VIEWS[given.action](platform)
            case "moves":
                return await views.show_moves(platform, given.network)
            case "levels" | "gas" | "consolidation":
                return await levels.run(platform, given, by=getpass.getuser())
            case "refill":
                return await _refill(platform, given.asset, given.amount, given.fee)
            case _:
                return await _claim(platform, given)


async def _claim(platform: Platform, given: argparse.Namespace) -> dict[str, object]:
    operator, now = getpass.getuser(), platform.clock.now()
    deposit_id = DepositId(parse_id("dep", given.id))
    refill = RefillId(parse_id("rfl", given.refill)) if given.refill else None

    async def work(tx: Tx) -> Deposit:
        found = await deposits.find(tx, deposit_id)
        network = platform.registry.networks[found.network] if found else None
        named = parse_address(network, given.sender) if network and given.sender else ""
        return await funding.claim(tx, platform.registry, deposit_id, sender=named, refill=refill, by=operator, now=now)

    deposit = await platform.database.unit(work)
    asset = platform.registry.assets[deposit.asset]
    return {
        "id": show_id("dep", deposit_id),
        "asset": asset.id,
        "amount": format_units(deposit.units, asset.decimals),
        "state": deposit.state,
    }


async def _refill(platform: Platform, asset_id: str, amount: str, fee: str) -> dict[str, object]:
    asset, now = platform.registry.asset(asset_id), platform.clock.now()
    native = platform.registry.native(asset.network)
    units, taken = _units(asset, amount), _units(native, fee) if fee else 0
    if not units:
        raise Invalid("write the amount that was sent; it is above zero", param="amount")
    refill_id = await platform.database.unit(
        lambda tx: funding.refill(tx, asset, units, fee=(native, taken) if taken else None, now=now)
    )
    return {"id": show_id("rfl", refill_id), "asset": asset.id, "amount": format_units(units, asset.decimals)}


def _units(asset: Asset, text: str) -> int:
    return to_units(parse_decimal(text, places=asset.decimals, param="amount"), asset.decimals)
