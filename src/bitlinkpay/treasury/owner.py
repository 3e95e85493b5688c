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
from bitlinkpay.treasury.loans import service as loans
from bitlinkpay.treasury.model import MOVE, Method, Move, MoveEvent, MoveKind, MoveState
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
TREASURY_KINDS = frozenset({*OWNERS.values(), OwnerKind.GAS, OwnerKind.LEND})
"""The kinds of payments that `TreasuryOwner` settles."""
_GOES_ON = frozenset({MoveEvent.FUELLED, MoveEvent.OPENED, MoveEvent.LENT})
_AHEAD = {  # what it is to a move, lent or not, that the payment which goes ahead of its money has arrived
    (False, MoveState.FUELLING): MoveEvent.FUELLED,
    (True, MoveState.FUELLING): MoveEvent.OPENED,
    (True, MoveState.LENDING): MoveEvent.LENT,
}


class TreasuryOwner:
    """`sending.service.Owner` of sweeps, of gas and stake for them, of surplus gone cold, and of joined outputs."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    async def progressed(self, tx: Tx, sendings: Sequence[Sending], stage: Stage, txid: str, now: datetime) -> None:
        """Do nothing: a move is moving until it ends."""

    async def ended(self, tx: Tx, endings: Sequence[Ending], now: datetime) -> None:
        """Book what arrived and go on: after gas stake or the money itself, after stake the money, then nothing."""
        moves = await store.lock(tx, [ending.sending.owner_id for ending in endings])
        pairs = [(moves[ending.sending.owner_id], ending) for ending in endings]
        changes = [_change(move, ending) for move, ending in pairs]
        await store.save(tx, changes, now)
        await loans.follow(tx, changes, now)
        arrived = [
            self._booked(move, ending, now)
            for move, ending in pairs
            if ending.is_delivered and _has_moved(move, ending)
        ]
        await ledger.post_all(tx, arrived)
        going_on = [
            self._next(change, ending, now)
            for change, ending in zip(changes, endings, strict=True)
            if change.event in _GOES_ON
        ]
        await sending_service.queue(tx, going_on, now)

    def _next(self, change: MoveChange, ending: Ending, now: datetime) -> Sending:
        """Return the payment that follows: who paid the gas lends the stake."""
        if change.event is MoveEvent.OPENED:
            native = self._registry.native(change.move.network).id
            return stake(change.move, native=native, hot=ending.sending.payer, now=now)
        return money(change.move, now)

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


def _has_moved(move: Move, ending: Ending) -> bool:
    """Say whether money of ours stands elsewhere now: outputs that were joined and stake that was lent do not."""
    return move.kind is not MoveKind.CONSOLIDATION and ending.sending.spends is not None


def _reached(move: Move, ending: Ending) -> str:
    if ending.sending.owner is OwnerKind.GAS:
        return accounts.deposit_custody(move.source.address)
    return accounts.COLD if move.kind is MoveKind.COLD else accounts.hot_custody(move.target)


def _change(move: Move, ending: Ending) -> MoveChange:
    event = MoveEvent.FAILED
    if ending.is_delivered:
        event = _AHEAD.get((move.method is Method.LENT, move.state), MoveEvent.ARRIVED)
    return MoveChange(move, event, MOVE.next(move.state, event), ending.txid or ending.reason)


def money(move: Move, now: datetime) -> Sending:
    """Return the payment that carries a move's money."""
    return _sending(move, OWNERS[move.kind], _PURPOSES[move.kind], move.payer, now)


def gas(move: Move, *, native: str, hot: Wallet, fee_max_units: int, now: datetime) -> Sending:
    """Return the payment of native coin that goes ahead of a fuelled move, from the hot wallet."""
    assert move.gas_units, "gas for a move that needs none"
    assert hot.role is KeyRole.HOT, "gas out of an order's address"
    paid = Payment(hot, native, move.source.address, "", move.gas_units)
    return _of_hot(move, OwnerKind.GAS, Purpose.GAS, paid, fee_max_units=fee_max_units, now=now)


def stake(move: Move, *, native: str, hot: Wallet, now: datetime) -> Sending:
    """Return the payment that lends a lent move's source the hot wallet's stake."""
    assert move.stake_units, "stake for a move that needs none"
    assert hot.role is KeyRole.HOT, "stake out of an order's address"
    lent = Payment(hot, native, move.source.address, "", move.stake_units)
    return _of_hot(move, OwnerKind.LEND, Purpose.LEND, lent, fee_max_units=move.lend_fee_units, now=now)


def first(move: Move, *, native: str, hot: Wallet, gas_fee_units: int, now: datetime) -> Sending:
    """Return the payment that a new move begins with."""
    match move.state:
        case MoveState.FUELLING:
            return gas(move, native=native, hot=hot, fee_max_units=gas_fee_units, now=now)
        case MoveState.LENDING:
            return stake(move, native=native, hot=hot, now=now)
        case _:
            return money(move, now)


def _of_hot(
    move: Move, owner: OwnerKind, purpose: Purpose, payment: Payment, *, fee_max_units: int, now: datetime
) -> Sending:
    made = _sending(move, owner, purpose, payment.source, now)
    return replace(made, payment=payment, fee_max_units=fee_max_units, covered_units=0)


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
        covered_units=move.covered_units,
    )
