"""Every SQL statement about the sealing key, and about secrets from before there was one."""

from bitlinkpay.core.ids import MerchantId
from bitlinkpay.db.driver import Tx


async def find_fingerprint(tx: Tx) -> bytes | None:
    """Return the fingerprint of the key that counts."""
    found: bytes | None = await tx.fetchval("select fingerprint from sealing_keys order by number desc limit 1")
    return found


async def insert_fingerprint(tx: Tx, fingerprint: bytes) -> None:
    """Let a key count from now on."""
    await tx.execute(
        "insert into sealing_keys (number, fingerprint) select coalesce(max(number), 0) + 1, $1 from sealing_keys",
        fingerprint,
    )


async def insert_first_fingerprint(tx: Tx, fingerprint: bytes) -> None:
    """Let a key count if none does yet."""
    await tx.execute(
        "insert into sealing_keys (number, fingerprint) values (1, $1) on conflict (number) do nothing", fingerprint
    )


async def has_plain(tx: Tx) -> bool:
    """Say whether webhook secrets stand here that no key has sealed yet (migration 0035)."""
    found: bool = await tx.fetchval(
        "select exists (select from merchant_webhook_secrets where get_byte(secret, 0) <> 1)"
    )
    return found


async def lock_plain(tx: Tx) -> list[tuple[MerchantId, bytes]]:
    """Return, and lock, those secrets."""
    rows = await tx.fetch(
        "select merchant_id, secret from merchant_webhook_secrets where get_byte(secret, 0) <> 1 for update"
    )
    return [(MerchantId(row["merchant_id"]), row["secret"]) for row in rows]


async def replace_plain(tx: Tx, merchant_id: MerchantId, plain: bytes, sealed: bytes) -> None:
    """Put a sealed secret where a plain one stood."""
    await tx.execute(
        "update merchant_webhook_secrets set secret = $3 where merchant_id = $1 and secret = $2",
        merchant_id,
        plain,
        sealed,
    )
