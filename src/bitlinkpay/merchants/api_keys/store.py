"""Every SQL statement about API keys."""

from collections.abc import Sequence
from datetime import datetime

from bitlinkpay.core.ids import ApiKeyId, MerchantId
from bitlinkpay.db.driver import Row
from bitlinkpay.db.pool import Tx
from bitlinkpay.merchants.api_keys.model import Algorithm, ApiKey, Scope


def _key(row: Row) -> ApiKey:
    return ApiKey(
        key_id=ApiKeyId(row["key_id"]),
        merchant_id=MerchantId(row["merchant_id"]),
        name=row["name"],
        algorithm=Algorithm(row["algorithm"]),
        material=row["material"],
        scopes=frozenset(Scope(scope) for scope in row["scopes"]),
        networks=tuple(row["networks"]),
        created_at=row["created_at"],
        revoked_at=row["revoked_at"],
    )


async def insert(tx: Tx, key: ApiKey) -> None:
    """Store a new key."""
    await tx.execute(
        """
        insert into api_keys (key_id, merchant_id, name, algorithm, material, scopes, networks, created_at)
        values ($1, $2, $3, $4, $5, $6, $7, $8)
        """,
        key.key_id,
        key.merchant_id,
        key.name,
        key.algorithm.value,
        key.material,
        sorted(key.scopes),
        list(key.networks),
        key.created_at,
    )


async def find_keys(tx: Tx, key_ids: Sequence[ApiKeyId]) -> Sequence[ApiKey]:
    """Return those of the keys that there are, of whichever merchants."""
    rows = await tx.fetch("select * from api_keys where key_id = any($1::uuid[])", list(key_ids))
    return [_key(row) for row in rows]


async def list_keys(tx: Tx, merchant_id: MerchantId) -> Sequence[ApiKey]:
    """Return all keys that a merchant ever had, oldest first."""
    rows = await tx.fetch("select * from api_keys where merchant_id = $1 order by key_id", merchant_id)
    return [_key(row) for row in rows]


async def revoke(tx: Tx, merchant_id: MerchantId, key_id: ApiKeyId, at: datetime) -> bool:
    """Revoke a merchant's key; False where it has no working one of this id."""
    tag = await tx.execute(
        "update api_keys set revoked_at = $3 where merchant_id = $1 and key_id = $2 and revoked_at is null",
        merchant_id,
        key_id,
        at,
    )
    return tag == "UPDATE 1"
