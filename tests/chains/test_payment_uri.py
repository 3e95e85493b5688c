"""Payment URIs and QR contents: exact texts per network, and nothing that a caller smuggles in."""

from urllib.parse import parse_qsl, urlsplit

import pytest
import segno
from hypothesis import given, settings
from hypothesis import strategies as st
from pytoniq_core import Address as TonAddress

from bitlinkpay.chains.payment_uri import payment_uri, qr_content
from bitlinkpay.chains.registry import load_registry
from bitlinkpay.core.errors import Invalid

settings.register_profile("patient", deadline=None)
settings.load_profile("patient")

REGISTRY = load_registry()
EVM_ADDRESS = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"
TRON_ADDRESS = "TNPeeaaFB7K9cmo4uQpcU32zGK8G1NYqeL"
BITCOIN_ADDRESS = "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4"
SOLANA_ADDRESS = "9WzDXwBbmkg8ZTbNMqUxvQRAyrZzDsGYdLVL9zYtAWWM"
TON_ADDRESS = "0:" + "12" * 32
TON_SHOWN = TonAddress(TON_ADDRESS).to_str(is_bounceable=False)
USDT_MASTER = "EQCxE6mUtQJKFnGfaROTKOt1lZbDiiX1kCixRv7Nw2Id_sDs"

ADDRESSES = {
    "tron": TRON_ADDRESS,
    "ton": TON_ADDRESS,
    "ethereum": EVM_ADDRESS,
    "bsc": EVM_ADDRESS,
    "polygon": EVM_ADDRESS,
    "arbitrum": EVM_ADDRESS,
    "solana": SOLANA_ADDRESS,
    "bitcoin": BITCOIN_ADDRESS,
}


def uri_of(asset_id: str, units: int, *, tag: str = "") -> str:
    asset = REGISTRY.asset(asset_id)
    return payment_uri(REGISTRY.network(asset.network), asset, ADDRESSES[asset.network], tag, units)


@pytest.mark.parametrize(
    ("asset_id", "units", "tag", "uri"),
    [
        ("eth-ethereum", 10**18 + 1, "", f"ethereum:{EVM_ADDRESS}@1?value=1000000000000000001"),
        ("eth-arbitrum", 5, "", f"ethereum:{EVM_ADDRESS}@42161?value=5"),
        ("bnb-bsc", 10**16, "", f"ethereum:{EVM_ADDRESS}@56?value=10000000000000000"),
        (
            "usdt-ethereum",
            12_500_000,
            "",
            f"ethereum:0xdAC17F958D2ee523a2206206994597C13D831ec7@1/transfer?address={EVM_ADDRESS}&uint256=12500000",
        ),
        (
            "usdt-bsc",
            10**18,
            "",
            f"ethereum:0x55d398326f99059fF775485246999027B3197955@56/transfer?address={EVM_ADDRESS}&uint256={10**18}",
        ),
        ("btc-bitcoin", 1, "", f"bitcoin:{BITCOIN_ADDRESS}?amount=0.00000001"),
        ("btc-bitcoin", 150_000_000, "", f"bitcoin:{BITCOIN_ADDRESS}?amount=1.5"),
        ("sol-solana", 1_000_000_000, "", f"solana:{SOLANA_ADDRESS}?amount=1"),
        (
            "usdt-solana",
            10_000,
            "",
            f"solana:{SOLANA_ADDRESS}?amount=0.01&spl-token=Es9vMFrzaCERmJfrF4H2FYD4KCoNkY11McCe8BenwNYB",
        ),
        ("ton-ton", 10**9, "10028849", f"ton://transfer/{TON_SHOWN}?amount=1000000000&text=10028849"),
        (
            "usdt-ton",
            7_000_000,
            "10028849",
            f"ton://transfer/{TON_SHOWN}?jetton={USDT_MASTER}&amount=7000000&text=10028849",
        ),
        ("trx-tron", 1_500_000, "", f"tron:{TRON_ADDRESS}?amount=1.5"),
        ("usdt-tron", 10_000_000, "", f"tron:{TRON_ADDRESS}?amount=10&token=TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t"),
    ],
)
def test_exact_uris(asset_id: str, units: int, tag: str, uri: str) -> None:
    assert uri_of(asset_id, units, tag=tag) == uri


@pytest.mark.parametrize("asset", REGISTRY.assets.values(), ids=lambda asset: asset.id)
def test_qr_of_every_asset_fits_a_small_code(asset) -> None:
    network = REGISTRY.network(asset.network)
    tag = "10028849" if network.id == "ton" else ""
    content = qr_content(network, asset, ADDRESSES[network.id], tag, 123_456_789)
    assert content.uri == payment_uri(network, asset, ADDRESSES[network.id], tag, 123_456_789)
    assert segno.make(content.text, error="m").version <= 12
    if network.family in {"evm", "tron"}:  # exchange apps read nothing but the bare address
        assert content.text == content.address == ADDRESSES[network.id]
        assert not content.is_uri
    else:
        assert content.is_uri
    if network.id == "ton":
        assert content.address == "", "an address without its tag sends the money astray"
        assert "text=10028849" in content.text


def test_bitcoin_qr_is_upper_case_where_the_address_allows_it() -> None:
    network, asset = REGISTRY.network("bitcoin"), REGISTRY.asset("btc-bitcoin")
    content = qr_content(network, asset, BITCOIN_ADDRESS, "", 150_000)
    assert content.text == f"BITCOIN:{BITCOIN_ADDRESS.upper()}?amount=0.0015"
    assert content.address == BITCOIN_ADDRESS
    older = "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa"
    assert qr_content(network, asset, older, "", 150_000).text == f"bitcoin:{older}?amount=0.0015"


@pytest.mark.parametrize(
    ("asset_id", "address", "tag", "units", "param"),
    [
        ("usdt-ton", TON_ADDRESS, "1&amount=1", 5, "tag"),
        ("usdt-ton", TON_ADDRESS, "1#x", 5, "tag"),
        ("usdt-ton", TON_ADDRESS, "1\n2", 5, "tag"),
        ("usdt-ton", TON_ADDRESS, "\u202e12345678", 5, "tag"),
        ("usdt-ton", TON_ADDRESS, "١٢٣٤٥٦٧٨", 5, "tag"),
        ("usdt-ton", TON_ADDRESS, "1" * 65, 5, "tag"),
        ("usdt-ton", TON_SHOWN, "10028849", 5, "address"),  # not canonical
        ("usdt-ton", TON_ADDRESS + "?amount=9", "10028849", 5, "address"),
        ("usdt-tron", TRON_ADDRESS, "10028849", 5, "tag"),  # TRON carries none
        ("usdt-tron", TRON_ADDRESS + "?amount=9", "", 5, "address"),
        ("usdt-ethereum", EVM_ADDRESS.lower(), "", 5, "address"),
        ("usdt-ethereum", EVM_ADDRESS + "&uint256=9", "", 5, "address"),
        ("btc-bitcoin", BITCOIN_ADDRESS.upper(), "", 5, "address"),
        ("btc-bitcoin", TRON_ADDRESS, "", 5, "address"),
        ("sol-solana", SOLANA_ADDRESS + "&amount=9", "", 5, "address"),
        ("sol-solana", SOLANA_ADDRESS, "", 0, "amount"),
        ("sol-solana", SOLANA_ADDRESS, "", -5, "amount"),
        ("usdt-ethereum", EVM_ADDRESS, "", 2**256, "amount"),
    ],
)
def test_WEB_29_nothing_is_smuggled_into_a_uri(asset_id: str, address: str, tag: str, units: int, param: str) -> None:
    asset = REGISTRY.asset(asset_id)
    network = REGISTRY.network(asset.network)
    for make in (payment_uri, qr_content):
        with pytest.raises(Invalid) as caught:
            make(network, asset, address, tag, units)
        assert caught.value.param == param


def test_WEB_29_asset_and_network_belong_together() -> None:
    with pytest.raises(Invalid):
        payment_uri(REGISTRY.network("polygon"), REGISTRY.asset("usdt-ethereum"), EVM_ADDRESS, "", 5)


@given(tag=st.text(max_size=80), units=st.integers(1, 2**200))
def test_WEB_29_a_ton_uri_says_its_tag_and_amount_once_or_is_refused(tag: str, units: int) -> None:
    try:
        uri = uri_of("ton-ton", units, tag=tag)
    except Invalid:
        return
    parts = urlsplit(uri)
    assert (parts.scheme, parts.netloc, parts.path, parts.fragment) == ("ton", "transfer", f"/{TON_SHOWN}", "")
    expected = [("amount", str(units)), ("text", tag)] if tag else [("amount", str(units))]
    assert parse_qsl(parts.query, keep_blank_values=True, strict_parsing=True) == expected


@given(units=st.integers(1, 2**256 - 1), asset_id=st.sampled_from(sorted(REGISTRY.assets)))
def test_no_digit_is_lost_in_any_uri(units: int, asset_id: str) -> None:
    uri = uri_of(asset_id, units)
    query = dict(parse_qsl(uri.partition("?")[2], strict_parsing=True))
    asset = REGISTRY.asset(asset_id)
    if "amount" in query and asset.network != "ton":
        whole, _, fraction = query["amount"].partition(".")
        assert int(whole + fraction.ljust(asset.decimals, "0")) == units
        assert "e" not in query["amount"].lower()
    else:
        assert int(query.get("uint256") or query.get("value") or query["amount"]) == units
