"""Every SQL statement about unspent outputs of ours (Bitcoin)."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from bitlinkpay.chains.outgoing import KeyRole, Unspent, Wallet
from bitlinkpay.core.ids import TransactionId
from bitlinkpay.db.driver import Row, Tx


def _unspent(row: Row) -> Unspent:
    owner = Wallet(KeyRole(row["role"]), row["key_index"], row["address"])
    return Unspent(row["txid"], row["vout"], int(row["units"]), owner)


async def spend(tx: Tx, network: str, transaction_id: TransactionId, spent: Sequence[Unspent]) -> None:
    """Give outputs to a transaction.

    Raises:
        AssertionError: one of them was spent by another meanwhile; the whole work is to be thrown away.
    """
    if not spent:
        return
    done = await tx.fetch(
        """
        update unspents u set spent_by = $2 from unnest($3::text[], $4::integer[]) as t (txid, vout)
        where u.network = $1 and u.txid = t.txid and u.vout = t.vout and u.spent_by is null
        returning u.txid
        """,
        network,
        transaction_id,
        [output.txid for output in spent],
        [output.vout for output in spent],
    )
    assert len(done) == len(spent), "an output was spent by another transaction meanwhile"


async def list_spent(tx: Tx, transaction_ids: Sequence[UUID]) -> dict[UUID, list[Unspent]]:
    """Return what each of these transactions spends."""
    rows = await tx.fetch("select * from unspents where spent_by = any($1) order by txid, vout", list(transaction_ids))
    found: dict[UUID, list[Unspent]] = {one: [] for one in transaction_ids}
    for row in rows:
        found[row["spent_by"]].append(_unspent(row))
    return found


async def free(tx: Tx, transaction_id: TransactionId) -> None:
    """Give back the outputs of a transaction that can never take effect."""
    await tx.execute("update unspents set spent_by = null where spent_by = $1", transaction_id)


async def add(tx: Tx, network: str, outputs: Sequence[Unspent], now: datetime) -> None:
    """Take note of outputs of ours; those known already stay as they are."""
    if not outputs:
        return
    await tx.execute(
        """
        insert into unspents (network, txid, vout, address, role, key_index, units, known_at)
        select $1, t.*, $2 from unnest($3::text[], $4::integer[], $5::text[], $6::text[], $7::bigint[], $8::numeric[])
            as t
        on conflict do nothing
        """,
        network,
        now,
        [output.txid for output in outputs],
        [output.vout for output in outputs],
        [output.owner.address for output in outputs],
        [output.owner.role.value for output in outputs],
        [output.owner.index for output in outputs],
        [output.units for output in outputs],
    )


async def add_deposited(tx: Tx, network: str, owners: Sequence[Wallet], now: datetime) -> None:
    """Take note of the outputs by which settled money arrived at wallets of ours; quarantined money stays untouched."""
    await tx.execute(
        """
        insert into unspents (network, txid, vout, address, role, key_index, units, known_at)
        select d.network, d.txid, substr(d.position, length('vout:') + 1)::integer, o.address, o.role, o.key_index,
            d.units, $2
        from unnest($3::text[], $4::text[], $5::bigint[]) as o (address, role, key_index)
        join deposits d on d.target = o.address and d.network = $1
        where d.state in ('credited', 'unassigned', 'refunded', 'claimed') and d.position like 'vout:%'
        on conflict do nothing
        """,
        network,
        now,
        [owner.address for owner in owners],
        [owner.role.value for owner in owners],
        [owner.index for owner in owners],
    )


async def list_free(tx: Tx, network: str, addresses: Sequence[str]) -> list[Unspent]:
    """Return what is unspent at these addresses, the largest first."""
    rows = await tx.fetch(
        """
        select * from unspents where network = $1 and address = any($2::text[]) and spent_by is null
        order by units desc, txid, vout
        """,
        network,
        list(addresses),
    )
    return [_unspent(row) for row in rows]
