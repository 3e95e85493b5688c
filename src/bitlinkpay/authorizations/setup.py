"""How a merchant comes by payment password, authenticator and devices. Each change is in its history and told to it.

These functions ask for no proof: who calls them has seen one, as an operator has, or has used an authorization up.
"""

import secrets
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final
from uuid import UUID

from bitlinkpay.authorizations import onetime, store
from bitlinkpay.authorizations.model import Device, DeviceNotFound, WrongCode
from bitlinkpay.authorizations.service import fingerprint
from bitlinkpay.core.errors import Conflict, Invalid
from bitlinkpay.core.ids import EventId, MerchantId, new_uuid7
from bitlinkpay.core.sealing import Purpose, Sealer
from bitlinkpay.db import outbox
from bitlinkpay.db.driver import Tx
from bitlinkpay.merchants.model import Merchant

MOST_DEVICES: Final = 50
_LONGEST_NAME: Final = 80
_TOKEN_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class Introduced:
    """A new device with the token that it has to keep; shown once."""

    device: Device
    token: str = field(repr=False)


async def set_password(tx: Tx, merchant_id: MerchantId, stretched: str, *, by: str, now: datetime) -> None:
    """Set or change the payment password, given as `passwords.stretch` returns it; a pause for wrong tries ends."""
    await store.save_password(tx, merchant_id, stretched, now)
    await _note(tx, merchant_id, "password_set", by, now)


async def show_authenticator(tx: Tx, sealer: Sealer, merchant: Merchant, *, issuer: str, by: str, now: datetime) -> str:
    """Make a new key for one-time codes and return what the app scans; it counts once a code confirms it."""
    key, authenticator_id = onetime.new_key(), new_uuid7()
    sealed = sealer.seal(key, purpose=Purpose.ONE_TIME_CODES, owner=merchant.merchant_id)
    await store.insert_authenticator(tx, merchant.merchant_id, authenticator_id, sealed, now)
    await _note(tx, merchant.merchant_id, "authenticator_shown", by, now)
    return onetime.provisioning_uri(key, account=merchant.name, issuer=issuer)


async def confirm_authenticator(
    tx: Tx, sealer: Sealer, merchant_id: MerchantId, code: str, *, by: str, now: datetime
) -> None:
    """Let the authenticator count that was shown last, in place of the one before; this code is spent.

    Raises:
        WrongCode: none was shown, or the code is not its own.
        Unsealable: its key cannot be read here.
    """
    found = await store.lock_pending_authenticator(tx, merchant_id)
    if found is None:
        raise WrongCode
    authenticator_id, sealed = found
    key = sealer.unseal(sealed, purpose=Purpose.ONE_TIME_CODES, owner=merchant_id)
    step = onetime.matching_step(key, code, now)
    if step is None:
        raise WrongCode
    await store.confirm_authenticator(tx, merchant_id, authenticator_id, step, now)
    await _note(tx, merchant_id, "authenticator_confirmed", by, now)


async def introduce_device(tx: Tx, merchant_id: MerchantId, name: str, *, by: str, now: datetime) -> Introduced:
    """Make a device known by name; it counts once it is confirmed.

    Raises:
        Invalid: the name is empty, too long or not printable.
        Conflict: the merchant has 50 devices.
    """
    if not name.isprintable() or not 0 < len(name.strip()) <= _LONGEST_NAME:
        raise Invalid(f"name the device in 1 to {_LONGEST_NAME} printable characters", param="name")
    await store.lock_merchant(tx, merchant_id)
    held = [device for device in await store.list_devices(tx, merchant_id) if device.ended_at is None]
    if len(held) >= MOST_DEVICES:
        raise Conflict(f"the merchant has {MOST_DEVICES} devices; end one first")
    device = Device(new_uuid7(), merchant_id, name.strip(), now)
    token = secrets.token_urlsafe(_TOKEN_BYTES)
    await store.insert_device(tx, device, fingerprint(token))
    await _note(tx, merchant_id, "device_introduced", by, now)
    return Introduced(device, token)


async def confirm_device(tx: Tx, merchant_id: MerchantId, device_id: UUID, *, by: str, now: datetime) -> None:
    """Let requests come from a device; a second time does nothing.

    Raises:
        DeviceNotFound: the merchant has none of this id, or it was ended.
    """
    if not await store.confirm_device(tx, merchant_id, device_id, now):
        raise DeviceNotFound
    await _note(tx, merchant_id, "device_confirmed", by, now)


async def end_device(tx: Tx, merchant_id: MerchantId, device_id: UUID, *, by: str, now: datetime) -> None:
    """Let no request come from a device any more, at once and for ever.

    Raises:
        DeviceNotFound: the merchant has none of this id.
    """
    if not await store.end_device(tx, merchant_id, device_id, now):
        raise DeviceNotFound
    await _note(tx, merchant_id, "device_ended", by, now)


async def _note(tx: Tx, merchant_id: MerchantId, change: str, by: str, now: datetime) -> None:
    await store.append_event(tx, merchant_id, change, by, now)
    notice = outbox.Event(
        event_id=EventId(new_uuid7()),
        kind="merchant.security_changed",
        merchant_id=merchant_id,
        subject_id=merchant_id,
        payload={"change": change},
        happened_at=now,
    )
    await outbox.append(tx, [notice])
