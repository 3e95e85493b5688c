"""An authorization: what it is bound to, what a person has to show for it, and why it is not given; pure."""

import hashlib
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from ipaddress import ip_address, ip_network
from typing import Final
from uuid import UUID

import msgspec

from bitlinkpay.core.errors import Conflict, Invalid, Kind, NotFound, Problem
from bitlinkpay.core.ids import MerchantId
from bitlinkpay.merchants.model import Merchant

LIFE: Final = timedelta(minutes=5)
"""How long an authorization waits for its action (THREATS, WEB-17)."""
FREE_TRIES: Final = 5
FIRST_LOCK: Final = timedelta(minutes=15)
LONGEST_LOCK: Final = timedelta(hours=24)
_DOUBLINGS: Final = 7  # 15 minutes doubled seven times is more than a day


@dataclass(frozen=True, slots=True)
class Action:
    """Exactly what a merchant's person asks for.

    Attributes:
        name: `noun.verb`, such as `settlement.request`.
        fields: everything that decides what happens, in a fixed order.
    """

    merchant_id: MerchantId
    name: str
    fields: tuple[str, ...]

    @property
    def digest(self) -> bytes:
        """Return SHA-256 over all of it: what a proof is bound to. JSON keeps fields apart."""
        return hashlib.sha256(msgspec.json.encode([self.merchant_id.hex, self.name, self.fields])).digest()


@dataclass(frozen=True, slots=True)
class Shown:
    """What came with a request.

    Attributes:
        peer: the address that it came from, as the server saw it.
        device: the token that the device keeps.
        password: the payment password.
        answer: what the second factor says to this action: a one-time code.
    """

    peer: str
    device: str = field(repr=False)
    password: str = field(repr=False)
    answer: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Device:
    """A place that a merchant's people work from; it counts once it is confirmed and until it is ended."""

    device_id: UUID
    merchant_id: MerchantId
    name: str
    created_at: datetime
    confirmed_at: datetime | None = None
    ended_at: datetime | None = None

    @property
    def is_known(self) -> bool:
        """Say whether requests may come from it."""
        return self.confirmed_at is not None and self.ended_at is None


@dataclass(frozen=True, slots=True)
class Credential:
    """A merchant's payment password and what went wrong with it since it was last right."""

    password_hash: str = field(repr=False)
    failures: int = 0
    locked_until: datetime | None = None

    def is_locked(self, now: datetime) -> bool:
        """Say whether no try counts now."""
        return self.locked_until is not None and now < self.locked_until

    def lock_after(self, now: datetime) -> datetime | None:
        """Return until when one more failure locks it: never for four, then 15 minutes, doubled up to a day."""
        beyond = self.failures + 1 - FREE_TRIES
        if beyond < 0:
            return None
        return now + min(FIRST_LOCK * (1 << min(beyond, _DOUBLINGS)), LONGEST_LOCK)


@dataclass(frozen=True, slots=True)
class Answered:
    """A right answer of a second factor.

    Attributes:
        factor_id: which factor gave it.
        mark: what makes it unlike every other answer of that factor; it is accepted once.
    """

    factor_id: UUID
    mark: str


@dataclass(frozen=True, slots=True)
class Authorization:
    """Leave to do one action once, for a few minutes."""

    authorization_id: UUID
    merchant_id: MerchantId
    action: str
    digest: bytes
    answered: Answered
    device_id: UUID
    peer: str
    given_at: datetime
    expires_at: datetime
    used_at: datetime | None = None

    def still_allows(self, action: Action, now: datetime) -> bool:
        """Say whether this action may be done with it now."""
        return self.digest == action.digest and self.used_at is None and now < self.expires_at


def check_network(merchant: Merchant, peer: str, *, is_open: bool) -> None:
    """Refuse a request from outside the merchant's listed networks.

    Args:
        merchant: whose `payout_networks` count.
        peer: where the request came from.
        is_open: whether an empty list lets everybody in, as in a sandbox.

    Raises:
        UnlistedNetwork: the address is in none of them, or is no address.
    """
    if is_open and not merchant.payout_networks:
        return
    try:
        address = ip_address(peer)
    except ValueError:
        raise UnlistedNetwork from None
    mapped = getattr(address, "ipv4_mapped", None)  # a dual-stack socket shows IPv4 peers so
    if not any((mapped or address) in ip_network(network) for network in merchant.payout_networks):
        raise UnlistedNetwork


class UnlistedNetwork(Problem):
    """The request came from outside the merchant's networks."""

    code = "authorization.unlisted_network"
    kind = Kind.FORBIDDEN

    def __init__(self) -> None:
        super().__init__("money may not be moved from this address; have the platform list your network for payouts")


class UnknownDevice(Problem):
    """The device is not confirmed, or was ended."""

    code = "authorization.unknown_device"
    kind = Kind.FORBIDDEN

    def __init__(self) -> None:
        super().__init__("this device is not known; confirm it first, then ask again")


class WrongProof(Problem):
    """Password or one-time code are wrong; which of them is not said."""

    code = "authorization.wrong_proof"
    kind = Kind.FORBIDDEN

    def __init__(self, left: int) -> None:
        rest = f"{left} more tries before a pause" if left > 0 else "tries are paused now"
        super().__init__(f"the payment password or the one-time code is wrong; {rest}")


class LockedOut(Problem):
    """Too many wrong tries."""

    code = "authorization.locked_out"
    kind = Kind.LIMITED

    def __init__(self, until: datetime) -> None:
        super().__init__(
            f"too many wrong passwords or codes: wait until {until.isoformat(timespec='minutes')},"
            " or have the platform set a new payment password"
        )
        self.until = until


class AnswerSpent(Problem):
    """The one-time code was right and has been used."""

    code = "authorization.answer_spent"
    kind = Kind.CONFLICT

    def __init__(self) -> None:
        super().__init__("this one-time code was used already; wait for the next one", param="code")


class NotAuthorized(Problem):
    """No unused authorization of exactly this action."""

    code = "authorization.missing"
    kind = Kind.FORBIDDEN

    def __init__(self) -> None:
        super().__init__("nobody authorized exactly this, or too long ago; ask again with password and code")


class NotSetUp(Conflict):
    """The merchant has no payment password or no confirmed authenticator."""

    code = "authorization.not_set_up"

    def __init__(self) -> None:
        super().__init__("set a payment password and confirm an authenticator first")


class WeakPassword(Invalid):
    """The payment password would be guessed, or is absurdly long."""

    code = "authorization.weak_password"


class DeviceNotFound(NotFound):
    """The merchant has no such device."""

    code = "authorization.device_not_found"

    def __init__(self) -> None:
        super().__init__("no such device; see `bitlinkpay merchant devices`")


class WrongCode(Invalid):
    """A code that should confirm a new authenticator does not come from it."""

    code = "authorization.wrong_code"

    def __init__(self) -> None:
        super().__init__(
            "the code does not belong to the authenticator that was shown last; check its clock", param="code"
        )
