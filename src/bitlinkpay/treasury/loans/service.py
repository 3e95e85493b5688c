"""Loans follow the sweeps that asked for them and end with the payment that takes them back, in its transaction."""

from collections.abc import Sequence
from datetime import datetime

from bitlinkpay.chains.outgoing import Wallet
from bitlinkpay.db.driver import Tx
from bitlinkpay.sending.model import Sending
from bitlinkpay.sending.service import Ending, Stage
from bitlinkpay.treasury.loans import store
from bitlinkpay.treasury.loans.model import LOAN, LoanEvent, StakeLoan, event_of
from bitlinkpay.treasury.loans.store import LoanChange
from bitlinkpay.treasury.model import Method, Move
from bitlinkpay.treasury.moves.store import MoveChange


async def ask(tx: Tx, moves: Sequence[Move], lender: Wallet, now: datetime) -> None:
    """Note the loans that new sweeps ask for: from now on the stake is promised, and the address rests."""
    loans = [
        StakeLoan(move.move_id, move.network, lender, move.source, move.stake_units)
        for move in moves
        if move.method is Method.LENT
    ]
    await store.insert(tx, loans, now)


async def follow(tx: Tx, changes: Sequence[MoveChange], now: datetime) -> None:
    """Move the loans of sweeps along with them."""
    events = {
        change.move.move_id: (event, change.cause)
        for change in changes
        if (event := event_of(change.move, change.event)) is not None
    }
    locked = await store.lock(tx, list(events))
    assert len(locked) == len(events), "a sweep without its loan"
    await store.save(tx, [change_of(locked[move_id], *what) for move_id, what in events.items()], now)


def change_of(loan: StakeLoan, event: LoanEvent, cause: str) -> LoanChange:
    """Return a step of a loan.

    Raises:
        IllegalMove: the table has no such step.
    """
    return LoanChange(loan, event, LOAN.next(loan.state, event), cause)


class LoanOwner:
    """`sending.service.Owner` of payments that take stake back; there is nothing to book but the gas."""

    async def progressed(self, tx: Tx, sendings: Sequence[Sending], stage: Stage, txid: str, now: datetime) -> None:
        """Do nothing: a loan is returning until it has returned."""

    async def ended(self, tx: Tx, endings: Sequence[Ending], now: datetime) -> None:
        """End loans that came back; the others are lent as before, and the next look takes them back."""
        loans = await store.lock_recalled(tx, [ending.sending.owner_id for ending in endings])
        await store.save(tx, [_ended(loans[ending.sending.owner_id], ending) for ending in endings], now)


def _ended(loan: StakeLoan, ending: Ending) -> LoanChange:
    event = LoanEvent.RETURNED if ending.is_delivered else LoanEvent.FAILED
    return change_of(loan, event, ending.txid or ending.reason)
