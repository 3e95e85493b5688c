"""Where callbacks may go: schemes, ports and addresses, decided once and asked at creation and at every connect."""

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

from bitlinkpay.core.errors import Invalid

Block = IPv4Network | IPv6Network

HTTPS_PORT: Final = 443
HTTP_PORT: Final = 80
_HIGH_PORTS: Final = range(1024, 65536)

LOOPBACK: Final = ("127.0.0.0/8", "::1/128")

# What `is_global` calls global and is not a merchant's server, or differs between Python versions: special-purpose
# registries of RFC 6890, tunnels that carry another address inside, and cloud platforms' own service addresses.
_NEVER: Final = tuple(
    ip_network(text)
    for text in (
        "0.0.0.0/8",
        "100.64.0.0/10",
        "168.63.129.16/32",  # a cloud's host agent on a public address
        "192.0.0.0/24",
        "192.31.196.0/24",
        "192.52.193.0/24",
        "192.88.99.0/24",
        "192.175.48.0/24",
        "198.18.0.0/15",
        "224.0.0.0/3",  # multicast, reserved, broadcast
        "2001::/23",  # Teredo, benchmarking, ORCHID
        "2001:db8::/32",
        "2002::/16",  # 6to4
        "2620:4f:8000::/48",
        "3fff::/20",
    )
)
_GLOBAL_UNICAST_V6: Final = IPv6Network("2000::/3")


@dataclass(frozen=True, slots=True)
class UrlPolicy:
    """What a callback URL may name and what a callback may connect to.

    Attributes:
        schemes: `https`, and `http` where the operator allows it.
        ports: allowed port ranges.
        allowed_networks: private or otherwise special blocks that the operator lists; public addresses need none.
        denied_networks: blocks that are refused even though they are public, such as the platform's own.
    """

    schemes: frozenset[str]
    ports: tuple[range, ...]
    allowed_networks: tuple[Block, ...] = ()
    denied_networks: tuple[Block, ...] = ()

    def admits_port(self, port: int) -> bool:
        """Say whether a callback may connect to this port."""
        return any(port in ports for ports in self.ports)

    def admits_address(self, text: str) -> bool:
        """Say whether a callback may connect to this address (as a socket spells it)."""
        try:
            address = ip_address(text)
        except ValueError:
            return False
        mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
        return self._admits(mapped or address)

    def _admits(self, address: IPv4Address | IPv6Address) -> bool:
        if _is_in(address, self.denied_networks):
            return False
        if _is_in(address, self.allowed_networks):
            return True
        if isinstance(address, IPv6Address) and address not in _GLOBAL_UNICAST_V6:
            return False
        return address.is_global and not _is_in(address, _NEVER)

    @property
    def is_local(self) -> bool:
        """Say whether `localhost` may be named: the operator listed a loopback address."""
        return self.admits_address("127.0.0.1") or self.admits_address("::1")


def _is_in(address: IPv4Address | IPv6Address, blocks: Sequence[Block]) -> bool:
    return any(address.version == block.version and address in block for block in blocks)


def live_policy(
    *,
    allowed_networks: Sequence[str] = (),
    denied_networks: Sequence[str] = (),
    ports: Sequence[int] = (),
    schemes: Sequence[str] = ("https",),
) -> UrlPolicy:
    """Return the policy of a live deployment: https to port 443 of public hosts, and what the operator adds.

    Port 80 opens with the scheme `http`.

    Raises:
        Invalid: a block, port or scheme that is none.
    """
    usual = [HTTPS_PORT] + [HTTP_PORT] * ("http" in schemes)
    if not set(schemes) <= {"http", "https"}:
        raise Invalid("callback schemes are https and http", param="schemes")
    for port in ports:
        if not 0 < port < _HIGH_PORTS.stop:
            raise Invalid(f"{port} is no port", param="ports")
    return UrlPolicy(
        schemes=frozenset(schemes),
        ports=tuple(range(port, port + 1) for port in (*usual, *ports)),
        allowed_networks=parse_blocks(allowed_networks, param="allowed_networks"),
        denied_networks=parse_blocks(denied_networks, param="denied_networks"),
    )


def sandbox_policy(*, allowed_networks: Sequence[str] = LOOPBACK) -> UrlPolicy:
    """Return the policy of an all-in-one sandbox: http too, to loopback, on ports that need no privilege."""
    return UrlPolicy(
        schemes=frozenset({"http", "https"}),
        ports=(range(HTTP_PORT, HTTP_PORT + 1), range(HTTPS_PORT, HTTPS_PORT + 1), _HIGH_PORTS),
        allowed_networks=parse_blocks(allowed_networks, param="allowed_networks"),
    )


def parse_blocks(texts: Sequence[str], *, param: str) -> tuple[Block, ...]:
    """Parse address blocks such as `10.0.0.0/8` or `fd00::/8`.

    Raises:
        Invalid: one of them is no block.
    """
    try:
        return tuple(ip_network(text) for text in texts)
    except ValueError as error:
        raise Invalid(f"not an address block: {error}", param=param) from None
