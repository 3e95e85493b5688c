"""Every SQL statement that lists a merchant's odd money."""

from dataclasses import dataclass
from typing import Final

from bitlinkpay.core.ids import DepositId, MerchantId
from bitlinkpay.db.driver import Tx
from bitlinkpay.db.where import EVER, Span, Where
from bitlinkpay.deposits.model import Deposit, DepositState
from bitlinkpay.deposits.store import deposit_of


@dataclass(frozen=True, slots=True)
class AsideFilter:
    """Which odd money is listed; None for all. `span` is when it was seen."""

    state: DepositState | None = None
    label: str | None = None
    asset: str | None = None
    span: Span = EVER


ALL_ASIDE: Final = AsideFilter()


async def find_own(tx: Tx, merchant_id: MerchantId, deposit_id: DepositId) -> Deposit | None:
    """Return a deposit of a merchant, whatever its state; None where it is another's or nobody's."""
    row = await tx.fetchrow(
        "select * from deposits where merchant_id = $1 and deposit_id = $2", merchant_id, deposit_id
    )
    return deposit_of(row) if row else None


async def list_put_aside(
    tx: Tx, merchant_id: MerchantId, *, before: DepositId | None, limit: int, which: AsideFilter = ALL_ASIDE
) -> list[Deposit]:
    """Return a merchant's unassigned and quarantined money, the newest first, from `before` on backwards."""
    where = Where("merchant_id = {}", merchant_id)
    where.add("state = {}", which.state)
    where.add("label = {}", which.label)
    where.add("asset = {}", which.asset)
    where.add_span("seen_at", which.span)
    where.add("deposit_id < {}", before)
    at_most = where.place(limit)
    rows = await tx.fetch(
        f"""
        select * from deposits where state in ('unassigned', 'quarantined') and {where}
        order by deposit_id desc limit {at_most}
        """,  # noqa: S608 - constants
        *where.values,
    )
    return [deposit_of(row) for row in rows]
