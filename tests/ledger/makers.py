"""Postings for tests, shorter than the chart and free to be wrong."""

from datetime import UTC, datetime
from uuid import UUID

from bitlinkpay.core.ids import DepositId, MerchantId, new_uuid7
from bitlinkpay.db.pool import Database, Tx
from bitlinkpay.ledger import chart
from bitlinkpay.ledger.invariants import check
from bitlinkpay.ledger.model import Move, Posting
from bitlinkpay.ledger.service import post_all

ASSET = "usdt-tron"
AT = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
ADDRESS = "TXYZopYRdj2D9XRtbG411XZZ3kM5VkAeBf"


def merchant() -> MerchantId:
    return MerchantId(new_uuid7())


def deposit() -> DepositId:
    return DepositId(new_uuid7())


def posting(key: str, *moves: tuple[str, str, int], merchant_id: UUID | None = None, asset: str = ASSET) -> Posting:
    return Posting(key, "test", asset, tuple(Move(*move) for move in moves), merchant_id, AT)


async def fund(tx: Tx, merchant_id: MerchantId, units: int, asset: str = ASSET) -> DepositId:
    """Credit a merchant through a whole deposit."""
    deposit_id = deposit()
    await post_all(
        tx,
        [
            chart.deposit_seen(
                deposit_id, merchant_id=merchant_id, asset=asset, address=ADDRESS, units=units, happened_at=AT
            ),
            chart.deposit_credited(
                deposit_id, merchant_id=merchant_id, asset=asset, units=units, fee_units=0, debt_units=0, happened_at=AT
            ),
        ],
    )
    return deposit_id


async def broken(database: Database) -> set[str]:
    """Names of the invariants that do not hold."""
    async with database.reader() as tx:
        return {found.name for found in await check(tx) if not found.ok}
