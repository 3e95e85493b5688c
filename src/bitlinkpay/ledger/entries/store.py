"""Every SQL statement that lists entries."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final
from uuid import UUID

from bitlinkpay.core.ids import MerchantId, PostingId
from bitlinkpay.db.driver import Row, Tx
from bitlinkpay.db.where import EVER, Span, Where
from bitlinkpay.ledger import accounts


@dataclass(frozen=True, slots=True)
class Place:
    """Where an entry stands: its posting, and its number in it."""

    posting_id: PostingId
    entry_no: int


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the books.

    Attributes:
        event: the business event that made it.
        kind: of the account, such as `merchant:available`.
        item_id: the deposit or payout that the account is kept for, None for the accounts of a whole asset.
        side: `debit` or `credit`.
        balance_units: the account's afterwards, on its normal side.
    """

    place: Place
    event: str
    asset: str
    kind: str
    item_id: UUID | None
    side: str
    units: int
    balance_units: int
    happened_at: datetime
    recorded_at: datetime


class Pot(StrEnum):
    """An account that a merchant has once for each asset."""

    AVAILABLE = "available"
    DEBT = "debt"


@dataclass(frozen=True, slots=True)
class EntryFilter:
    """Which entries are listed; None for all.

    Attributes:
        pot: which of the merchant's accounts of a whole asset.
        item_id: the deposit or payout that the account is kept for.
        span: when they were recorded.
    """

    asset: str | None = None
    pot: Pot | None = None
    item_id: UUID | None = None
    span: Span = EVER


ALL_ENTRIES: Final = EntryFilter()
_ITEMISED: Final = (accounts.reserved, accounts.pending, accounts.unassigned, accounts.quarantined)


_WALK: Final = "(select * from ledger_postings p where {where} order by p.posting_id desc offset 0)"
"""The postings from the newest back. `offset 0` keeps the planner from taking all entries of a busy account first."""


async def list_newest(
    tx: Tx, merchant_id: MerchantId, *, before: Place | None, limit: int, which: EntryFilter = ALL_ENTRIES
) -> list[Entry]:
    """Return the entries of a merchant's accounts, the newest first, from `before` on backwards."""
    where = _postings(merchant_id, before, which)
    names, walk = _names(merchant_id, which), _WALK.format(where=where)
    where.add("a.name = any({}::text[])", names)
    where.add("a.kind = {}", which.pot and f"merchant:{which.pot}")
    if before is not None:
        where.add(f"(p.posting_id, e.entry_no) < ({where.place(before.posting_id)}, {{}}::bigint)", before.entry_no)
    at_most = where.place(limit)
    rows = await tx.fetch(
        f"""
        select p.posting_id, p.event, p.asset, p.happened_at, p.recorded_at, e.entry_no, e.side, e.units,
            e.balance_after, a.kind, a.item_id
        from {"ledger_postings" if names else walk} p
        join ledger_entries e using (posting_id)
        join ledger_accounts a using (account_id)
        where a.merchant_id = $1 and {where}
        order by p.posting_id desc, e.entry_no desc limit {at_most}
        """,  # noqa: S608 - constants
        *where.values,
    )
    return [_entry(row) for row in rows]


def _postings(merchant_id: MerchantId, before: Place | None, which: EntryFilter) -> Where:
    where = Where("p.merchant_id = {}", merchant_id)
    where.add("p.asset = {}", which.asset)
    where.add_span("p.recorded_at", which.span)
    where.add_ids("p.posting_id", which.span)
    where.add("p.posting_id <= {}", before and before.posting_id)
    return where


def _names(merchant_id: MerchantId, which: EntryFilter) -> list[str] | None:
    """Return what the accounts that are asked for are called, where their entries are few: names are indexed."""
    if which.item_id is not None:
        return [name(merchant_id, which.item_id) for name in _ITEMISED]
    return [accounts.debt(merchant_id)] if which.pot is Pot.DEBT else None


def _entry(row: Row) -> Entry:
    return Entry(
        place=Place(PostingId(row["posting_id"]), row["entry_no"]),
        event=row["event"],
        asset=row["asset"],
        kind=row["kind"],
        item_id=row["item_id"],
        side=row["side"],
        units=int(row["units"]),
        balance_units=int(row["balance_after"]),
        happened_at=row["happened_at"],
        recorded_at=row["recorded_at"],
    )
