"""Scripts and addresses of the BIPs' own vectors, and scripts that only resemble them."""

import pytest

from bitlinkpay.chains.bitcoin.script import address_of, prefixes_of, script_of
from bitlinkpay.chains.codec.bitcoin import MAIN, TEST, Prefixes
from bitlinkpay.chains.registry import load_registry
from bitlinkpay.core.errors import Invalid

PROGRAM = "000000c4a5cad46221b2a187905e5266362b99d5e91c6ce24d165dab93e86433"
VECTORS = [
    # BIP-173, "Test vectors"
    ("bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4", MAIN, "0014751e76e8199196d454941c45d1b3a323f1433bd6"),
    (
        "tb1qrp33g0q5c5txsp9arysrx4k6zdkfs4nce4xj0gdcccefvpysxf3q0sl5k7",
        TEST,
        "00201863143c14c5166804bd19203356da136c985678cd4d27a1b8c6329604903262",
    ),
    ("tb1qqqqqp399et2xygdj5xreqhjjvcmzhxw4aywxecjdzew6hylgvsesrxh6hy", TEST, "0020" + PROGRAM),
    # BIP-350, "Test vectors for v1+ native segregated witness addresses"
    ("tb1pqqqqp399et2xygdj5xreqhjjvcmzhxw4aywxecjdzew6hylgvsesf3hn0c", TEST, "5120" + PROGRAM),
    (
        "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0",
        MAIN,
        "512079be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798",
    ),
    # BIP-86, first receiving address
    (
        "bc1p5cyxnuxmeuwuvkwfem96lqzszd02n6xdcjrs20cac6yqjjwudpxqkedrcr",
        MAIN,
        "5120a60869f0dbcf1dc659c9cecbaf8050135ea9e8cdc487053f1dc6880949dc684c",
    ),
    # BIP-49, first receiving address
    ("2Mww8dCYPUpKHofjgcXcBCEGmniw9CoaiD2", TEST, "a914336caa13e08b96080a32b5d818d59b4ab3b3674287"),
    # the coinbase of block 0, in the form of its address
    ("1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa", MAIN, "76a91462e907b15cbf27d5425399ebf6f0fb50ebb88f1888ac"),
]
vectors = pytest.mark.parametrize(("address", "prefixes", "script"), VECTORS)


@vectors
def test_published_addresses_stand_for_their_published_scripts(address: str, prefixes: Prefixes, script: str) -> None:
    assert script_of(address, prefixes).hex() == script
    assert address_of(bytes.fromhex(script), prefixes) == address


@vectors
def test_an_address_of_one_chain_is_none_on_the_other(address: str, prefixes: Prefixes, script: str) -> None:
    other = TEST if prefixes is MAIN else MAIN
    with pytest.raises(Invalid):
        script_of(address, other)
    assert address_of(bytes.fromhex(script), other) != address


@vectors
def test_a_script_with_a_byte_more_or_less_has_no_address(address: str, prefixes: Prefixes, script: str) -> None:
    raw = bytes.fromhex(script)
    for other in (raw[:-1], raw[1:], raw + b"\x51", b"\x51" + raw):
        assert address_of(other, prefixes) == ""


@pytest.mark.parametrize(
    "script",
    [
        "",
        "6a" + "14" + "00" * 20,  # RETURN
        "0014" + "00" * 19,
        "0020" + "00" * 20,
        "5114" + "00" * 20,  # a witness of version 1 with 20 bytes: nobody's rule
        "5220" + "00" * 32,  # version 2: anybody may spend it
        "51024e73",  # P2A (Bitcoin Core 28)
        "21" + "02" * 33 + "ac",  # P2PK: a key and no address
        "76a914" + "00" * 20 + "88ad",  # CHECKSIGVERIFY
        "a914" + "00" * 20 + "88",  # EQUALVERIFY
        "a814" + "00" * 20 + "87",  # SHA256
    ],
)
def test_what_only_resembles_a_standard_script_pays_nobody(script: str) -> None:
    assert address_of(bytes.fromhex(script), MAIN) == address_of(bytes.fromhex(script), TEST) == ""


@pytest.mark.parametrize(
    "address",
    [
        "bc1p38j9r5y49hruaue7wxjce0updqjuyyx0kh56v8s25huc6995vvpql3jow4",  # BIP-350: a letter that bech32 lacks
        "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqh2y7hd",  # BIP-350: bech32 instead of bech32m
        "BC1QR508D6QEJXTDG4Y5R3ZARVARYV98GJ9P",  # BIP-173: a program of 16 bytes
        "bc1pw508d6qejxtdg4y5r3zarvary0c5xw7kw508d6qejxtdg4y5r3zarvary0c5xw7kt5nd6y",  # BIP-350: 40 bytes
        "BC1SW50QGDZ25J",  # BIP-350: version 16
    ],
)
def test_addresses_that_the_bips_refuse_or_nobody_uses_have_no_script(address: str) -> None:
    with pytest.raises(Invalid):
        script_of(address, MAIN)


def test_the_registry_s_networks_have_their_prefixes() -> None:
    for network in load_registry().networks.values():
        if network.family == "bitcoin":
            assert prefixes_of(network) is (TEST if network.testnet else MAIN)
