"""The grammar of callback URLs and the vetting of addresses, without a network."""

import socket

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.webhooks.corpus import ADDRESSES, HOSTS, URLS

from bitlinkpay.core.errors import Invalid
from bitlinkpay.webhooks.model import ForbiddenUrl
from bitlinkpay.webhooks.policy import LOOPBACK, UrlPolicy, live_policy, sandbox_policy
from bitlinkpay.webhooks.urls import check_url, endpoint_of

settings.register_profile("patient", deadline=None)
settings.load_profile("patient")

LIVE = live_policy()
SANDBOX = sandbox_policy()


def test_the_corpus_is_large_enough():
    assert len(set(HOSTS)) >= 150


@pytest.mark.parametrize("host", HOSTS)
def test_WHK_01_forbidden_host_is_refused_in_every_spelling(host: str):
    for url in (f"https://{host}/callback", f"https://{host}:443/callback"):
        with pytest.raises(ForbiddenUrl):
            check_url(url, LIVE)


@pytest.mark.parametrize("text", ADDRESSES)
def test_WHK_01_forbidden_address_is_not_admitted_at_connect(text: str):
    assert not LIVE.admits_address(text)


def _resolved(text: str) -> set[str]:
    """What the C library makes of a spelling, without asking any name server."""
    try:
        found = socket.getaddrinfo(text, 443, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except (OSError, UnicodeError):
        return set()
    return {str(place[0]) for *_, place in found}


_PUBLIC_IN_OCTAL = {"0127.0.0.1", "02130706433"}  # some read 127.0.0.1, the C library 87.0.0.1: refused as unclear


@pytest.mark.parametrize("text", [text for text in ADDRESSES if text not in _PUBLIC_IN_OCTAL])
def test_WHK_01_what_the_resolver_makes_of_a_spelling_is_not_admitted(text: str):
    assert not any(LIVE.admits_address(address) for address in _resolved(text))


def test_WHK_01_the_resolver_does_read_the_odd_spellings():
    assert sum(bool(_resolved(text)) for text in ADDRESSES) > 100


@pytest.mark.parametrize("url", URLS)
def test_API_35_url_is_refused_at_creation(url: str):
    with pytest.raises(ForbiddenUrl) as caught:
        check_url(url, LIVE)
    assert caught.value.code == "callback_url.forbidden"
    assert caught.value.param == "callback_url"


@pytest.mark.parametrize("host", ["127.0.0.1", "10.1.2.3", "169.254.169.254", "[::1]", "[fd00::1]", "localhost"])
def test_API_35_private_hosts_are_refused_without_telling_more(host: str):
    with pytest.raises(ForbiddenUrl) as caught:
        check_url(f"https://{host}/", LIVE)
    assert host not in caught.value.message


@pytest.mark.parametrize(
    ("url", "stored"),
    [
        ("https://shop.example.com/cb", "https://shop.example.com/cb"),
        ("HTTPS://Shop.Example.COM/Cb?x=1&y=%2F", "https://shop.example.com/Cb?x=1&y=%2F"),
        ("https://shop.example.com", "https://shop.example.com/"),
        ("https://shop.example.com:443/cb", "https://shop.example.com/cb"),
        ("https://shop.example.com?token=a", "https://shop.example.com/?token=a"),
        ("https://shop.example.com/cb#part", "https://shop.example.com/cb"),
        ("https://8.8.8.8/cb", "https://8.8.8.8/cb"),
        ("https://[2606:4700:4700:0::1111]/cb", "https://[2606:4700:4700::1111]/cb"),
        ("https://xn--fiqs8s.example.com/", "https://xn--fiqs8s.example.com/"),  # 中国
        ("https://under_score.example.com/", "https://under_score.example.com/"),
        ("https://127.0.0.1.nip.example.com/", "https://127.0.0.1.nip.example.com/"),  # refused when it resolves
    ],
)
def test_public_urls_are_accepted_in_one_form(url: str, stored: str):
    assert check_url(url, LIVE) == stored
    assert check_url(stored, LIVE) == stored


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:9000/cb",
        "http://localhost:18080/",
        "http://[::1]:8000/",
        "https://127.0.0.1/",
        "http://shop.example.com/",
        "http://127.0.0.1:65535/",
    ],
)
def test_sandbox_sends_to_loopback_and_public_hosts(url: str):
    assert check_url(url, SANDBOX) == url


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:22/",
        "http://127.0.0.1:1023/",
        "http://10.0.0.1:9000/",
        "http://169.254.169.254/",
        "http://0.0.0.0:9000/",
        "ftp://127.0.0.1:9000/",
        "http://2130706433:9000/",
    ],
)
def test_API_35_sandbox_still_refuses_the_rest(url: str):
    with pytest.raises(ForbiddenUrl):
        check_url(url, SANDBOX)


def test_live_policy_admits_what_the_operator_lists():
    policy = live_policy(allowed_networks=["10.20.0.0/16"], ports=[8443], schemes=["https", "http"])
    assert check_url("https://10.20.1.1:8443/", policy)
    assert check_url("http://10.20.1.1/", policy)
    assert check_url("https://shop:8443/", policy)
    for url in ("https://10.21.0.1/", "https://127.0.0.1/", "https://10.20.1.1:8444/", "https://localhost/"):
        with pytest.raises(ForbiddenUrl):
            check_url(url, policy)


def test_denied_networks_win_over_allowed_ones():
    policy = live_policy(allowed_networks=LOOPBACK, denied_networks=["127.0.0.9/32", "198.41.0.0/24"])
    assert policy.admits_address("127.0.0.1")
    assert policy.admits_address("::ffff:127.0.0.1")
    assert not policy.admits_address("127.0.0.9")
    assert not policy.admits_address("::ffff:127.0.0.9")
    assert not policy.admits_address("198.41.0.4")
    assert LIVE.admits_address("198.41.0.4")


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: live_policy(allowed_networks=["10.0.0.1/8"]),
        lambda: live_policy(allowed_networks=["intranet"]),
        lambda: live_policy(ports=[0]),
        lambda: live_policy(ports=[65536]),
        lambda: live_policy(schemes=["gopher"]),
    ],
)
def test_wrong_configuration_is_refused_with_its_field(wrong):
    with pytest.raises(Invalid) as caught:
        wrong()
    assert caught.value.param in {"allowed_networks", "ports", "schemes"}


@given(st.text(max_size=80))
def test_any_text_is_a_url_or_refused(text: str):
    _accepts_or_refuses(text, LIVE)
    _accepts_or_refuses(f"https://{text}", LIVE)
    _accepts_or_refuses(f"http://{text}/", SANDBOX)


@given(st.ip_addresses())
def test_an_address_is_accepted_in_a_url_exactly_if_it_is_at_connect(address):
    host = f"[{address}]" if address.version == 6 else str(address)
    assert _accepts_or_refuses(f"https://{host}/", LIVE) == LIVE.admits_address(str(address))


def _accepts_or_refuses(url: str, policy: UrlPolicy) -> bool:
    try:
        stored = check_url(url, policy)
    except ForbiddenUrl:
        return False
    assert stored.isascii()
    assert check_url(stored, policy) == stored
    return True


@pytest.mark.parametrize(
    ("url", "endpoint"),
    [
        ("https://shop.example.com/a?b", "https://shop.example.com:443"),
        ("http://127.0.0.1:9000/", "http://127.0.0.1:9000"),
        ("http://[::1]/", "http://[::1]:80"),
    ],
)
def test_endpoint_is_scheme_host_and_port(url: str, endpoint: str):
    assert endpoint_of(url) == endpoint
