"""Which networks a deployment reads, from its settings alone."""

import pytest

from bitlinkpay.app.networks import load_networks
from bitlinkpay.core.errors import Invalid
from bitlinkpay.core.mode import Mode
from bitlinkpay.settings import NetworkSettings, Settings

ONE, SAME, OTHER = "https://rpc.one.example/KEY", "https://rpc.one.example/OTHER", "https://rpc.two.example/KEY"


def live(tmp_path, **networks: NetworkSettings) -> Settings:
    return Settings(tmp_path, mode=Mode.LIVE, networks=networks)


def test_a_quorum_without_its_hosts_names_its_network_and_hides_the_urls(tmp_path):
    bad = NetworkSettings(endpoints=(ONE, SAME), quorum=2)
    with pytest.raises(Invalid) as caught:
        load_networks(live(tmp_path, tron=NetworkSettings(endpoints=(ONE,)), ethereum=bad))
    assert caught.value.message == "networks.ethereum: quorum is 2, and endpoints names 1 hosts; name more"


def test_as_many_hosts_as_the_quorum_are_enough(tmp_path):
    registry = load_networks(live(tmp_path, ethereum=NetworkSettings(endpoints=(ONE, SAME, OTHER), quorum=2)))
    assert list(registry.networks) == ["ethereum"]


def test_a_sandbox_asks_no_endpoint_and_minds_no_quorum(tmp_path):
    alone = NetworkSettings(endpoints=(ONE,), quorum=2)
    assert len(load_networks(Settings(tmp_path, networks={"ethereum": alone})).networks) == 8


def test_a_network_that_nobody_knows_is_named(tmp_path):
    with pytest.raises(Invalid, match="unknown networks: etherium"):
        load_networks(live(tmp_path, etherium=NetworkSettings(endpoints=(ONE,))))
