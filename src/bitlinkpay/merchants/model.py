"""A merchant: terms, state table, identity; pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from bitlinkpay.core.errors import Conflict, Kind, NotFound, Problem
from bitlinkpay.core.fsm import Machine
from bitlinkpay.core.ids import MerchantId
from bitlinkpay.core.money import PPM, share_down

STANDARD_FEE_PPM: Final = 3000  # 0.3 %, PRODUCT.md, payin 6
STANDARD_LIFE: Final = timedelta(minutes=30)
SUCCESS: Final = 8


class MerchantState(StrEnum):
    """Whether a merchant may work. `revoked` is the end."""

    ACTIVE = "active"
    SUSPENDED = "suspended"
    REVOKED = "revoked"


class MerchantEvent(StrEnum):
    """What happened to a merchant."""

    CREATED = "created"
    CHANGED = "changed"
    SUSPENDED = "suspended"
    RESUMED = "resumed"
    REVOKED = "revoked"
    CERTIFICATE_ISSUED = "certificate_issued"
    CERTIFICATE_REVOKED = "certificate_revoked"
    SECRET_ROTATED = "secret_rotated"  # noqa: S105 (the name of an event)
    API_KEY_CREATED = "api_key_created"
    API_KEY_REVOKED = "api_key_revoked"


_S, _E = MerchantState, MerchantEvent

MERCHANT: Final = Machine[MerchantState, MerchantEvent](
    "merchant",
    MappingProxyType(
        {
            (_S.ACTIVE, _E.CHANGED): _S.ACTIVE,
            (_S.SUSPENDED, _E.CHANGED): _S.SUSPENDED,
            (_S.ACTIVE, _E.SUSPENDED): _S.SUSPENDED,
            (_S.SUSPENDED, _E.RESUMED): _S.ACTIVE,
            (_S.ACTIVE, _E.REVOKED): _S.REVOKED,
            (_S.SUSPENDED, _E.REVOKED): _S.REVOKED,
            (_S.ACTIVE, _E.CERTIFICATE_ISSUED): _S.ACTIVE,
            (_S.SUSPENDED, _E.CERTIFICATE_ISSUED): _S.SUSPENDED,
            (_S.ACTIVE, _E.CERTIFICATE_REVOKED): _S.ACTIVE,
            (_S.SUSPENDED, _E.CERTIFICATE_REVOKED): _S.SUSPENDED,
            (_S.ACTIVE, _E.SECRET_ROTATED): _S.ACTIVE,
            (_S.SUSPENDED, _E.SECRET_ROTATED): _S.SUSPENDED,
            (_S.ACTIVE, _E.API_KEY_CREATED): _S.ACTIVE,
            (_S.SUSPENDED, _E.API_KEY_CREATED): _S.SUSPENDED,
            (_S.ACTIVE, _E.API_KEY_REVOKED): _S.ACTIVE,
            (_S.SUSPENDED, _E.API_KEY_REVOKED): _S.SUSPENDED,
        }
    ),
)


@dataclass(frozen=True, slots=True)
class Policy:
    """What completes an order besides one transfer of exactly the asked amount (PRODUCT.md, exact amount rule).

    Attributes:
        tolerance_ppm: how far off an amount may be, in millionths of what is asked.
        tolerance_units: the same in base units, by asset id; the larger of the two counts.
        is_summing: several transfers may add up.
        accepts_late: money after expiry still completes.
        accepts_over: more than asked completes; the excess is credited.
    """

    tolerance_ppm: int = 0
    tolerance_units: Mapping[str, int] = field(default_factory=dict)
    is_summing: bool = False
    accepts_late: bool = False
    accepts_over: bool = False

    def slack(self, asset_id: str, asked_units: int) -> int:
        """Return how many base units an amount may be off, rounded down."""
        return max(share_down(asked_units, self.tolerance_ppm), self.tolerance_units.get(asset_id, 0))


@dataclass(frozen=True, slots=True)
class Merchant:
    """A company that takes payments, with the terms that new orders are made on.

    Attributes:
        broker: what its systems name it by, `w-broker` of the SDK protocol.
        pricing_currency: fiat currency of pre-orders.
        callback_url: where deliveries go unless an order names another place; "" for nowhere. Checked by `webhooks`.
        callback_statuses: wm statuses that are delivered.
        fee_ppm: deposit fee in millionths.
        order_life: how long an order lives.
        return_hosts: hosts that return links may lead to; empty for any.
        lang: language of pages unless an order names one; "" for the payer's own.
        support: how payers reach the merchant; "" for nothing.
        accent: `#rrggbb`, or "" for the platform's own colour.
        allowed_assets: ids of the assets it may ask for; empty for all.
        rate_per_minute: most API requests a minute.
        payout_networks: where withdrawals may be asked for from, in CIDR form; empty: from anywhere in a sandbox, from
            nowhere in a live deployment.
    """

    merchant_id: MerchantId
    broker: str
    name: str
    state: MerchantState
    created_at: datetime
    pricing_currency: str = "CNY"
    callback_url: str = ""
    callback_statuses: tuple[int, ...] = (SUCCESS,)
    fee_ppm: int = STANDARD_FEE_PPM
    policy: Policy = Policy()
    order_life: timedelta = STANDARD_LIFE
    return_hosts: tuple[str, ...] = ()
    lang: str = ""
    support: str = ""
    accent: str = ""
    allowed_assets: tuple[str, ...] = ()
    rate_per_minute: int = 6000
    payout_networks: tuple[str, ...] = ()

    def offers(self, asset_id: str) -> bool:
        """Say whether this merchant's orders may ask for an asset (THREATS, API-30)."""
        return not self.allowed_assets or asset_id in self.allowed_assets

    def fee_on(self, units: int) -> int:
        """Return the deposit fee on an amount, rounded down to base units."""
        assert self.fee_ppm <= PPM
        return share_down(units, self.fee_ppm)


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """SHA-256 of an authority's two public keys (SubjectPublicKeyInfo): what tells it from any other."""

    ca: bytes
    envelope: bytes

    def __str__(self) -> str:
        """Return the beginning of both, enough for people to compare."""
        return f"{self.ca.hex()[:16]}/{self.envelope.hex()[:16]}"


@dataclass(frozen=True, slots=True)
class Identity:
    """Whose key a certificate carries. `is_revoked`: revoked, expired, or its merchant is no more."""

    merchant: Merchant
    is_revoked: bool


@dataclass(frozen=True, slots=True)
class Certificate:
    """A client certificate that we issued.

    Attributes:
        spki: SHA-256 of its SubjectPublicKeyInfo: the identity.
        revoked_at: from when on it is refused; may lie ahead during a rotation.
    """

    spki: bytes
    merchant_id: MerchantId
    serial: str
    pem: str
    not_before: datetime
    not_after: datetime
    revoked_at: datetime | None = None

    def is_valid(self, now: datetime) -> bool:
        """Say whether it identifies its merchant now."""
        return self.not_before <= now < self.not_after and (self.revoked_at is None or now < self.revoked_at)


@dataclass(frozen=True, slots=True)
class WebhookSecret:
    """A signing secret as it is stored. `expires_at` is None for the current one."""

    sealed: bytes = field(repr=False)
    created_at: datetime
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class Note:
    """A row of a merchant's history."""

    seq: int
    event: MerchantEvent
    from_state: str
    to_state: str
    cause: str
    detail: Mapping[str, object]
    at: datetime


class MerchantNotFound(NotFound):
    """No such merchant."""

    code = "merchant.not_found"

    def __init__(self, name: object) -> None:
        super().__init__(f"no merchant {str(name)[:60]!r}", param="merchant")


class MerchantConflict(Conflict):
    """The merchant's state does not allow it."""

    code = "merchant.conflict"

    def __init__(self, merchant: Merchant, event: MerchantEvent) -> None:
        super().__init__(f"merchant {merchant.broker} is {merchant.state}: {event} is not possible", param="merchant")


class CertificateNotFound(NotFound):
    """No such certificate of this merchant."""

    code = "merchant.certificate_not_found"

    def __init__(self) -> None:
        super().__init__("this merchant has no certificate with this key", param="certificate")


class TooMany(Conflict):
    """A merchant holds as many of something as it may."""

    code = "merchant.too_many"


class PublishedKey(Problem):
    """A key pair that everybody has."""

    code = "merchant.published_key"
    kind = Kind.FORBIDDEN

    def __init__(self, what: str) -> None:
        super().__init__(f"{what} is a key pair that was published with the SDKs: everybody has it; make a new one")
