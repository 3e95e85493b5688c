"""Every SQL statement about stake that is lent to orders' addresses."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from bitlinkpay.chains.outgoing import KeyRole, Wallet
from bitlinkpay.db.driver import Row, Tx
from bitlinkpay.treasury.loans.model import LoanEvent, LoanState, StakeLoan


@dataclass(frozen=True, slots=True)
class LoanChange:
    """One step of one loan along its state table; `recall_id` is that of a new payment which takes it back."""

    loan: StakeLoan
    event: LoanEvent
    after: LoanState
    cause: str
    recall_id: UUID | None = None


def _loan(row: Row) -> StakeLoan:
    return StakeLoan(
        move_id=row["move_id"],
        network=row["network"],
        lender=Wallet(KeyRole.HOT, row["lender_index"], row["lender"]),
        borrower=Wallet(KeyRole.DEPOSIT, row["borrower_index"], row["borrower"]),
        stake_units=int(row["stake_units"]),
        recall_id=row["recall_id"],
        state=LoanState(row["state"]),
    )


async def insert(tx: Tx, loans: Sequence[StakeLoan], now: datetime) -> None:
    """Store new loans.

    Raises:
        Exception: an address has one already; who plans leaves such addresses out, in the same transaction.
    """
    await tx.execute(
        """
        with stored as (
            insert into treasury_loans (move_id, network, lender, lender_index, borrower, borrower_index, stake_units,
                state, asked_at, updated_at)
            select t.*, 'asked', $8, $8 from unnest($1::uuid[], $2::text[], $3::text[], $4::bigint[], $5::text[],
                $6::bigint[], $7::numeric[]) as t
            returning move_id
        )
        insert into treasury_loan_events (move_id, seq, event, from_state, to_state, cause, at)
        select move_id, 1, 'asked', '', 'asked', 'plan', $8 from stored
        """,
        [loan.move_id for loan in loans],
        [loan.network for loan in loans],
        [loan.lender.address for loan in loans],
        [loan.lender.index for loan in loans],
        [loan.borrower.address for loan in loans],
        [loan.borrower.index for loan in loans],
        [loan.stake_units for loan in loans],
        now,
    )


async def lock(tx: Tx, move_ids: Sequence[UUID]) -> dict[UUID, StakeLoan]:
    """Lock loans by their sweeps."""
    rows = await tx.fetch(
        "select * from treasury_loans where move_id = any($1::uuid[]) order by move_id for update", list(move_ids)
    )
    return {loan.move_id: loan for loan in map(_loan, rows)}


async def lock_recalled(tx: Tx, recall_ids: Sequence[UUID]) -> dict[UUID, StakeLoan]:
    """Lock loans by the payments that take them back."""
    rows = await tx.fetch(
        "select * from treasury_loans where recall_id = any($1::uuid[]) order by move_id for update", list(recall_ids)
    )
    return {loan.recall_id: loan for loan in map(_loan, rows) if loan.recall_id}


async def save(tx: Tx, changes: Sequence[LoanChange], now: datetime) -> None:
    """Apply changes of loans, one each, and note their events.

    Raises:
        AssertionError: a loan was not in the expected state; the whole transaction is to be thrown away.
    """
    if not changes:
        return
    done = await tx.fetch(
        """
        with input as (
            select * from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::uuid[])
                as t (move_id, before, after, event, cause, recall_id)
        ), moved as (
            update treasury_loans l set state = t.after, updated_at = $7,
                recall_id = coalesce(t.recall_id, l.recall_id),
                reason = case t.event when 'failed' then t.cause else '' end
            from input t where l.move_id = t.move_id and l.state = t.before
            returning l.move_id
        ), noted as (
            insert into treasury_loan_events (move_id, seq, event, from_state, to_state, cause, at)
            select move_id, (select max(seq) + 1 from treasury_loan_events e where e.move_id = input.move_id), event,
                before, after, cause, $7
            from input join moved using (move_id)
        )
        select move_id from moved
        """,
        [c.loan.move_id for c in changes],
        [c.loan.state.value for c in changes],
        [c.after.value for c in changes],
        [c.event.value for c in changes],
        [c.cause for c in changes],
        [c.recall_id for c in changes],
        now,
    )
    assert len(done) == len(changes), "a loan moved under our lock"


async def list_due(tx: Tx, network: str, limit: int) -> list[tuple[StakeLoan, datetime]]:
    """Return loans that are to be taken back, for their sweep has ended, with since when they are lent."""
    rows = await tx.fetch(
        """
        select l.* from treasury_loans l join treasury_moves m using (move_id)
        where l.network = $1 and l.state = 'lent' and m.state in ('done', 'failed')
        order by l.updated_at, l.move_id limit $2
        """,
        network,
        limit,
    )
    return [(_loan(row), row["updated_at"]) for row in rows]


async def list_returning(tx: Tx, network: str, *, before: datetime, limit: int) -> list[StakeLoan]:
    """Return loans whose return was asked for before a moment and has not ended."""
    rows = await tx.fetch(
        """
        select * from treasury_loans where network = $1 and state = 'returning' and updated_at <= $2
        order by updated_at, move_id limit $3
        """,
        network,
        before,
        limit,
    )
    return [_loan(row) for row in rows]


async def find_outstanding(tx: Tx, network: str) -> tuple[int, bool]:
    """Return the stake that is promised and not lent yet, and whether any is out or promised."""
    row = await tx.fetchrow(
        """
        select coalesce(sum(stake_units) filter (where state = 'asked'), 0) as units,
            count(*) > 0 as is_out
        from treasury_loans where network = $1 and state in ('asked', 'lent', 'returning')
        """,
        network,
    )
    assert row is not None
    return int(row["units"]), bool(row["is_out"])


async def lent_units(tx: Tx) -> dict[str, int]:
    """Return by network the stake that is lent, and that of loans which are about to be made or taken back."""
    rows = await tx.fetch(
        """
        select network, sum(stake_units) as units from treasury_loans where state in ('asked', 'lent', 'returning')
        group by network
        """
    )
    return {row["network"]: int(row["units"]) for row in rows}


async def states(tx: Tx, move_ids: Sequence[UUID]) -> dict[UUID, LoanState]:
    """Return how far the loans of sweeps are, of those that had one."""
    rows = await tx.fetch("select move_id, state from treasury_loans where move_id = any($1::uuid[])", list(move_ids))
    return {row["move_id"]: LoanState(row["state"]) for row in rows}
