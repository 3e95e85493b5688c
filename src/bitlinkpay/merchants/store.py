"""Every SQL statement about merchants."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Final

import msgspec

from bitlinkpay.core.ids import MerchantId
from bitlinkpay.db.driver import Row
from bitlinkpay.db.pool import Tx
from bitlinkpay.merchants.model import (
    Certificate,
    Fingerprint,
    Merchant,
    MerchantEvent,
    MerchantState,
    Note,
    Policy,
    WebhookSecret,
)

CHANNEL: Final = "merchants"

_NAMES: Final = (
    "merchant_id, broker, name, state, created_at, pricing_currency, callback_url, callback_statuses, fee_ppm, policy,"
    " order_life, return_hosts, lang, support, accent, allowed_assets, rate_per_minute, payout_networks"
)


def _merchant(row: Row) -> Merchant:
    return Merchant(
        merchant_id=MerchantId(row["merchant_id"]),
        broker=row["broker"],
        name=row["name"],
        state=MerchantState(row["state"]),
        created_at=row["created_at"],
        pricing_currency=row["pricing_currency"],
        callback_url=row["callback_url"],
        callback_statuses=tuple(row["callback_statuses"]),
        fee_ppm=row["fee_ppm"],
        policy=msgspec.convert(row["policy"], Policy),
        order_life=row["order_life"],
        return_hosts=tuple(row["return_hosts"]),
        lang=row["lang"],
        support=row["support"],
        accent=row["accent"],
        allowed_assets=tuple(row["allowed_assets"]),
        rate_per_minute=row["rate_per_minute"],
        payout_networks=tuple(row["payout_networks"]),
    )


def _values(merchant: Merchant) -> tuple[object, ...]:
    """Return the values of `_NAMES`, in order."""
    return (
        merchant.merchant_id,
        merchant.broker,
        merchant.name,
        merchant.state.value,
        merchant.created_at,
        merchant.pricing_currency,
        merchant.callback_url,
        list(merchant.callback_statuses),
        merchant.fee_ppm,
        msgspec.to_builtins(merchant.policy),
        merchant.order_life,
        list(merchant.return_hosts),
        merchant.lang,
        merchant.support,
        merchant.accent,
        list(merchant.allowed_assets),
        merchant.rate_per_minute,
        list(merchant.payout_networks),
    )


async def insert(tx: Tx, merchant: Merchant) -> None:
    """Store a new merchant."""
    values = _values(merchant)
    places = ", ".join(f"${n}" for n in range(1, len(values) + 1))
    await tx.execute(f"insert into merchants ({_NAMES}) values ({places})", *values)  # noqa: S608 - names stand above


async def update(tx: Tx, merchant: Merchant, *, was: MerchantState) -> bool:
    """Store a merchant's terms and state where its state is still `was`; say whether it was."""
    values = _values(merchant)
    places = ", ".join(f"${n}" for n in range(1, len(values) + 1))
    tag = await tx.execute(
        f"update merchants set ({_NAMES}) = ({places}) where merchant_id = $1 and state = ${len(values) + 1}",  # noqa: S608
        *values,
        was.value,
    )
    return tag == "UPDATE 1"


async def find(tx: Tx, merchant_id: MerchantId) -> Merchant | None:
    """Return a merchant."""
    row = await tx.fetchrow("select * from merchants where merchant_id = $1", merchant_id)
    return None if row is None else _merchant(row)


async def find_many(tx: Tx, merchant_ids: Collection[MerchantId]) -> dict[MerchantId, Merchant]:
    """Return those of the merchants that there are, by id."""
    rows = await tx.fetch("select * from merchants where merchant_id = any($1::uuid[])", list(merchant_ids))
    return {merchant.merchant_id: merchant for merchant in map(_merchant, rows)}


async def find_for_update(tx: Tx, merchant_id: MerchantId) -> Merchant | None:
    """Return a merchant, locked until the end of the transaction."""
    row = await tx.fetchrow("select * from merchants where merchant_id = $1 for no key update", merchant_id)
    return None if row is None else _merchant(row)


async def find_by_broker(tx: Tx, broker: str) -> Merchant | None:
    """Return the merchant with this broker id."""
    row = await tx.fetchrow("select * from merchants where broker = $1", broker)
    return None if row is None else _merchant(row)


async def list_page(tx: Tx, after: MerchantId | None, limit: int) -> list[Merchant]:
    """Return merchants in the order of their creation."""
    rows = await tx.fetch(
        "select * from merchants where $1::uuid is null or merchant_id > $1 order by merchant_id limit $2", after, limit
    )
    return [_merchant(row) for row in rows]


async def append_event(
    tx: Tx,
    merchant: Merchant,
    event: MerchantEvent,
    *,
    from_state: str,
    cause: str,
    detail: Mapping[str, object],
    at: datetime,
) -> None:
    """Write the next row of a merchant's history, and wake every `Directory`. The merchant's row is locked or new."""
    await tx.execute(
        """
        insert into merchant_events (merchant_id, seq, event, from_state, to_state, cause, detail, at)
        select $1, coalesce(max(seq), 0) + 1, $2, $3, $4, $5, $6, $7 from merchant_events where merchant_id = $1
        """,
        merchant.merchant_id,
        event.value,
        from_state,
        merchant.state.value,
        cause,
        dict(detail),
        at,
    )
    await tx.execute("select pg_notify($1, $2)", CHANNEL, merchant.merchant_id.hex)


async def list_events(tx: Tx, merchant_id: MerchantId) -> list[Note]:
    """Return a merchant's history, oldest first."""
    rows = await tx.fetch("select * from merchant_events where merchant_id = $1 order by seq", merchant_id)
    return [
        Note(
            seq=row["seq"],
            event=MerchantEvent(row["event"]),
            from_state=row["from_state"],
            to_state=row["to_state"],
            cause=row["cause"],
            detail=row["detail"],
            at=row["at"],
        )
        for row in rows
    ]


def _certificate(row: Row) -> Certificate:
    return Certificate(
        spki=row["spki"],
        merchant_id=MerchantId(row["merchant_id"]),
        serial=row["serial"],
        pem=row["pem"],
        not_before=row["not_before"],
        not_after=row["not_after"],
        revoked_at=row["revoked_at"],
    )


async def insert_certificate(tx: Tx, certificate: Certificate) -> None:
    """Store a certificate."""
    await tx.execute(
        """
        insert into merchant_certificates (merchant_id, spki, serial, pem, not_before, not_after)
        values ($1, $2, $3, $4, $5, $6)
        """,
        certificate.merchant_id,
        certificate.spki,
        certificate.serial,
        certificate.pem,
        certificate.not_before,
        certificate.not_after,
    )


async def list_certificates(tx: Tx, merchant_id: MerchantId) -> list[Certificate]:
    """Return all certificates that a merchant ever had, newest first."""
    rows = await tx.fetch(
        "select * from merchant_certificates where merchant_id = $1 order by not_before desc, spki", merchant_id
    )
    return [_certificate(row) for row in rows]


async def revoke_certificates(tx: Tx, merchant_id: MerchantId, keys: Sequence[bytes], at: datetime) -> list[bytes]:
    """Revoke these certificates of a merchant from `at` on, never later than before; return those it touched."""
    rows = await tx.fetch(
        """
        update merchant_certificates set revoked_at = $3
        where merchant_id = $1 and spki = any($2::bytea[]) and (revoked_at is null or revoked_at > $3)
        returning spki
        """,
        merchant_id,
        list(keys),
        at,
    )
    return [row["spki"] for row in rows]


async def find_by_spki(tx: Tx, spki: bytes) -> tuple[Merchant, Certificate] | None:
    """Return the merchant that a key identifies, with the certificate that says so."""
    row = await tx.fetchrow(
        "select * from merchant_certificates c join merchants m using (merchant_id) where c.spki = $1", spki
    )
    return None if row is None else (_merchant(row), _certificate(row))


async def insert_secret(tx: Tx, merchant_id: MerchantId, secret: WebhookSecret) -> None:
    """Store the current webhook secret."""
    await tx.execute(
        "insert into merchant_webhook_secrets (merchant_id, secret, created_at) values ($1, $2, $3)",
        merchant_id,
        secret.sealed,
        secret.created_at,
    )


async def expire_secrets(tx: Tx, merchant_id: MerchantId, at: datetime) -> None:
    """Let the current webhook secret end at `at`, and the older ones not later."""
    await tx.execute(
        """
        update merchant_webhook_secrets set expires_at = $2
        where merchant_id = $1 and (expires_at is null or expires_at > $2)
        """,
        merchant_id,
        at,
    )


async def list_secrets(tx: Tx, merchants: Sequence[MerchantId]) -> dict[MerchantId, list[WebhookSecret]]:
    """Return the secrets that sign now (by the database's wall clock), newest first, of each merchant that has any."""
    rows = await tx.fetch(
        """
        select * from merchant_webhook_secrets
        where merchant_id = any($1::uuid[]) and (expires_at is null or expires_at > now())
        order by merchant_id, expires_at desc nulls first, created_at desc
        """,
        list(merchants),
    )
    found: dict[MerchantId, list[WebhookSecret]] = {}
    for row in rows:
        secret = WebhookSecret(row["secret"], row["created_at"], row["expires_at"])
        found.setdefault(MerchantId(row["merchant_id"]), []).append(secret)
    return found


async def find_authority(tx: Tx) -> Fingerprint | None:
    """Return the fingerprint of the authority that counts."""
    row = await tx.fetchrow("select ca_spki, envelope_spki from authorities order by number desc limit 1")
    return None if row is None else Fingerprint(row["ca_spki"], row["envelope_spki"])


async def insert_authority(tx: Tx, fingerprint: Fingerprint) -> None:
    """Let an authority count from now on."""
    await tx.execute(
        """
        insert into authorities (number, ca_spki, envelope_spki)
        select coalesce(max(number), 0) + 1, $1, $2 from authorities
        """,
        fingerprint.ca,
        fingerprint.envelope,
    )


async def insert_first_authority(tx: Tx, fingerprint: Fingerprint) -> None:
    """Let an authority count if none does yet."""
    await tx.execute(
        "insert into authorities (number, ca_spki, envelope_spki) values (1, $1, $2) on conflict (number) do nothing",
        fingerprint.ca,
        fingerprint.envelope,
    )
