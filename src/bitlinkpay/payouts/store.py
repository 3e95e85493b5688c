"""Every SQL statement about payouts."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final
from uuid import UUID

from bitlinkpay.core.ids import DepositId, MerchantId, PayoutId
from bitlinkpay.db.driver import Row, Tx
from bitlinkpay.payouts.model import ENDED, Charge, Payout, PayoutEvent, PayoutKind, PayoutState, Terms

# Violations of what must hold between payouts and the books; see `payouts.invariants`.
RESERVED: Final = """
    select coalesce(p.payout_id::text, a.name) || ' ' || coalesce(p.state, '-') || ': reserved '
        || coalesce(a.balance_units, 0)
    from payouts p
    full join (select * from ledger_accounts where kind = 'merchant:reserved' and balance_units > 0) a
        on a.item_id = p.payout_id and a.asset = p.asset
    where coalesce(a.balance_units, 0) <> case
        when p.ended_at is null then coalesce(p.units + p.fee_units + p.network_fee_units, 0) else 0 end
"""
CARRIED: Final = """
    select p.payout_id::text || ' ' || p.state || ': sending ' || coalesce(s.state, 'none') from payouts p
    left join sendings s on s.owner = p.kind and s.owner_id = p.payout_id
    where case p.state
        when 'in_review' then coalesce(s.state, 'held') <> 'held'
        when 'rejected' then coalesce(s.state, 'cancelled') <> 'cancelled'
        when 'cancelled' then coalesce(s.state, 'cancelled') <> 'cancelled'
        when 'completed' then s.state is distinct from 'delivered'
        when 'failed' then s.state is distinct from 'failed'
        else s.state is null or s.state in ('held', 'delivered', 'failed', 'cancelled') end
"""


@dataclass(frozen=True, slots=True)
class PayoutChange:
    """One move of one payout along its state table; None leaves a field as it is."""

    payout: Payout
    event: PayoutEvent
    after: PayoutState
    reason: str | None = None
    txid: str | None = None
    cause: str = ""


def payout_of(row: Row) -> Payout:
    """Return a payout from its row."""
    return Payout(
        payout_id=PayoutId(row["payout_id"]),
        merchant_id=MerchantId(row["merchant_id"]),
        kind=PayoutKind(row["kind"]),
        source_id=row["source_id"],
        state=PayoutState(row["state"]),
        asset=row["asset"],
        target=row["target"],
        tag=row["tag"],
        units=int(row["units"]),
        charge=Charge(int(row["fee_units"]), int(row["network_fee_units"]), int(row["native_max_units"])),
        fiat_amount=row["fiat_amount"],
        symbol=row["symbol"],
        exchange_rate=row["exchange_rate"],
        callback_url=row["callback_url"],
        reason=row["reason"],
        txid=row["txid"],
        request_hash=row["request_hash"],
        created_at=row["created_at"],
        ended_at=row["ended_at"],
        maker=row["maker"],
        checker=row["checker"],
        deposit_id=DepositId(row["deposit_id"]) if row["deposit_id"] else None,
    )


async def insert(tx: Tx, payout: Payout, network: str) -> bool:
    """Store a payout and its first event; False when its source_id was used before."""
    stored = await tx.fetchval(
        """
        with stored as (
            insert into payouts (payout_id, merchant_id, kind, source_id, state, asset, network, target, tag, units,
                fee_units, network_fee_units, native_max_units, fiat_amount, symbol, exchange_rate, callback_url,
                reason, request_hash, created_at, maker, deposit_id)
            values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21,
                $22)
            on conflict (merchant_id, kind, source_id) do nothing
            returning payout_id
        ), noted as (
            insert into payout_events (payout_id, seq, event, from_state, to_state, cause, at)
            select payout_id, 1, 'requested', '', $5, $18, $20 from stored
        )
        select true from stored
        """,
        payout.payout_id,
        payout.merchant_id,
        payout.kind.value,
        payout.source_id,
        payout.state.value,
        payout.asset,
        network,
        payout.target,
        payout.tag,
        payout.units,
        payout.charge.fee_units,
        payout.charge.network_fee_units,
        payout.charge.native_max_units,
        payout.fiat_amount,
        payout.symbol,
        payout.exchange_rate,
        payout.callback_url,
        payout.reason,
        payout.request_hash,
        payout.created_at,
        payout.maker,
        payout.deposit_id,
    )
    return bool(stored)


async def find_by_source(tx: Tx, merchant_id: MerchantId, kind: PayoutKind, source_id: str) -> Payout | None:
    """Return a merchant's payout by its own id."""
    row = await tx.fetchrow(
        "select * from payouts where merchant_id = $1 and kind = $2 and source_id = $3",
        merchant_id,
        kind.value,
        source_id,
    )
    return payout_of(row) if row else None


async def find(tx: Tx, payout_id: UUID) -> Payout | None:
    """Return one payout (operator's view)."""
    row = await tx.fetchrow("select * from payouts where payout_id = $1", payout_id)
    return payout_of(row) if row else None


async def lock(tx: Tx, payout_ids: Sequence[UUID]) -> dict[PayoutId, Payout]:
    """Lock payouts in the order of their ids."""
    rows = await tx.fetch(
        "select * from payouts where payout_id = any($1::uuid[]) order by payout_id for update", list(payout_ids)
    )
    return {payout.payout_id: payout for payout in map(payout_of, rows)}


async def list_in_review(tx: Tx, limit: int) -> list[Payout]:
    """Return what waits for a person, the oldest first."""
    rows = await tx.fetch("select * from payouts where state = 'in_review' order by created_at limit $1", limit)
    return [payout_of(row) for row in rows]


async def list_refunds(tx: Tx, merchant_id: MerchantId, deposit_id: DepositId) -> list[Payout]:
    """Return the refunds that were ever asked for of a merchant's deposit, the oldest first."""
    rows = await tx.fetch(
        "select * from payouts where merchant_id = $1 and deposit_id = $2 order by created_at, payout_id",
        merchant_id,
        deposit_id,
    )
    return [payout_of(row) for row in rows]


async def note_checker(tx: Tx, payout_id: PayoutId, checker: str) -> None:
    """Note who let a payout go; the database refuses whoever asked for it."""
    await tx.execute("update payouts set checker = $2 where payout_id = $1", payout_id, checker)


async def save(tx: Tx, changes: Sequence[PayoutChange], now: datetime) -> None:
    """Apply changes, one a payout, and note their events.

    Raises:
        AssertionError: a payout was not in the expected state; the whole transaction is to be thrown away.
    """
    if not changes:
        return
    done = await tx.fetch(
        """
        with input as (
            select * from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[],
                $8::boolean[]) as t (payout_id, before, after, event, reason, txid, cause, is_end)
        ), moved as (
            update payouts p set state = t.after, reason = coalesce(t.reason, p.reason),
                txid = coalesce(t.txid, p.txid), ended_at = case when t.is_end then $9::timestamptz end
            from input t where p.payout_id = t.payout_id and p.state = t.before
            returning p.payout_id
        ), noted as (
            insert into payout_events (payout_id, seq, event, from_state, to_state, cause, at)
            select payout_id, (select max(seq) + 1 from payout_events e where e.payout_id = input.payout_id), event,
                before, after, cause, $9
            from input join moved using (payout_id)
        )
        select payout_id from moved
        """,
        [c.payout.payout_id for c in changes],
        [c.payout.state.value for c in changes],
        [c.after.value for c in changes],
        [c.event.value for c in changes],
        [c.reason for c in changes],
        [c.txid for c in changes],
        [c.cause for c in changes],
        [c.after in ENDED for c in changes],
        now,
    )
    assert len(done) == len(changes), "a payout moved under our lock"


async def find_terms(tx: Tx, merchant_id: MerchantId, kind: PayoutKind, asset: str) -> Terms:
    """Return the merchant's terms for an asset: its own row, else the row of all assets, else none."""
    row = await tx.fetchrow(
        """
        select * from payout_terms where merchant_id = $1 and kind = $2 and asset in ($3, '')
        order by asset desc limit 1
        """,
        merchant_id,
        PayoutKind.PAYOUT.value if kind is PayoutKind.REFUND else kind.value,
        asset,
    )
    return _terms(row) if row else Terms()


def _terms(row: Row) -> Terms:
    return Terms(
        fee_ppm=row["fee_ppm"],
        fee_flat_units=int(row["fee_flat_units"]),
        payment_max_units=_limit(row["payment_max_units"]),
        day_max_units=_limit(row["day_max_units"]),
        review_above_units=_limit(row["review_above_units"]),
        fresh_max_units=_limit(row["fresh_max_units"]),
    )


async def list_terms(tx: Tx, merchant_id: MerchantId, kind: PayoutKind) -> dict[str, Terms]:
    """Return a merchant's terms by asset; "" is for all assets without a row of their own."""
    rows = await tx.fetch("select * from payout_terms where merchant_id = $1 and kind = $2", merchant_id, kind.value)
    return {row["asset"]: _terms(row) for row in rows}


def _limit(value: Decimal | None) -> int | None:
    return None if value is None else int(value)


async def save_terms(tx: Tx, merchant_id: MerchantId, kind: PayoutKind, asset: str, terms: Terms) -> None:
    """Set a merchant's terms for an asset, or for all assets without a row of their own ("")."""
    await tx.execute(
        """
        insert into payout_terms (merchant_id, kind, asset, fee_ppm, fee_flat_units, payment_max_units, day_max_units,
            review_above_units, fresh_max_units)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
        on conflict (merchant_id, kind, asset) do update set fee_ppm = excluded.fee_ppm,
            fee_flat_units = excluded.fee_flat_units, payment_max_units = excluded.payment_max_units,
            day_max_units = excluded.day_max_units, review_above_units = excluded.review_above_units,
            fresh_max_units = excluded.fresh_max_units
        """,
        merchant_id,
        kind.value,
        asset,
        terms.fee_ppm,
        terms.fee_flat_units,
        terms.payment_max_units,
        terms.day_max_units,
        terms.review_above_units,
        terms.fresh_max_units,
    )


async def day_units(tx: Tx, merchant_id: MerchantId, asset: str, since: datetime) -> int:
    """Return what left a merchant's balance of an asset since a moment, without what came to nothing."""
    found = await tx.fetchval(
        """
        select coalesce(sum(units), 0) from payouts
        where merchant_id = $1 and asset = $2 and created_at >= $3 and deposit_id is null
            and state not in ('rejected', 'cancelled', 'failed')
        """,
        merchant_id,
        asset,
        since,
    )
    return int(found)


async def fresh_units(tx: Tx, merchant_id: MerchantId, asset: str, since: datetime) -> int:
    """Return what deposits credited to a merchant since a moment brought it, fees taken off."""
    found = await tx.fetchval(
        """
        select coalesce(sum(units - fee_units), 0) from deposits
        where merchant_id = $1 and asset = $2 and state = 'credited' and updated_at >= $3
        """,
        merchant_id,
        asset,
        since,
    )
    return int(found)


async def stops(tx: Tx, merchant_id: MerchantId, network: str, asset: str) -> list[str]:
    """Return what stops a payout just now: `all`, or the network, asset or merchant that is stopped."""
    rows = await tx.fetch(
        """
        select scope, subject from payment_stops
        where scope = 'all' or (scope = 'network' and subject = $2) or (scope = 'asset' and subject = $3)
            or (scope = 'merchant' and subject = $1::uuid::text)
        """,
        merchant_id,
        network,
        asset,
    )
    return [row["scope"] if row["scope"] in {"all", "merchant"} else row["subject"] for row in rows]


async def is_ours(tx: Tx, family: str, address: str, tag: str) -> str:
    """Return why an address is ours, `deposit` or `wallet`, "" if it is not."""
    found = await tx.fetchval(
        """
        select purpose from addresses where key_family = $1 and address = $2 and tag in ($3, '')
        order by tag = $3 desc limit 1
        """,
        family,
        address,
        tag,
    )
    return found or ""


async def earlier_targets(tx: Tx, merchant_id: MerchantId, network: str, limit: int) -> list[str]:
    """Return addresses on a network that the merchant's payouts went or are going to, the newest first."""
    rows = await tx.fetch(
        """
        select target from payouts where merchant_id = $1 and network = $2
            and state not in ('in_review', 'rejected', 'cancelled', 'failed')
        group by target order by max(created_at) desc limit $3
        """,
        merchant_id,
        network,
        limit,
    )
    return [row["target"] for row in rows]
