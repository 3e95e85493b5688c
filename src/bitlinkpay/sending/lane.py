"""One lane's worker: plan, allot, sign, store, broadcast, each a step that a crash may follow.

Between two steps everything that matters stands in the database. No network is asked while a transaction is open; the
lane's lease fences every write, so that a second worker's work is thrown away and never done twice.
"""

import logging
from collections.abc import Sequence
from typing import Final, Generic, TypeVar
from uuid import UUID, uuid4

import msgspec

from bitlinkpay.chains.outgoing import (
    CannotPlan,
    FeeTooHigh,
    Intent,
    LacksFunds,
    Purpose,
    Slot,
    Unspent,
    Wallet,
    numbers_taken,
)
from bitlinkpay.core.assets import Asset, Family
from bitlinkpay.core.ids import TransactionId, new_uuid7
from bitlinkpay.db.driver import Tx
from bitlinkpay.ledger import service as ledger
from bitlinkpay.sending import queue, settling, setup, store
from bitlinkpay.sending.follower import Follower
from bitlinkpay.sending.lanes import store as lanes
from bitlinkpay.sending.lease import Lease
from bitlinkpay.sending.model import (
    Attempt,
    LaneLost,
    PaymentMoved,
    Sending,
    SendingEvent,
    Transaction,
    TransactionState,
)
from bitlinkpay.sending.outputs import store as outputs_store
from bitlinkpay.sending.parts import LaneParts
from bitlinkpay.sending.service import custody
from bitlinkpay.sending.transactions import store as transactions

log = logging.getLogger(__name__)

P = TypeVar("P")
QUEUE_SEEN: Final = 512
"""How far into the queue one choice looks."""
ALONE_TRIED: Final = 3
"""How many payments of a batch that is too dear are tried alone: the first, and of the others who may cost most."""


class LaneWorker(Generic[P]):
    """The loop body for one lane. Several may run; only the holder of the lease writes."""

    def __init__(self, parts: LaneParts[P], payer: Wallet, token: UUID | None = None) -> None:
        """Work on the lane of `payer`; workers of one process share a `token`, so that each goes on with the lease."""
        self._parts = parts
        self._payer = payer
        self._lease = Lease(parts, payer, token or uuid4())
        self._follower = Follower(parts, payer, self._lease)
        self._is_open = False

    async def step(self) -> bool:
        """Do one bounded piece of work; return True when there may be more now."""
        await self._open()
        lane = await self._lease.take()
        if lane is None:
            return False
        number, frozen_reason = lane
        try:
            has_moved = await self._follower.follow()
            if has_moved or frozen_reason:
                return has_moved
            return await self._send_next(number)
        except LaneLost:
            return False
        except PaymentMoved:  # its merchant called it back in this moment: the others go without it
            return True

    async def _open(self) -> None:
        """Open the lane at its first use, where the chain says that it stands."""
        if self._is_open:  # for good: no lane is ever closed
            return
        parts, network = self._parts, self._parts.network.id
        async with parts.database.reader() as tx:
            is_open = await lanes.is_open(tx, network, self._payer.address)
        if not is_open:
            lane = await parts.sender.lane(self._payer)
            await parts.database.unit(lambda tx: lanes.open_(tx, network, self._payer, lane.next_number))
        self._is_open = True

    async def _send_next(self, number: int) -> bool:
        """Put the next payments of the queue into a transaction; say whether there was anything to do."""
        parts = self._parts
        async with parts.database.reader() as tx:
            running = await transactions.list_open(tx, parts.network.id, self._payer.address, parts.limits.in_flight)
            if not self._has_room(running):
                return False
            now = parts.clock.now()
            queued = await store.list_queued(tx, parts.network.id, self._payer.address, now=now, limit=QUEUE_SEEN)
            if not queued:
                return False
            free = await self._free_units(tx, queued, running)
        chain = await parts.sender.lane(self._payer)
        await self._lease.keep()
        if chain.next_number > number:
            await self._freeze(number, chain.next_number)
            return False
        most = self._most(queued[0])
        if not chain.is_ready and most > 1 and len(queued) > 1 and queued[0].purpose is not Purpose.SETUP:
            if await self._make_ready(queued[0], number):
                return True
            most = 1
        native = parts.registry.native(parts.network.id).id
        choice = queue.choose(queued, free, native=native, most=most, now=now)
        if not choice.taken:
            await self._postpone(choice.lacking, "the wallet holds too little of the asset, or of the network's coin")
            return False
        try:
            await self._carry(choice.taken, number)
        except FeeTooHigh as obstacle:
            await self._carry_alone(choice.taken, number, obstacle.reason)
        return True

    def _has_room(self, running: Sequence[Transaction]) -> bool:
        """Say whether another transaction may follow; behind a wallet's making ready nothing does until it is final."""
        if any(transaction.purpose is Purpose.SETUP for transaction in running):
            return False
        unmined = sum(transaction.state is not TransactionState.MINED for transaction in running)
        return len(running) < self._parts.limits.in_flight and unmined < self._parts.limits.unmined

    def _most(self, first: Sending) -> int:
        if first.payment is None:
            return 1
        return self._parts.sender.payments_max(self._asset(first.payment.asset), first.purpose)

    def _asset(self, asset_id: str) -> Asset:
        return self._parts.registry.assets[asset_id]

    async def _free_units(
        self, tx: Tx, queued: Sequence[Sending], running: Sequence[Transaction]
    ) -> dict[tuple[str, str], int]:
        """Return by (source, asset) what the books hold there and no transaction takes, the payer's fees set aside."""
        network = self._parts.network
        native = self._parts.registry.native(network.id).id
        wallets = {self._payer.address: self._payer}
        wallets |= {s.payment.source.address: s.payment.source for s in queued if s.payment}
        pairs = {(s.payment.source.address, s.payment.asset) for s in queued if s.payment}
        promised = await store.promised_units(tx, network.id, list(wallets))
        fees = sum(t.fee_max_units for t in running)
        free: dict[tuple[str, str], int] = {}
        for address, asset in sorted(pairs | {(self._payer.address, native)}):
            held = await ledger.balance(tx, custody(network, wallets[address]), asset)
            set_aside = fees if (address, asset) == (self._payer.address, native) else 0
            free[address, asset] = max(0, held - promised.get((address, asset), 0) - set_aside)
        return free

    async def _freeze(self, number: int, used: int) -> None:
        """Stop the lane: the chain has used up numbers that we never gave out (THREATS, PAY-10)."""
        reason = f"the chain is at number {used}, we never gave out {number}: is the key used elsewhere?"
        network, payer = self._parts.network.id, self._payer.address

        async def work(tx: Tx) -> None:
            # Who lost the lease during a slow answer knows an old number: another worker gave out what the chain shows.
            await self._lease.step(tx, number=number, by=0)
            log.critical("%s: lane of %s frozen: %s", network, payer, reason)
            await lanes.freeze(tx, network, payer, reason, self._parts.clock.now())

        await self._parts.database.unit(work)

    async def _make_ready(self, first: Sending, number: int) -> bool:
        """Ask for what makes the wallet fit for batches; False where that was tried or there is no such thing."""
        parts, now = self._parts, self._parts.clock.now()
        intent = Intent(
            intent_id=new_uuid7(),
            network=parts.network.id,
            purpose=Purpose.SETUP,
            payer=self._payer,
            payments=(),
            fee_max_units=0,
            expires_at=parts.wall.now() + parts.limits.intent_life,
        )
        try:
            quote = await parts.sender.quote(intent)
        except CannotPlan:
            return False
        return await parts.database.unit(
            lambda tx: setup.ask(
                tx,
                parts.network.id,
                self._payer,
                number=number,
                fee_max_units=quote.units_max,
                before=first.queued_at,
                now=now,
            )
        )

    async def _carry(self, taken: Sequence[Sending], number: int) -> None:
        """Plan a transaction for these payments and allot its slot; where that fails the first half is tried.

        Raises:
            FeeTooHigh: they may not cost what the network asks for.
        """
        intent = self._intent(taken)
        try:
            slot = Slot(number, tuple(await self._outputs(intent, taken)))
            plan = await self._parts.sender.plan(intent, slot)
        except FeeTooHigh:
            raise
        except LacksFunds as obstacle:
            await self._postpone(taken, obstacle.reason)
        except CannotPlan as obstacle:
            if len(taken) == 1:
                await self._refuse(taken[0], obstacle.reason)
            else:
                await self._carry(taken[: len(taken) // 2], number)
        else:
            await self._allot(intent, slot, plan, taken)

    async def _carry_alone(self, taken: Sequence[Sending], number: int, reason: str) -> None:
        """Let one payment of a batch that is too dear go alone, as it was quoted; who can't, rests.

        What a batch may take at most has room for items that fail, which few payments' quotes together do not hold. A
        sweep's price is its share of a batch: alone it is dearer still.
        """
        alone = _tried_alone(taken) if len(taken) > 1 and taken[0].purpose is Purpose.PAYOUT else ()
        for place, one in enumerate(alone):
            try:
                await self._carry([one], number)
            except FeeTooHigh as obstacle:
                reason = obstacle.reason
            else:
                await self._postpone(alone[:place], reason)
                return
        await self._postpone(taken, reason)

    def _intent(self, taken: Sequence[Sending]) -> Intent:
        return Intent(
            intent_id=new_uuid7(),
            network=self._parts.network.id,
            purpose=taken[0].purpose,
            payer=self._payer,
            payments=tuple(s.payment for s in taken if s.payment),
            fee_max_units=sum(s.fee_max_units for s in taken),
            expires_at=self._parts.wall.now() + self._parts.limits.intent_life,
        )

    async def _outputs(self, intent: Intent, taken: Sequence[Sending]) -> Sequence[Unspent]:
        """Choose outputs to spend where the network has such; what arrived at our wallets is taken note of first."""
        network, now = self._parts.network, self._parts.clock.now()
        if network.family is not Family.BITCOIN:
            return ()
        owners = sorted({self._payer, *(s.payment.source for s in taken if s.payment)}, key=lambda one: one.address)

        async def work(tx: Tx) -> list[Unspent]:
            await outputs_store.add_deposited(tx, network.id, owners, now)
            return await outputs_store.list_free(tx, network.id, [owner.address for owner in owners])

        return await self._parts.sender.choose(intent, await self._parts.database.unit(work))

    async def _allot(self, intent: Intent, slot: Slot, plan: P, taken: Sequence[Sending]) -> None:
        parts, now = self._parts, self._parts.clock.now()
        taken_numbers = numbers_taken(parts.network.family, intent.purpose)
        transaction = Transaction(
            transaction_id=TransactionId(intent.intent_id),
            network=intent.network,
            purpose=intent.purpose,
            payer=intent.payer,
            slot=slot,
            state=TransactionState.ALLOTTED,
            fee_max_units=intent.fee_max_units,
            expires_at=intent.expires_at,
            allotted_at=now,
            sendings=tuple(taken),
            attempts=(Attempt(1, msgspec.json.encode(plan), "", b"", None, None),),
        )

        async def work(tx: Tx) -> bool:
            await self._lease.step(tx, number=slot.number, by=taken_numbers)
            await transactions.allot(tx, transaction, now)
            await settling.progress(tx, parts.owners, transaction, SendingEvent.TAKEN, now=now)
            return True

        async def done(tx: Tx) -> bool | None:
            return await transactions.find(tx, transaction.transaction_id) is not None or None

        await parts.database.unit(work, resolve=done)

    async def _postpone(self, taken: Sequence[Sending], reason: str) -> None:
        """Leave payments in the queue for a while, with the reason why they wait."""
        now = self._parts.clock.now()
        ids = [s.sending_id for s in taken]
        await self._parts.database.unit(
            lambda tx: store.postpone(tx, ids, reason=reason, until=now + self._parts.limits.retry_after)
        )

    async def _refuse(self, sending: Sending, reason: str) -> None:
        """End a payment that cannot be carried out; nothing of it was ever signed."""
        parts, now = self._parts, self._parts.clock.now()

        async def work(tx: Tx) -> None:
            await self._lease.hold(tx)
            await settling.refuse(tx, parts.owners, sending, reason, now)

        await parts.database.unit(work)


def _tried_alone(taken: Sequence[Sending]) -> Sequence[Sending]:
    """Return which of a batch to try alone: who was quoted while the network was cheap holds up nobody quoted later."""
    first, *others = taken
    return first, *sorted(others, key=lambda one: -one.fee_max_units)[: ALONE_TRIED - 1]
