"""What the outside learns of an order: the outbox event with every fact that a callback needs, and the callback."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final

from bitlinkpay.chains.address import show_address
from bitlinkpay.chains.registry import Registry
from bitlinkpay.core.ids import EventId, MerchantId, new_uuid7
from bitlinkpay.core.money import from_units
from bitlinkpay.db import outbox
from bitlinkpay.db.driver import Tx
from bitlinkpay.deposits.model import Deposit
from bitlinkpay.payins import store
from bitlinkpay.payins.model import Payin, PayinState, wm_status
from bitlinkpay.webhooks.subscriber import delivery_of, tell
from bitlinkpay.wm.answers import DepositCallback, content_json
from bitlinkpay.wm.ids import DEPOSIT_STATUS_DESC

EVENT_KINDS: Final = tuple(f"payin.{state}" for state in (PayinState.PAID, PayinState.EXPIRED, PayinState.CANCELLED))


@dataclass(frozen=True, slots=True)
class Outcome:
    """An order that has ended, and the deposit that completed it, if any."""

    payin: Payin
    deposit: Deposit | None = None


async def announce(tx: Tx, registry: Registry, outcomes: Sequence[Outcome], now: datetime) -> None:
    """Append one event an outcome, and the callback that it owes, in the caller's transaction.

    Where it goes is decided here, once: to the order's callback URL if its merchant asked for this status.
    """
    if not outcomes:
        return
    statuses = await store.callback_statuses(tx, sorted({outcome.payin.merchant_id for outcome in outcomes}))
    await tell(tx, [_event(registry, outcome, statuses, now) for outcome in outcomes], delivery_of)


def _event(
    registry: Registry, outcome: Outcome, statuses: dict[MerchantId, frozenset[int]], now: datetime
) -> outbox.Event:
    payin = outcome.payin
    facts = callback_of(registry, payin, outcome.deposit.txid if outcome.deposit else "")
    is_wanted = facts.status in statuses.get(payin.merchant_id, frozenset())
    return outbox.Event(
        event_id=EventId(new_uuid7()),
        kind=f"payin.{payin.state}",
        merchant_id=payin.merchant_id,
        subject_id=payin.payin_id,
        payload={"order": content_json(facts), "callback_url": payin.callback_url if is_wanted else ""},
        happened_at=now,
    )


def callback_of(registry: Registry, payin: Payin, txid: str) -> DepositCallback:
    """Return what a callback says of an order (PROTOCOL.md, Callbacks).

    `amount` is what is asked, and once paid what was accepted; `hash` is the transfer that completed it.
    """
    asset = registry.assets[payin.asset] if payin.asset else None
    network = registry.networks[asset.network] if asset else None
    units = payin.accepted_units if payin.state is PayinState.PAID else payin.units
    status = wm_status(payin)
    return DepositCallback(
        source_id=payin.source_id,
        chain_id=network.wm_chain_id if network else 0,
        coin_id=asset.wm_coin_id if asset else 0,
        address=show_address(network, payin.address) if network else "",
        tag=payin.tag,
        hash=txid,
        fiat_amount=payin.fiat_amount,
        symbol=payin.symbol,
        exchange_rate=payin.exchange_rate,
        amount=from_units(units, asset.decimals) if asset else Decimal(0),
        service_fee=from_units(payin.fee_units, asset.decimals) if asset else Decimal(0),
        order_id=payin.payin_id.hex,
        status=status,
        status_desc=DEPOSIT_STATUS_DESC[status],
    )
