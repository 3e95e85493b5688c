"""Every SQL statement about settlements themselves."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from bitlinkpay.core.ids import MerchantId, PayoutId
from bitlinkpay.db.driver import Row, Tx
from bitlinkpay.db.where import EVER, Span, Where
from bitlinkpay.payouts.model import PayoutState
from bitlinkpay.settlements.model import (
    Cause,
    Listed,
    Outcome,
    Settlement,
    SettlementEvent,
    SettlementId,
    SettlementState,
)

# Violations of what must hold between settlements and payouts; see `settlements.invariants`.
CARRIED: Final = """
    select coalesce(s.settlement_id, p.payout_id)::text || ' ' || coalesce(s.state, 'no settlement') || ': payout '
        || coalesce(p.payout_id::text, 'none')
    from settlements s full join (select * from payouts where kind = 'settlement') p using (payout_id)
    where s.settlement_id is null and p.source_id ~ '^[0-9a-f]{32}$'
        or s.state = 'requested' and (p.payout_id is null or p.merchant_id <> s.merchant_id or p.asset <> s.asset
            or p.source_id <> replace(s.settlement_id::text, '-', ''))
"""
HOME: Final = """
    select s.settlement_id::text || ' went to ' || p.target from settlements s join payouts p using (payout_id)
    where s.cause <> 'manual' and not exists (
        select from settlement_addresses a where a.merchant_id = p.merchant_id and a.network = p.network
            and a.label = '' and a.target = p.target and a.tag = p.tag and a.usable_at <= s.decided_at
            and coalesce(a.ended_at >= s.decided_at, true))
"""


@dataclass(frozen=True, slots=True)
class Change:
    """One move of a settlement along its state table, `after` as it is to be stored."""

    before: Settlement
    after: Settlement
    event: SettlementEvent
    cause: str


def _settlement(row: Row) -> Settlement:
    return Settlement(
        settlement_id=SettlementId(row["settlement_id"]),
        merchant_id=MerchantId(row["merchant_id"]),
        cause=Cause(row["cause"]),
        rule_id=row["rule_id"],
        trigger=row["trigger"],
        state=SettlementState(row["state"]),
        asset=row["asset"],
        payout_id=PayoutId(row["payout_id"]) if row["payout_id"] else None,
        reason=row["reason"],
        detail=row["detail"],
        digest=row["digest"],
        authorization_id=row["authorization_id"],
        tries=row["tries"],
        not_before=row["not_before"],
        created_at=row["created_at"],
        decided_at=row["decided_at"],
    )


async def insert(tx: Tx, new: Settlement, event: SettlementEvent) -> bool:
    """Store a settlement and its first event; False when its rule was triggered by the same before."""
    stored = await tx.fetchval(
        """
        with stored as (
            insert into settlements (settlement_id, merchant_id, cause, rule_id, trigger, state, asset, payout_id,
                reason, detail, digest, authorization_id, not_before, created_at, decided_at)
            values ($1, $2, $3, $4, $5, $6, $7, $8, '', '', $9, $10, $11, $12, $13)
            on conflict (rule_id, trigger) do nothing
            returning settlement_id
        ), noted as (
            insert into settlement_events (settlement_id, seq, event, from_state, to_state, cause, at)
            select settlement_id, 1, $14, '', $6, $15, $12 from stored
        )
        select true from stored
        """,
        new.settlement_id,
        new.merchant_id,
        new.cause.value,
        new.rule_id,
        new.trigger,
        new.state.value,
        new.asset,
        new.payout_id,
        new.digest,
        new.authorization_id,
        new.not_before,
        new.created_at,
        new.decided_at,
        event.value,
        new.trigger or new.cause.value,
    )
    return bool(stored)


async def save(tx: Tx, change: Change, now: datetime) -> None:
    """Apply one change and note its event.

    Raises:
        AssertionError: the settlement was not in the expected state; the whole transaction is to be thrown away.
    """
    before, after = change.before, change.after
    tag = await tx.execute(
        """
        update settlements set state = $3, payout_id = $4, reason = $5, detail = $6, tries = $7, not_before = $8,
            decided_at = $9
        where settlement_id = $1 and state = $2
        """,
        before.settlement_id,
        before.state.value,
        after.state.value,
        after.payout_id,
        after.reason,
        after.detail,
        after.tries,
        after.not_before,
        after.decided_at,
    )
    assert tag == "UPDATE 1", "a settlement moved under our lock"
    await tx.execute(
        """
        insert into settlement_events (settlement_id, seq, event, from_state, to_state, cause, at)
        select $1, max(seq) + 1, $2, $3, $4, $5, $6 from settlement_events where settlement_id = $1
        """,
        before.settlement_id,
        change.event.value,
        before.state.value,
        after.state.value,
        change.cause,
        now,
    )


async def list_due(tx: Tx, now: datetime, limit: int) -> list[Settlement]:
    """Return runs that wait to be carried out, the oldest first."""
    rows = await tx.fetch(
        """
        select * from settlements where state = 'due' and not_before <= $1 order by not_before, settlement_id limit $2
        """,
        now,
        limit,
    )
    return [_settlement(row) for row in rows]


async def lock_due(tx: Tx, settlement_id: SettlementId) -> Settlement | None:
    """Lock and return a run that is still due; None when it is decided, or another is deciding it."""
    row = await tx.fetchrow(
        "select * from settlements where settlement_id = $1 and state = 'due' for update skip locked", settlement_id
    )
    return _settlement(row) if row else None


async def find(tx: Tx, settlement_id: SettlementId) -> Settlement | None:
    """Return one settlement (operator's view)."""
    row = await tx.fetchrow("select * from settlements where settlement_id = $1", settlement_id)
    return _settlement(row) if row else None


@dataclass(frozen=True, slots=True)
class SettlementFilter:
    """Which settlements are listed; None for all. `state` is that of the payout, before and without one its own."""

    rule_id: UUID | None = None
    state: str | None = None
    asset: str | None = None
    span: Span = EVER


ALL_SETTLEMENTS: Final = SettlementFilter()
_BEFORE: Final = """
    (s.created_at, s.settlement_id)
        < (select l.created_at, l.settlement_id from settlements l where l.settlement_id = {} and l.merchant_id = $1)
"""

_LISTED: Final = """
    select s.*, p.state as p_state, p.target as p_target, p.tag as p_tag, p.units as p_units, p.fee_units as p_fee,
        p.network_fee_units as p_network_fee, p.txid as p_txid, p.reason as p_reason, p.ended_at as p_ended_at
    from settlements s left join payouts p using (payout_id)
"""


def _listed(row: Row) -> Listed:
    outcome = None
    if row["payout_id"] is not None:
        outcome = Outcome(
            state=PayoutState(row["p_state"]),
            target=row["p_target"],
            tag=row["p_tag"],
            units=int(row["p_units"]),
            fee_units=int(row["p_fee"]),
            network_fee_units=int(row["p_network_fee"]),
            txid=row["p_txid"],
            reason=row["p_reason"],
            ended_at=row["p_ended_at"],
        )
    return Listed(_settlement(row), outcome)


async def find_listed(tx: Tx, merchant_id: MerchantId | None, settlement_id: SettlementId) -> Listed | None:
    """Return one settlement with its outcome; of any merchant (operator's view) for None."""
    row = await tx.fetchrow(
        _LISTED + "where s.settlement_id = $1 and ($2::uuid is null or s.merchant_id = $2)", settlement_id, merchant_id
    )
    return _listed(row) if row else None


async def list_of_merchant(
    tx: Tx, merchant_id: MerchantId, *, before: UUID | None, limit: int, which: SettlementFilter = ALL_SETTLEMENTS
) -> list[Listed]:
    """Return a merchant's settlements, the newest first, from `before` on backwards.

    They are in the order of their times: who settles by hand makes the id, and need not make it by the clock.
    """
    where = Where("s.merchant_id = {}", merchant_id)
    where.add("s.rule_id = {}", which.rule_id)
    where.add("coalesce(p.state, s.state) = {}", which.state)
    where.add("s.asset = {}", which.asset)
    where.add_span("s.created_at", which.span)
    where.add(_BEFORE, before)
    at_most = where.place(limit)
    rows = await tx.fetch(
        f"{_LISTED} where {where} order by s.created_at desc, s.settlement_id desc limit {at_most}", *where.values
    )
    return [_listed(row) for row in rows]


async def list_in_review(tx: Tx, limit: int) -> list[Listed]:
    """Return settlements that wait for a person, the oldest first."""
    rows = await tx.fetch(_LISTED + "where p.state = 'in_review' order by p.created_at limit $1", limit)
    return [_listed(row) for row in rows]


async def list_events(tx: Tx, settlement_id: SettlementId) -> Sequence[tuple[str, str, datetime]]:
    """Return event, cause and time of a settlement's history, the oldest first."""
    rows = await tx.fetch(
        "select event, cause, at from settlement_events where settlement_id = $1 order by seq", settlement_id
    )
    return [(row["event"], row["cause"], row["at"]) for row in rows]
