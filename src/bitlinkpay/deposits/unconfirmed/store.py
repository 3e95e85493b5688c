"""Every SQL statement about payments that wait for their first block."""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Final

from bitlinkpay.chains.base import Transfer
from bitlinkpay.core.ids import PayinId
from bitlinkpay.db.driver import Row, Tx
from bitlinkpay.deposits.model import Unconfirmed, Watched

KEPT: Final = timedelta(days=30)  # longer than any node keeps what is not mined (bitcoind: 14 days)


def _unconfirmed(row: Row) -> Unconfirmed:
    return Unconfirmed(
        payin_id=PayinId(row["payin_id"]),
        txid=row["txid"],
        position=row["position"],
        target=row["target"],
        asset=row["asset"],
        units=int(row["units"]),
        first_seen_at=row["first_seen_at"],
    )


async def note(tx: Tx, network: str, seen: Sequence[tuple[Transfer, Watched]], now: datetime) -> None:
    """Record payments to addresses of ours that wait; one that was seen before and went away waits again."""
    await tx.execute(
        """
        with noted as (
            insert into unconfirmed (network, txid, position, target, asset, units, payin_id, first_seen_at)
            select $1, t.txid, t.position, t.target, t.asset, t.units, t.payin_id, $8
            from unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::numeric[], $7::uuid[])
                as t (txid, position, target, asset, units, payin_id)
            on conflict (network, txid, position, target) do update set gone_at = null
            returning payin_id
        )
        select pg_notify('payins', replace(payin_id::text, '-', '')) from noted where payin_id is not null
        """,
        network,
        [transfer.txid for transfer, _ in seen],
        [transfer.position for transfer, _ in seen],
        [transfer.target for transfer, _ in seen],
        [transfer.asset for transfer, _ in seen],
        [transfer.units for transfer, _ in seen],
        [watched.payin_id for _, watched in seen],
        now,
    )


async def list_waiting(tx: Tx, network: str) -> list[str]:
    """Return the transactions with payments to us that waited when they were looked for last."""
    rows = await tx.fetch("select distinct txid from unconfirmed where network = $1 and gone_at is null", network)
    return [row["txid"] for row in rows]


async def mark_gone(tx: Tx, network: str, txids: Collection[str], now: datetime) -> None:
    """Note that transactions wait no more, and forget what went away long ago."""
    await tx.execute(
        """
        with gone as (
            update unconfirmed set gone_at = $3 where network = $1 and txid = any($2::text[]) and gone_at is null
            returning payin_id
        ), forgotten as (
            delete from unconfirmed where network = $1 and gone_at < $3 - $4::interval
        )
        select pg_notify('payins', replace(payin_id::text, '-', '')) from gone where payin_id is not null
        """,
        network,
        list(txids),
        now,
        KEPT,
    )


async def list_of_payin(tx: Tx, payin_id: PayinId) -> list[Unconfirmed]:
    """Return what waits for an order and stands in no block, oldest first."""
    rows = await tx.fetch(
        """
        select * from unconfirmed u
        where payin_id = $1 and gone_at is null and not exists (
            select from deposits d
            where (d.network, d.txid, d.position, d.target) = (u.network, u.txid, u.position, u.target)
                and d.state not in ('dropped', 'reversed'))
        order by first_seen_at, txid, position
        """,
        payin_id,
    )
    return [_unconfirmed(row) for row in rows]
