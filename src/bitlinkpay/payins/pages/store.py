"""Every SQL statement that lists orders."""

from bitlinkpay.core.ids import MerchantId, PayinId
from bitlinkpay.db.driver import Tx
from bitlinkpay.payins.model import Payin
from bitlinkpay.payins.store import payin_of


async def find_own(tx: Tx, merchant_id: MerchantId, payin_id: PayinId) -> Payin | None:
    """Return an order of a merchant, None where it is another's or nobody's."""
    row = await tx.fetchrow("select * from payins where merchant_id = $1 and payin_id = $2", merchant_id, payin_id)
    return payin_of(row) if row else None


async def list_newest(tx: Tx, merchant_id: MerchantId, *, before: PayinId | None, limit: int) -> list[Payin]:
    """Return a merchant's orders, the newest first, from `before` on backwards."""
    rows = await tx.fetch(
        """
        select * from payins where merchant_id = $1 and ($2::uuid is null or payin_id < $2)
        order by payin_id desc limit $3
        """,
        merchant_id,
        before,
        limit,
    )
    return [payin_of(row) for row in rows]


async def list_by_source(tx: Tx, source_id: str) -> list[Payin]:
    """Return the orders with this source_id, of any merchant (operator's view)."""
    rows = await tx.fetch("select * from payins where source_id = $1 order by payin_id limit 100", source_id)
    return [payin_of(row) for row in rows]
