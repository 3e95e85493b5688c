"""`bitlinkpay settlement`: a merchant's own money on its way home, and what a person decides about it."""

import argparse
import asyncio
import getpass
from collections.abc import Callable, Coroutine, Mapping, Sequence
from types import MappingProxyType
from typing import Final
from uuid import UUID

from bitlinkpay.app.platform import Platform, open_platform
from bitlinkpay.app.settling import Settling
from bitlinkpay.chains.address import show_address
from bitlinkpay.cli import settlement_rules
from bitlinkpay.cli.console import add_usual, find_deployment, show
from bitlinkpay.cli.naming import find_merchant
from bitlinkpay.cli.proof import add_proof, open_settling, read_proof
from bitlinkpay.core.errors import Invalid
from bitlinkpay.core.ids import new_uuid7, parse_id, show_id
from bitlinkpay.core.money import format_units, parse_decimal
from bitlinkpay.db.driver import Tx
from bitlinkpay.settings import Settings
from bitlinkpay.settlements import store
from bitlinkpay.settlements.model import Ask, Listed, SettlementId, SettlementNotFound
from bitlinkpay.settlements.service import LARGEST_PAGE, Settlements
from bitlinkpay.settlements.store import SettlementFilter

Action = Callable[[Platform, argparse.Namespace], Coroutine[object, object, object]]

_ALL: Final = "all"


def run(parser: argparse.ArgumentParser, words: Sequence[str]) -> int:
    """Request, list and decide settlements; bind addresses, add rules."""
    actions = parser.add_subparsers(dest="action", required=True)
    for name, text in (("quote", "what would arrive and what it would cost"), ("request", "settle now")):
        one = actions.add_parser(name, help=text)
        one.add_argument("merchant", help="broker id, merchant id or name")
        one.add_argument("asset")
        one.add_argument("amount", help="what arrives, or `all`")
        one.add_argument("--address", default="")
        one.add_argument("--tag", default="")
        one.add_argument("--to", default=None, metavar="LABEL", help='a saved address; "" for the bound one')
        if name == "request":
            one.add_argument("--id", default=None, metavar="set_…", help="the same one again is the same settlement")
            add_proof(one)
    listing = actions.add_parser("list", help="what waits for a review, or everything of a merchant")
    listing.add_argument("--merchant", default=None, help="broker id, merchant id or name")
    runs = actions.add_parser("runs", help="what a merchant's rules did, and why they skipped")
    runs.add_argument("merchant", help="broker id, merchant id or name")
    runs.add_argument("--rule", default=None, metavar="rul_…")
    for name, text in (
        ("show", "where a settlement stands"),
        ("approve", "let a settlement go that waits for a review"),
        ("reject", "refuse a settlement that waits for a review; everything goes back"),
        ("cancel", "call a settlement back that nothing was signed for"),
    ):
        one = actions.add_parser(name, help=text)
        one.add_argument("id", help="set_…, as `settlement list` shows it")
        if name == "reject":
            one.add_argument("--reason", required=True, help="what the merchant is told")
    settlement_rules.add_actions(actions)
    add_usual(actions)
    given = parser.parse_args(words)
    show(asyncio.run(_run(find_deployment(given.data_dir), given)), as_json=given.json)
    return 0


async def _run(settings: Settings, given: argparse.Namespace) -> object:
    async with open_platform(settings) as platform:
        return await _ACTIONS[given.action](platform, given)


async def _quote(platform: Platform, given: argparse.Namespace) -> object:
    async with open_settling(platform) as settling:
        ask = await _ask(platform, settling, given, SettlementId(new_uuid7()))
        quote = await settling.settlements.quote(ask)
    digits = ask.asset.decimals
    return {
        "asset": ask.asset.id,
        "amount": format_units(quote.units, digits),
        "fee": format_units(quote.fee_units, digits),
        "network_fee": format_units(quote.network_fee_units, digits),
        "taken": format_units(quote.units + quote.charged_units, digits),
    }


async def _request(platform: Platform, given: argparse.Namespace) -> object:
    settlement_id = SettlementId(parse_id("set", given.id) if given.id else new_uuid7())
    async with open_settling(platform) as settling:
        ask = await _ask(platform, settling, given, settlement_id)
        await settling.settlements.request(ask, read_proof(given))
        async with platform.database.reader() as tx:
            return _row(platform, await settling.settlements.get(tx, None, settlement_id))


async def _ask(platform: Platform, settling: Settling, given: argparse.Namespace, settlement_id: SettlementId) -> Ask:
    async with platform.database.reader() as tx:
        merchant, asset = await find_merchant(tx, given.merchant), platform.registry.asset(given.asset)
        target, tag = given.address, given.tag
        if (given.to is None) == (not target):
            raise Invalid("say where to: --address ADDRESS, or --to LABEL for a saved one", param="address")
        if given.to is not None:
            home = await settling.homes.get_usable(tx, merchant.merchant_id, asset.network, given.to)
            target, tag = show_address(platform.registry.networks[asset.network], home.target), home.tag
    return Ask(
        settlement_id=settlement_id,
        merchant=merchant,
        asset=asset,
        target=target,
        tag=tag,
        amount=None if given.amount == _ALL else parse_decimal(given.amount, param="amount"),
        maker=getpass.getuser(),
    )


async def _list(platform: Platform, given: argparse.Namespace) -> object:
    async with platform.database.reader() as tx:
        if given.merchant is None:
            found = await store.list_in_review(tx, LARGEST_PAGE)
        else:
            found = await _of_merchant(tx, given.merchant, None)
    return [_row(platform, one) for one in found]


async def _of_merchant(tx: Tx, merchant: str, rule_id: UUID | None) -> list[Listed]:
    owner = await find_merchant(tx, merchant)
    which = SettlementFilter(rule_id=rule_id)
    return await store.list_of_merchant(tx, owner.merchant_id, before=None, limit=LARGEST_PAGE, which=which)


async def _runs(platform: Platform, given: argparse.Namespace) -> object:
    async with platform.database.reader() as tx:
        found = await _of_merchant(tx, given.merchant, parse_id("rul", given.rule) if given.rule else None)
    return [
        {
            "rule": show_id("rul", one.settlement.rule_id),
            "trigger": one.settlement.trigger,
            **_row(platform, one),
            "detail": one.settlement.detail,
        }
        for one in found
        if one.settlement.rule_id is not None
    ]


async def _show(platform: Platform, given: argparse.Namespace) -> object:
    async with platform.database.reader() as tx:
        found = await store.find_listed(tx, None, SettlementId(parse_id("set", given.id)))
    if found is None:
        raise SettlementNotFound
    return _row(platform, found)


async def _decide(platform: Platform, given: argparse.Namespace) -> object:
    settlement_id, by = SettlementId(parse_id("set", given.id)), getpass.getuser()
    async with open_settling(platform) as settling:

        async def work(tx: Tx) -> Listed:
            match given.action:
                case "approve":
                    return await settling.settlements.approve(tx, settlement_id, by=by)
                case "reject":
                    return await settling.settlements.reject(tx, settlement_id, reason=given.reason, by=by)
                case _:
                    return await _cancel(tx, settling.settlements, settlement_id)

        return _row(platform, await platform.database.unit(work))


async def _cancel(tx: Tx, settlements: Settlements, settlement_id: SettlementId) -> Listed:
    found = await settlements.get(tx, None, settlement_id)
    return await settlements.cancel(tx, found.settlement.merchant_id, settlement_id)


def _row(platform: Platform, one: Listed) -> dict[str, object]:
    settlement, outcome = one.settlement, one.outcome
    asset = platform.registry.assets[settlement.asset]
    network = platform.registry.networks[asset.network]

    def shown(units: int | None) -> str | None:
        return None if units is None else format_units(units, asset.decimals)

    return {
        "id": show_id("set", settlement.settlement_id),
        "cause": settlement.cause,
        "state": outcome.state if outcome else settlement.state,
        "asset": settlement.asset,
        "amount": shown(outcome.units if outcome else None),
        "fee": shown(outcome.fee_units if outcome else None),
        "network_fee": shown(outcome.network_fee_units if outcome else None),
        "address": show_address(network, outcome.target) if outcome else None,
        "tag": outcome.tag if outcome else None,
        "txid": outcome.txid if outcome else None,
        "reason": outcome.reason if outcome else settlement.reason,
        "created_at": settlement.created_at.isoformat(),
    }


_ACTIONS: Final[Mapping[str, Action]] = MappingProxyType(
    {
        "quote": _quote,
        "request": _request,
        "list": _list,
        "runs": _runs,
        "show": _show,
        "approve": _decide,
        "reject": _decide,
        "cancel": _decide,
        "bind": settlement_rules.bind,
        "unbind": settlement_rules.unbind,
        "addresses": settlement_rules.list_addresses,
        "add-rule": settlement_rules.add_rule,
        "remove-rule": settlement_rules.remove_rule,
        "rules": settlement_rules.list_rules,
    }
)
