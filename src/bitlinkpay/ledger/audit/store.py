"""Every SQL statement of the audits: how far they are, and what is wrong with what is new."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from uuid import UUID

from bitlinkpay.db.pool import Tx


@dataclass(frozen=True, slots=True)
class Mark:
    """A place in the books in the order in which transactions wrote: the posting, and the number of what wrote it."""

    written_in: str
    posting_id: UUID


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong with something new.

    Attributes:
        check: name of the invariant that it breaks, as the whole audit calls it.
        culprit: for people.
        account_id: where, None for a posting that has no entries.
    """

    check: str
    culprit: str
    account_id: int | None


async def lock_mark(tx: Tx) -> Mark | None:
    """Take the auditor's place until the transaction ends; None while another one has it.

    Numbers of transactions begin anew in a database that was restored from a dump: then everything is new again.
    """
    row = await tx.fetchrow(
        """
        select (case when written_in <= pg_snapshot_xmax(pg_current_snapshot()) then written_in else '0' end)::text
            as written_in, posting_id
        from ledger_audits where audit = 'entries' for update skip locked
        """
    )
    return Mark(row["written_in"], row["posting_id"]) if row else None


async def list_new(tx: Tx, after: Mark, limit: int) -> list[Mark]:
    """Return the postings behind a mark, in order, whose transactions and all older ones have ended."""
    rows = await tx.fetch(NEW, after.written_in, after.posting_id, limit)
    return [Mark(row["number"], row["posting_id"]) for row in rows]


async def move_mark(tx: Tx, mark: Mark) -> None:
    """Note how far the books are audited."""
    await tx.execute(
        """
        update ledger_audits set written_in = $1::text::xid8, posting_id = $2, audited_at = clock_timestamp()
        where audit = 'entries'
        """,
        mark.written_in,
        mark.posting_id,
    )


async def claim_whole(tx: Tx, every: timedelta) -> bool:
    """Say whether all of the books are due to be audited, and take that on; nobody else is told so for a while."""
    claimed = await tx.fetchval(
        """
        update ledger_audits set audited_at = clock_timestamp()
        where audit = 'whole' and audited_at < clock_timestamp() - $1::interval returning true
        """,
        every,
    )
    return bool(claimed)


async def list_findings(tx: Tx, posting_ids: Sequence[UUID]) -> list[Finding]:
    """Return what is wrong with these postings, their entries and the accounts that they touch.

    An entry is held against the one before it, which was held against its own predecessor when it was new itself.
    """
    rows = await tx.fetch(_FINDINGS, list(posting_ids))
    return [Finding(row["name"], row["culprit"], row["account_id"]) for row in rows]


async def freeze(tx: Tx, account_ids: Sequence[int], reason: str) -> None:
    """Stop accounts until a person has looked."""
    await tx.execute("select ledger_freeze($1, $2)", list(account_ids), reason)


NEW: Final = """
select written_in::text as number, posting_id from ledger_postings
where (written_in, posting_id) > ($1::text::xid8, $2::uuid) and written_in < pg_snapshot_xmin(pg_current_snapshot())
order by written_in, posting_id limit $3
"""

_FINDINGS: Final = """
with postings as materialized (
    select p.*, ledger_head(posting_id, key, event, asset, merchant_id, happened_at, recorded_at) as head
    from ledger_postings p where posting_id = any($1::uuid[])
), entries as materialized (
    select e.*, p.key, p.head, p.asset as asset, p.merchant_id as posting_merchant, a.name, a.asset as kept_in,
        a.side as normal_side, a.merchant_id as owner, before.version as before_version,
        before.balance_after as before_balance, before.digest as before_digest
    from postings p join ledger_entries e using (posting_id) left join ledger_accounts a using (account_id)
    left join ledger_entries before on before.account_id = e.account_id and before.version = e.version - 1
), unbalanced as (
    select p.posting_id from postings p left join entries e using (posting_id) group by p.posting_id
    having count(e.version) = 0 or bool_or(e.kept_in is distinct from e.asset)
        or sum(case e.side when 'debit' then e.units else -e.units end) <> 0
), touched as materialized (
    select a.* from ledger_accounts a where account_id = any(array(select account_id from entries))
)
select 'postings_balance' as name, p.key as culprit, e.account_id
from unbalanced join postings p using (posting_id) left join entries e using (posting_id)
union all
select 'owners', format('%s touches %s', key, name), account_id from entries
where owner is not null and owner is distinct from posting_merchant
union all
select 'versions_contiguous', format('%s in %s: version %s', name, kept_in, version), account_id from entries
where (version > 1 and before_version is null) or version < 1 or balance_before <> coalesce(before_balance, 0)
    or balance_after <> balance_before + case when side = normal_side then units else -units end
union all
select 'no_overdraft', format('%s in %s: %s units at version %s', name, kept_in, balance_after, version), account_id
from entries where balance_after < 0
union all
select 'sealed', format('%s in %s: version %s (%s)', name, kept_in, version, key), account_id from entries
where digest <> ledger_link(coalesce(before_digest, ''), head, account_id, version, entry_no, units, balance_after)
union all
select 'cache_equals_entries', format('%s in %s: %s units at version %s', a.name, a.asset, a.balance_units, a.version),
    a.account_id
from touched a left join ledger_entries e on e.account_id = a.account_id and e.version = a.version
where a.balance_units is distinct from e.balance_after or a.digest is distinct from e.digest
    or exists (select from ledger_entries l where l.account_id = a.account_id and l.version = a.version + 1)
union all
select 'chart', format('%s in %s: %s, %s', a.name, a.asset, a.kind, a.side), a.account_id
from touched a left join ledger_kinds k using (kind)
where k.kind is null or a.side <> k.side or a.name !~ k.shape
    or (k.is_itemised and right(a.name, 32)::uuid is distinct from a.item_id)
    or (k.kind like 'merchant:%' and split_part(a.name, ':', 2)::uuid is distinct from a.merchant_id)
"""
