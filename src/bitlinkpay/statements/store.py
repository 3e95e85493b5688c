"""Every SQL statement about statements and the days of the books."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final
from uuid import UUID

from bitlinkpay.core.ids import MerchantId, PostingId
from bitlinkpay.db.driver import Row, Tx
from bitlinkpay.statements.model import POTS, Line, Movement, Pots

# What a posting did to each pot of its merchant, and what went to the platform as fees.
_CHANGES: Final = """
    coalesce(sum(case when e.side = a.side then e.units else -e.units end) filter (where a.kind = 'merchant:{pot}'), 0)
        as {pot}_units
"""
CHANGES: Final = ",\n".join(_CHANGES.format(pot=pot.removesuffix("_units")).strip() for pot in POTS)
FEES: Final = """
    coalesce(sum(case e.side when 'credit' then e.units else -e.units end) filter (where a.kind like 'fees:%'), 0)
        as fee_units
"""
_ADDED: Final = ", ".join(f"coalesce(b.{pot}, 0) + coalesce(m.{pot}, 0) as {pot}" for pot in POTS)

# Violations of what must hold between closings and the books; see `statements.invariants`.
CLOSINGS: Final = f"""
    select c.asset || ' of ' || c.merchant_id || ' at the end of ' || c.day
    from (
        select c.*, {", ".join(f"lag({pot}, 1, 0) over line as before_{pot}" for pot in POTS)},
            lag(day, 1, '-infinity') over line as before
        from statement_closings c window line as (partition by merchant_id, asset order by day)
    ) c, lateral (
        select {CHANGES} from ledger_postings p join ledger_entries e using (posting_id)
        join ledger_accounts a using (account_id)
        where p.merchant_id = c.merchant_id and p.asset = c.asset and p.day > c.before and p.day <= c.day
    ) m
    where {" or ".join(f"c.{pot} <> c.before_{pot} + m.{pot}" for pot in POTS)}
"""  # noqa: S608 - our own constants
LEFT_OUT: Final = """
    select p.key || ' of ' || p.day from ledger_postings p
    where p.merchant_id is not null and p.day <= (select max(day) from ledger_day_events where event = 'closed')
        and not exists (select from statement_closings c
            where c.merchant_id = p.merchant_id and c.asset = p.asset and c.day >= p.day)
"""


@dataclass(frozen=True, slots=True)
class Days:
    """Where the books stand: the day that it is by their clock, and the last one that is closed, if any."""

    today: date
    closed: date | None


def _pots(row: Row) -> Pots:
    return Pots(*(int(row[pot]) for pot in POTS))


async def find_days(tx: Tx) -> Days:
    """Return where the books stand."""
    row = await tx.fetchrow(
        """
        select (clock_timestamp() at time zone 'UTC')::date as today,
            (select max(day) from ledger_day_events where event = 'closed') as closed
        """
    )
    assert row is not None, "a row without a table always comes"
    return Days(row["today"], row["closed"])


async def openings(tx: Tx, merchant_id: MerchantId, assets: Sequence[str], day: date) -> dict[str, Pots]:
    """Return what the merchant had when a day began, by asset: the last closing and what was booked since then."""
    rows = await tx.fetch(
        f"""
        select asset, {_ADDED}
        from unnest($2::text[]) as n (asset)
        left join lateral (
            select * from statement_closings c
            where c.merchant_id = $1 and c.asset = n.asset and c.day < $3 order by c.day desc limit 1
        ) b using (asset),
        lateral (
            select {CHANGES} from ledger_postings p join ledger_entries e using (posting_id)
            join ledger_accounts a using (account_id)
            where p.merchant_id = $1 and p.asset = n.asset and p.day > coalesce(b.day, '-infinity') and p.day < $3
        ) m
        """,  # noqa: S608 - our own constants
        merchant_id,
        list(assets),
        day,
    )
    return {row["asset"]: _pots(row) for row in rows}


async def list_movements(
    tx: Tx, merchant_id: MerchantId, assets: Sequence[str], day: date
) -> dict[str, list[Movement]]:
    """Return what moved in a day, by asset and event."""
    rows = await tx.fetch(
        f"""
        with booked as (
            select p.asset, p.event, p.posting_id, p.recorded_at, {CHANGES}, {FEES}
            from ledger_postings p join ledger_entries e using (posting_id) join ledger_accounts a using (account_id)
            where p.merchant_id = $1 and p.asset = any($2::text[]) and p.day = $3
            group by p.posting_id
        )
        select asset, event, count(*) as postings, {", ".join(f"sum({pot}) as {pot}" for pot in POTS)},
            sum(fee_units) as fee_units,
            (array_agg(posting_id order by recorded_at, posting_id))[1] as first,
            (array_agg(posting_id order by recorded_at desc, posting_id desc))[1] as last
        from booked group by asset, event order by asset, event
        """,  # noqa: S608 - our own constants
        merchant_id,
        list(assets),
        day,
    )
    found: dict[str, list[Movement]] = {}
    for row in rows:
        found.setdefault(row["asset"], []).append(
            Movement(
                event=row["event"],
                postings=row["postings"],
                first=PostingId(row["first"]),
                last=PostingId(row["last"]),
                change=_pots(row),
                fee_units=int(row["fee_units"]),
            )
        )
    return found


async def list_lines(
    tx: Tx, merchant_id: MerchantId, asset: str, day: date, *, after: Line | None, limit: int
) -> list[Line]:
    """Return a page of a day's postings in the order of their recording, those behind `after`."""
    rows = await tx.fetch(
        f"""
        select p.posting_id, p.recorded_at, p.event, p.key, {CHANGES}, {FEES}
        from ledger_postings p join ledger_entries e using (posting_id) join ledger_accounts a using (account_id)
        where p.merchant_id = $1 and p.asset = $2 and p.day = $3
            and ($4::timestamptz is null or (p.recorded_at, p.posting_id) > ($4, $5::uuid))
        group by p.posting_id order by p.recorded_at, p.posting_id limit $6
        """,  # noqa: S608 - our own constants
        merchant_id,
        asset,
        day,
        after.recorded_at if after else None,
        after.posting_id if after else UUID(int=0),
        limit,
    )
    return [
        Line(
            posting_id=PostingId(row["posting_id"]),
            recorded_at=row["recorded_at"],
            event=row["event"],
            key=row["key"],
            change=_pots(row),
            fee_units=int(row["fee_units"]),
        )
        for row in rows
    ]


async def seal(tx: Tx, rest: timedelta) -> None:
    """Let nothing new be booked into the last day that ended `rest` ago, by the server's clock, and any before it."""
    await tx.execute(
        """
        insert into ledger_day_events (day, event)
        select ((clock_timestamp() - $1::interval) at time zone 'UTC')::date - 1, 'sealed'
        on conflict do nothing
        """,
        rest,
    )


async def await_writers(tx: Tx) -> None:
    """Note for sealed days which transactions may still be writing into them: all that have a number by now."""
    await tx.execute(
        """
        insert into ledger_day_events (day, event, horizon)
        select day, 'awaited', pg_snapshot_xmax(pg_current_snapshot()) from ledger_day_events s
        where s.event = 'sealed'
            and not exists (select from ledger_day_events d where d.day = s.day and d.event = 'awaited')
        on conflict do nothing
        """
    )


async def list_written(tx: Tx) -> list[date]:
    """Return the days that are not closed yet though nobody writes into them any more, in order."""
    rows = await tx.fetch(
        """
        select day from ledger_day_events s
        where s.event = 'awaited' and s.horizon <= pg_snapshot_xmin(pg_current_snapshot())
            and not exists (select from ledger_day_events d where d.day = s.day and d.event = 'closed')
        order by day
        """
    )
    return [row["day"] for row in rows]


async def close(tx: Tx, day: date) -> bool:
    """Write down what every merchant had at the end of a day; False where that was done already."""
    closed = await tx.fetchval(
        "insert into ledger_day_events (day, event) values ($1, 'closed') on conflict do nothing returning true", day
    )
    if not closed:
        return False
    await tx.execute(
        f"""
        with moved as (
            select p.merchant_id, p.asset, {CHANGES}
            from ledger_postings p join ledger_entries e using (posting_id) join ledger_accounts a using (account_id)
            where p.merchant_id is not null and p.day <= $1
                and p.day > coalesce((select max(day) from ledger_day_events where event = 'closed' and day < $1),
                    '-infinity')
            group by p.merchant_id, p.asset
        )
        insert into statement_closings (merchant_id, asset, day, {", ".join(POTS)})
        select m.merchant_id, m.asset, $1, {_ADDED}
        from moved m left join lateral (
            select * from statement_closings c
            where c.merchant_id = m.merchant_id and c.asset = m.asset and c.day < $1 order by c.day desc limit 1
        ) b on true
        """,  # noqa: S608 - our own constants
        day,
    )
    return True
