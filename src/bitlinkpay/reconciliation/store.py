"""Every SQL statement that compares books with chains: which places are next, and what the books say of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from bitlinkpay.core.assets import Asset
from bitlinkpay.db.driver import Tx
from bitlinkpay.reconciliation.model import Books, Place, Running


@dataclass(frozen=True, slots=True)
class Page:
    """Places in the order of their accounts; `last` is where the next page begins, 0 where this one was the last."""

    names: tuple[str, ...]
    last: int


@dataclass(frozen=True, slots=True)
class Booked:
    """One transfer that the books know: what it did to a place, negative where it took."""

    txid: str
    height: int
    units: int


async def claim_run(tx: Tx, network: str, every: timedelta) -> bool:
    """Say whether a network is due, and take that on; nobody else is told so for a while."""
    claimed = await tx.fetchval(
        """
        insert into reconciliation_runs (network, begun_at) values ($1, clock_timestamp())
        on conflict (network) do update set begun_at = excluded.begun_at
            where reconciliation_runs.begun_at <= clock_timestamp() - $2::interval
        returning true
        """,
        network,
        every,
    )
    return bool(claimed)


async def find_page_start(tx: Tx, asset: str) -> int:
    """Return after which account the next page of an asset begins."""
    return await tx.fetchval("select after_account from reconciliation_pages where asset = $1", asset) or 0


async def turn_page(tx: Tx, asset: str, last: int) -> None:
    """Note where the next page of an asset begins."""
    await tx.execute(
        """
        insert into reconciliation_pages (asset, after_account) values ($1, $2)
        on conflict (asset) do update set after_account = excluded.after_account
        """,
        asset,
        last,
    )


async def read_page(tx: Tx, asset: str, after: int, limit: int) -> Page:
    """Return the addresses of the next accounts of an asset that hold, or ever held, money on the chain."""
    rows = await tx.fetch(
        """
        select account_id, kind, name from ledger_accounts
        where asset = $1 and account_id > $2 and kind in ('custody:deposits', 'custody:hot', 'custody:cold')
        order by account_id limit $3
        """,
        asset,
        after,
        limit,
    )
    names = [row["name"].removeprefix(row["kind"] + ":") for row in rows if row["kind"] != "custody:cold"]
    return Page(tuple(dict.fromkeys(names)), rows[-1]["account_id"] if len(rows) == limit else 0)


async def list_cold(tx: Tx, asset: str) -> list[str]:
    """Return the addresses to which money of an asset ever went cold."""
    rows = await tx.fetch(
        "select distinct target from sendings where asset = $1 and purpose = 'cold' and state = 'delivered'", asset
    )
    return sorted(row["target"] for row in rows)


async def in_transit(tx: Tx, asset: str) -> int:
    """Return what the books say is on its way from cold storage to a wallet that pays."""
    query = (
        "select sum(balance_units) from ledger_accounts where kind = 'custody:in_transit' and asset = $1 and is_open"
    )
    return int(await tx.fetchval(query, asset) or 0)


async def read_books(tx: Tx, asset: Asset, places: Sequence[Place], height: int) -> dict[str, Books]:
    """Return what the books say of each place after the block at a final height that they have read.

    Balances as they stand; less what arrived in later blocks, and with what left, was paid as fees or came over from
    other places of ours in later ones put back.

    Args:
        tx: a transaction that sees one moment, such as `Database.reader`'s.
        asset: whose units.
        places: where.
        height: not above the cursor's final height of that moment.
    """
    accounts = [(place.name, account) for place in places for account in place.accounts]
    addresses = [(place.name, address) for place in places for address in place.addresses]
    rows = await tx.fetch(
        """
        with addresses as (select * from unnest($5::text[], $6::text[]) as t (place, address)), parts as (
            select t.place, a.balance_units as units
            from unnest($3::text[], $4::text[]) as t (place, account)
            join ledger_accounts a on a.name = t.account and a.asset = $2
            union all
            select p.place, -d.units from addresses p join deposits d on d.network = $1 and d.target = p.address
            where d.asset = $2 and d.height > $7 and d.state not in ('dropped', 'reversed')
            union all
            select p.place, s.units from addresses p join sendings s on s.network = $1 and s.source = p.address
            join transactions t using (transaction_id)
            where s.asset = $2 and s.state = 'delivered' and t.height > $7
            union all
            select p.place, -s.units from addresses p join sendings s on s.network = $1 and s.target = p.address
            join transactions t using (transaction_id)
            where s.asset = $2 and s.purpose <> 'payout' and s.state = 'delivered' and t.height > $7
            union all
            select p.place, t.fee_units from addresses p join transactions t on t.network = $1 and t.payer = p.address
            where $8 and t.state in ('final', 'reverted') and t.height > $7
        )
        select n.place, c.height as agreed, (select sum(units) from parts where parts.place = n.place) as units
        from unnest($9::text[]) as n (place) left join reconciliation_checks c on c.asset = $2 and c.place = n.place
        """,
        asset.network,
        asset.id,
        [place for place, _ in accounts],
        [account for _, account in accounts],
        [place for place, _ in addresses],
        [address for _, address in addresses],
        height,
        asset.is_native,
        [place.name for place in places],
    )
    running = await _running(tx, asset, addresses)
    return {
        row["place"]: Books(int(row["units"] or 0), tuple(running.get(row["place"], ())), row["agreed"]) for row in rows
    }


async def _running(tx: Tx, asset: Asset, addresses: Sequence[tuple[str, str]]) -> Mapping[str, list[Running]]:
    """Return the signed transactions without an end that touch each place in this asset, or pay their fee there."""
    rows = await tx.fetch(
        """
        with addresses as (select * from unnest($3::text[], $4::text[]) as t (place, address)), running as (
            select t.*, array(select a.txid from transaction_attempts a
                where a.transaction_id = t.transaction_id and a.txid <> '' order by a.number) as txids
            from transactions t where t.network = $1 and t.state in ('signed', 'broadcast', 'uncertain', 'mined')
        ), felt as (
            select p.place, r.transaction_id, s.units as out_units, 0::numeric as in_units, 0::numeric as fee_units
            from running r join sendings s using (transaction_id) join addresses p on p.address = s.source
            where s.asset = $2
            union all
            select p.place, r.transaction_id, 0, s.units, 0
            from running r join sendings s using (transaction_id) join addresses p on p.address = s.target
            where s.asset = $2 and s.purpose <> 'payout'
            union all
            select p.place, r.transaction_id, 0, 0, r.fee_max_units
            from running r join addresses p on p.address = r.payer where $5
        )
        select f.place, r.txids, sum(out_units) as out_units, sum(in_units) as in_units, sum(f.fee_units) as fee_units
        from felt f join running r using (transaction_id) group by f.place, r.transaction_id, r.txids
        """,
        asset.network,
        asset.id,
        [place for place, _ in addresses],
        [address for _, address in addresses],
        asset.is_native,
    )
    found: dict[str, list[Running]] = {}
    for row in rows:
        one = Running(tuple(row["txids"]), int(row["out_units"]), int(row["in_units"]), int(row["fee_units"]))
        found.setdefault(row["place"], []).append(one)
    return found


async def note_agreement(tx: Tx, asset: str, names: Sequence[str], height: int, now: datetime) -> None:
    """Note places at which books and chain agreed at a height."""
    await tx.execute(
        """
        insert into reconciliation_checks (asset, place, height, checked_at)
        select $1, place, $3, $4 from unnest($2::text[]) as t (place) order by place
        on conflict (asset, place) do update
            set height = greatest(reconciliation_checks.height, excluded.height), checked_at = excluded.checked_at
        """,
        asset,
        list(names),
        height,
        now,
    )


async def list_booked(
    tx: Tx, asset: Asset, addresses: Sequence[str], *, first: int, last: int, limit: int
) -> list[Booked]:
    """Return the transfers that the books know at some addresses in final blocks `first..last`, the newest first."""
    rows = await tx.fetch(
        """
        select txid, height, units from (
            select txid, height, units from deposits
            where network = $1 and asset = $2 and target = any($3::text[]) and height between $4 and $5
                and state not in ('dropped', 'reversed')
            union all
            select t.txid, t.height, -s.units from sendings s join transactions t using (transaction_id)
            where s.network = $1 and s.asset = $2 and s.source = any($3::text[]) and s.state = 'delivered'
                and t.height between $4 and $5
            union all
            select t.txid, t.height, s.units from sendings s join transactions t using (transaction_id)
            where s.network = $1 and s.asset = $2 and s.target = any($3::text[]) and s.purpose <> 'payout'
                and s.state = 'delivered' and t.height between $4 and $5
        ) booked order by height desc, txid limit $6
        """,
        asset.network,
        asset.id,
        list(addresses),
        first,
        last,
        limit,
    )
    return [Booked(row["txid"], row["height"], int(row["units"])) for row in rows]
