"""What the outside learns of a payout: the outbox event with every fact that a callback needs, and the callback."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from bitlinkpay.chains.address import show_address
from bitlinkpay.chains.registry import Registry
from bitlinkpay.core.ids import EventId, new_uuid7
from bitlinkpay.core.money import from_units
from bitlinkpay.db import outbox
from bitlinkpay.db.driver import Tx
from bitlinkpay.payouts.model import ENDED, Payout, PayoutState
from bitlinkpay.wm.answers import WithdrawCallback, content_json
from bitlinkpay.wm.ids import WITHDRAW_STATUS_DESC, WithdrawStatus

EVENT_KINDS: Final = tuple(f"payout.{state}" for state in sorted(ENDED))


def wm_status(payout: Payout) -> WithdrawStatus:
    """Return the SDK's status: 0 until proof, 8 also for what was rejected or cancelled (PROTOCOL.md)."""
    if payout.state is PayoutState.COMPLETED:
        return WithdrawStatus.SUCCESS
    return WithdrawStatus.FAIL if payout.has_ended else WithdrawStatus.DOING


async def announce(tx: Tx, registry: Registry, payouts: Sequence[Payout], now: datetime) -> None:
    """Append one event a payout that has ended, in the caller's transaction."""
    await outbox.append(
        tx,
        [
            outbox.Event(
                event_id=EventId(new_uuid7()),
                kind=f"payout.{payout.state}",
                merchant_id=payout.merchant_id,
                subject_id=payout.payout_id,
                payload={
                    "order": content_json(callback_of(registry, payout)),
                    "callback_url": payout.callback_url,
                    "reason": payout.reason,
                },
                happened_at=now,
            )
            for payout in payouts
        ],
    )


def callback_of(registry: Registry, payout: Payout) -> WithdrawCallback:
    """Return what a callback says of a payout (PROTOCOL.md, Callbacks); `hash` is empty where nothing was sent."""
    asset = registry.assets[payout.asset]
    network = registry.networks[asset.network]
    status = wm_status(payout)
    charged = from_units(payout.charge.units, asset.decimals)
    return WithdrawCallback(
        source_id=payout.source_id,
        order_id=payout.payout_id.hex,
        chain_id=network.wm_chain_id,
        coin_id=asset.wm_coin_id,
        address=show_address(network, payout.target),
        tag=payout.tag,
        hash=payout.txid,
        amount=from_units(payout.units, asset.decimals),
        gas_fee=charged,
        service_fee=charged,
        status=status,
        status_desc=WITHDRAW_STATUS_DESC[status],
    )
