"""Takes back what was lent, whatever became of the sweep: each look finds every loan whose sweep has ended.

Nothing has to be remembered for it. A process that dies, a payment that failed, a signer that was stopped leave the
loan as it stands in the database, and the next look begins there.
"""

import logging
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from bitlinkpay.chains.base import ChainError
from bitlinkpay.chains.outgoing import CannotPlan, Lending, Payment, Purpose
from bitlinkpay.core.ids import SendingId, new_uuid7
from bitlinkpay.db.driver import Tx
from bitlinkpay.sending import service as sending
from bitlinkpay.sending.model import OwnerKind, Sending, SendingState, TooLate
from bitlinkpay.treasury.loans import store
from bitlinkpay.treasury.loans.model import LOAN, LoanEvent, LoanState, StakeLoan
from bitlinkpay.treasury.loans.service import change_of
from bitlinkpay.treasury.loans.store import LoanChange
from bitlinkpay.treasury.parts import TreasuryParts

log = logging.getLogger(__name__)

PATIENCE: Final = timedelta(hours=1)
"""How long a return may wait in the queue before it is asked for anew, at the price of then."""
GONE_AFTER: Final = timedelta(hours=1)
"""How long endpoints must agree that a loan is not there any more: a late one may not have seen it yet."""
FEE_MARGIN: Final = 2
"""How much more than now taking back may cost: the stake is worth more than a few bytes."""
_SEEN: Final = 100


class Returning:
    """The taking back of one network. Many may run: a loan is locked and looked at again before it is asked for."""

    def __init__(self, parts: TreasuryParts) -> None:
        self._parts = parts

    async def step(self, purposes: frozenset[Purpose]) -> int:
        """Ask for all that is due; return how many loans are on their way back now.

        Nodes that do not tell, or not the same, of a loan keep it out: sweeps and the rest of the treasury go on.

        Args:
            purposes: what the signer signs for; without `RECALL` nothing is asked for.
        """
        parts, lending = self._parts, self._parts.lending
        if lending is None or Purpose.RECALL not in purposes:
            return 0
        await self._ask_again()
        async with parts.database.reader() as tx:
            due = await store.list_due(tx, parts.network.id, _SEEN)
        asked = 0
        try:
            for loan, lent_at in due:
                asked += await self._take_back(lending, loan, lent_at)
        except ChainError as error:
            log.warning("%s: loans stay out until nodes agree on them: %s", parts.network.id, error)
        return asked

    async def _ask_again(self) -> None:
        """Let returns that have waited too long in the queue be asked for anew."""
        now = self._parts.clock.now()
        async with self._parts.database.reader() as tx:
            old = await store.list_returning(tx, self._parts.network.id, before=now - PATIENCE, limit=_SEEN)

        async def work(tx: Tx) -> None:
            withdrawn = [loan.move_id for loan in old if await _withdrawn(tx, loan, now)]  # first, as lanes lock them
            locked = await store.lock(tx, withdrawn)
            cause = f"it waited in the queue for {PATIENCE.total_seconds() // 60:.0f} minutes"
            await store.save(tx, [change_of(loan, LoanEvent.FAILED, cause) for loan in locked.values()], now)

        if old:
            await self._parts.database.unit(work)

    async def _take_back(self, lending: Lending, loan: StakeLoan, lent_at: datetime) -> bool:
        """Ask for one loan at the price of now; False where that cannot be."""
        parts, now = self._parts, self._parts.clock.now()
        lent = await lending.lent(loan.lender, loan.borrower.address)
        if lent < loan.stake_units and now - lent_at >= GONE_AFTER:
            await self._give_up(loan, f"the chain shows {lent} of {loan.stake_units}: it was taken back without us")
            return False
        stake = Payment(loan.lender, parts.native.id, loan.borrower.address, "", loan.stake_units)
        try:
            quote = await parts.sender.quote(parts.intent(Purpose.RECALL, loan.lender, stake))
        except CannotPlan as obstacle:
            log.warning("%s: a loan to %s stays out: %s", loan.network, loan.borrower.address, obstacle.reason)
            return False
        recall_id = new_uuid7()
        payment = _payment(loan, stake, recall_id, fee_max_units=FEE_MARGIN * quote.units_max, now=now)

        async def work(tx: Tx) -> bool:
            locked = (await store.lock(tx, [loan.move_id]))[loan.move_id]
            if locked.state is not LoanState.LENT:
                return False
            after = LOAN.next(locked.state, LoanEvent.RECALLED)
            await store.save(tx, [LoanChange(locked, LoanEvent.RECALLED, after, "its sweep has ended", recall_id)], now)
            await sending.queue(tx, [payment], now)
            return True

        async def done(tx: Tx) -> bool | None:
            return recall_id in await store.lock_recalled(tx, [recall_id]) or None

        return await parts.database.unit(work, resolve=done)

    async def _give_up(self, loan: StakeLoan, reason: str) -> None:
        log.critical("%s: the loan to %s is over: %s", loan.network, loan.borrower.address, reason)
        now = self._parts.clock.now()

        async def work(tx: Tx) -> None:
            locked = (await store.lock(tx, [loan.move_id]))[loan.move_id]
            if locked.state is LoanState.LENT:
                await store.save(tx, [change_of(locked, LoanEvent.GONE, reason)], now)

        await self._parts.database.unit(work)


async def _withdrawn(tx: Tx, loan: StakeLoan, now: datetime) -> bool:
    assert loan.recall_id is not None
    try:
        await sending.cancel(tx, OwnerKind.RECALL, loan.recall_id, now)
    except TooLate:
        return False
    return True


def _payment(loan: StakeLoan, stake: Payment, recall_id: UUID, *, fee_max_units: int, now: datetime) -> Sending:
    return Sending(
        sending_id=SendingId(new_uuid7()),
        owner=OwnerKind.RECALL,
        owner_id=recall_id,
        merchant_id=None,
        network=loan.network,
        purpose=Purpose.RECALL,
        payer=loan.lender,
        payment=stake,
        fee_max_units=fee_max_units,
        state=SendingState.QUEUED,
        transaction_id=None,
        reason="",
        queued_at=now,
        not_before=now,
    )
