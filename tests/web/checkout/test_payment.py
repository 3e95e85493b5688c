"""The codes of one order: the usual one first, the payer's choice marked, and none where the encoder refuses."""

import logging
from gettext import NullTranslations

import pytest
from tests.web.checkout.shop import ADDRESSES, REGISTRY

from bitlinkpay.chains.address import show_address
from bitlinkpay.core.assets import Family
from bitlinkpay.web.checkout.language import Language, catalogue
from bitlinkpay.web.checkout.payment import ADDRESS, NO_CODES, REQUEST, Codes, codes_of

TAG = "10028849"
ENGLISH = catalogue(Language.ENGLISH)


def codes(asset_id: str, *, asked: str = "", units: int = 10_000_000, t: NullTranslations = ENGLISH) -> Codes:
    asset = REGISTRY.assets[asset_id]
    network = REGISTRY.networks[asset.network]
    tag = TAG if network.family is Family.TON else ""
    address = show_address(network, ADDRESSES[network.family])
    return codes_of(network, asset, address=address, tag=tag, units=units, t=t, asked=asked)


@pytest.mark.parametrize(
    ("asset_id", "keys"),
    [
        ("usdt-tron", [ADDRESS, REQUEST]),
        ("usdt-ethereum", [ADDRESS, REQUEST]),
        ("bnb-bsc", [ADDRESS, REQUEST]),
        ("btc-bitcoin", [REQUEST, ADDRESS]),
        ("usdt-solana", [REQUEST, ADDRESS]),
        ("usdt-ton", [REQUEST]),
    ],
)
def test_the_usual_code_of_each_network_comes_first_and_is_chosen(asset_id: str, keys: list[str]) -> None:
    found = codes(asset_id)
    assert [choice.key for choice in found.choices] == keys
    assert [choice.is_chosen for choice in found.choices] == [True, False][: len(keys)]


def test_a_payer_s_choice_is_marked_and_the_order_stays() -> None:
    found = codes("usdt-tron", asked=REQUEST)
    assert [(choice.key, choice.is_chosen) for choice in found.choices] == [(ADDRESS, False), (REQUEST, True)]


@pytest.mark.parametrize("asked", ["", "nonsense", "ADDRESS", "<script>"])
def test_an_unknown_choice_is_the_usual_one(asked: str) -> None:
    assert codes("usdt-tron", asked=asked) == codes("usdt-tron")


def test_on_ton_nobody_can_choose_an_address_without_its_tag() -> None:
    found = codes("usdt-ton", asked=ADDRESS)
    assert [(choice.key, choice.is_chosen) for choice in found.choices] == [(REQUEST, True)]
    assert f"text={TAG}" in found.wallet_uri


@pytest.mark.parametrize("asset_id", ["usdt-tron", "btc-bitcoin", "sol-solana", "eth-ethereum"])
def test_the_two_codes_of_an_order_differ_and_only_one_of_them_knows_the_amount(asset_id: str) -> None:
    one, other = (
        {choice.key: choice.svg for choice in codes(asset_id, units=units).choices}
        for units in (10_000_000, 20_000_000)
    )
    assert one[ADDRESS] == other[ADDRESS]
    assert one[REQUEST] != other[REQUEST]
    assert one[ADDRESS] != one[REQUEST]


def test_the_wallet_s_link_asks_for_what_is_still_to_be_sent() -> None:
    assert "amount=1.5" in codes("usdt-tron", units=1_500_000).wallet_uri
    assert codes("btc-bitcoin", units=150_000_000).wallet_uri == f"bitcoin:{ADDRESSES[Family.BITCOIN]}?amount=1.5"


@pytest.mark.parametrize("units", [0, -1, 2**256])
def test_what_the_encoder_refuses_has_no_code_and_is_logged(units: int, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        assert codes("usdt-tron", units=units) is NO_CODES
    assert "no payment URI for an order on tron" in caplog.text


@pytest.mark.parametrize("address", ["", "nonsense", ADDRESSES[Family.EVM]])
def test_an_address_of_another_network_has_no_code(address: str) -> None:
    asset = REGISTRY.assets["usdt-tron"]
    network = REGISTRY.networks["tron"]
    assert codes_of(network, asset, address=address, tag="", units=5, t=ENGLISH, asked="") is NO_CODES


def test_labels_are_in_the_payer_s_language_and_codes_are_not() -> None:
    one, other = codes("usdt-tron"), codes("usdt-tron", t=catalogue(Language.SIMPLIFIED))
    assert [choice.label for choice in one.choices] == ["Address only", "With amount"]
    assert not {choice.label for choice in one.choices} & {choice.label for choice in other.choices}
    assert [choice.svg for choice in one.choices] == [choice.svg for choice in other.choices]


def test_a_code_is_a_drawing_without_any_script() -> None:
    for choice in codes("usdt-ton").choices:
        assert choice.svg.startswith("<svg")
        assert "script" not in choice.svg
