"""Every SQL statement that lists entries."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from bitlinkpay.core.ids import MerchantId, PostingId
from bitlinkpay.db.driver import Row, Tx


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


async def list_newest(
    tx: Tx, merchant_id: MerchantId, *, asset: str | None, before: Place | None, limit: int
) -> list[Entry]:
    """Return the entries of a merchant's accounts, the newest first, of one asset or of all."""
    rows = await tx.fetch(
        """
        select p.posting_id, p.event, p.asset, p.happened_at, p.recorded_at, e.entry_no, e.side, e.units,
            e.balance_after, a.kind, a.item_id
        from ledger_postings p
        join ledger_entries e using (posting_id)
        join ledger_accounts a using (account_id)
        where p.merchant_id = $1 and a.merchant_id = $1 and ($2::text is null or p.asset = $2)
            and ($3::uuid is null or p.posting_id <= $3)
            and ($3::uuid is null or (p.posting_id, e.entry_no) < ($3, $4::bigint))
        order by p.posting_id desc, e.entry_no desc limit $5
        """,
        merchant_id,
        asset,
        before.posting_id if before else None,
        before.entry_no if before else 0,
        limit,
    )
    return [_entry(row) for row in rows]


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
