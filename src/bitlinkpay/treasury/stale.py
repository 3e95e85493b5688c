"""Moves that nothing carries: withdrawn from the queue after a while and planned anew, at the prices of then."""

from datetime import timedelta
from typing import Final

from bitlinkpay.db.driver import Tx
from bitlinkpay.sending import service as sending
from bitlinkpay.sending.model import OwnerKind, TooLate
from bitlinkpay.treasury.loans import service as loans
from bitlinkpay.treasury.model import MOVE, Move, MoveEvent, MoveState
from bitlinkpay.treasury.moves import store
from bitlinkpay.treasury.moves.store import MoveChange
from bitlinkpay.treasury.owner import OWNERS
from bitlinkpay.treasury.parts import TreasuryParts

PATIENCE: Final = timedelta(hours=1)
_SEEN: Final = 100
_AHEAD: Final = {MoveState.FUELLING: OwnerKind.GAS, MoveState.LENDING: OwnerKind.LEND}


async def withdraw(parts: TreasuryParts) -> int:
    """Withdraw moves whose payment has waited in the queue for longer than `PATIENCE`; return how many.

    What is part of a transaction is left to its lane: it can't be called back.
    """
    now = parts.clock.now()
    async with parts.database.reader() as tx:
        found = await store.list_open(tx, parts.network.id, _SEEN)
    old = [move for move, planned_at in found if now - planned_at >= PATIENCE]

    async def work(tx: Tx) -> int:
        cancelled = [move.move_id for move in old if await _cancelled(tx, move)]  # before its move, as lanes lock them
        locked = await store.lock(tx, cancelled)
        changes = [_change(move) for move in locked.values()]
        await store.save(tx, changes, now)
        await loans.follow(tx, changes, now)
        return len(locked)

    async def _cancelled(tx: Tx, move: Move) -> bool:
        kind = _AHEAD.get(move.state, OWNERS[move.kind])
        try:
            await sending.cancel(tx, kind, move.move_id, now)
        except TooLate:
            return False
        return True

    return await parts.database.unit(work) if old else 0


def _change(move: Move) -> MoveChange:
    cause = f"it waited in the queue for {PATIENCE.total_seconds() // 60:.0f} minutes"
    return MoveChange(move, MoveEvent.FAILED, MOVE.next(move.state, MoveEvent.FAILED), cause)
