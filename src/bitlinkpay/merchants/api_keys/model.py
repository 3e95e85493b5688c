"""A key that signs requests: what it may do, from where, and how its signatures are checked. Pure."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final

from bitlinkpay.core.errors import Conflict, Invalid, NotFound
from bitlinkpay.core.ids import ApiKeyId, MerchantId

MOST_NETWORKS: Final = 20
_LONGEST_NAME: Final = 80


class Algorithm(StrEnum):
    """How a key signs."""

    HMAC_SHA256 = "hmac-sha256"  # a secret that both sides hold
    ED25519 = "ed25519"  # a private key that only the merchant holds


class Scope(StrEnum):
    """What a key may do."""

    PAYIN = "payin"  # make, read and cancel orders
    PAYOUT = "payout"  # make, read and cancel payouts
    READ = "read"  # read everything of the merchant


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key as stored.

    Attributes:
        material: HMAC: the sealed secret; Ed25519: the raw public key.
        networks: where its requests may come from, in CIDR form; empty for anywhere.
        revoked_at: from when on it is refused.
    """

    key_id: ApiKeyId
    merchant_id: MerchantId
    name: str
    algorithm: Algorithm
    material: bytes = field(repr=False)
    scopes: frozenset[Scope]
    networks: tuple[str, ...]
    created_at: datetime
    revoked_at: datetime | None = None

    def allows_from(self, peer: str) -> bool:
        """Say whether a request may come from a socket address."""
        return not self.networks or is_within(peer, self.networks)


class ApiKeyNotFound(NotFound):
    """No such key of this merchant, or it is revoked already."""

    code = "api_key.not_found"

    def __init__(self) -> None:
        super().__init__("this merchant has no working API key of this id; see `bitlinkpay merchant api-key list`")


class TooManyApiKeys(Conflict):
    """A merchant holds as many working keys as it may."""

    code = "api_key.too_many"


def is_within(peer: str, networks: tuple[str, ...]) -> bool:
    """Say whether a socket's address lies in one of the networks; an address that can't be read lies in none.

    An IPv4 address that an IPv6 socket shows (`::ffff:192.0.2.1`) is the IPv4 address.
    """
    address = _address(peer)
    return address is not None and any(address in ip_network(network) for network in networks)


def _address(peer: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(peer)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def check_terms(name: str, scopes: frozenset[Scope], networks: tuple[str, ...]) -> None:
    """Refuse a key that makes no sense.

    Raises:
        Invalid: `param` names the field.
    """
    if not name.isprintable() or name != name.strip() or not 1 <= len(name) <= _LONGEST_NAME:
        raise Invalid(f"name: write 1 to {_LONGEST_NAME} visible characters on one line", param="name")
    if not scopes:
        raise Invalid("scopes: name at least one of payin, payout, read", param="scopes")
    try:
        parsed = {ip_network(network) for network in networks}
    except ValueError:
        parsed = set()
    if len(parsed) != len(networks) or len(networks) > MOST_NETWORKS:
        raise Invalid(
            f"networks: write such as 203.0.113.0/24 or 2001:db8::/48, at most {MOST_NETWORKS}, each once",
            param="networks",
        )
