"""`bitlinkpay order show`: one order with its money, its history and its callbacks."""

import argparse
import asyncio
from collections.abc import Sequence

from bitlinkpay.app.platform import Platform, open_platform
from bitlinkpay.cli.console import add_data_dir, add_json, find_deployment, show
from bitlinkpay.cli.naming import find_merchant
from bitlinkpay.core.errors import Conflict, Invalid, NotFound
from bitlinkpay.core.ids import MerchantId, PayinId, parse_id, show_id
from bitlinkpay.core.money import format_units
from bitlinkpay.db.driver import Tx
from bitlinkpay.merchants import service as merchants
from bitlinkpay.payins import store
from bitlinkpay.payins.model import Payin
from bitlinkpay.payins.pages import store as pages
from bitlinkpay.payins.view import DepositView, PayinView, view
from bitlinkpay.settings import Settings
from bitlinkpay.webhooks import service as webhooks


def run(parser: argparse.ArgumentParser, words: Sequence[str]) -> int:
    """Show one order."""
    parser.add_argument("action", choices=["show"])
    parser.add_argument("order", help="order id or source id")
    parser.add_argument("--merchant", default=None, help="broker id, merchant id or name, where two share it")
    add_data_dir(parser)
    add_json(parser)
    given = parser.parse_args(words)
    show(asyncio.run(_show(find_deployment(given.data_dir), given.order, given.merchant)), as_json=given.json)
    return 0


async def _show(settings: Settings, order: str, merchant: str | None) -> dict[str, object]:
    async with open_platform(settings) as platform, platform.database.reader() as tx:
        payin = await find_order(tx, order, merchant)
        owner = await merchants.get(tx, payin.merchant_id)
        seen = await view(tx, platform.registry, payin, owner)
        return await _record(tx, platform, seen)


async def find_order(tx: Tx, order: str, merchant: str | None) -> Payin:
    """Return the order with this order id or source id.

    Our own id comes first: merchants choose source ids, and one that repeats an order id must not hide that order.

    Raises:
        NotFound: there is none.
        Conflict: several merchants have one.
    """
    owner: MerchantId | None = (await find_merchant(tx, merchant)).merchant_id if merchant else None
    by_id = await _by_id(tx, order)
    if by_id and owner in (None, by_id.merchant_id):
        return by_id
    found = [p for p in await pages.list_by_source(tx, order) if owner in (None, p.merchant_id)]
    if not found:
        raise NotFound(f"no order {order[:80]!r}")
    if len(found) > 1:
        raise Conflict(f"{len(found)} merchants have an order {order[:80]!r}; add --merchant")
    return found[0]


async def _by_id(tx: Tx, order: str) -> Payin | None:
    try:
        return await store.find(tx, PayinId(parse_id("pay", order)))
    except Invalid:
        return None


async def _record(tx: Tx, platform: Platform, seen: PayinView) -> dict[str, object]:
    deliveries = await webhooks.list_about(tx, seen.merchant.merchant_id, seen.payin_id)
    return {
        "order_id": seen.payin_id.hex,
        "source_id": seen.source_id,
        "merchant": seen.merchant.name,
        "state": seen.state,
        "labels": sorted(seen.labels),
        "asset": seen.asset.id if seen.asset else "",
        "amount": format_units(seen.amount_units, seen.asset.decimals) if seen.asset else "0",
        "address": seen.address,
        "tag": seen.tag,
        "expires_at": seen.expires_at.isoformat(),
        "url": platform.settings.order_url(seen.payin_id),
        "deposits": [_deposit(deposit) for deposit in seen.received],
        "callbacks": [
            {
                "delivery_id": show_id("evt", delivery.delivery_id),
                "state": delivery.state,
                "url": delivery.url,
                "attempts": len(attempts),
                "last_answer": attempts[-1].response_status if attempts else None,
            }
            for delivery, attempts in deliveries
        ],
        "history": [
            {"at": at.isoformat(), "event": event, "from": before, "to": after, "cause": cause}
            for event, before, after, cause, at in await store.list_events(tx, seen.payin_id)
        ],
    }


def _deposit(deposit: DepositView) -> dict[str, object]:
    return {
        "deposit_id": show_id("dep", deposit.deposit_id),
        "asset": deposit.asset.id,
        "amount": format_units(deposit.units, deposit.asset.decimals),
        "state": deposit.state,
        "label": deposit.label,
        "confirmations": deposit.confirmations,
        "txid": deposit.txid,
    }
