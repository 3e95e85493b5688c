"""`bitlinkpay webhook`: callbacks owed, sent and answered; resend one."""

import argparse
import asyncio
from collections.abc import Sequence

from bitlinkpay.app.platform import open_platform
from bitlinkpay.cli.console import add_usual, find_deployment, show
from bitlinkpay.cli.naming import find_merchant
from bitlinkpay.core.ids import DeliveryId, parse_id, show_id
from bitlinkpay.settings import Settings
from bitlinkpay.webhooks import service as webhooks
from bitlinkpay.webhooks.model import Attempt, Delivery, DeliveryState


def run(parser: argparse.ArgumentParser, words: Sequence[str]) -> int:
    """List, show or resend callbacks."""
    actions = parser.add_subparsers(dest="action", required=True)
    listing = actions.add_parser("list", help="callbacks, newest first")
    listing.add_argument("--merchant", default=None, help="broker id, merchant id or name")
    listing.add_argument("--state", type=DeliveryState, choices=list(DeliveryState), default=None)
    actions.add_parser("show", help="one callback with every attempt").add_argument("id", help="evt_…")
    actions.add_parser("resend", help="send one again now").add_argument("id", help="evt_…")
    add_usual(actions)
    given = parser.parse_args(words)
    settings = find_deployment(given.data_dir)
    if given.action == "list":
        show(asyncio.run(_list(settings, given.merchant, given.state)), as_json=given.json)
        return 0
    delivery_id = DeliveryId(parse_id("evt", given.id))
    if given.action == "resend":
        asyncio.run(_resend(settings, delivery_id))
    show(asyncio.run(_show(settings, delivery_id)), as_json=given.json)
    return 0


async def _list(settings: Settings, merchant: str | None, state: DeliveryState | None) -> list[dict[str, object]]:
    async with open_platform(settings) as platform, platform.database.reader() as tx:
        owner = (await find_merchant(tx, merchant)).merchant_id if merchant else None
        return [_row(delivery) for delivery in await webhooks.list_deliveries(tx, merchant_id=owner, state=state)]


async def _show(settings: Settings, delivery_id: DeliveryId) -> dict[str, object]:
    async with open_platform(settings) as platform, platform.database.reader() as tx:
        delivery, attempts = await webhooks.get_delivery(tx, delivery_id)
        return {**_row(delivery), "body": delivery.body.decode(), "tries": [_attempt(one) for one in attempts]}


async def _resend(settings: Settings, delivery_id: DeliveryId) -> None:
    async with open_platform(settings) as platform:
        now = platform.clock.now()
        await platform.database.unit(lambda tx: webhooks.resend(tx, delivery_id, now=now, cause="operator"))


def _row(delivery: Delivery) -> dict[str, object]:
    return {
        "id": show_id("evt", delivery.delivery_id),
        "kind": delivery.kind,
        "state": delivery.state,
        "attempts": delivery.attempts,
        "order_id": delivery.subject_id.hex,
        "url": delivery.url,
        "next_at": delivery.next_at.isoformat(),
        "delivered_at": delivery.delivered_at.isoformat() if delivery.delivered_at else None,
    }


def _attempt(attempt: Attempt) -> dict[str, object]:
    return {
        "attempt": attempt.attempt,
        "at": attempt.started_at.isoformat(),
        "outcome": attempt.outcome,
        "status": attempt.response_status,
        "answer": attempt.response_body,
        "error": attempt.error,
        "sent_headers": dict(attempt.request_headers),
    }
