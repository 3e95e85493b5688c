"""`bitlinkpay unassigned refund` and `confirm`: odd money goes to an address that its merchant has confirmed."""

import argparse
import asyncio
import getpass
from typing import Final

from bitlinkpay.app.networks import chains_of
from bitlinkpay.app.paying import payouts_of
from bitlinkpay.app.platform import Platform, open_platform
from bitlinkpay.cli.payout import payout_row
from bitlinkpay.core.errors import NotFound
from bitlinkpay.core.ids import DepositId, PayoutId, parse_id
from bitlinkpay.deposits import store as deposits
from bitlinkpay.merchants import service as merchants
from bitlinkpay.payouts.model import Payout
from bitlinkpay.payouts.refunds import Refunds
from bitlinkpay.settings import Settings

ACTIONS: Final = frozenset({"refund", "confirm"})


def add_words(actions: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the words of both commands."""
    refund = actions.add_parser("refund", help="send it to an address that the merchant names; it waits for `confirm`")
    refund.add_argument("id", help="dep_…, as `unassigned list` shows it")
    refund.add_argument("address", help="where it goes; nothing goes to its sender by itself")
    refund.add_argument("--tag", default="", help="for the recipient, where the network has such")
    confirm = actions.add_parser("confirm", help="another person: the merchant has confirmed a refund's address")
    confirm.add_argument("id", help="out_…, as `unassigned refund` shows it")
    confirm.add_argument("address", help="as the merchant has confirmed it")


async def run(settings: Settings, given: argparse.Namespace) -> dict[str, object]:
    """Ask for a refund or take down its confirmation; return the refund."""
    who = getpass.getuser()
    async with open_platform(settings) as platform:
        chains = chains_of(settings, platform.registry, platform.database, platform.ring)
        payouts = payouts_of(platform, chains)
        try:
            if given.action == "confirm":
                payout_id = PayoutId(parse_id("out", given.id))
                payout = await platform.database.unit(lambda tx: payouts.confirm(tx, payout_id, given.address, by=who))
            else:
                payout = await _ask(platform, payouts.refunds, given, who)
        finally:
            await asyncio.gather(*(chain.aclose() for chain in chains.values()))
        return payout_row(platform, payout)


async def _ask(platform: Platform, refunds: Refunds, given: argparse.Namespace, who: str) -> Payout:
    deposit_id = DepositId(parse_id("dep", given.id))
    async with platform.database.reader() as tx:
        deposit = await deposits.find(tx, deposit_id)
        if deposit is None or deposit.merchant_id is None:
            raise NotFound("no merchant's unassigned money with this id; see `bitlinkpay unassigned list`")
        merchant = await merchants.get(tx, deposit.merchant_id)
    draft = await refunds.prepare(merchant, deposit, target=given.address, tag=given.tag, maker=who)
    return await platform.database.unit(lambda tx: refunds.request(tx, draft, deposit_id))
