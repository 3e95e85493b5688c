"""What may be done to a merchant's API keys. Every change writes one row of the merchant's history and wakes every API.

`cause` says who did it and why, such as `operator`; `now` is wall time.
"""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

from bitlinkpay.core.errors import Invalid
from bitlinkpay.core.ids import ApiKeyId, MerchantId, new_uuid7, show_id
from bitlinkpay.core.sealing import Purpose, Sealer
from bitlinkpay.db.pool import Tx
from bitlinkpay.merchants import service as merchants
from bitlinkpay.merchants import store as merchants_store
from bitlinkpay.merchants.api_keys import store
from bitlinkpay.merchants.api_keys.model import (
    Algorithm,
    ApiKey,
    ApiKeyNotFound,
    Scope,
    TooManyApiKeys,
    check_terms,
)
from bitlinkpay.merchants.model import Merchant, MerchantEvent

MOST_KEYS: Final = 20
_SECRET_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class Terms:
    """What a new key may do, and from where."""

    name: str
    scopes: frozenset[Scope]
    networks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Created:
    """A new key; `secret` is "" for Ed25519 and is shown this once."""

    key: ApiKey
    secret: str = field(repr=False, default="")


async def create_hmac(
    tx: Tx, sealer: Sealer, merchant_id: MerchantId, terms: Terms, *, now: datetime, cause: str = "operator"
) -> Created:
    """Make a key with a secret of 256 bits, which is stored sealed.

    Raises:
        MerchantNotFound, MerchantConflict: there is no such merchant, or it is revoked.
        TooManyApiKeys: it holds 20 working keys.
        Invalid: a term makes no sense.
    """
    key_id, secret = ApiKeyId(new_uuid7()), secrets.token_urlsafe(_SECRET_BYTES)
    key = _key(
        key_id, merchant_id, terms, algorithm=Algorithm.HMAC_SHA256, material=_sealed(sealer, key_id, secret), now=now
    )
    await _create(tx, key, cause)
    return Created(key, secret)


async def create_ed25519(
    tx: Tx, public_key: bytes, merchant_id: MerchantId, terms: Terms, *, now: datetime, cause: str = "operator"
) -> Created:
    """Take a merchant's public key (32 raw bytes). Raises as `create_hmac`."""
    key = _key(ApiKeyId(new_uuid7()), merchant_id, terms, algorithm=Algorithm.ED25519, material=public_key, now=now)
    await _create(tx, key, cause)
    return Created(key)


def secret_of(sealer: Sealer, key: ApiKey) -> str:
    """Return the secret of an HMAC key.

    Raises:
        Unsealable: this host's sealing key is another one, or what is stored was changed.
    """
    return sealer.unseal(key.material, purpose=Purpose.API_KEY, owner=key.key_id).decode()


def read_public_key(pem: bytes) -> bytes:
    """Return the 32 raw bytes of an Ed25519 public key in PEM.

    Raises:
        Invalid: it is none.
    """
    try:
        key = load_pem_public_key(pem)
    except ValueError:
        key = None
    if not isinstance(key, Ed25519PublicKey):
        raise Invalid(
            "the file holds no Ed25519 public key in PEM; `openssl pkey -in private.pem -pubout` writes one",
            param="public_key",
        )
    return key.public_bytes(Encoding.Raw, PublicFormat.Raw)


async def list_keys(tx: Tx, merchant_id: MerchantId) -> Sequence[ApiKey]:
    """Return all keys that a merchant ever had, oldest first."""
    return await store.list_keys(tx, merchant_id)


async def revoke(tx: Tx, merchant_id: MerchantId, key_id: ApiKeyId, *, now: datetime, cause: str = "operator") -> None:
    """Refuse a key from its next request on.

    Raises:
        MerchantNotFound, MerchantConflict: there is no such merchant, or it is revoked (with all it had).
        ApiKeyNotFound: it has no working key of this id.
    """
    merchant = await merchants.lock_for(tx, merchant_id, MerchantEvent.API_KEY_REVOKED)
    if not await store.revoke(tx, merchant_id, key_id, now):
        raise ApiKeyNotFound
    detail = {"key_id": show_id("key", key_id)}
    await _note(tx, merchant, MerchantEvent.API_KEY_REVOKED, detail, cause=cause, now=now)


def _sealed(sealer: Sealer, key_id: ApiKeyId, secret: str) -> bytes:
    return sealer.seal(secret.encode(), purpose=Purpose.API_KEY, owner=key_id)


def _key(
    key_id: ApiKeyId, merchant_id: MerchantId, terms: Terms, *, algorithm: Algorithm, material: bytes, now: datetime
) -> ApiKey:
    check_terms(terms.name, terms.scopes, terms.networks)
    return ApiKey(key_id, merchant_id, terms.name, algorithm, material, terms.scopes, terms.networks, now)


async def _create(tx: Tx, key: ApiKey, cause: str) -> None:
    merchant = await merchants.lock_for(tx, key.merchant_id, MerchantEvent.API_KEY_CREATED)
    working = [one for one in await store.list_keys(tx, key.merchant_id) if one.revoked_at is None]
    if len(working) >= MOST_KEYS:
        raise TooManyApiKeys(f"the merchant has {MOST_KEYS} working API keys; revoke one first")
    await store.insert(tx, key)
    detail = {
        "key_id": show_id("key", key.key_id),
        "algorithm": key.algorithm.value,
        "scopes": sorted(key.scopes),
        "networks": list(key.networks),
    }
    await _note(tx, merchant, MerchantEvent.API_KEY_CREATED, detail, cause=cause, now=key.created_at)


async def _note(
    tx: Tx, merchant: Merchant, event: MerchantEvent, detail: Mapping[str, object], *, cause: str, now: datetime
) -> None:
    await merchants_store.append_event(
        tx, merchant, event, from_state=merchant.state, cause=cause, detail=detail, at=now
    )
