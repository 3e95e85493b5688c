"""Every SQL statement about moves of money between wallets of ours."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from bitlinkpay.chains.outgoing import KeyRole, Wallet
from bitlinkpay.core.assets import Asset, Family
from bitlinkpay.db.driver import Row, Tx
from bitlinkpay.treasury.model import Method, Move, MoveEvent, MoveKind, MoveState, Sweepable

DAY: Final = timedelta(days=1)

# $1 family, $2 asset, $3 native coin, $4 network, $5 since when gas is counted, $6 how many, $7 which (null: all).
_SWEEPABLE: Final = """
    select o.address, o.key_index, l.balance_units - coalesce(d.units, 0) as units,
        coalesce(n.balance_units, 0) - coalesce(d.native_units, 0) as native_units, g.tops
    from ledger_accounts l
    join addresses o on o.key_family = $1 and o.tag = '' and o.purpose = 'deposit'
        and o.address = substr(l.name, length('custody:deposits:') + 1)
    join payins p on p.payin_id = o.payin_id and p.state not in ('created', 'confirming')
    left join ledger_accounts n on n.name = l.name and n.asset = $3
    left join lateral (
        select sum(units) filter (where asset = $2) as units, sum(units) filter (where asset = $3) as native_units
        from deposits where payin_id = o.payin_id and target = o.address and asset in ($2, $3)
            and state in ('seen', 'final', 'screened', 'quarantined')
    ) d on true
    left join lateral (
        select count(*) as tops from treasury_moves
        where network = $4 and source = o.address and gas_units > 0 and planned_at > $5
    ) g on true
    where l.kind = 'custody:deposits' and l.is_open and l.asset = $2 and l.balance_units > coalesce(d.units, 0)
        and ($7::text[] is null or o.address = any($7::text[]))
        and not exists (
            select from treasury_moves m
            where m.network = $4 and m.source = o.address and m.state in ('fuelling', 'lending', 'moving'))
        and not exists (
            select from treasury_loans t
            where t.network = $4 and t.borrower = o.address and t.state in ('asked', 'lent', 'returning'))
    order by units desc, o.address limit $6
"""


@dataclass(frozen=True, slots=True)
class MoveChange:
    """One step of one move along its state table."""

    move: Move
    event: MoveEvent
    after: MoveState
    cause: str


def _move(row: Row) -> Move:
    return Move(
        move_id=row["move_id"],
        kind=MoveKind(row["kind"]),
        method=Method(row["method"]),
        network=row["network"],
        asset=row["asset"],
        source=Wallet(KeyRole(row["source_role"]), row["source_index"], row["source"]),
        payer=Wallet(KeyRole(row["payer_role"]), row["payer_index"], row["payer"]),
        target=row["target"],
        units=int(row["units"]),
        fee_max_units=int(row["fee_max_units"]),
        gas_units=int(row["gas_units"]),
        state=MoveState(row["state"]),
        stake_units=int(row["stake_units"]),
        lend_fee_units=int(row["lend_fee_units"]),
        covered_units=int(row["covered_units"]),
    )


async def take_lease(tx: Tx, network: str, *, token: UUID, wall: datetime, life: timedelta) -> bool:
    """Take or renew the right to plan for a network and lock it for the transaction; False while another has it."""
    held = await tx.fetchval(
        """
        insert into treasury_leases (network, lease_token, lease_until) values ($1, $2, $4)
        on conflict (network) do update set lease_token = $2, lease_until = $4
            where treasury_leases.lease_token = $2 or treasury_leases.lease_until < $3
        returning true
        """,
        network,
        token,
        wall,
        wall + life,
    )
    return bool(held)


async def list_sweepable(
    tx: Tx,
    *,
    family: Family,
    asset: Asset,
    native: Asset,
    limit: int,
    now: datetime,
    only: Sequence[str] | None = None,
) -> list[Sweepable]:
    """Return the addresses that hold anything of an asset to be collected, the largest first.

    Only what is final and screened counts: less what is on its way or quarantined. Left out are addresses whose order
    is still open, those that money moves from and those that have stake of ours. The cost follows the addresses that
    hold anything, not the orders.

    Args:
        tx: the open transaction.
        family: whose addresses.
        asset: what is collected.
        native: the network's own coin.
        limit: how many.
        now: business time.
        only: these addresses, None for all.
    """
    rows = await tx.fetch(
        _SWEEPABLE,
        family.value,
        asset.id,
        native.id,
        asset.network,
        now - DAY,
        limit,
        list(only) if only is not None else None,
    )
    return [
        Sweepable(
            Wallet(KeyRole.DEPOSIT, row["key_index"], row["address"]),
            int(row["units"]),
            int(row["native_units"]),
            row["tops"],
        )
        for row in rows
    ]


async def insert(tx: Tx, moves: Sequence[Move], now: datetime) -> set[UUID]:
    """Store new moves; return those whose source had none open."""
    rows = await tx.fetch(
        """
        with stored as (
            insert into treasury_moves (move_id, kind, method, network, asset, source, source_role, source_index, payer,
                payer_role, payer_index, target, units, fee_max_units, gas_units, state, stake_units, lend_fee_units,
                covered_units, planned_at, updated_at)
            select t.*, $17, $17 from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[],
                $7::text[], $8::bigint[], $9::text[], $10::text[], $11::bigint[], $12::text[], $13::numeric[],
                $14::numeric[], $15::numeric[], $16::text[], $18::numeric[], $19::numeric[], $20::numeric[]) as t
            on conflict do nothing
            returning move_id, state
        ), noted as (
            insert into treasury_move_events (move_id, seq, event, from_state, to_state, cause, at)
            select move_id, 1, 'planned', '', state, 'plan', $17 from stored
        )
        select move_id from stored
        """,
        [m.move_id for m in moves],
        [m.kind.value for m in moves],
        [m.method.value for m in moves],
        [m.network for m in moves],
        [m.asset for m in moves],
        [m.source.address for m in moves],
        [m.source.role.value for m in moves],
        [m.source.index for m in moves],
        [m.payer.address for m in moves],
        [m.payer.role.value for m in moves],
        [m.payer.index for m in moves],
        [m.target for m in moves],
        [m.units for m in moves],
        [m.fee_max_units for m in moves],
        [m.gas_units for m in moves],
        [m.state.value for m in moves],
        now,
        [m.stake_units for m in moves],
        [m.lend_fee_units for m in moves],
        [m.covered_units for m in moves],
    )
    return {row["move_id"] for row in rows}


async def lock(tx: Tx, move_ids: Sequence[UUID]) -> dict[UUID, Move]:
    """Lock moves by id."""
    rows = await tx.fetch(
        "select * from treasury_moves where move_id = any($1::uuid[]) order by move_id for update", list(move_ids)
    )
    return {move.move_id: move for move in map(_move, rows)}


async def save(tx: Tx, changes: Sequence[MoveChange], now: datetime) -> None:
    """Apply changes of moves, one each, and note their events.

    Raises:
        AssertionError: a move was not in the expected state; the whole transaction is to be thrown away.
    """
    if not changes:
        return
    done = await tx.fetch(
        """
        with input as (
            select * from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[])
                as t (move_id, before, after, event, cause)
        ), moved as (
            update treasury_moves m set state = t.after, updated_at = $6,
                reason = case t.after when 'failed' then t.cause else '' end
            from input t where m.move_id = t.move_id and m.state = t.before
            returning m.move_id
        ), noted as (
            insert into treasury_move_events (move_id, seq, event, from_state, to_state, cause, at)
            select move_id, (select max(seq) + 1 from treasury_move_events e where e.move_id = input.move_id), event,
                before, after, cause, $6
            from input join moved using (move_id)
        )
        select move_id from moved
        """,
        [c.move.move_id for c in changes],
        [c.move.state.value for c in changes],
        [c.after.value for c in changes],
        [c.event.value for c in changes],
        [c.cause for c in changes],
        now,
    )
    assert len(done) == len(changes), "a move moved under our lock"


async def is_moving(tx: Tx, network: str, source: str) -> bool:
    """Say whether a move from this wallet has not ended."""
    found: bool = await tx.fetchval(
        """
        select exists (select from treasury_moves
            where network = $1 and source = $2 and state in ('fuelling', 'lending', 'moving'))
        """,
        network,
        source,
    )
    return found


async def list_open(tx: Tx, network: str, limit: int) -> list[tuple[Move, datetime]]:
    """Return the moves of a network that have not ended with the time they were planned at, the oldest first."""
    rows = await tx.fetch(
        """
        select * from treasury_moves where network = $1 and state in ('fuelling', 'lending', 'moving')
        order by planned_at, move_id limit $2
        """,
        network,
        limit,
    )
    return [(_move(row), row["planned_at"]) for row in rows]


async def list_newest(tx: Tx, network: str, limit: int) -> list[tuple[Move, datetime, str]]:
    """Return moves with when they were planned and why they failed, the newest first; "" asks for all networks."""
    rows = await tx.fetch(
        """
        select * from treasury_moves where $1 in ('', network) order by planned_at desc, move_id desc limit $2
        """,
        network,
        limit,
    )
    return [(_move(row), row["planned_at"], row["reason"]) for row in rows]


async def gas_since(tx: Tx, network: str, since: datetime) -> int:
    """Return the native units that deposit addresses were given since a moment, those still on their way included."""
    found = await tx.fetchval(
        """
        select coalesce(sum(gas_units), 0) from treasury_moves where network = $1 and planned_at > $2 and gas_units > 0
        """,
        network,
        since,
    )
    return int(found)
