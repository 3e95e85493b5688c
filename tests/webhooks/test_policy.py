"""The edges of every special-purpose block of the IANA registries (RFC 6890 and its successors)."""

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitlinkpay.webhooks.policy import LOOPBACK, UrlPolicy, live_policy, sandbox_policy

settings.register_profile("patient", deadline=None)
settings.load_profile("patient")

LIVE = live_policy()

SPECIAL = [
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.31.196.0/24",
    "192.52.193.0/24",
    "192.88.99.0/24",
    "192.168.0.0/16",
    "192.175.48.0/24",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/4",
    "240.0.0.0/4",
    "::/128",
    "::1/128",
    "::ffff:0:0/104",
    "64:ff9b::/96",
    "64:ff9b:1::/48",
    "100::/64",
    "100:0:0:1::/64",
    "2001::/23",
    "2001:db8::/32",
    "2002::/16",
    "2620:4f:8000::/48",
    "3fff::/20",
    "5f00::/16",
    "fc00::/7",
    "fe80::/10",
    "fec0::/10",
    "ff00::/8",
]

OUTSIDE = [
    "1.0.0.0",
    "9.255.255.255",
    "11.0.0.0",
    "100.63.255.255",
    "100.128.0.0",
    "126.255.255.255",
    "128.0.0.0",
    "169.253.255.255",
    "169.255.0.0",
    "172.15.255.255",
    "172.32.0.0",
    "191.255.255.255",
    "192.0.1.0",
    "192.0.3.0",
    "192.167.255.255",
    "192.169.0.0",
    "198.17.255.255",
    "198.20.0.0",
    "203.0.112.255",
    "203.0.114.0",
    "223.255.255.255",
    "2001:200::",
    "2001:db7:ffff:ffff:ffff:ffff:ffff:ffff",
    "2001:db9::",
    "2003::",
    "2400:cb00::1",
    "2606:4700:4700::1111",
    "3ffe:ffff::",
]


@pytest.mark.parametrize("block", SPECIAL)
def test_WHK_01_both_ends_of_every_special_block_are_refused(block: str):
    network = ip_network(block)
    middle = network[network.num_addresses // 2]
    for address in (network[0], middle, network[-1]):
        assert not LIVE.admits_address(str(address)), address
        if isinstance(address, IPv4Address):
            assert not LIVE.admits_address(f"::ffff:{address}")


@pytest.mark.parametrize("address", OUTSIDE)
def test_their_public_neighbours_are_admitted(address: str):
    assert LIVE.admits_address(address)
    if isinstance(ip_address(address), IPv4Address):
        assert LIVE.admits_address(f"::ffff:{address}")


@given(st.ip_addresses(v=6))
def test_WHK_01_ipv6_outside_of_global_unicast_is_refused(address: IPv6Address):
    if address not in ip_network("2000::/3") and address.ipv4_mapped is None:
        assert not LIVE.admits_address(str(address))


@given(st.ip_addresses(), st.sampled_from([LIVE, sandbox_policy(), live_policy(allowed_networks=["10.0.0.0/8"])]))
def test_what_is_admitted_is_listed_or_public(address: IPv4Address | IPv6Address, policy: UrlPolicy):
    if policy.admits_address(str(address)):
        plain = getattr(address, "ipv4_mapped", None) or address
        is_listed = any(plain.version == block.version and plain in block for block in policy.allowed_networks)
        assert is_listed or (plain.is_global and not plain.is_multicast)


@given(st.text(max_size=50))
def test_what_is_no_address_is_not_admitted(text: str):
    try:
        ip_address(text)
    except ValueError:
        assert not LIVE.admits_address(text)


@pytest.mark.parametrize("port", [22, 25, 80, 445, 1023, 3306, 5432, 6379, 8080, 9200, 11211, 65535])
def test_API_35_live_speaks_to_443_only(port: int):
    assert not LIVE.admits_port(port)
    assert LIVE.admits_port(443)


def test_API_35_sandbox_keeps_away_from_privileged_ports_but_the_two_of_the_web():
    sandbox = sandbox_policy()
    assert [port for port in range(65_600) if port < 1024 and sandbox.admits_port(port)] == [80, 443]
    assert sandbox.admits_port(1024)
    assert sandbox.admits_port(65_535)
    assert not sandbox.admits_port(65_536)


def test_loopback_is_local_only_where_it_is_listed():
    assert not LIVE.is_local
    assert sandbox_policy().is_local
    assert live_policy(allowed_networks=LOOPBACK).is_local
    assert not live_policy(allowed_networks=["10.0.0.0/8"]).is_local
