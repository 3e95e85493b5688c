"""Every SQL statement that lists orders."""

from dataclasses import dataclass
from typing import Final

from bitlinkpay.core.ids import MerchantId, PayinId
from bitlinkpay.db.driver import Tx
from bitlinkpay.db.where import EVER, Span, Where
from bitlinkpay.payins.model import Payin, PayinState
from bitlinkpay.payins.store import payin_of


@dataclass(frozen=True, slots=True)
class OrderFilter:
    """Which orders are listed; None for all. `span` is when they were made."""

    source_id: str | None = None
    state: PayinState | None = None
    asset: str | None = None
    span: Span = EVER


ALL_ORDERS: Final = OrderFilter()


async def find_own(tx: Tx, merchant_id: MerchantId, payin_id: PayinId) -> Payin | None:
    """Return an order of a merchant, None where it is another's or nobody's."""
    row = await tx.fetchrow("select * from payins where merchant_id = $1 and payin_id = $2", merchant_id, payin_id)
    return payin_of(row) if row else None


async def list_newest(
    tx: Tx, merchant_id: MerchantId, *, before: PayinId | None, limit: int, which: OrderFilter = ALL_ORDERS
) -> list[Payin]:
    """Return a merchant's orders, the newest first, from `before` on backwards."""
    where = Where("merchant_id = {}", merchant_id)
    where.add("source_id = {}", which.source_id)
    where.add("state = {}", which.state)
    where.add("asset = {}", which.asset)
    where.add_span("created_at", which.span)
    where.add_ids("payin_id", which.span)
    where.add("payin_id < {}", before)
    at_most = where.place(limit)
    rows = await tx.fetch(
        f"select * from payins where {where} order by payin_id desc limit {at_most}",  # noqa: S608 - constants
        *where.values,
    )
    return [payin_of(row) for row in rows]


async def list_by_source(tx: Tx, source_id: str) -> list[Payin]:
    """Return the orders with this source_id, of any merchant (operator's view)."""
    rows = await tx.fetch("select * from payins where source_id = $1 order by payin_id limit 100", source_id)
    return [payin_of(row) for row in rows]
