"""Endpoints that are asked by two ways."""

import pytest

from bitlinkpay.chains.transport import Endpoint, endpoints_of, fewest_operators
from bitlinkpay.core.errors import Invalid

AWAY = "http://elsewhere.example:3128"


def test_each_way_counts_once_and_is_told_apart() -> None:
    urls = ["https://one.example/KEY", "https://two.example/KEY"]
    found = endpoints_of(urls, "http://user:secret@elsewhere.example:3128")
    assert [(one.url, bool(one.egress)) for one in found] == [(url, way) for url in urls for way in (False, True)]
    assert len({one.party for one in found}) == 4
    assert [one.label for one in found][:2] == ["https://one.example", "https://one.example by the second way"]
    assert "secret" not in repr(found)
    assert "elsewhere" not in "".join(one.label + one.party for one in found)
    assert [one.egress for one in endpoints_of(urls, "")] == ["", ""]


@pytest.mark.parametrize("egress", ["elsewhere:3128", "socks5://elsewhere:1080", "http://", "http://host:0"])
def test_an_egress_that_is_no_http_proxy_is_refused(egress: str) -> None:
    with pytest.raises(Invalid, match="an egress is the http or https URL of a proxy"):
        Endpoint("https://one.example", egress=egress)


@pytest.mark.parametrize(("egress", "votes", "operators"), [("", 1, 1), ("", 2, 2), (AWAY, 2, 1), (AWAY, 4, 2)])
def test_who_is_asked_by_two_ways_is_one_operator_all_the_same(egress: str, votes: int, operators: int) -> None:
    endpoints = endpoints_of(["https://one.example", "https://two.example"], egress)
    assert fewest_operators(endpoints, votes) == operators
