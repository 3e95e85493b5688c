"""Every SQL statement about authorizations and what they are given for."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from bitlinkpay.authorizations.model import Action, Answered, Authorization, Credential, Device
from bitlinkpay.core.ids import MerchantId
from bitlinkpay.db.driver import Row, Tx

# --- the payment password


def _credential(row: Row) -> Credential:
    return Credential(row["password_hash"], row["failures"], row["locked_until"])


async def find_credential(tx: Tx, merchant_id: MerchantId) -> Credential | None:
    """Return a merchant's payment password as stored."""
    row = await tx.fetchrow("select * from payment_credentials where merchant_id = $1", merchant_id)
    return _credential(row) if row else None


async def lock_credential(tx: Tx, merchant_id: MerchantId) -> Credential | None:
    """Return it locked: tries of one merchant are judged one after the other."""
    row = await tx.fetchrow("select * from payment_credentials where merchant_id = $1 for update", merchant_id)
    return _credential(row) if row else None


async def save_password(tx: Tx, merchant_id: MerchantId, password_hash: str, now: datetime) -> None:
    """Store a payment password; earlier failures are forgotten."""
    await tx.execute(
        """
        insert into payment_credentials (merchant_id, password_hash, changed_at) values ($1, $2, $3)
        on conflict (merchant_id) do update set password_hash = excluded.password_hash, failures = 0,
            locked_until = null, changed_at = excluded.changed_at
        """,
        merchant_id,
        password_hash,
        now,
    )


async def count_failure(tx: Tx, merchant_id: MerchantId, locked_until: datetime | None) -> None:
    """Count one wrong try of the locked credential."""
    await tx.execute(
        "update payment_credentials set failures = failures + 1, locked_until = $2 where merchant_id = $1",
        merchant_id,
        locked_until,
    )


async def forget_failures(tx: Tx, merchant_id: MerchantId) -> None:
    """Begin to count anew after a right try."""
    await tx.execute(
        "update payment_credentials set failures = 0, locked_until = null where merchant_id = $1 and failures > 0",
        merchant_id,
    )


# --- makers of one-time codes


async def find_authenticator(tx: Tx, merchant_id: MerchantId) -> tuple[UUID, bytes] | None:
    """Return the id and the sealed key of the merchant's confirmed authenticator."""
    row = await tx.fetchrow(
        """
        select authenticator_id, sealed from authenticators
        where merchant_id = $1 and confirmed_at is not null and ended_at is null
        """,
        merchant_id,
    )
    return (row["authenticator_id"], row["sealed"]) if row else None


async def lock_pending_authenticator(tx: Tx, merchant_id: MerchantId) -> tuple[UUID, bytes] | None:
    """Return the one that was shown and not confirmed yet, locked."""
    row = await tx.fetchrow(
        """
        select authenticator_id, sealed from authenticators
        where merchant_id = $1 and confirmed_at is null and ended_at is null for update
        """,
        merchant_id,
    )
    return (row["authenticator_id"], row["sealed"]) if row else None


async def insert_authenticator(
    tx: Tx, merchant_id: MerchantId, authenticator_id: UUID, sealed: bytes, now: datetime
) -> None:
    """Store a new authenticator in place of any that was shown and never confirmed."""
    await tx.execute(
        "update authenticators set ended_at = $2 where merchant_id = $1 and confirmed_at is null and ended_at is null",
        merchant_id,
        now,
    )
    await tx.execute(
        "insert into authenticators (authenticator_id, merchant_id, sealed, created_at) values ($1, $2, $3, $4)",
        authenticator_id,
        merchant_id,
        sealed,
        now,
    )


async def confirm_authenticator(
    tx: Tx, merchant_id: MerchantId, authenticator_id: UUID, step: int, now: datetime
) -> None:
    """Let the new authenticator count, from the step after this one, in place of the one before."""
    await tx.execute(
        """
        update authenticators set ended_at = $2
        where merchant_id = $1 and confirmed_at is not null and ended_at is null
        """,
        merchant_id,
        now,
    )
    await tx.execute(
        "update authenticators set confirmed_at = $2, last_step = $3 where authenticator_id = $1",
        authenticator_id,
        now,
        step,
    )


async def spend_step(tx: Tx, authenticator_id: UUID, step: int) -> bool:
    """Say whether no code of this step or a later one was accepted before, and remember this one (THREATS, rule 40)."""
    tag = await tx.execute(
        "update authenticators set last_step = $2 where authenticator_id = $1 and last_step < $2",
        authenticator_id,
        step,
    )
    return tag == "UPDATE 1"


# --- devices


def _device(row: Row) -> Device:
    return Device(
        device_id=row["device_id"],
        merchant_id=MerchantId(row["merchant_id"]),
        name=row["name"],
        created_at=row["created_at"],
        confirmed_at=row["confirmed_at"],
        ended_at=row["ended_at"],
    )


async def insert_device(tx: Tx, device: Device, fingerprint: bytes) -> None:
    """Store a device that nobody has confirmed."""
    await tx.execute(
        """
        insert into payment_devices (device_id, merchant_id, fingerprint, name, created_at) values ($1, $2, $3, $4, $5)
        """,
        device.device_id,
        device.merchant_id,
        fingerprint,
        device.name,
        device.created_at,
    )


async def find_device(tx: Tx, merchant_id: MerchantId, fingerprint: bytes) -> Device | None:
    """Return the merchant's device that keeps the token of this fingerprint."""
    row = await tx.fetchrow(
        "select * from payment_devices where merchant_id = $1 and fingerprint = $2", merchant_id, fingerprint
    )
    return _device(row) if row else None


async def list_devices(tx: Tx, merchant_id: MerchantId) -> list[Device]:
    """Return a merchant's devices, the oldest first."""
    rows = await tx.fetch("select * from payment_devices where merchant_id = $1 order by device_id", merchant_id)
    return [_device(row) for row in rows]


async def confirm_device(tx: Tx, merchant_id: MerchantId, device_id: UUID, now: datetime) -> bool:
    """Let a device count; False when there is none, or it was ended."""
    tag = await tx.execute(
        """
        update payment_devices set confirmed_at = coalesce(confirmed_at, $3)
        where merchant_id = $1 and device_id = $2 and ended_at is null
        """,
        merchant_id,
        device_id,
        now,
    )
    return tag == "UPDATE 1"


async def end_device(tx: Tx, merchant_id: MerchantId, device_id: UUID, now: datetime) -> bool:
    """Let a device count no more; False when there is none."""
    tag = await tx.execute(
        """
        update payment_devices set ended_at = coalesce(ended_at, $3) where merchant_id = $1 and device_id = $2
        """,
        merchant_id,
        device_id,
        now,
    )
    return tag == "UPDATE 1"


# --- authorizations


def _authorization(row: Row) -> Authorization:
    return Authorization(
        authorization_id=row["authorization_id"],
        merchant_id=MerchantId(row["merchant_id"]),
        action=row["action"],
        digest=row["digest"],
        answered=Answered(row["factor_id"], row["mark"]),
        device_id=row["device_id"],
        peer=row["peer"],
        given_at=row["given_at"],
        expires_at=row["expires_at"],
        used_at=row["used_at"],
    )


async def insert(tx: Tx, given: Authorization) -> None:
    """Store a new authorization. An answer that was accepted before violates `authorizations_one_per_answer`."""
    await tx.execute(
        """
        insert into authorizations (authorization_id, merchant_id, action, digest, factor_id, mark, device_id, peer,
            given_at, expires_at)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
        """,
        given.authorization_id,
        given.merchant_id,
        given.action,
        given.digest,
        given.answered.factor_id,
        given.answered.mark,
        given.device_id,
        given.peer,
        given.given_at,
        given.expires_at,
    )


async def find_by_answer(tx: Tx, answered: Answered) -> Authorization | None:
    """Return the authorization that an answer was accepted for."""
    row = await tx.fetchrow(
        "select * from authorizations where factor_id = $1 and mark = $2", answered.factor_id, answered.mark
    )
    return _authorization(row) if row else None


async def use(tx: Tx, authorization_id: UUID, action: Action, now: datetime) -> bool:
    """Use an authorization up; False when it is not of exactly this action, used, or too old."""
    tag = await tx.execute(
        """
        update authorizations set used_at = $5
        where authorization_id = $1 and merchant_id = $2 and action = $3 and digest = $4 and used_at is null
            and expires_at > $5
        """,
        authorization_id,
        action.merchant_id,
        action.name,
        action.digest,
        now,
    )
    return tag == "UPDATE 1"


# --- history


async def lock_merchant(tx: Tx, merchant_id: MerchantId) -> None:
    """Let one merchant's devices be counted and its history be written one after the other."""
    await tx.execute("select from merchants where merchant_id = $1 for no key update", merchant_id)


async def append_event(tx: Tx, merchant_id: MerchantId, event: str, cause: str, now: datetime) -> None:
    """Write the next row of a merchant's security history; the merchant's row is locked meanwhile."""
    await lock_merchant(tx, merchant_id)
    await tx.execute(
        """
        insert into security_events (merchant_id, seq, event, cause, at)
        select $1, coalesce(max(seq), 0) + 1, $2, $3, $4 from security_events where merchant_id = $1
        """,
        merchant_id,
        event,
        cause,
        now,
    )


async def list_events(tx: Tx, merchant_id: MerchantId) -> Sequence[tuple[str, str, datetime]]:
    """Return event, cause and time of a merchant's security history, the oldest first."""
    rows = await tx.fetch(
        "select event, cause, at from security_events where merchant_id = $1 order by seq", merchant_id
    )
    return [(row["event"], row["cause"], row["at"]) for row in rows]
