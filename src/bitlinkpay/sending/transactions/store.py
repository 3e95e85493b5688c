"""Every SQL statement about transactions of ours and their attempts."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from bitlinkpay.chains.outgoing import KeyRole, Purpose, Slot, Unspent, Wallet
from bitlinkpay.core.ids import TransactionId
from bitlinkpay.db.driver import Row, Tx
from bitlinkpay.sending import store as sendings
from bitlinkpay.sending.model import (
    OPEN,
    TRANSACTION,
    Attempt,
    Sending,
    Transaction,
    TransactionEvent,
    TransactionState,
)
from bitlinkpay.sending.outputs import store as outputs

_OPEN: Final = [state.value for state in OPEN]


async def busy_payers(tx: Tx, network: str) -> list[Wallet]:
    """Return the paying wallets of a network with anything queued or on its way."""
    rows = await tx.fetch(
        """
        select payer, payer_role as role, payer_index as key_index from sendings
        where network = $1 and state = 'queued'
        union
        select l.payer, l.role, l.key_index from transactions t join lanes l using (network, payer)
        where t.network = $1 and t.state = any($2::text[])
        order by 1
        """,
        network,
        _OPEN,
    )
    return [Wallet(KeyRole(row["role"]), row["key_index"], row["payer"]) for row in rows]


async def allot(tx: Tx, transaction: Transaction, now: datetime) -> None:
    """Store a transaction with its first attempt and take its outputs; the caller has moved the lane's number.

    Raises:
        AssertionError: an output was taken by another meanwhile; the whole work is to be thrown away.
    """
    await tx.execute(
        """
        with stored as (
            insert into transactions (transaction_id, network, payer, number, purpose, state, fee_max_units, expires_at,
                allotted_at, updated_at)
            values ($1, $2, $3, $4, $5, 'allotted', $6, $7, $8, $8)
        ), attempt as (
            insert into transaction_attempts (transaction_id, number, network, plan, planned_at)
            values ($1, 1, $2, $9, $8)
        ), placed as (
            update sendings s set place = t.place from unnest($10::uuid[]) with ordinality as t (sending_id, place)
            where s.sending_id = t.sending_id
        )
        insert into transaction_events (transaction_id, seq, event, from_state, to_state, cause, at)
        values ($1, 1, 'allotted', '', 'allotted', 'number ' || $4, $8)
        """,
        transaction.transaction_id,
        transaction.network,
        transaction.payer.address,
        transaction.slot.number,
        transaction.purpose.value,
        transaction.fee_max_units,
        transaction.expires_at,
        now,
        transaction.latest.plan,
        [sending.sending_id for sending in transaction.sendings],
    )
    await outputs.spend(tx, transaction.network, transaction.transaction_id, transaction.slot.unspent)


async def list_open(tx: Tx, network: str, payer: str, limit: int) -> list[Transaction]:
    """Return a lane's transactions that have not ended, in the order of their slots."""
    rows = await tx.fetch(
        """
        select t.*, l.role, l.key_index from transactions t join lanes l using (network, payer)
        where t.network = $1 and t.payer = $2 and t.state = any($3::text[]) order by t.number limit $4
        """,
        network,
        payer,
        _OPEN,
        limit,
    )
    return await _complete(tx, rows)


async def find(tx: Tx, transaction_id: TransactionId) -> Transaction | None:
    """Return one transaction."""
    rows = await tx.fetch(
        """
        select t.*, l.role, l.key_index from transactions t join lanes l using (network, payer)
        where transaction_id = $1
        """,
        transaction_id,
    )
    return (await _complete(tx, rows))[0] if rows else None


async def _complete(tx: Tx, rows: Sequence[Row]) -> list[Transaction]:
    ids = [row["transaction_id"] for row in rows]
    if not ids:
        return []
    payments: dict[UUID, list[Sending]] = {one: [] for one in ids}
    attempts: dict[UUID, list[Attempt]] = {one: [] for one in ids}
    for row in await tx.fetch("select * from sendings where transaction_id = any($1) order by place", ids):
        payments[row["transaction_id"]].append(sendings.read(row))
    for row in await tx.fetch("select * from transaction_attempts where transaction_id = any($1) order by number", ids):
        attempts[row["transaction_id"]].append(_attempt(row))
    spent = await outputs.list_spent(tx, ids)
    return [_transaction(row, payments, attempts, spent) for row in rows]


def _transaction(
    row: Row,
    payments: Mapping[UUID, Sequence[Sending]],
    attempts: Mapping[UUID, Sequence[Attempt]],
    spent: Mapping[UUID, Sequence[Unspent]],
) -> Transaction:
    key = row["transaction_id"]
    return Transaction(
        transaction_id=TransactionId(key),
        network=row["network"],
        purpose=Purpose(row["purpose"]),
        payer=Wallet(KeyRole(row["role"]), row["key_index"], row["payer"]),
        slot=Slot(row["number"], tuple(spent[key])),
        state=TransactionState(row["state"]),
        fee_max_units=int(row["fee_max_units"]),
        expires_at=row["expires_at"],
        allotted_at=row["allotted_at"],
        sendings=tuple(payments[key]),
        attempts=tuple(attempts[key]),
    )


def _attempt(row: Row) -> Attempt:
    return Attempt(row["number"], row["plan"], row["txid"], row["raw"], row["signed_at"], row["sent_at"])


async def add_attempt(tx: Tx, transaction: Transaction, plan: bytes, now: datetime) -> None:
    """Store the plan that outbids the newest attempt."""
    await tx.execute(
        """
        insert into transaction_attempts (transaction_id, number, network, plan, planned_at)
        values ($1, $2, $3, $4, $5)
        """,
        transaction.transaction_id,
        transaction.latest.number + 1,
        transaction.network,
        plan,
        now,
    )


async def store_signed(tx: Tx, transaction: Transaction, *, txid: str, raw: bytes, wall: datetime) -> None:
    """Store the bytes of the newest attempt; the same bytes again change nothing.

    Raises:
        AssertionError: other bytes stand there.
    """
    stored = await tx.fetchval(
        """
        update transaction_attempts set txid = $3, raw = $4, signed_at = coalesce(signed_at, $5)
        where transaction_id = $1 and number = $2 and (txid = '' or (txid = $3 and raw = $4))
        returning number
        """,
        transaction.transaction_id,
        transaction.latest.number,
        txid,
        raw,
        wall,
    )
    assert stored is not None, f"the signer gave other bytes for {transaction.transaction_id}"


async def note_sent(tx: Tx, transaction: Transaction, attempt: Attempt, *, answer: str, wall: datetime) -> None:
    """Note that an attempt was handed to the nodes, and what they said."""
    await tx.execute(
        "update transaction_attempts set sent_at = $3, answer = $4 where transaction_id = $1 and number = $2",
        transaction.transaction_id,
        attempt.number,
        wall,
        answer,
    )


async def move(
    tx: Tx, transaction: Transaction, event: TransactionEvent, *, cause: str, now: datetime
) -> TransactionState:
    """Move a transaction along its state table and note the event; return the new state.

    Raises:
        IllegalMove: the table has no such move.
        AssertionError: it was not in that state any more.
    """
    after = TRANSACTION.next(transaction.state, event)
    moved = await tx.fetchval(
        """
        with moved as (
            update transactions set state = $3, updated_at = $4 where transaction_id = $1 and state = $2
            returning transaction_id
        ), noted as (
            insert into transaction_events (transaction_id, seq, event, from_state, to_state, cause, at)
            select $1, (select max(seq) + 1 from transaction_events where transaction_id = $1), $5, $2, $3, $6, $4
            from moved
        )
        select true from moved
        """,
        transaction.transaction_id,
        transaction.state.value,
        after.value,
        now,
        event.value,
        cause,
    )
    assert moved, f"{transaction.transaction_id} is not {transaction.state} any more"
    return after


async def place(
    tx: Tx, transaction_id: TransactionId, *, txid: str, height: int | None, block_hash: str, fee_units: int
) -> None:
    """Note where a transaction stands and what it cost; an empty block takes it back."""
    await tx.execute(
        """
        update transactions set txid = $2, height = $3, block_hash = $4, fee_units = $5 where transaction_id = $1
        """,
        transaction_id,
        txid,
        height,
        block_hash,
        fee_units,
    )
