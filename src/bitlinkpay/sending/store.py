"""Every SQL statement about payments of ours in their queues."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from bitlinkpay.chains.outgoing import KeyRole, Payment, Purpose, Wallet
from bitlinkpay.core.ids import MerchantId, SendingId, TransactionId
from bitlinkpay.db.driver import Row, Tx
from bitlinkpay.sending.model import OwnerKind, PaymentMoved, Sending, SendingEvent, SendingState

SENDINGS_CHANNEL: Final = "sendings"

# Why a payment `s` must not leave now: a kill switch that is thrown, or a merchant that may not work.
_STOPPED: Final = """
    select 'payments are stopped: ' || p.reason from payment_stops p where p.scope = 'all'
        or (p.scope = 'network' and p.subject = s.network) or (p.scope = 'asset' and p.subject = s.asset)
        or (p.scope = 'merchant' and p.subject = s.merchant_id::text)
"""
_SUSPENDED: Final = """
    select 'the merchant is ' || m.state from merchants m where m.merchant_id = s.merchant_id and m.state <> 'active'
"""
# Whether anything waits in a lane ($1 network, $2 payer) that may leave, the joining of its own outputs aside.
_WAITING: Final = f"""exists (
    select from sendings s where s.network = $1 and s.payer = $2 and s.state = 'queued' and s.purpose <> 'consolidation'
        and not exists ({_STOPPED}) and not exists ({_SUSPENDED})
)"""


@dataclass(frozen=True, slots=True)
class SendingChange:
    """One move of one payment along its state table."""

    sending: Sending
    event: SendingEvent
    after: SendingState
    transaction_id: TransactionId | None
    reason: str = ""
    not_before: datetime | None = None


def read(row: Row) -> Sending:
    """Return the payment of a row of `sendings`."""
    paid = int(row["units"]) or int(row["stake_units"])
    source = Wallet(KeyRole(row["source_role"]), row["source_index"], row["source"])
    return Sending(
        sending_id=SendingId(row["sending_id"]),
        owner=OwnerKind(row["owner"]),
        owner_id=row["owner_id"],
        merchant_id=MerchantId(row["merchant_id"]) if row["merchant_id"] else None,
        network=row["network"],
        purpose=Purpose(row["purpose"]),
        payer=Wallet(KeyRole(row["payer_role"]), row["payer_index"], row["payer"]),
        payment=Payment(source, row["asset"], row["target"], row["tag"], paid) if paid else None,
        fee_max_units=int(row["fee_max_units"]),
        state=SendingState(row["state"]),
        transaction_id=TransactionId(row["transaction_id"]) if row["transaction_id"] else None,
        reason=row["reason"],
        queued_at=row["queued_at"],
        not_before=row["not_before"],
        covered_units=int(row["covered_units"]),
    )


async def insert(tx: Tx, sendings: Sequence[Sending], now: datetime) -> set[SendingId]:
    """Queue payments; return those that were new (the rest repeat an owner's)."""
    payments = [(s.payment.source, s.payment) if s.payment else (s.payer, None) for s in sendings]
    rows = await tx.fetch(
        """
        with queued as (
            insert into sendings (sending_id, owner, owner_id, merchant_id, network, purpose, payer, payer_role,
                payer_index, asset, source, source_role, source_index, target, tag, units, fee_max_units, stake_units,
                covered_units, state, queued_at, not_before, updated_at)
            select t.*, 'queued', $18, $18, $18 from unnest($1::uuid[], $2::text[], $3::uuid[], $4::uuid[], $5::text[],
                $6::text[], $7::text[], $8::text[], $9::bigint[], $10::text[], $11::text[], $12::text[], $13::bigint[],
                $14::text[], $15::text[], $16::numeric[], $17::numeric[], $20::numeric[], $21::numeric[]) as t
            on conflict (owner, owner_id) do nothing
            returning sending_id
        ), noted as (
            insert into sending_events (sending_id, seq, event, from_state, to_state, cause, at)
            select sending_id, 1, 'queued', '', 'queued', 'request', $18 from queued
        )
        select sending_id, pg_notify($19, '') from queued
        """,
        [s.sending_id for s in sendings],
        [s.owner.value for s in sendings],
        [s.owner_id for s in sendings],
        [s.merchant_id for s in sendings],
        [s.network for s in sendings],
        [s.purpose.value for s in sendings],
        [s.payer.address for s in sendings],
        [s.payer.role.value for s in sendings],
        [s.payer.index for s in sendings],
        [payment.asset if payment else "" for _, payment in payments],
        [source.address for source, _ in payments],
        [source.role.value for source, _ in payments],
        [source.index for source, _ in payments],
        [payment.target if payment else "" for _, payment in payments],
        [payment.tag if payment else "" for _, payment in payments],
        [s.spends.units if s.spends else 0 for s in sendings],
        [s.fee_max_units for s in sendings],
        now,
        SENDINGS_CHANNEL,
        [s.payment.units if s.payment and not s.spends else 0 for s in sendings],
        [s.covered_units for s in sendings],
    )
    return {SendingId(row["sending_id"]) for row in rows}


async def find_by_owner(tx: Tx, owner: OwnerKind, owner_ids: Sequence[UUID]) -> dict[UUID, Sending]:
    """Return the payments of these owners."""
    rows = await tx.fetch(
        "select * from sendings where owner = $1 and owner_id = any($2::uuid[])", owner.value, list(owner_ids)
    )
    return {sending.owner_id: sending for sending in map(read, rows)}


async def lock_by_owner(tx: Tx, owner: OwnerKind, owner_id: UUID) -> Sending | None:
    """Lock one owner's payment."""
    row = await tx.fetchrow(
        "select * from sendings where owner = $1 and owner_id = $2 for update", owner.value, owner_id
    )
    return read(row) if row else None


async def list_queued(tx: Tx, network: str, payer: str, *, now: datetime, limit: int) -> list[Sending]:
    """Return what waits in a lane in the order of the queue, without what must not leave now or is not due yet.

    Where more waits than `limit`, every merchant's oldest come first: nobody's long queue hides another's payment. The
    joining of the wallet's own outputs is not seen while anything else waits, even for its time.
    """
    rows = await tx.fetch(
        f"""
        with turns as (
            select sending_id, queued_at,
                row_number() over (partition by merchant_id order by queued_at, sending_id) as turn
            from sendings s
            where network = $1 and payer = $2 and state = 'queued' and not_before <= $3
                and not exists ({_STOPPED}) and not exists ({_SUSPENDED})
                and (s.purpose <> 'consolidation' or not {_WAITING})
        ), seen as (
            select sending_id from turns where turn <= $4 order by turn, queued_at, sending_id limit $4
        )
        select s.* from sendings s join seen using (sending_id) order by s.queued_at, s.sending_id
        """,  # noqa: S608 - our own constants
        network,
        payer,
        now,
        limit,
    )
    return [read(row) for row in rows]


async def has_waiting(tx: Tx, network: str, payer: str) -> bool:
    """Say whether anything waits in a lane that may leave, the joining of its own outputs aside."""
    found: bool = await tx.fetchval(f"select {_WAITING}", network, payer)
    return found


async def obstacles(tx: Tx, sending_ids: Sequence[SendingId]) -> dict[SendingId, str]:
    """Return why payments must not leave now, of those that must not."""
    rows = await tx.fetch(
        f"""
        select s.sending_id, why.reason from sendings s
        cross join lateral (select min(r) from ({_STOPPED} union all {_SUSPENDED}) as found (r)) as why (reason)
        where s.sending_id = any($1::uuid[]) and why.reason is not null
        """,  # noqa: S608 - our own constants
        list(sending_ids),
    )
    return {SendingId(row["sending_id"]): row["reason"] for row in rows}


async def waits(tx: Tx, owners: Sequence[OwnerKind], owner_ids: Sequence[UUID]) -> dict[UUID, str]:
    """Return by owner why payments have not left yet, of those that wait for anything but their turn."""
    rows = await tx.fetch(
        f"""
        select s.owner_id, coalesce(why.reason, s.reason) as reason from sendings s
        cross join lateral (select min(r) from ({_STOPPED} union all {_SUSPENDED}) as found (r)) as why (reason)
        where s.owner = any($1::text[]) and s.owner_id = any($2::uuid[]) and s.state in ('queued', 'held')
            and coalesce(why.reason, s.reason) <> ''
        """,  # noqa: S608 - our own constants
        [owner.value for owner in owners],
        list(owner_ids),
    )
    return {row["owner_id"]: row["reason"] for row in rows}


async def promised_units(tx: Tx, network: str, sources: Sequence[str]) -> dict[tuple[str, str], int]:
    """Return by (source, asset) what transactions that have not ended yet take from these addresses."""
    rows = await tx.fetch(
        """
        select source, asset, sum(units) as units from sendings
        where network = $1 and source = any($2::text[]) and state in ('sending', 'uncertain', 'confirming')
        group by source, asset
        """,
        network,
        list(sources),
    )
    return {(row["source"], row["asset"]): int(row["units"]) for row in rows}


async def save(tx: Tx, changes: Sequence[SendingChange], now: datetime) -> None:
    """Apply changes of payments, one each, and note their events.

    Raises:
        PaymentMoved: a queued payment was called back or held meanwhile; the whole transaction is to be thrown away.
        AssertionError: another was not in the expected state, though nobody but its lane may move it.
    """
    if not changes:
        return
    done = await tx.fetch(
        """
        with input as (
            select * from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::uuid[], $6::text[],
                $7::timestamptz[]) as t (sending_id, before, after, event, transaction_id, reason, not_before)
        ), moved as (
            update sendings s set state = t.after, transaction_id = t.transaction_id, reason = t.reason,
                not_before = coalesce(t.not_before, s.not_before), updated_at = $8
            from input t where s.sending_id = t.sending_id and s.state = t.before
            returning s.sending_id
        ), noted as (
            insert into sending_events (sending_id, seq, event, from_state, to_state, cause, at)
            select sending_id, (select max(seq) + 1 from sending_events e where e.sending_id = input.sending_id), event,
                before, after, reason, $8
            from input join moved using (sending_id)
        )
        select sending_id from moved
        """,
        [c.sending.sending_id for c in changes],
        [c.sending.state.value for c in changes],
        [c.after.value for c in changes],
        [c.event.value for c in changes],
        [c.transaction_id for c in changes],
        [c.reason for c in changes],
        [c.not_before for c in changes],
        now,
    )
    moved = {row["sending_id"] for row in done}
    late = [c.sending for c in changes if c.sending.sending_id not in moved]
    if any(sending.state is SendingState.QUEUED for sending in late):
        raise PaymentMoved
    assert not late, "a payment moved under our lease"


async def postpone(tx: Tx, sending_ids: Sequence[SendingId], *, reason: str, until: datetime) -> None:
    """Leave queued payments alone until then and say why; the first reason's time in the queue stays."""
    await tx.execute(
        "update sendings set reason = $2, not_before = $3 where sending_id = any($1::uuid[]) and state = 'queued'",
        list(sending_ids),
        reason,
        until,
    )
