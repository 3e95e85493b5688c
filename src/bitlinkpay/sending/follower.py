"""What becomes of a lane's transactions: signed, stored, sent, sent again, outbid, mined, final, or proved dead."""

import logging
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Final, Generic, TypeVar
from uuid import UUID

import msgspec

from bitlinkpay.chains.base import FateState
from bitlinkpay.chains.outgoing import CannotPlan, Intent, Outcome, Purpose, Signed, Wallet, numbers_taken
from bitlinkpay.core.assets import Family
from bitlinkpay.core.errors import Unavailable
from bitlinkpay.db.driver import Tx
from bitlinkpay.deposits.own import store as own
from bitlinkpay.sending import settling
from bitlinkpay.sending.lanes import store as lanes
from bitlinkpay.sending.last_look import LastLook, Objections
from bitlinkpay.sending.lease import Lease
from bitlinkpay.sending.model import (
    Attempt,
    SendingEvent,
    Transaction,
    TransactionEvent,
    TransactionState,
)
from bitlinkpay.sending.parts import LaneParts
from bitlinkpay.sending.service import Stage
from bitlinkpay.sending.transactions import store as transactions
from bitlinkpay.signer.problems import SignerRefused

log = logging.getLogger(__name__)

P = TypeVar("P")
OPEN_SEEN: Final = 64
_DIES_BY_ANOTHER: Final = frozenset({Family.EVM, Family.BITCOIN})
"""Families whose transactions die only when another one uses their nonce or outputs: of ours or of a thief."""
_IN_A_BLOCK: Final = (FateState.MINED, FateState.FINAL, FateState.FAILED)


class Follower(Generic[P]):
    """Brings each transaction of a lane one step further; the caller holds the lane's lease."""

    def __init__(self, parts: LaneParts[P], payer: Wallet, lease: Lease[P]) -> None:
        self._parts = parts
        self._payer = payer
        self._lease = lease
        self._last_look = LastLook(parts)
        self._outbid_at: dict[UUID, datetime] = {}
        self._sign_bid_at: dict[UUID, datetime] = {}

    async def follow(self) -> bool:
        """Look at every transaction that has not ended; say whether any of them moved."""
        async with self._parts.database.reader() as tx:
            running = await transactions.list_open(tx, self._parts.network.id, self._payer.address, OPEN_SEEN)
        moved = False
        for transaction in running:
            await self._lease.keep()
            try:
                moved = await self._advance(transaction) or moved
            except CannotPlan as obstacle:  # one that can't be understood any more holds up none of the others
                log.critical(
                    "%s: %s can't be followed: %s", transaction.network, transaction.latest.txid, obstacle.reason
                )
        return moved

    async def _advance(self, transaction: Transaction) -> bool:
        if transaction.state is TransactionState.ALLOTTED:
            return await self._begin(transaction)
        if not transaction.latest.txid and await self._sign_bid(transaction):
            return True
        newest = _signed(transaction)[-1]
        if newest.sent_at is None:
            return await self._broadcast(transaction, newest)
        return await self._track(transaction, newest)

    async def _begin(self, transaction: Transaction) -> bool:
        """Look once more, then let it be signed; what must not leave goes back, and the others without it."""
        objections = await self._last_look.at(transaction)
        if objections.reason:
            return await self._take_back(transaction, objections)
        try:
            return await self._sign(transaction)
        except SignerRefused as refusal:
            later = self._parts.clock.now() + self._parts.limits.retry_after
            return await self._put_back(
                transaction, refusal.message, rests=dict.fromkeys(_resting(refusal, transaction), later)
            )

    async def _sign_bid(self, transaction: Transaction) -> bool:
        """Let a higher bid be signed; while nobody does, the one before is followed and the signer left alone."""
        wall = self._parts.wall.now()
        if self._sign_bid_at.get(transaction.transaction_id, wall) > wall:
            return False
        try:
            return await self._sign(transaction)
        except (SignerRefused, Unavailable) as refusal:
            log.warning("%s: %s is not outbid: %s", self._payer.address, transaction.transaction_id, refusal.message)
        self._sign_bid_at[transaction.transaction_id] = wall + self._parts.limits.retry_after
        return False

    async def _sign(self, transaction: Transaction) -> bool:
        signed = await self._parts.signing.sign(intent_of(transaction), self._plan(transaction.latest))
        parts, wall, now = self._parts, self._parts.wall.now(), self._parts.clock.now()

        async def work(tx: Tx) -> bool:
            await self._lease.hold(tx)
            await transactions.store_signed(tx, transaction, txid=signed.txid, raw=signed.raw, wall=wall)
            await own.note(tx, transaction.network, signed.txid, pays_others=transaction.purpose is Purpose.PAYOUT)
            if transaction.state is TransactionState.ALLOTTED:
                await transactions.move(tx, transaction, TransactionEvent.SIGNED, cause=signed.txid, now=now)
                await settling.announce(tx, parts.owners, transaction, Stage.SIGNED, txid=signed.txid, now=now)
            return True

        return await self._parts.database.unit(work)

    async def _take_back(self, transaction: Transaction, objections: Objections) -> bool:
        later = self._parts.clock.now() + self._parts.limits.retry_after
        rests = dict.fromkeys(objections.unknown, later)
        return await self._put_back(transaction, objections.reason, rests=rests, held=objections.listed)

    async def _put_back(
        self,
        transaction: Transaction,
        reason: str,
        *,
        rests: Mapping[int, datetime],
        held: Mapping[int, str] = MappingProxyType({}),
    ) -> bool:
        """Give the slot of a transaction that was never signed back, and its payments to the queue.

        Args:
            transaction: the newest of the lane.
            reason: for people.
            rests: by place, how long a payment is left alone.
            held: by place, why a person has to look at a payment first.
        """
        log.warning("%s: %s does not sign: %s", self._parts.network.id, self._payer.address, reason)
        now = self._parts.clock.now()
        taken = numbers_taken(self._parts.network.family, transaction.purpose)

        async def work(tx: Tx) -> bool:
            await self._lease.hold(tx)
            await self._lease.step(tx, number=transaction.slot.number + taken, by=-taken)
            await settling.release(
                tx,
                self._parts.owners,
                transaction,
                TransactionEvent.REFUSED,
                reason=reason,
                now=now,
                rests=[rests.get(place, now) for place in range(len(transaction.sendings))],
            )
            await settling.hold(tx, self._parts.owners, settling.released(transaction, held), now)
            return True

        return await self._parts.database.unit(work)

    async def _broadcast(self, transaction: Transaction, attempt: Attempt) -> bool:
        """Hand an attempt's bytes to the nodes. Whatever they say is no proof; the chain decides."""
        answer = await self._parts.sender.broadcast(Signed(attempt.txid, attempt.raw))
        text = f"{answer.sent}: {answer.reason}" if answer.reason else str(answer.sent)
        is_first = transaction.state is TransactionState.SIGNED

        async def work(tx: Tx) -> bool:
            await self._lease.hold(tx)
            await transactions.note_sent(tx, transaction, attempt, answer=text, wall=self._parts.wall.now())
            if is_first:
                now = self._parts.clock.now()
                await transactions.move(tx, transaction, TransactionEvent.BROADCAST, cause=text, now=now)
                await settling.announce(
                    tx, self._parts.owners, transaction, Stage.BROADCAST, txid=attempt.txid, now=now
                )
            return is_first

        return await self._parts.database.unit(work)

    async def _track(self, transaction: Transaction, newest: Attempt) -> bool:
        carrier, outcome = await self._outcome(transaction, newest)
        if outcome.state is FateState.MINED:
            return await self._note_mined(transaction, outcome)
        if outcome.state in (FateState.FINAL, FateState.FAILED):
            return await self._end(transaction, carrier, outcome)
        return await self._chase(transaction, newest, outcome)

    async def _chase(self, transaction: Transaction, newest: Attempt, outcome: Outcome) -> bool:
        """Do what can be done for a transaction that stands in no block."""
        if transaction.state is TransactionState.MINED:
            return await self._note_vanished(transaction)
        if await self._is_dead(transaction):
            return await self._bury(transaction)
        if outcome.state is FateState.PENDING and transaction.state is TransactionState.UNCERTAIN:
            return await self._mark(transaction, TransactionEvent.FOUND, SendingEvent.FOUND, "a node knows it again")
        if outcome.state is FateState.UNKNOWN and self._is_older(newest.sent_at, self._parts.limits.resend_after):
            return await self._resend(transaction, newest)
        return await self._outbid(transaction, newest)

    async def _outcome(self, transaction: Transaction, newest: Attempt) -> tuple[Attempt, Outcome]:
        """Return the attempt that stands in a block and its outcome, else the newest and the most hopeful one."""
        intent = intent_of(transaction)
        best = newest, Outcome(FateState.UNKNOWN, newest.txid)
        for attempt in _signed(transaction):
            found = await self._parts.sender.outcome(intent, self._plan(attempt), Signed(attempt.txid, attempt.raw))
            if found.state in _IN_A_BLOCK:
                return attempt, found
            if found.state is FateState.PENDING:
                best = attempt, found
        return best

    async def _note_mined(self, transaction: Transaction, outcome: Outcome) -> bool:
        if transaction.state is TransactionState.MINED:
            return False
        now = self._parts.clock.now()

        async def work(tx: Tx) -> bool:
            await self._lease.hold(tx)
            await settling.mined(tx, self._parts.owners, transaction, outcome, now)
            return True

        return await self._parts.database.unit(work)

    async def _note_vanished(self, transaction: Transaction) -> bool:
        now = self._parts.clock.now()

        async def work(tx: Tx) -> bool:
            await self._lease.hold(tx)
            await settling.vanished(tx, self._parts.owners, transaction, now)
            return True

        return await self._parts.database.unit(work)

    async def _end(self, transaction: Transaction, carrier: Attempt, outcome: Outcome) -> bool:
        parts, now = self._parts, self._parts.clock.now()
        outputs = parts.sender.produced(self._plan(carrier), Signed(outcome.txid, carrier.raw))
        native = parts.registry.native(parts.network.id).id

        async def work(tx: Tx) -> bool:
            await self._lease.hold(tx)
            await settling.end(
                tx,
                parts.owners,
                transaction,
                outcome,
                network=parts.network,
                native=native,
                outputs=outputs,
                now=now,
            )
            return True

        return await parts.database.unit(work)

    async def _is_dead(self, transaction: Transaction) -> bool:
        intent = intent_of(transaction)
        for attempt in _signed(transaction):
            signed = Signed(attempt.txid, attempt.raw)
            if not await self._parts.sender.is_dead(intent, self._plan(attempt), signed):
                return False
        return True

    async def _bury(self, transaction: Transaction) -> bool:
        """No attempt can take effect any more: the payments go back into the queue for a new transaction."""
        parts, now = self._parts, self._parts.clock.now()
        is_foul = parts.network.family in _DIES_BY_ANOTHER
        reason = (
            f"slot {transaction.slot.number} was used by a transaction that is not ours: is the key used elsewhere?"
        )

        async def work(tx: Tx) -> bool:
            await self._lease.hold(tx)
            await settling.release(
                tx,
                parts.owners,
                transaction,
                TransactionEvent.DIED,
                reason=reason if is_foul else "it expired unseen, proved at finality",
                now=now,
                rests=[now] * len(transaction.sendings),
            )
            if is_foul:
                await lanes.freeze(tx, transaction.network, self._payer.address, reason, now)
            return True

        if is_foul:
            log.critical("%s: lane of %s frozen: %s", parts.network.id, self._payer.address, reason)
        return await parts.database.unit(work)

    async def _resend(self, transaction: Transaction, newest: Attempt) -> bool:
        """Send the same bytes once more; after a while of silence the outcome is called uncertain."""
        await self._broadcast(transaction, newest)
        first = _signed(transaction)[0]
        if transaction.state is TransactionState.BROADCAST and self._is_older(
            first.signed_at, self._parts.limits.lost_after
        ):
            return await self._mark(transaction, TransactionEvent.LOST, SendingEvent.LOST, "no node knows it")
        return False

    def _is_older(self, at: datetime | None, than: timedelta) -> bool:
        return at is not None and self._parts.wall.now() - at >= than

    async def _outbid(self, transaction: Transaction, newest: Attempt) -> bool:
        """Offer a higher fee for the same payments in the same slot, where the family can and it waited long enough."""
        limits, wall = self._parts.limits, self._parts.wall.now()
        if len(transaction.attempts) >= limits.attempts or newest is not transaction.latest:
            return False
        if not self._is_older(newest.signed_at, limits.bump_after):
            return False
        if self._outbid_at.get(transaction.transaction_id, wall) > wall:
            return False
        self._outbid_at[transaction.transaction_id] = wall + limits.bump_after
        try:
            before = self._plan(newest)
            plan = await self._parts.sender.plan(intent_of(transaction), transaction.slot, before)
        except CannotPlan as obstacle:
            log.info("%s: %s is not outbid: %s", self._parts.network.id, newest.txid, obstacle.reason)
            return False
        if plan == before:  # a family without bids: the same bytes are all there is
            return False
        now = self._parts.clock.now()

        async def work(tx: Tx) -> bool:
            await self._lease.hold(tx)
            await transactions.add_attempt(tx, transaction, msgspec.json.encode(plan), now)
            return True

        return await self._parts.database.unit(work)

    async def _mark(self, transaction: Transaction, event: TransactionEvent, each: SendingEvent, cause: str) -> bool:
        now = self._parts.clock.now()

        async def work(tx: Tx) -> bool:
            await self._lease.hold(tx)
            await transactions.move(tx, transaction, event, cause=cause, now=now)
            await settling.progress(
                tx, self._parts.owners, transaction, each, now=now, txid=_signed(transaction)[-1].txid, reason=cause
            )
            return True

        return await self._parts.database.unit(work)

    def _plan(self, attempt: Attempt) -> P:
        return msgspec.json.decode(attempt.plan, type=self._parts.plan_type)


def intent_of(transaction: Transaction) -> Intent:
    """Return the intent of a stored transaction: for ever the same one, so that the signer knows it again."""
    return Intent(
        intent_id=transaction.transaction_id,
        network=transaction.network,
        purpose=transaction.purpose,
        payer=transaction.payer,
        payments=tuple(s.payment for s in transaction.sendings if s.payment),
        fee_max_units=transaction.fee_max_units,
        expires_at=transaction.expires_at,
    )


def _signed(transaction: Transaction) -> list[Attempt]:
    return [attempt for attempt in transaction.attempts if attempt.txid]


def _resting(refusal: SignerRefused, transaction: Transaction) -> Collection[int]:
    """Return by place who waits for an operator or for another hour; the others go at once, without them.

    It is those that the signer names. Of a whole that it refuses it is the second half, and so on down to one: what has
    become too much together (a fee that is capped) may well go in parts.
    """
    count = len(transaction.sendings)
    return refusal.payments or range(count // 2, count)
