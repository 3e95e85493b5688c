"""Every SQL statement about bound and saved addresses."""

from datetime import datetime
from uuid import UUID

from bitlinkpay.core.ids import MerchantId
from bitlinkpay.db.driver import Row, Tx
from bitlinkpay.db.where import Where
from bitlinkpay.settlements.addresses.model import HomeAddress


def _address(row: Row) -> HomeAddress:
    return HomeAddress(
        address_id=row["address_id"],
        merchant_id=MerchantId(row["merchant_id"]),
        network=row["network"],
        label=row["label"],
        target=row["target"],
        tag=row["tag"],
        authorization_id=row["authorization_id"],
        bound_at=row["bound_at"],
        usable_at=row["usable_at"],
        ended_at=row["ended_at"],
    )


async def insert(tx: Tx, address: HomeAddress) -> None:
    """Store a new address. A second one with the same label violates `settlement_addresses_one`."""
    await tx.execute(
        """
        insert into settlement_addresses (address_id, merchant_id, network, label, target, tag, authorization_id,
            bound_at, usable_at)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
        """,
        address.address_id,
        address.merchant_id,
        address.network,
        address.label,
        address.target,
        address.tag,
        address.authorization_id,
        address.bound_at,
        address.usable_at,
    )


async def lock(tx: Tx, merchant_id: MerchantId, network: str, label: str) -> HomeAddress | None:
    """Return the address that stands under a label, locked: it is not changed while money is sent there."""
    row = await tx.fetchrow(
        """
        select * from settlement_addresses where merchant_id = $1 and network = $2 and label = $3 and ended_at is null
        for update
        """,
        merchant_id,
        network,
        label,
    )
    return _address(row) if row else None


async def find(tx: Tx, merchant_id: MerchantId, network: str, label: str) -> HomeAddress | None:
    """Return the address that stands under a label."""
    row = await tx.fetchrow(
        """
        select * from settlement_addresses where merchant_id = $1 and network = $2 and label = $3 and ended_at is null
        """,
        merchant_id,
        network,
        label,
    )
    return _address(row) if row else None


async def lock_own(tx: Tx, merchant_id: MerchantId, address_id: UUID) -> HomeAddress | None:
    """Return an address of a merchant that is in use, locked."""
    row = await tx.fetchrow(
        "select * from settlement_addresses where merchant_id = $1 and address_id = $2 and ended_at is null for update",
        merchant_id,
        address_id,
    )
    return _address(row) if row else None


async def list_standing(
    tx: Tx, merchant_id: MerchantId, *, network: str | None, before: UUID | None, limit: int
) -> list[HomeAddress]:
    """Return the addresses of a merchant that are in use, the newest first, from `before` on backwards."""
    where = Where("merchant_id = {}", merchant_id)
    where.add("network = {}", network)
    where.add("address_id < {}", before)
    at_most = where.place(limit)
    rows = await tx.fetch(
        f"""
        select * from settlement_addresses where ended_at is null and {where}
        order by address_id desc limit {at_most}
        """,  # noqa: S608 - constants
        *where.values,
    )
    return [_address(row) for row in rows]


async def end(tx: Tx, merchant_id: MerchantId, network: str, label: str, now: datetime) -> bool:
    """Take an address out of use; False when there is none."""
    tag = await tx.execute(
        """
        update settlement_addresses set ended_at = $4
        where merchant_id = $1 and network = $2 and label = $3 and ended_at is null
        """,
        merchant_id,
        network,
        label,
        now,
    )
    return tag == "UPDATE 1"


async def list_of_merchant(tx: Tx, merchant_id: MerchantId) -> list[HomeAddress]:
    """Return all addresses that a merchant ever had, the newest first."""
    rows = await tx.fetch(
        "select * from settlement_addresses where merchant_id = $1 order by address_id desc", merchant_id
    )
    return [_address(row) for row in rows]
