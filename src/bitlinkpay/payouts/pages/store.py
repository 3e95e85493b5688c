"""Every SQL statement that lists payouts."""

from dataclasses import dataclass
from typing import Final
from uuid import UUID

from bitlinkpay.core.ids import MerchantId
from bitlinkpay.db.driver import Tx
from bitlinkpay.db.where import EVER, Span, Where
from bitlinkpay.payouts.model import Payout, PayoutKind, PayoutState
from bitlinkpay.payouts.store import payout_of


@dataclass(frozen=True, slots=True)
class PayoutFilter:
    """Which payouts are listed; None for all. `span` is when they were asked for."""

    source_id: str | None = None
    kind: PayoutKind | None = None
    state: PayoutState | None = None
    asset: str | None = None
    span: Span = EVER


ALL_PAYOUTS: Final = PayoutFilter()


async def find_own(tx: Tx, merchant_id: MerchantId, payout_id: UUID) -> Payout | None:
    """Return a payout of a merchant, None where it is another's or nobody's."""
    row = await tx.fetchrow("select * from payouts where merchant_id = $1 and payout_id = $2", merchant_id, payout_id)
    return payout_of(row) if row else None


async def list_newest(
    tx: Tx, merchant_id: MerchantId, *, before: UUID | None, limit: int, which: PayoutFilter = ALL_PAYOUTS
) -> list[Payout]:
    """Return a merchant's payouts, the newest first, from `before` on backwards."""
    where = Where("merchant_id = {}", merchant_id)
    where.add("source_id = {}", which.source_id)
    where.add("kind = {}", which.kind)
    where.add("state = {}", which.state)
    where.add("asset = {}", which.asset)
    where.add_span("created_at", which.span)
    where.add_ids("payout_id", which.span)
    where.add("payout_id < {}", before)
    at_most = where.place(limit)
    rows = await tx.fetch(
        f"select * from payouts where {where} order by payout_id desc limit {at_most}",  # noqa: S608 - constants
        *where.values,
    )
    return [payout_of(row) for row in rows]
