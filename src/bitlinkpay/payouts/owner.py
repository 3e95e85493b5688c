"""What becomes of payouts when their payments move: states, books and events, in the transaction that moves them."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final

from bitlinkpay.chains.registry import Registry
from bitlinkpay.db.driver import Tx
from bitlinkpay.ledger import accounts
from bitlinkpay.ledger import chart_outgoing as chart
from bitlinkpay.ledger import service as ledger
from bitlinkpay.ledger.model import Posting
from bitlinkpay.payouts import events, store
from bitlinkpay.payouts.model import PAYOUT, Payout, PayoutEvent, PayoutKind
from bitlinkpay.payouts.service import give_back
from bitlinkpay.payouts.store import PayoutChange
from bitlinkpay.sending.model import Sending
from bitlinkpay.sending.service import Ending, Stage, custody

_EVENTS: Final = {
    Stage.QUEUED: PayoutEvent.REQUEUED,
    Stage.HELD: PayoutEvent.HELD,
    Stage.SIGNED: PayoutEvent.SIGNED,
    Stage.BROADCAST: PayoutEvent.BROADCAST,
    Stage.UNCERTAIN: PayoutEvent.LOST,
    Stage.CONFIRMING: PayoutEvent.CONFIRMING,
}
_FEES: Final = {
    PayoutKind.PAYOUT: accounts.FEES_PAYOUT,
    PayoutKind.REFUND: accounts.FEES_PAYOUT,
    PayoutKind.SETTLEMENT: accounts.FEES_SETTLEMENT,
}


class PayoutOwner:
    """`sending.service.Owner` of payouts, settlements and refunds."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    async def progressed(self, tx: Tx, sendings: Sequence[Sending], stage: Stage, txid: str, now: datetime) -> None:
        """Move payouts along with their payments; one that is there already stays."""
        payouts = await store.lock(tx, [sending.owner_id for sending in sendings])
        event = _EVENTS[stage]
        reasons = {s.owner_id: s.reason if stage is Stage.HELD else None for s in sendings}
        changes = [
            PayoutChange(
                payout,
                event,
                PAYOUT.next(payout.state, event),
                reason=reasons[payout.payout_id],
                txid=txid,
                cause=txid or reasons[payout.payout_id] or "back in the queue",
            )
            for payout in payouts.values()
            if PAYOUT.allows(payout.state, event)
        ]
        await store.save(tx, [change for change in changes if change.after is not change.payout.state], now)

    async def ended(self, tx: Tx, endings: Sequence[Ending], now: datetime) -> None:
        """Complete payouts, or give everything back where nothing arrived."""
        payouts = await store.lock(tx, [ending.sending.owner_id for ending in endings])
        by_id = {ending.sending.owner_id: ending for ending in endings}
        changes = [self._change(payout, by_id[payout.payout_id]) for payout in payouts.values()]
        await store.save(tx, changes, now)
        ended = [
            replace(c.payout, state=c.after, reason=c.reason or "", txid=c.txid or c.payout.txid, ended_at=now)
            for c in changes
        ]
        done = [payout for payout in ended if by_id[payout.payout_id].is_delivered]
        await ledger.post_all(tx, [self._completed(p, by_id[p.payout_id].sending, now) for p in done])
        await events.announce(tx, self._registry, done, now)
        await give_back(tx, self._registry, [p for p in ended if not by_id[p.payout_id].is_delivered], now)

    def _change(self, payout: Payout, ending: Ending) -> PayoutChange:
        event = PayoutEvent.COMPLETED if ending.is_delivered else PayoutEvent.FAILED
        cause = ending.txid if ending.is_delivered else ending.reason
        after = PAYOUT.next(payout.state, event)
        return PayoutChange(payout, event, after, reason=ending.reason, txid=ending.txid or None, cause=cause)

    def _completed(self, payout: Payout, sending: Sending, now: datetime) -> Posting:
        network = self._registry.networks[sending.network]
        return chart.payout_completed(
            payout.payout_id,
            merchant_id=payout.merchant_id,
            asset=payout.asset,
            custody=custody(network, sending.payer),
            units=payout.units,
            fee_units=payout.charge.fee_units,
            network_fee_units=payout.charge.network_fee_units,
            fee_account=_FEES[payout.kind],
            happened_at=now,
        )
