"""What may be done to a merchant. Every change writes one row of its history and wakes every `Directory`.

`cause` says who did it and why, such as `operator`; `now` is wall time.
"""

import base64
import logging
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import datetime, timedelta
from typing import Final

import msgspec

from bitlinkpay.core.errors import Invalid
from bitlinkpay.core.ids import MerchantId, new_uuid7
from bitlinkpay.core.sealing import Purpose, Sealer, Unsealable
from bitlinkpay.db.pool import Tx
from bitlinkpay.merchants import store
from bitlinkpay.merchants.authority import Authority
from bitlinkpay.merchants.certificates import ClientPair
from bitlinkpay.merchants.model import (
    MERCHANT,
    Certificate,
    CertificateNotFound,
    Merchant,
    MerchantConflict,
    MerchantEvent,
    MerchantNotFound,
    MerchantState,
    Note,
    TooMany,
    WebhookSecret,
)
from bitlinkpay.merchants.terms import check_terms

log = logging.getLogger(__name__)

OVERLAP: Final = timedelta(hours=24)
MOST_CERTIFICATES: Final = 10
MOST_SECRETS: Final = 5
LARGEST_PAGE: Final = 200

_FIXED: Final = ("merchant_id", "broker", "state", "created_at")


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a merchant's system needs, shown once: PEM files for the SDKs. We keep the certificate, not its key."""

    ca_pem: bytes
    certificate_pem: bytes
    key_pem: bytes = field(repr=False)
    public_key_pem: bytes
    spki: bytes


@dataclass(frozen=True, slots=True)
class Created:
    """A new merchant with its first credentials and webhook secret."""

    merchant: Merchant
    credentials: Credentials
    webhook_secret: str = field(repr=False)


async def create(
    tx: Tx,
    authority: Authority,
    sealer: Sealer,
    name: str,
    *,
    now: datetime,
    callback_url: str = "",
    pricing_currency: str = "CNY",
    cause: str = "operator",
) -> Created:
    """Make a merchant on standard terms, with a client certificate and a webhook secret.

    `callback_url` was checked by `webhooks`. Making the RSA key takes about 0.1 s of CPU.

    Raises:
        Invalid: a term makes no sense; `param` names it.
    """
    merchant = Merchant(
        merchant_id=MerchantId(new_uuid7()),
        broker=secrets.token_hex(8),
        name=name,
        state=MerchantState.ACTIVE,
        created_at=now,
        callback_url=callback_url,
        pricing_currency=pricing_currency,
    )
    check_terms(merchant)
    await store.insert(tx, merchant)
    await _note(tx, merchant, MerchantEvent.CREATED, {"name": name}, cause=cause, now=now, was="")
    credentials = await _issue(tx, authority, merchant, cause, now)
    secret = await _new_secret(tx, sealer, merchant.merchant_id, now)
    return Created(merchant, credentials, secret)


async def get(tx: Tx, merchant_id: MerchantId) -> Merchant:
    """Return a merchant.

    Raises:
        MerchantNotFound: there is none with this id.
    """
    found = await store.find(tx, merchant_id)
    if found is None:
        raise MerchantNotFound(merchant_id)
    return found


async def lock(tx: Tx, merchant_id: MerchantId) -> Merchant:
    """Return a merchant, of which nobody else changes anything before the transaction ends. Raises as `get`."""
    found = await store.find_for_update(tx, merchant_id)
    if found is None:
        raise MerchantNotFound(merchant_id)
    return found


async def lock_for(tx: Tx, merchant_id: MerchantId, event: MerchantEvent) -> Merchant:
    """Lock a merchant to whom something is about to happen.

    Raises:
        MerchantNotFound, MerchantConflict: there is none, or in its state this may not happen.
    """
    found = await lock(tx, merchant_id)
    if not MERCHANT.allows(found.state, event):
        raise MerchantConflict(found, event)
    return found


async def find_by_broker(tx: Tx, broker: str) -> Merchant | None:
    """Return the merchant with this broker id, or None."""
    return await store.find_by_broker(tx, broker)


async def list_merchants(tx: Tx, *, after: MerchantId | None = None, limit: int = LARGEST_PAGE) -> list[Merchant]:
    """Return a page of merchants in the order of their creation, those after one, at most 200."""
    return await store.list_page(tx, after, min(limit, LARGEST_PAGE))


async def list_events(tx: Tx, merchant_id: MerchantId) -> list[Note]:
    """Return a merchant's history, oldest first."""
    return await store.list_events(tx, merchant_id)


async def change(
    tx: Tx, merchant_id: MerchantId, edit: Callable[[Merchant], Merchant], *, now: datetime, cause: str = "operator"
) -> Merchant:
    """Change terms: `edit` gets the merchant and returns it changed. What did not change writes nothing.

    Orders keep the terms that they were made on.

    Raises:
        MerchantNotFound, MerchantConflict: there is none, or it is revoked.
        Invalid: a term makes no sense, or `edit` touched what is not a term.
    """
    before = await lock_for(tx, merchant_id, MerchantEvent.CHANGED)
    after = edit(before)
    if any(getattr(before, name) != getattr(after, name) for name in _FIXED):
        raise Invalid(f"{', '.join(_FIXED)} are not terms")
    check_terms(after)
    detail = _differences(before, after)
    if detail:
        await _save(tx, after, was=before.state)
        await _note(tx, after, MerchantEvent.CHANGED, detail, cause=cause, now=now, was=before.state)
    return after


async def note_change(
    tx: Tx, merchant_id: MerchantId, detail: Mapping[str, object], *, now: datetime, cause: str = "operator"
) -> None:
    """Write a change of terms that another package keeps into the merchant's history. Raises as `change`."""
    merchant = await lock_for(tx, merchant_id, MerchantEvent.CHANGED)
    await _note(tx, merchant, MerchantEvent.CHANGED, detail, cause=cause, now=now, was=merchant.state)


async def set_fee(tx: Tx, merchant_id: MerchantId, fee_ppm: int, *, now: datetime, cause: str = "operator") -> Merchant:
    """Set the deposit fee of new orders, in millionths. Raises as `change`."""
    return await change(tx, merchant_id, lambda merchant: replace(merchant, fee_ppm=fee_ppm), now=now, cause=cause)


async def suspend(tx: Tx, merchant_id: MerchantId, *, now: datetime, cause: str = "operator") -> Merchant:
    """Stop a merchant's API for a while; its orders go on.

    Raises:
        MerchantNotFound, MerchantConflict: there is none, or it is not active.
    """
    return await _move(tx, merchant_id, MerchantEvent.SUSPENDED, now=now, cause=cause)


async def resume(tx: Tx, merchant_id: MerchantId, *, now: datetime, cause: str = "operator") -> Merchant:
    """Let a suspended merchant work again.

    Raises:
        MerchantNotFound, MerchantConflict: there is none, or it is not suspended.
    """
    return await _move(tx, merchant_id, MerchantEvent.RESUMED, now=now, cause=cause)


async def revoke(tx: Tx, merchant_id: MerchantId, *, now: datetime, cause: str = "operator") -> Merchant:
    """End a merchant for ever, with all its certificates. Money that still arrives stays its own.

    Raises:
        MerchantNotFound, MerchantConflict: there is none, or it is revoked already.
    """
    merchant = await _move(tx, merchant_id, MerchantEvent.REVOKED, now=now, cause=cause)
    held = await store.list_certificates(tx, merchant_id)
    await store.revoke_certificates(tx, merchant_id, [certificate.spki for certificate in held], now)
    return merchant


async def list_certificates(tx: Tx, merchant_id: MerchantId) -> list[Certificate]:
    """Return all certificates that a merchant ever had, newest first."""
    return await store.list_certificates(tx, merchant_id)


async def issue_certificate(
    tx: Tx, authority: Authority, merchant_id: MerchantId, *, now: datetime, cause: str = "operator"
) -> Credentials:
    """Give a merchant one more client certificate; the others stay valid. Takes about 0.1 s of CPU.

    Raises:
        MerchantNotFound, MerchantConflict: there is none, or it is revoked.
        TooMany: it holds 10 valid certificates.
    """
    merchant = await lock_for(tx, merchant_id, MerchantEvent.CERTIFICATE_ISSUED)
    held = [held for held in await store.list_certificates(tx, merchant_id) if held.is_valid(now)]
    if len(held) >= MOST_CERTIFICATES:
        raise TooMany(f"the merchant has {MOST_CERTIFICATES} valid certificates; revoke one first")
    return await _issue(tx, authority, merchant, cause, now)


async def rotate_certificates(
    tx: Tx,
    authority: Authority,
    merchant_id: MerchantId,
    *,
    now: datetime,
    overlap: timedelta = OVERLAP,
    cause: str = "operator",
) -> Credentials:
    """Give a merchant a new certificate and let all older ones end after `overlap`. Raises as `issue_certificate`."""
    merchant = await lock_for(tx, merchant_id, MerchantEvent.CERTIFICATE_ISSUED)
    held = [certificate.spki for certificate in await store.list_certificates(tx, merchant_id)]
    ended = await store.revoke_certificates(tx, merchant_id, held, now + overlap)
    if ended:
        detail = {"spki": [spki.hex() for spki in ended], "from": (now + overlap).isoformat()}
        await _note(tx, merchant, MerchantEvent.CERTIFICATE_REVOKED, detail, cause=cause, now=now, was=merchant.state)
    return await issue_certificate(tx, authority, merchant_id, now=now, cause=cause)


async def revoke_certificate(
    tx: Tx, merchant_id: MerchantId, spki: bytes, *, now: datetime, cause: str = "operator"
) -> None:
    """Refuse one certificate of a merchant from its next request on, open connections included.

    Raises:
        MerchantNotFound, MerchantConflict: there is none, or it is revoked.
        CertificateNotFound: it has no such certificate, or that one is revoked already.
    """
    merchant = await lock_for(tx, merchant_id, MerchantEvent.CERTIFICATE_REVOKED)
    if not await store.revoke_certificates(tx, merchant_id, [spki], now):
        raise CertificateNotFound
    detail = {"spki": [spki.hex()], "from": now.isoformat()}
    await _note(tx, merchant, MerchantEvent.CERTIFICATE_REVOKED, detail, cause=cause, now=now, was=merchant.state)


async def webhook_secrets(
    tx: Tx, merchants: Sequence[MerchantId], *, sealer: Sealer
) -> Mapping[MerchantId, Sequence[str]]:
    """Return the secrets that sign each merchant's callbacks now, newest first; several while a rotation overlaps.

    One that a lost key sealed is logged and left out.
    """
    found = await store.list_secrets(tx, merchants)
    return {
        merchant_id: [secret for each in live if (secret := _unsealed(sealer, merchant_id, each))]
        for merchant_id, live in found.items()
    }


async def rotate_webhook_secret(
    tx: Tx,
    sealer: Sealer,
    merchant_id: MerchantId,
    *,
    now: datetime,
    overlap: timedelta = OVERLAP,
    cause: str = "operator",
) -> str:
    """Give a merchant a new webhook secret and let the old one sign beside it for `overlap`; return the new one.

    Raises:
        MerchantNotFound, MerchantConflict: there is none, or it is revoked.
        TooMany: five secrets sign already.
    """
    merchant = await lock_for(tx, merchant_id, MerchantEvent.SECRET_ROTATED)
    await store.expire_secrets(tx, merchant_id, now + overlap)
    live = (await store.list_secrets(tx, [merchant_id])).get(merchant_id, [])
    if len(live) >= MOST_SECRETS:
        raise TooMany(f"{MOST_SECRETS} webhook secrets sign already; wait until the oldest ends")
    secret = await _new_secret(tx, sealer, merchant_id, now)
    detail = {"old_ends": (now + overlap).isoformat()}
    await _note(tx, merchant, MerchantEvent.SECRET_ROTATED, detail, cause=cause, now=now, was=merchant.state)
    return secret


async def _move(tx: Tx, merchant_id: MerchantId, event: MerchantEvent, *, now: datetime, cause: str) -> Merchant:
    before = await lock_for(tx, merchant_id, event)
    after = replace(before, state=MERCHANT.next(before.state, event))
    await _save(tx, after, was=before.state)
    await _note(tx, after, event, {}, cause=cause, now=now, was=before.state)
    return after


async def _save(tx: Tx, merchant: Merchant, *, was: MerchantState) -> None:
    is_saved = await store.update(tx, merchant, was=was)
    assert is_saved, "a locked merchant changed its state"


async def _note(
    tx: Tx,
    merchant: Merchant,
    event: MerchantEvent,
    detail: Mapping[str, object],
    *,
    cause: str,
    now: datetime,
    was: str,
) -> None:
    await store.append_event(tx, merchant, event, from_state=was, cause=cause, detail=detail, at=now)


async def _issue(tx: Tx, authority: Authority, merchant: Merchant, cause: str, now: datetime) -> Credentials:
    pair: ClientPair = authority.issue_client(merchant.broker, now=now)
    certificate = Certificate(
        spki=pair.spki,
        merchant_id=merchant.merchant_id,
        serial=f"{pair.certificate.serial_number:x}",
        pem=pair.certificate_pem.decode(),
        not_before=pair.certificate.not_valid_before_utc,
        not_after=pair.certificate.not_valid_after_utc,
    )
    await store.insert_certificate(tx, certificate)
    detail = {"spki": pair.spki.hex(), "serial": certificate.serial, "not_after": certificate.not_after.isoformat()}
    await _note(tx, merchant, MerchantEvent.CERTIFICATE_ISSUED, detail, cause=cause, now=now, was=merchant.state)
    return Credentials(authority.ca_pem, pair.certificate_pem, pair.key_pem, authority.public_key_pem, pair.spki)


async def _new_secret(tx: Tx, sealer: Sealer, merchant_id: MerchantId, now: datetime) -> str:
    """Make and store a secret of the Standard Webhooks form: `whsec_` and the base64 of 32 random bytes."""
    secret = f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}"
    sealed = sealer.seal(secret.encode(), purpose=Purpose.WEBHOOK_SECRET, owner=merchant_id)
    await store.insert_secret(tx, merchant_id, WebhookSecret(sealed, now, None))
    return secret


def _unsealed(sealer: Sealer, merchant_id: MerchantId, stored: WebhookSecret) -> str | None:
    try:
        return sealer.unseal(stored.sealed, purpose=Purpose.WEBHOOK_SECRET, owner=merchant_id).decode()
    except Unsealable as problem:
        log.error("%s; give the merchant a new one: `bitlinkpay merchant rotate-secret`", problem.message)  # noqa: TRY400
        return None


def _differences(before: Merchant, after: Merchant) -> dict[str, object]:
    names = [each.name for each in fields(Merchant) if getattr(before, each.name) != getattr(after, each.name)]
    old, new = ({name: msgspec.to_builtins(getattr(state, name)) for name in names} for state in (before, after))
    return {name: {"from": old[name], "to": new[name]} for name in names}
