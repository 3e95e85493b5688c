"""What becomes of moves when their payments move: states, books and what follows, in the transaction that moves them.

A move is booked when it is final, in one posting from the account that it left to the one that it reached: until then
the books say what the final chain says, address by address, and a reorganisation has nothing to take back.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from bitlinkpay.chains.outgoing import KeyRole, Payment, Purpose, Wallet
from bitlinkpay.chains.registry import Registry
from bitlinkpay.core.ids import SendingId, new_uuid7
from bitlinkpay.db.driver import Tx
from bitlinkpay.ledger import accounts
from bitlinkpay.ledger import chart_outgoing as chart
from bitlinkpay.ledger import service as ledger
from bitlinkpay.ledger.model import Posting
from bitlinkpay.sending import service as sending_service
from bitlinkpay.sending.model import OwnerKind, Sending, SendingState
from bitlinkpay.sending.service import Ending, Stage, custody
from bitlinkpay.treasury.model import MOVE, Move, MoveEvent, MoveKind, MoveState
from bitlinkpay.treasury.moves import store
from bitlinkpay.treasury.moves.store import MoveChange

OWNERS = {
    MoveKind.SWEEP: OwnerKind.SWEEP,
    MoveKind.COLD: OwnerKind.COLD,
    MoveKind.CONSOLIDATION: OwnerKind.CONSOLIDATION,
}
_PURPOSES = {
    MoveKind.SWEEP: Purpose.SWEEP,
    MoveKind.COLD: Purpose.COLD,
    MoveKind.CONSOLIDATION: Purpose.CONSOLIDATION,
}
TREASURY_KINDS = frozenset({*OWNERS.values(), OwnerKind.GAS})
"""The kinds of payments that `TreasuryOwner` settles."""


class TreasuryOwner:
    """`sending.service.Owner` of sweeps, of the gas for them, of surplus gone cold, and of outputs that are joined."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    async def progressed(self, tx: Tx, sendings: Sequence[Sending], stage: Stage, txid: str, now: datetime) -> None:
        """Do nothing: a move is moving until it ends."""

    async def ended(self, tx: Tx, endings: Sequence[Ending], now: datetime) -> None:
        """Book what arrived and go on: after gas the money itself, after the money nothing."""
        moves = await store.lock(tx, [ending.sending.owner_id for ending in endings])
        pairs = [(moves[ending.sending.owner_id], ending) for ending in endings]
        changes = [_change(move, ending) for move, ending in pairs]
        await store.save(tx, changes, now)
        arrived = [
            self._booked(move, ending, now)
            for move, ending in pairs
            if ending.is_delivered and move.kind is not MoveKind.CONSOLIDATION  # it is where it was, less the fee
        ]
        await ledger.post_all(tx, arrived)
        fuelled = [change.move for change in changes if change.event is MoveEvent.FUELLED]
        await sending_service.queue(tx, [money(move, now) for move in fuelled], now)

    def _booked(self, move: Move, ending: Ending, now: datetime) -> Posting:
        payment = ending.sending.payment
        assert payment is not None, "a move of nothing"
        network = self._registry.networks[move.network]
        return chart.own_transfer(
            ending.sending.sending_id,
            asset=payment.asset,
            source=custody(network, payment.source),
            target=_reached(move, ending),
            units=payment.units,
            happened_at=now,
        )


def _reached(move: Move, ending: Ending) -> str:
    if ending.sending.owner is OwnerKind.GAS:
        return accounts.deposit_custody(move.source.address)
    return accounts.COLD if move.kind is MoveKind.COLD else accounts.hot_custody(move.target)


def _change(move: Move, ending: Ending) -> MoveChange:
    event = MoveEvent.FAILED
    if ending.is_delivered:
        event = MoveEvent.FUELLED if move.state is MoveState.FUELLING else MoveEvent.ARRIVED
    return MoveChange(move, event, MOVE.next(move.state, event), ending.txid or ending.reason)


def money(move: Move, now: datetime) -> Sending:
    """Return the payment that carries a move's money."""
    return _sending(move, OWNERS[move.kind], _PURPOSES[move.kind], move.payer, now)


def gas(move: Move, *, native: str, hot: Wallet, fee_max_units: int, now: datetime) -> Sending:
    """Return the payment of native coin that goes ahead of a fuelled move, from the hot wallet."""
    assert move.gas_units, "gas for a move that needs none"
    assert hot.role is KeyRole.HOT, "gas out of an order's address"
    paid = Payment(hot, native, move.source.address, "", move.gas_units)
    return replace(_sending(move, OwnerKind.GAS, Purpose.GAS, hot, now), payment=paid, fee_max_units=fee_max_units)


def _sending(move: Move, owner: OwnerKind, purpose: Purpose, payer: Wallet, now: datetime) -> Sending:
    return Sending(
        sending_id=SendingId(new_uuid7()),
        owner=owner,
        owner_id=move.move_id,
        merchant_id=None,
        network=move.network,
        purpose=purpose,
        payer=payer,
        payment=Payment(move.source, move.asset, move.target, "", move.units),
        fee_max_units=move.fee_max_units,
        state=SendingState.QUEUED,
        transaction_id=None,
        reason="",
        queued_at=now,
        not_before=now,
    )
