"""What the outside learns of settlements beside the callback of the payout: notices in the feed of events.

They owe no callback: what a merchant's system reads there has the shape of an order or a withdrawal.
"""

from datetime import datetime
from uuid import UUID

from bitlinkpay.core.ids import EventId, new_uuid7
from bitlinkpay.db import outbox
from bitlinkpay.db.driver import Tx
from bitlinkpay.settlements.addresses.model import HomeAddress
from bitlinkpay.settlements.model import Settlement
from bitlinkpay.settlements.rules.model import Rule


async def tell_decided(tx: Tx, settlement: Settlement, now: datetime) -> None:
    """Say that a settlement was requested or skipped."""
    payload: dict[str, object] = {
        "settlement_id": settlement.settlement_id.hex,
        "cause": settlement.cause,
        "rule_id": settlement.rule_id.hex if settlement.rule_id else "",
        "asset": settlement.asset,
        "order_id": settlement.payout_id.hex if settlement.payout_id else "",
        "reason": settlement.reason,
        "detail": settlement.detail,
    }
    await _tell(tx, f"settlement.{settlement.state}", settlement, settlement.settlement_id, payload, now=now)


async def tell_address(tx: Tx, address: HomeAddress, change: str, now: datetime) -> None:
    """Say that an address was bound, saved or removed, long before money may follow it."""
    payload: dict[str, object] = {
        "change": change,
        "network": address.network,
        "label": address.label,
        "address": address.target,
        "tag": address.tag,
        "usable_at": address.usable_at.isoformat(),
    }
    await _tell(tx, "settlement.address_changed", address, address.address_id, payload, now=now)


async def tell_rule(tx: Tx, rule: Rule, change: str, now: datetime) -> None:
    """Say that a rule was added or removed."""
    payload: dict[str, object] = {"change": change, "asset": rule.asset, "kind": rule.terms.kind}
    await _tell(tx, "settlement.rule_changed", rule, rule.rule_id, payload, now=now)


async def _tell(
    tx: Tx,
    kind: str,
    noun: Settlement | HomeAddress | Rule,
    subject_id: UUID,
    payload: dict[str, object],
    *,
    now: datetime,
) -> None:
    await outbox.append(tx, [outbox.Event(EventId(new_uuid7()), kind, noun.merchant_id, subject_id, payload, now)])
