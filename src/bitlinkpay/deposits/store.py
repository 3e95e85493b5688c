"""Every SQL statement that reads deposits; those that write them stand in `deposits.changes`."""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from bitlinkpay.chains.base import Arrival
from bitlinkpay.core.assets import Asset
from bitlinkpay.core.ids import DepositId, MerchantId, PayinId
from bitlinkpay.db.driver import Row, Tx
from bitlinkpay.deposits.model import Deposit, DepositState, Sighting, TransferKey, Watched

# Violations of what must hold between deposits and the books; see `payins.invariants`.
PENDING: Final = """
    select d.deposit_id::text || ' ' || d.state || ' ' || coalesce(a.balance_units, 0)
    from deposits d
    left join ledger_accounts a on a.asset = d.asset and a.balance_units > 0
        and a.name in ('merchant:' || replace(d.merchant_id::text, '-', '') || ':pending:'
            || replace(d.deposit_id::text, '-', ''), 'platform:pending:' || replace(d.deposit_id::text, '-', ''))
    where coalesce(a.balance_units, 0) <> case when d.state in ('seen', 'final', 'screened') then d.units else 0 end
"""
PUT_ASIDE: Final = """
    select d.deposit_id::text || ' ' || d.state || ' ' || coalesce(a.balance_units, 0)
    from deposits d
    left join ledger_accounts a on a.asset = d.asset and a.balance_units > 0
        and a.name in ('merchant:' || replace(d.merchant_id::text, '-', '') || ':' || d.state || ':'
            || replace(d.deposit_id::text, '-', ''), 'platform:unattributed:' || replace(d.deposit_id::text, '-', ''))
    where d.state in ('unassigned', 'quarantined') and coalesce(a.balance_units, 0) <> d.units
"""
CUSTODY: Final = """
    select target || ' ' || asset || ': books ' || coalesce(e.units, 0)
        || ', deposits ' || coalesce(d.units, 0)
    from (
        select target, asset, sum(units) as units from deposits
        where state not in ('dropped', 'reversed') group by target, asset
    ) d full join (
        select substr(name, length('custody:deposits:') + 1) as target, a.asset,
            sum(case e.side when 'debit' then e.units else -e.units end) as units
        from ledger_accounts a join ledger_entries e using (account_id) join ledger_postings p using (posting_id)
        where kind = 'custody:deposits'
            and event in ('deposit_seen', 'unattributed_seen', 'deposit_dropped', 'deposit_reversed',
                'deposit_credited', 'deposit_unassigned', 'deposit_quarantined', 'unattributed_final')
        group by name, a.asset
    ) e using (target, asset) where coalesce(e.units, 0) <> coalesce(d.units, 0)
"""
FINAL: Final = """
    select d.deposit_id::text from deposits d
    join cursors c using (network)
    left join blocks b on b.network = d.network and b.height = d.height
    where d.state not in ('seen', 'dropped', 'reversed')
        and (d.height > c.final_height or (b.hash is not null and b.hash <> d.block_hash))
"""


def deposit_of(row: Row) -> Deposit:
    """Return a deposit from its row."""
    return Deposit(
        deposit_id=DepositId(row["deposit_id"]),
        network=row["network"],
        height=row["height"],
        block_hash=row["block_hash"],
        txid=row["txid"],
        position=row["position"],
        asset=row["asset"],
        source=row["source"],
        target=row["target"],
        tag=row["tag"],
        units=int(row["units"]),
        arrival=Arrival(row["arrival"]),
        merchant_id=MerchantId(row["merchant_id"]) if row["merchant_id"] else None,
        payin_id=PayinId(row["payin_id"]) if row["payin_id"] else None,
        state=DepositState(row["state"]),
        label=row["label"],
        fee_units=int(row["fee_units"]),
        first_block_at=row["first_block_at"],
        seen_at=row["seen_at"],
    )


async def match(tx: Tx, key_family: str, targets: Sequence[str], tags: Sequence[str]) -> list[Watched]:
    """Find which of these (target, tag) pairs are ours; a shared wallet also answers for tags it does not know."""
    rows = await tx.fetch(
        """
        with arrived as (select distinct target, tag from unnest($2::text[], $3::text[]) as t (target, tag))
        select distinct on (arrived.target, arrived.tag) arrived.target, arrived.tag, a.merchant_id, a.payin_id
        from arrived
        join addresses a on a.key_family = $1 and a.address = arrived.target and a.tag in (arrived.tag, '')
        order by arrived.target, arrived.tag, a.tag = arrived.tag desc
        """,
        key_family,
        targets,
        tags,
    )
    return [Watched(row["target"], row["tag"], row["merchant_id"], row["payin_id"]) for row in rows]


async def sightings(tx: Tx, network: str, txids: Sequence[str]) -> dict[TransferKey, Sighting]:
    """Return what is known of the transfers in these transactions, by (txid, position, target)."""
    rows = await tx.fetch(
        """
        with asked as (select * from unnest($2::text[]) as asked (txid)), known as (
            select txid, d.position, d.target, d.first_block_at, null::timestamptz as waited_since, true as stands
            from asked join deposits d using (txid)
            where d.network = $1 and d.state not in ('dropped', 'reversed')
            union all
            select txid, d.position, d.target, d.first_block_at, null, false
            from asked join deposits d using (txid)
            where d.network = $1 and d.state in ('dropped', 'reversed')
            union all
            select txid, u.position, u.target, null, u.first_seen_at, false
            from asked join unconfirmed u using (txid)
            where u.network = $1
        )
        select txid, position, target, min(first_block_at) as first_block_at, min(waited_since) as waited_since,
            bool_or(stands) as stands
        from known group by txid, position, target
        """,
        network,
        txids,
    )
    return {
        (row["txid"], row["position"], row["target"]): Sighting(
            row["first_block_at"], row["waited_since"], stands=row["stands"]
        )
        for row in rows
    }


async def list_final(tx: Tx, network: str, *, after: Deposit | None, limit: int) -> list[Deposit]:
    """Return final deposits that wait for screening, oldest first, those behind `after`."""
    rows = await tx.fetch(
        """
        select * from deposits
        where network = $1 and state = 'final' and (height, deposit_id) > ($2, $3)
        order by height, deposit_id limit $4
        """,
        network,
        after.height if after else -1,
        after.deposit_id if after else UUID(int=0),
        limit,
    )
    return [deposit_of(row) for row in rows]


async def lock(tx: Tx, deposit_ids: Sequence[DepositId]) -> list[Deposit]:
    """Lock deposits in chain order (height, then order of sighting)."""
    query = "select * from deposits where deposit_id = any($1::uuid[]) order by height, deposit_id for update"
    return [deposit_of(row) for row in await tx.fetch(query, deposit_ids)]


async def payins_above(tx: Tx, network: str, height: int) -> list[PayinId]:
    """Return the orders of the living deposits in blocks above `height`, sorted."""
    rows = await tx.fetch(
        """
        select distinct payin_id from deposits
        where network = $1 and height > $2 and state not in ('dropped', 'reversed') and payin_id is not null
        order by payin_id
        """,
        network,
        height,
    )
    return [PayinId(row["payin_id"]) for row in rows]


async def lock_above(tx: Tx, network: str, height: int) -> list[Deposit]:
    """Lock every living deposit in blocks above `height`."""
    rows = await tx.fetch(
        """
        select * from deposits
        where network = $1 and height > $2 and state not in ('dropped', 'reversed')
        order by height, deposit_id for update
        """,
        network,
        height,
    )
    return [deposit_of(row) for row in rows]


async def list_of_payins(tx: Tx, payin_ids: Sequence[PayinId]) -> list[Deposit]:
    """Return every deposit of these orders, in chain order."""
    query = "select * from deposits where payin_id = any($1::uuid[]) order by height, deposit_id"
    return [deposit_of(row) for row in await tx.fetch(query, payin_ids)]


async def list_parts(tx: Tx, payin_ids: Sequence[PayinId]) -> list[Deposit]:
    """Return what a summing policy may count for these orders: short money put aside, and money that paid them."""
    rows = await tx.fetch(
        """
        select * from deposits
        where payin_id = any($1::uuid[])
            and ((state = 'unassigned' and label = 'short') or (state = 'credited' and label = ''))
        order by height, deposit_id
        """,
        payin_ids,
    )
    return [deposit_of(row) for row in rows]


async def sum_parts(tx: Tx, payin_ids: Sequence[PayinId]) -> dict[tuple[PayinId, str], int]:
    """Return by (order, asset) the units that a summing policy may count, those still on their way included."""
    rows = await tx.fetch(
        """
        select payin_id, asset, sum(units) as units from deposits
        where payin_id = any($1::uuid[])
            and ((state in ('seen', 'final', 'screened', 'unassigned') and label = 'short')
                or (state = 'credited' and label = ''))
        group by payin_id, asset
        """,
        payin_ids,
    )
    return {(PayinId(row["payin_id"]), row["asset"]): int(row["units"]) for row in rows}


async def list_unsettled(tx: Tx, payin_ids: Sequence[PayinId]) -> list[tuple[PayinId, DepositId, str]]:
    """Return the deposits on their way to these orders, as (order, deposit, label)."""
    rows = await tx.fetch(
        """
        select payin_id, deposit_id, label from deposits
        where payin_id = any($1::uuid[]) and state in ('seen', 'final', 'screened')
        """,
        payin_ids,
    )
    return [(PayinId(row["payin_id"]), DepositId(row["deposit_id"]), row["label"]) for row in rows]


async def standing_labels(tx: Tx, payin_ids: Sequence[PayinId]) -> dict[PayinId, set[str]]:
    """Return the labels that the living deposits of each order carry; being quarantined counts as one."""
    rows = await tx.fetch(
        """
        select distinct payin_id, unnest(array[label, case state when 'quarantined' then state else '' end]) as label
        from deposits where payin_id = any($1::uuid[]) and state not in ('dropped', 'reversed')
        """,
        payin_ids,
    )
    labels: dict[PayinId, set[str]] = {}
    for row in rows:
        labels.setdefault(PayinId(row["payin_id"]), set()).add(row["label"])
    return labels


async def list_put_aside(tx: Tx, merchant_id: MerchantId | None, limit: int) -> list[Deposit]:
    """Return unassigned and quarantined money, newest first, of one merchant or of all."""
    rows = await tx.fetch(
        """
        select * from deposits
        where state in ('unassigned', 'quarantined') and ($1::uuid is null or merchant_id = $1)
        order by deposit_id desc limit $2
        """,
        merchant_id,
        limit,
    )
    return [deposit_of(row) for row in rows]


async def find(tx: Tx, deposit_id: DepositId) -> Deposit | None:
    """Return one deposit."""
    row = await tx.fetchrow("select * from deposits where deposit_id = $1", deposit_id)
    return deposit_of(row) if row else None


async def units_above(tx: Tx, asset: Asset, targets: Sequence[str], height: int) -> dict[str, int]:
    """Return the living units that arrived at each address in blocks above a height, by address."""
    rows = await tx.fetch(
        """
        select target, sum(units) as units from deposits
        where network = $1 and height > $4 and asset = $2 and target = any($3::text[])
            and state not in ('dropped', 'reversed')
        group by target
        """,
        asset.network,
        asset.id,
        targets,
        height,
    )
    return {row["target"]: int(row["units"]) for row in rows}


async def payins_of(tx: Tx, deposit_ids: Sequence[DepositId]) -> list[PayinId]:
    """Return the orders that these deposits belong to, sorted."""
    rows = await tx.fetch(
        """
        select distinct payin_id from deposits
        where deposit_id = any($1::uuid[]) and payin_id is not null order by payin_id
        """,
        deposit_ids,
    )
    return [PayinId(row["payin_id"]) for row in rows]
