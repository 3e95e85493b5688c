"""The writing half of a lane: each function moves a transaction, its payments and their owners together."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final, TypeVar

from bitlinkpay.chains.base import FateState
from bitlinkpay.chains.outgoing import Outcome, Unspent
from bitlinkpay.core.assets import Network
from bitlinkpay.db.driver import Tx
from bitlinkpay.ledger import chart_outgoing as chart
from bitlinkpay.ledger import service as ledger
from bitlinkpay.sending import store
from bitlinkpay.sending.model import (
    SENDING,
    OwnerKind,
    Sending,
    SendingEvent,
    SendingState,
    Transaction,
    TransactionEvent,
)
from bitlinkpay.sending.outputs import store as outputs_store
from bitlinkpay.sending.service import Ending, Owner, Stage, custody
from bitlinkpay.sending.store import SendingChange
from bitlinkpay.sending.transactions import store as transactions

REVERTED: Final = "the transaction was mined and reverted"
NOT_DELIVERED: Final = "the recipient's address did not take it"

_STAGES: Final = {
    SendingEvent.RELEASED: Stage.QUEUED,
    SendingEvent.FOUND: Stage.BROADCAST,
    SendingEvent.VANISHED: Stage.BROADCAST,
    SendingEvent.LOST: Stage.UNCERTAIN,
    SendingEvent.MINED: Stage.CONFIRMING,
}

Owners = Mapping[OwnerKind, Owner]
Item = TypeVar("Item")


async def progress(
    tx: Tx,
    owners: Owners,
    transaction: Transaction,
    event: SendingEvent,
    *,
    now: datetime,
    txid: str = "",
    reason: str = "",
    rests: Sequence[datetime] = (),
) -> None:
    """Move every payment of a transaction by one event that ends none of them, and tell their owners.

    Args:
        tx: the open transaction of the database.
        owners: who asked for payments, by kind.
        transaction: as it was before.
        event: what happened.
        now: business time.
        txid: the id that they travel under, "" for none.
        reason: why, for those that have to wait.
        rests: until when each payment is left alone; none of them moves on where nothing is said.
    """
    after = {s.sending_id: SENDING.next(s.state, event) for s in transaction.sendings}
    carried = None if event is SendingEvent.RELEASED else transaction.transaction_id
    changes = [
        SendingChange(
            s,
            event,
            after[s.sending_id],
            carried,
            reason=reason if until is None or until > now else "",
            not_before=until,
        )
        for s, until in zip(transaction.sendings, rests or (None,) * len(transaction.sendings), strict=True)
    ]
    await store.save(tx, changes, now)
    if event in _STAGES:
        moved = [replace(s, state=after[s.sending_id], transaction_id=carried) for s in transaction.sendings]
        await _tell(tx, owners, moved, stage=_STAGES[event], txid=txid, now=now)


async def announce(tx: Tx, owners: Owners, transaction: Transaction, stage: Stage, *, txid: str, now: datetime) -> None:
    """Tell owners that their payments are signed or on their way, which moves none of them."""
    await _tell(tx, owners, transaction.sendings, stage=stage, txid=txid, now=now)


async def _tell(tx: Tx, owners: Owners, sendings: Sequence[Sending], *, stage: Stage, txid: str, now: datetime) -> None:
    for owner, mine in _by_owner(sendings, lambda sending: sending):
        await owners[owner].progressed(tx, mine, stage, txid, now)


def released(transaction: Transaction, reasons: Mapping[int, str]) -> list[tuple[Sending, str]]:
    """Return payments of a transaction as they are after `release`, by place, each with what is said about it."""
    queued = [replace(s, state=SendingState.QUEUED, transaction_id=None) for s in transaction.sendings]
    return [(queued[place], reason) for place, reason in sorted(reasons.items())]


async def hold(tx: Tx, owners: Owners, reasons: Sequence[tuple[Sending, str]], now: datetime) -> None:
    """Take queued payments out of the queue, each with the reason why a person has to look."""
    held = [replace(s, state=SENDING.next(s.state, SendingEvent.HELD), reason=reason) for s, reason in reasons]
    changes = [
        SendingChange(before, SendingEvent.HELD, after.state, None, reason=after.reason)
        for (before, _), after in zip(reasons, held, strict=True)
    ]
    await store.save(tx, changes, now)
    await _tell(tx, owners, held, stage=Stage.HELD, txid="", now=now)


async def refuse(tx: Tx, owners: Owners, sending: Sending, reason: str, now: datetime) -> None:
    """End a queued payment that can't be carried out."""
    after = SENDING.next(sending.state, SendingEvent.REFUSED)
    await store.save(tx, [SendingChange(sending, SendingEvent.REFUSED, after, None, reason=reason)], now)
    ended = Ending(replace(sending, state=after), "", None, reason)
    await owners[sending.owner].ended(tx, [ended], now)


async def end(
    tx: Tx,
    owners: Owners,
    transaction: Transaction,
    outcome: Outcome,
    *,
    network: Network,
    native: str,
    outputs: Sequence[Unspent],
    now: datetime,
) -> None:
    """Settle a transaction in a final block: gas booked, each payment delivered or failed, owners told.

    Args:
        tx: the open transaction of the database.
        owners: who asked for payments, by kind.
        transaction: as it was before.
        outcome: `FINAL` or `FAILED`, with a verdict per payment.
        network: where it stands.
        native: id of the network's own coin.
        outputs: what it gave back to wallets of ours (Bitcoin).
        now: business time.
    """
    assert outcome.block is not None, "a final transaction without a block"
    verdicts = _verdicts(transaction, outcome)
    event = TransactionEvent.FINALIZED if any(verdicts) else TransactionEvent.REVERTED
    await transactions.move(tx, transaction, event, cause=outcome.txid, now=now)
    await _place(tx, transaction, outcome)
    await outputs_store.add(tx, transaction.network, outputs, now)
    await _end_payments(tx, owners, transaction, outcome, verdicts=verdicts, now=now)
    await _book_gas(tx, transaction, outcome, account=custody(network, transaction.payer), native=native, now=now)


async def _book_gas(
    tx: Tx, transaction: Transaction, outcome: Outcome, *, account: str, native: str, now: datetime
) -> None:
    """Book what the network took and gave back; after the payments: a Bitcoin sweep pays its fee of what it brings."""
    gone = chart.gas_spent(
        transaction.transaction_id, asset=native, account=account, units=outcome.fee_units, happened_at=now
    )
    back = chart.rent_returned(
        transaction.transaction_id, asset=native, account=account, units=outcome.returned_units, happened_at=now
    )
    await ledger.post_all(tx, [posting for posting in (gone, back) if posting])


def _verdicts(transaction: Transaction, outcome: Outcome) -> tuple[bool, ...]:
    """Return whether each of its payments arrived; what pays nobody (a setup) has worked if the transaction has."""
    if all(sending.payment is None for sending in transaction.sendings):
        return (outcome.state is FateState.FINAL,) * len(transaction.sendings)
    assert len(outcome.delivered) == len(transaction.sendings), "a verdict per payment"
    return outcome.delivered


async def _end_payments(
    tx: Tx,
    owners: Owners,
    transaction: Transaction,
    outcome: Outcome,
    *,
    verdicts: Sequence[bool],
    now: datetime,
) -> None:
    assert outcome.block is not None
    changes: list[SendingChange] = []
    endings: list[Ending] = []
    for sending, is_delivered in zip(transaction.sendings, verdicts, strict=True):
        event = SendingEvent.DELIVERED if is_delivered else SendingEvent.FAILED
        reason = "" if is_delivered else NOT_DELIVERED if any(verdicts) else REVERTED
        after = SENDING.next(sending.state, event)
        changes.append(SendingChange(sending, event, after, transaction.transaction_id, reason=reason))
        endings.append(Ending(replace(sending, state=after), outcome.txid, outcome.block.height, reason))
    await store.save(tx, changes, now)
    for owner, mine in _by_owner(endings, lambda ending: ending.sending):
        await owners[owner].ended(tx, mine, now)


async def mined(tx: Tx, owners: Owners, transaction: Transaction, outcome: Outcome, now: datetime) -> None:
    """Note that a transaction stands in a block that is not final."""
    await transactions.move(tx, transaction, TransactionEvent.MINED, cause=outcome.txid, now=now)
    await _place(tx, transaction, outcome)
    await progress(tx, owners, transaction, SendingEvent.MINED, now=now, txid=outcome.txid)


async def vanished(tx: Tx, owners: Owners, transaction: Transaction, now: datetime) -> None:
    """Note that a transaction's block left the chain: the same bytes are sent again."""
    await transactions.move(tx, transaction, TransactionEvent.VANISHED, cause="its block left the chain", now=now)
    await transactions.place(tx, transaction.transaction_id, txid="", height=None, block_hash="", fee_units=0)
    await progress(tx, owners, transaction, SendingEvent.VANISHED, now=now, txid=transaction.attempts[0].txid)


async def release(
    tx: Tx,
    owners: Owners,
    transaction: Transaction,
    event: TransactionEvent,
    *,
    reason: str,
    now: datetime,
    rests: Sequence[datetime],
) -> None:
    """Put the payments of a transaction that can never take effect back into the queue, and its outputs too.

    Args:
        tx: the open transaction of the database.
        owners: who asked for payments, by kind.
        transaction: as it was before.
        event: `REFUSED` where it was never signed, `DIED` where that is proved at finality.
        reason: for people.
        now: business time.
        rests: when each payment may be tried again.
    """
    await transactions.move(tx, transaction, event, cause=reason, now=now)
    await outputs_store.free(tx, transaction.transaction_id)
    await progress(tx, owners, transaction, SendingEvent.RELEASED, now=now, reason=reason, rests=rests)


async def _place(tx: Tx, transaction: Transaction, outcome: Outcome) -> None:
    assert outcome.block is not None
    await transactions.place(
        tx,
        transaction.transaction_id,
        txid=outcome.txid,
        height=outcome.block.height,
        block_hash=outcome.block.hash,
        fee_units=outcome.fee_units,
    )


def _by_owner(items: Sequence[Item], sending_of: Callable[[Item], Sending]) -> list[tuple[OwnerKind, list[Item]]]:
    found: dict[OwnerKind, list[Item]] = defaultdict(list)
    for item in items:
        found[sending_of(item).owner].append(item)
    return sorted(found.items())
