"""Every SQL statement of the books. They change by the database function `ledger_post` alone (migration 0002)."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import count
from typing import Final
from uuid import UUID

from bitlinkpay.core.ids import new_uuid7
from bitlinkpay.db.pool import Tx
from bitlinkpay.ledger.model import Posting

_Account = tuple[str, str]
MAX_CULPRITS: Final = 20


async def post(tx: Tx, postings: Sequence[Posting]) -> list[tuple[str, str, UUID, datetime]]:
    """Book a batch in one round trip; per posting its outcome, detail, posting id and time of recording."""
    places: dict[_Account, int] = {}
    numbers = count(1)
    items: list[int] = []
    debits: list[int] = []
    credits_: list[int] = []
    units: list[int] = []
    for item, posting in enumerate(postings, 1):
        for move in posting.moves:
            items.append(item)
            debits.append(_place(places, numbers, (move.debit, posting.asset)))
            credits_.append(_place(places, numbers, (move.credit, posting.asset)))
            units.append(move.units)
    rows = await tx.fetch(
        "SELECT outcome, detail, posting_id, recorded_at"
        " FROM ledger_post($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
        [new_uuid7() for _ in postings],
        [posting.key for posting in postings],
        [posting.event for posting in postings],
        [posting.asset for posting in postings],
        [posting.merchant_id for posting in postings],
        [posting.happened_at for posting in postings],
        [name for name, _ in places],
        [asset for _, asset in places],
        items,
        debits,
        credits_,
        units,
    )
    return [(row["outcome"], row["detail"], row["posting_id"], row["recorded_at"]) for row in rows]


def _place(places: dict[_Account, int], numbers: "count[int]", account: _Account) -> int:
    if account not in places:
        places[account] = next(numbers)
    return places[account]


async def balance_units(tx: Tx, account: str, asset: str) -> int:
    """Return one account's balance, 0 where there is no such account."""
    found = await tx.fetchval(
        "SELECT balance_units FROM ledger_accounts WHERE name = $1 AND asset = $2", account, asset
    )
    return int(found or 0)


async def kind_units(tx: Tx, merchant_id: UUID) -> Mapping[tuple[str, str], int]:
    """Return a merchant's balances by (asset, kind), leaving out what is zero."""
    rows = await tx.fetch(
        "SELECT asset, kind, sum(balance_units) AS units FROM ledger_accounts"
        " WHERE merchant_id = $1 AND is_open GROUP BY asset, kind",
        merchant_id,
    )
    return {(row["asset"], row["kind"]): int(row["units"]) for row in rows}


async def find_open(tx: Tx, accounts: Sequence[_Account]) -> list[_Account]:
    """Return those of the accounts that hold something, without locking them."""
    rows = await tx.fetch(
        "SELECT a.name, a.asset FROM unnest($1::text[], $2::text[]) AS n (name, asset)"
        " JOIN ledger_accounts a USING (name, asset) WHERE a.is_open",
        [name for name, _ in accounts],
        [asset for _, asset in accounts],
    )
    return [(row["name"], row["asset"]) for row in rows]


async def holdings(tx: Tx, asset: str, names: Sequence[str]) -> dict[str, int]:
    """Return the balances of those of the accounts that hold something, by name, without locking them."""
    rows = await tx.fetch(
        "SELECT a.name, a.balance_units FROM unnest($1::text[]) AS n (name)"
        " JOIN ledger_accounts a ON a.name = n.name AND a.asset = $2 WHERE a.is_open",
        names,
        asset,
    )
    return {row["name"]: int(row["balance_units"]) for row in rows}


async def lock(tx: Tx, accounts: Sequence[_Account]) -> Mapping[_Account, int]:
    """Lock accounts in the one order until the transaction ends; return the balances of those that exist."""
    rows = await tx.fetch(
        "SELECT name, asset, balance_units FROM ledger_lock($1, $2)",
        [name for name, _ in accounts],
        [asset for _, asset in accounts],
    )
    return {(row["name"], row["asset"]): int(row["balance_units"]) for row in rows}


async def violations(tx: Tx, query: str) -> list[str]:
    """Return what an invariant's query finds, at most `MAX_CULPRITS + 1` of it."""
    rows = await tx.fetch(f"SELECT v.* FROM ({query}) AS v LIMIT {MAX_CULPRITS + 1}")  # noqa: S608 - our own constants
    return [str(row[0]) for row in rows]


async def freeze_unequal(tx: Tx, reason: str) -> list[str]:
    """Stop every account whose cached balance or version is not what its entries add up to; return their names."""
    rows = await tx.fetch(f"SELECT account_id, culprit FROM ({_UNEQUAL}) AS u")  # noqa: S608 - our own constant
    await tx.execute("SELECT ledger_freeze($1, $2)", [row["account_id"] for row in rows], reason)
    return [row["culprit"] for row in rows]


_UNEQUAL: Final = """
SELECT a.account_id, format('%s in %s: %s units, its entries say %s', a.name, a.asset, a.balance_units,
    coalesce(sum(CASE WHEN e.side = a.side THEN e.units ELSE -e.units END), 0)) AS culprit
FROM ledger_accounts a LEFT JOIN ledger_entries e USING (account_id)
GROUP BY a.account_id
HAVING a.balance_units <> coalesce(sum(CASE WHEN e.side = a.side THEN e.units ELSE -e.units END), 0)
    OR a.version <> count(e.version)
"""

CACHE: Final = f"SELECT culprit FROM ({_UNEQUAL}) AS u"  # noqa: S608 - our own constant

ZERO_SUM: Final = """
SELECT format('%s: debits exceed credits by %s units', a.asset,
    sum(CASE e.side WHEN 'debit' THEN e.units ELSE -e.units END))
FROM ledger_entries e JOIN ledger_accounts a USING (account_id)
GROUP BY a.asset HAVING sum(CASE e.side WHEN 'debit' THEN e.units ELSE -e.units END) <> 0
"""

POSTINGS: Final = """
SELECT coalesce(p.key, 'entries without a posting')
FROM ledger_postings p FULL JOIN ledger_entries e USING (posting_id) LEFT JOIN ledger_accounts a USING (account_id)
GROUP BY p.posting_id, p.key, p.asset
HAVING p.key IS NULL OR count(e.version) = 0 OR bool_or(a.asset IS DISTINCT FROM p.asset)
    OR sum(CASE e.side WHEN 'debit' THEN e.units ELSE -e.units END) <> 0
"""

OWNERS: Final = """
SELECT format('%s touches %s', p.key, a.name)
FROM ledger_entries e JOIN ledger_accounts a USING (account_id) JOIN ledger_postings p USING (posting_id)
WHERE a.merchant_id IS NOT NULL AND a.merchant_id IS DISTINCT FROM p.merchant_id
"""

NO_OVERDRAFT: Final = """
SELECT format('%s in %s: %s units', name, asset, balance_units) FROM ledger_accounts WHERE balance_units < 0
UNION ALL
SELECT format('%s in %s: %s units at version %s', a.name, a.asset, e.balance_after, e.version)
FROM ledger_entries e JOIN ledger_accounts a USING (account_id) WHERE e.balance_after < 0
"""

CONTIGUOUS: Final = """
SELECT format('%s in %s: version %s', a.name, a.asset, e.version)
FROM (
    SELECT *, row_number() OVER line AS place, lag(balance_after, 1, 0) OVER line AS previous
    FROM ledger_entries WINDOW line AS (PARTITION BY account_id ORDER BY version)
) e JOIN ledger_accounts a USING (account_id)
WHERE e.version <> e.place OR e.balance_before <> e.previous
    OR e.balance_after <> e.balance_before + CASE WHEN e.side = a.side THEN e.units ELSE -e.units END
"""

SEALED: Final = """
SELECT format('%s in %s: version %s (%s)', a.name, a.asset, e.version, p.key)
FROM (
    SELECT *, lag(digest, 1, '') OVER line AS previous, lead(version) OVER line IS NULL AS is_last
    FROM ledger_entries WINDOW line AS (PARTITION BY account_id ORDER BY version)
) e JOIN ledger_accounts a USING (account_id) JOIN ledger_postings p USING (posting_id)
WHERE e.digest <> ledger_link(e.previous,
        ledger_head(p.posting_id, p.key, p.event, p.asset, p.merchant_id, p.happened_at, p.recorded_at),
        e.account_id, e.version, e.entry_no, e.units, e.balance_after)
    OR (e.is_last AND e.digest <> a.digest)
"""

EQUATION: Final = """
SELECT format('%s: holds %s, owes %s, is owed %s, own %s', asset, held, owed, claim, own)
FROM (
    SELECT a.asset, coalesce(sum(a.balance_units) FILTER (WHERE k.class = 'held'), 0) AS held,
        coalesce(sum(a.balance_units) FILTER (WHERE k.class = 'owed'), 0) AS owed,
        coalesce(sum(a.balance_units) FILTER (WHERE k.class = 'claim'), 0) AS claim,
        coalesce(sum(CASE k.side WHEN 'credit' THEN a.balance_units ELSE -a.balance_units END)
            FILTER (WHERE k.class = 'own'), 0) AS own
    FROM ledger_accounts a JOIN ledger_kinds k USING (kind) WHERE a.is_open GROUP BY a.asset
) sums WHERE held <> owed - claim + own
"""

CHART: Final = """
SELECT format('%s in %s: %s, %s', a.name, a.asset, a.kind, a.side)
FROM ledger_accounts a LEFT JOIN ledger_kinds k USING (kind)
WHERE k.kind IS NULL OR a.side <> k.side OR a.name !~ k.shape
    OR (k.is_itemised AND right(a.name, 32)::uuid IS DISTINCT FROM a.item_id)
    OR (k.kind LIKE 'merchant:%' AND split_part(a.name, ':', 2)::uuid IS DISTINCT FROM a.merchant_id)
"""

CLEARING: Final = """
SELECT format('%s in %s: %s units since %s, ask %s', a.name, a.asset, a.balance_units,
    to_char(a.opened_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI UTC'), k.keeper)
FROM ledger_kinds k JOIN ledger_accounts a USING (kind)
WHERE a.is_open AND a.opened_at < clock_timestamp() - k.max_age
ORDER BY a.opened_at
"""

UNFROZEN: Final = """
SELECT format('%s in %s: %s', name, asset, frozen_reason) FROM ledger_accounts WHERE frozen_reason IS NOT NULL
"""


async def list_assets(tx: Tx) -> list[str]:
    """Return the assets that any account holds."""
    rows = await tx.fetch("SELECT DISTINCT asset FROM ledger_accounts WHERE balance_units > 0 ORDER BY asset")
    return [row["asset"] for row in rows]
