"""`bitlinkpay settlement`, where money goes home to and what sends it there by itself."""

import argparse
from datetime import time
from typing import Final

from bitlinkpay.app.platform import Platform
from bitlinkpay.chains.address import show_address
from bitlinkpay.cli.naming import find_merchant
from bitlinkpay.cli.proof import add_proof, open_settling, read_proof
from bitlinkpay.core.assets import Asset
from bitlinkpay.core.errors import Invalid
from bitlinkpay.core.ids import parse_id, show_id
from bitlinkpay.core.money import format_units, parse_decimal, to_units
from bitlinkpay.db.driver import Tx
from bitlinkpay.settlements.addresses import store as addresses
from bitlinkpay.settlements.addresses.model import BOUND, HomeAddress
from bitlinkpay.settlements.addresses.service import NewHome
from bitlinkpay.settlements.rules import store as rules
from bitlinkpay.settlements.rules.model import Rule, Terms
from bitlinkpay.settlements.rules.schedule import Cadence, Schedule

_MERCHANT: Final = "broker id, merchant id or name"


def add_actions(actions: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the actions on addresses and rules."""
    bind = actions.add_parser("bind", help="bind an address for automatic settlement, or save one by name")
    bind.add_argument("merchant", help=_MERCHANT)
    bind.add_argument("network")
    bind.add_argument("address")
    bind.add_argument("--tag", default="")
    bind.add_argument("--label", default=BOUND, help="save it by this name instead")
    unbind = actions.add_parser("unbind", help="take a bound or saved address out of use at once")
    unbind.add_argument("merchant", help=_MERCHANT)
    unbind.add_argument("network")
    unbind.add_argument("--label", default=BOUND)
    add = actions.add_parser("add-rule", help="settle by schedule, or when the balance reaches a threshold")
    add.add_argument("merchant", help=_MERCHANT)
    add.add_argument("asset")
    _add_terms(add)
    remove = actions.add_parser("remove-rule", help="take a rule out of force at once")
    remove.add_argument("merchant", help=_MERCHANT)
    remove.add_argument("rule", help="rul_…, as `settlement rules` shows it")
    for name, text in (("addresses", "bound and saved addresses"), ("rules", "rules that are in force")):
        actions.add_parser(name, help=text).add_argument("merchant", help=_MERCHANT)
    for action in (bind, add):
        add_proof(action)


def _add_terms(add: argparse.ArgumentParser) -> None:
    add.add_argument("--every", choices=[cadence.value for cadence in Cadence], default=None)
    add.add_argument("--at", default="00:00", metavar="HH:MM", help="local time of the schedule")
    add.add_argument("--zone", default="UTC", help="the merchant's time zone, such as Asia/Shanghai")
    add.add_argument("--day", type=int, default=0, help="weekly 1 (Monday) to 7, monthly 1 to 31")
    add.add_argument("--threshold", default=None, metavar="AMOUNT", help="the balance that triggers it")
    add.add_argument("--reserve", default="0", metavar="AMOUNT", help="how much of the balance stays")
    add.add_argument("--fee-max", default=None, metavar="AMOUNT", help="the most that a run may be charged")


async def bind(platform: Platform, given: argparse.Namespace) -> object:
    """Bind or save an address."""
    async with platform.database.reader() as tx:
        merchant = await find_merchant(tx, given.merchant)
    network = platform.registry.network(given.network)
    new = NewHome(merchant, network, given.label, given.address, given.tag)
    async with open_settling(platform) as settling:
        return _address(platform, await settling.homes.bind(new, read_proof(given)))


async def unbind(platform: Platform, given: argparse.Namespace) -> object:
    """Take an address out of use."""
    async with open_settling(platform) as settling:

        async def work(tx: Tx) -> object:
            merchant_id = (await find_merchant(tx, given.merchant)).merchant_id
            await settling.homes.remove(tx, merchant_id, platform.registry.network(given.network).id, given.label)
            return [_address(platform, one) for one in await addresses.list_of_merchant(tx, merchant_id)]

        return await platform.database.unit(work)


async def list_addresses(platform: Platform, given: argparse.Namespace) -> object:
    """List all addresses, also those of before."""
    async with platform.database.reader() as tx:
        merchant = await find_merchant(tx, given.merchant)
        return [_address(platform, one) for one in await addresses.list_of_merchant(tx, merchant.merchant_id)]


async def add_rule(platform: Platform, given: argparse.Namespace) -> object:
    """Put a rule into force."""
    async with platform.database.reader() as tx:
        merchant = await find_merchant(tx, given.merchant)
    asset = platform.registry.asset(given.asset)
    async with open_settling(platform) as settling:
        return _rule(platform, await settling.rules.add(merchant, asset, _terms(asset, given), read_proof(given)))


async def remove_rule(platform: Platform, given: argparse.Namespace) -> object:
    """Take a rule out of force."""
    async with open_settling(platform) as settling:

        async def work(tx: Tx) -> object:
            merchant_id = (await find_merchant(tx, given.merchant)).merchant_id
            await settling.rules.remove(tx, merchant_id, parse_id("rul", given.rule))
            return [_rule(platform, one) for one in await rules.list_of_merchant(tx, merchant_id)]

        return await platform.database.unit(work)


async def list_rules(platform: Platform, given: argparse.Namespace) -> object:
    """List the rules in force."""
    async with platform.database.reader() as tx:
        merchant = await find_merchant(tx, given.merchant)
        return [_rule(platform, one) for one in await rules.list_of_merchant(tx, merchant.merchant_id)]


def _terms(asset: Asset, given: argparse.Namespace) -> Terms:
    return Terms(
        schedule=Schedule(Cadence(given.every), _time(given.at), given.zone, given.day) if given.every else None,
        threshold_units=_units(asset, given.threshold, "threshold"),
        reserve_units=_units(asset, given.reserve, "reserve") or 0,
        fee_max_units=_units(asset, given.fee_max, "fee-max"),
    )


def _time(text: str) -> time:
    try:
        return time.fromisoformat(text)
    except ValueError:
        raise Invalid("write the time as HH:MM, such as 08:00", param="at") from None


def _units(asset: Asset, text: str | None, param: str) -> int | None:
    return None if text is None else to_units(parse_decimal(text, param=param), asset.decimals, param=param)


def _address(platform: Platform, one: HomeAddress) -> dict[str, object]:
    return {
        "network": one.network,
        "label": one.label,
        "address": show_address(platform.registry.networks[one.network], one.target),
        "tag": one.tag,
        "state": "ended" if one.ended_at else "usable" if one.is_usable(platform.clock.now()) else "resting",
        "usable_at": one.usable_at.isoformat(),
    }


def _rule(platform: Platform, rule: Rule) -> dict[str, object]:
    asset, plan = platform.registry.assets[rule.asset], rule.terms.schedule

    def shown(units: int | None) -> str | None:
        return None if units is None else format_units(units, asset.decimals)

    return {
        "id": show_id("rul", rule.rule_id),
        "asset": rule.asset,
        "every": plan.cadence if plan else None,
        "day": plan.day if plan else None,
        "at": plan.at.isoformat("minutes") if plan else None,
        "zone": plan.zone if plan else None,
        "threshold": shown(rule.terms.threshold_units),
        "reserve": shown(rule.terms.reserve_units),
        "fee_max": shown(rule.terms.fee_max_units),
        "next_due_at": rule.next_due_at.isoformat() if rule.next_due_at else None,
    }
