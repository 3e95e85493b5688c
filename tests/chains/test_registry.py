"""The registry: what ships, how an operator's file changes it, and what a wrong row is told."""

from datetime import timedelta
from pathlib import Path

import pytest

from bitlinkpay.chains.address import parse_address
from bitlinkpay.chains.registry import BUILT_IN, UnknownAsset, UnknownNetwork, load_registry
from bitlinkpay.chains.registry_rows import BadRegistry, Endpoints
from bitlinkpay.core.assets import Agreement, Depth, Family
from bitlinkpay.core.errors import Kind

REGISTRY = load_registry()

# PRODUCT.md, "Coins and networks", and PROTOCOL.md, "Ids": (wm chain, wm coin) -> asset, base-unit digits, payable digits
PROMISED = {
    (1, 1): ("usdt-tron", 6, 6),
    (3, 1): ("usdt-ethereum", 6, 6),
    (4, 1): ("usdt-bsc", 18, 6),
    (2, 1): ("usdt-ton", 6, 6),
    (7, 1): ("usdt-solana", 6, 6),
    (5, 1): ("usdt-polygon", 6, 6),
    (6, 1): ("usdt-arbitrum", 6, 6),
    (3, 4): ("eth-ethereum", 18, 8),
    (6, 4): ("eth-arbitrum", 18, 8),
    (8, 6): ("btc-bitcoin", 8, 8),
    (4, 5): ("bnb-bsc", 18, 8),
    (1, 2): ("trx-tron", 6, 6),
    (2, 3): ("ton-ton", 9, 8),
    (7, 7): ("sol-solana", 9, 8),
    (5, 8): ("pol-polygon", 18, 8),
}


def write(tmp_path: Path, text: str, name: str = "own.toml") -> Path:
    path = tmp_path / name
    path.write_text(text)
    return path


def refusal(tmp_path: Path, text: str) -> BadRegistry:
    with pytest.raises(BadRegistry) as caught:
        load_registry(write(tmp_path, text))
    assert caught.value.kind is Kind.INVALID
    assert caught.value.message.startswith("own.toml: "), caught.value.message
    return caught.value


def test_every_promised_asset_is_there_and_no_other() -> None:
    found = {
        (REGISTRY.networks[a.network].wm_chain_id, a.wm_coin_id): (a.id, a.decimals, a.payable_decimals)
        for a in REGISTRY.assets.values()
    }
    assert found == PROMISED
    for (chain, coin), (asset_id, _, _) in PROMISED.items():
        asset = REGISTRY.asset_by_wm(chain, coin)
        assert asset is not None
        assert asset.id == asset_id


def test_API_30_an_unlisted_wm_pair_is_no_asset() -> None:
    assert REGISTRY.asset_by_wm(8, 1) is None
    assert REGISTRY.asset_by_wm(0, 0) is None
    assert REGISTRY.asset_by_wm(99, 1) is None


def test_gas_coins_are_not_payable_by_default() -> None:
    assert [a.id for a in REGISTRY.assets.values() if not a.payable] == ["sol-solana", "pol-polygon"]


@pytest.mark.parametrize("network", REGISTRY.networks.values(), ids=lambda network: network.id)
def test_each_network_row_is_whole(network) -> None:
    assert network.genesis, "a live network without a genesis hash can't prove which chain it is"
    assert network.block_time > timedelta(0)
    assert not network.testnet
    assert network.sandbox_lag >= 1
    assert REGISTRY.native(network.id).is_native
    assert REGISTRY.native(network.id) in REGISTRY.assets_of(network.id)
    assert (network.chain_id > 0) == (network.family is Family.EVM)


@pytest.mark.parametrize("asset", REGISTRY.assets.values(), ids=lambda asset: asset.id)
def test_each_asset_row_is_whole(asset) -> None:
    assert asset.id == f"{asset.symbol.lower()}-{asset.network}"
    assert 0 < asset.minimum_units < asset.sanity_units
    # what an order may ask for at least is never below what is booked
    assert asset.minimum_units % 10 ** (asset.decimals - asset.payable_decimals) == 0
    if asset.contract:
        assert parse_address(REGISTRY.networks[asset.network], asset.contract) == asset.contract
        assert asset.standard


def test_tokens_are_the_issuers_own_contracts() -> None:
    """EVM-02, TRX-04, SOL-03, TON-04 begin here: these texts decide what is USDT."""
    contracts = {a.network: a.contract for a in REGISTRY.by_symbol("USDT")}
    assert contracts == {
        "tron": "TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t",
        "ethereum": "0xdAC17F958D2ee523a2206206994597C13D831ec7",
        "bsc": "0x55d398326f99059fF775485246999027B3197955",
        "ton": "0:b113a994b5024a16719f69139328eb759596c38a25f59028b146fecdc3621dfe",
        "solana": "Es9vMFrzaCERmJfrF4H2FYD4KCoNkY11McCe8BenwNYB",
        "polygon": "0xc2132D05D31c914a87C6611C10748AEb04B58e8F",
        "arbitrum": "0xFd086bC7CD5C481DCC9C85ebE478A1C0b69FCbb9",
    }


def test_ton_is_found_by_both_tickers_and_shown_by_its_new_name() -> None:
    (by_wire_name,) = REGISTRY.by_symbol("TON")
    assert REGISTRY.by_symbol("gram") == (by_wire_name,)
    assert by_wire_name.symbol == "TON"
    assert by_wire_name.ticker == "GRAM (TON)"
    assert REGISTRY.asset("usdt-ton").ticker == "USDT"
    assert REGISTRY.by_symbol("DOGE") == ()


def test_bitcoin_lag_follows_its_confirmations() -> None:
    assert REGISTRY.network("bitcoin").sandbox_lag == REGISTRY.network("bitcoin").confirmations - 1


def test_unknown_names_are_told_the_known_ones() -> None:
    with pytest.raises(UnknownNetwork, match="tron"):
        REGISTRY.network("dogecoin")
    with pytest.raises(UnknownAsset, match="usdt-tron"):
        REGISTRY.asset("doge-dogecoin")
    with pytest.raises(UnknownNetwork):
        REGISTRY.native("dogecoin")


def test_a_token_is_one_row(tmp_path: Path) -> None:
    row = """
        [assets.usdc-ethereum]
        symbol = "USDC"
        network = "ethereum"
        standard = "ERC20"
        contract = "0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48"
        decimals = 6
        payable_decimals = 6
        wm_coin_id = 9
        minimum = "0.01"
        sanity = "1000000"
    """
    registry = load_registry(write(tmp_path, row))
    asset = registry.asset("usdc-ethereum")
    assert asset == registry.asset_by_wm(3, 9)
    assert (asset.minimum_units, asset.sanity_units) == (10_000, 10**12)
    assert len(registry.assets) == len(REGISTRY.assets) + 1


def test_a_network_is_one_row_beside_its_coin(tmp_path: Path) -> None:
    rows = """
        [networks.base]
        title = "Base"
        family = "evm"
        chain_id = 8453
        wm_chain_id = 9
        block_time_ms = 2000
        final_after_s = 1200
        grace_s = 10

        [assets.eth-base]
        symbol = "ETH"
        network = "base"
        decimals = 18
        payable_decimals = 8
        wm_coin_id = 4
        minimum = "0.00001"
        sanity = "5000"
    """
    registry = load_registry(write(tmp_path, rows))
    assert registry.network("base").chain_id == 8453
    assert registry.native("base").id == "eth-base"
    assert [a.network for a in registry.by_symbol("ETH")] == ["ethereum", "arbitrum", "base"]


def test_an_override_changes_single_fields(tmp_path: Path) -> None:
    first = write(tmp_path, '[assets.sol-solana]\npayable = true\n[assets.ton-ton]\ntitle = "GRAM"\n', "first.toml")
    second = write(
        tmp_path, '[assets.sol-solana]\nminimum = "0.01"\n[networks.ethereum]\ngrace_s = 60\n', "second.toml"
    )
    registry = load_registry(first, second)
    assert registry.asset("sol-solana").payable
    assert registry.asset("sol-solana").minimum_units == 10_000_000
    assert registry.asset("ton-ton").ticker == "GRAM"
    assert registry.network("ethereum").grace == timedelta(seconds=60)
    assert registry.network("ethereum").genesis == REGISTRY.network("ethereum").genesis
    assert registry.asset("usdt-ethereum") == REGISTRY.asset("usdt-ethereum")


DEVNET = """
    [networks.ethereum]
    chain_id = 31337
    endpoints = ["http://127.0.0.1:8545", "http://127.0.0.1:8546"]
    quorum = 2
"""


def test_EVM_21_another_chain_id_takes_nothing_over_from_mainnet(tmp_path: Path) -> None:
    registry = load_registry(write(tmp_path, DEVNET))
    assert registry.network("ethereum").chain_id == 31337
    assert registry.network("ethereum").genesis == ""
    assert "usdt-ethereum" not in registry.assets, "a mainnet token contract on a devnet is somebody else's code"
    assert registry.native("ethereum").id == "eth-ethereum"
    assert "usdt-bsc" in registry.assets
    assert registry.endpoints["ethereum"] == Endpoints(("http://127.0.0.1:8545", "http://127.0.0.1:8546"), 2)


def test_chains_whose_blocks_cannot_be_recomputed_say_so_and_a_devnet_in_their_place_does_not(tmp_path: Path) -> None:
    compared = {name for name, network in REGISTRY.networks.items() if network.proof == "compared"}
    assert compared == {"polygon", "arbitrum"}
    devnet = "[networks.polygon]\nchain_id = 31338\n"
    assert load_registry(write(tmp_path, devnet)).network("polygon").proof == "recomputed"
    stated = devnet + 'proof = "compared"\n'
    assert load_registry(write(tmp_path, stated)).network("polygon").proof == "compared"
    assert "proof" in refusal(tmp_path, '[networks.polygon]\nproof = "believed"\n').message


def test_a_devnet_names_its_own_token(tmp_path: Path) -> None:
    token = '[assets.usdt-ethereum]\ncontract = "0x5FbDB2315678afecb367f032d93F642f64180aa3"\n'
    registry = load_registry(write(tmp_path, DEVNET + token))
    asset = registry.asset("usdt-ethereum")
    assert asset.contract == "0x5FbDB2315678afecb367f032d93F642f64180aa3"
    assert (asset.decimals, asset.wm_coin_id) == (6, 1)


def test_a_devnet_token_touched_without_its_contract_is_refused(tmp_path: Path) -> None:
    error = refusal(tmp_path, DEVNET + '[assets.usdt-ethereum]\nminimum = "1"\n')
    assert "[assets.usdt-ethereum]" in error.message
    assert "`contract`" in error.message


TOKEN = {
    "symbol": '"USDC"',
    "network": '"ethereum"',
    "standard": '"ERC20"',
    "contract": '"0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48"',
    "decimals": "6",
    "payable_decimals": "6",
    "wm_coin_id": "9",
    "minimum": '"0.01"',
    "sanity": '"1000000"',
}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"contract": '"0xa0b86991c6218b36c1d19d4a2e9eb0ce3606eb48"'}, "0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48"),
        ({"contract": '"0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB49"'}, "checksum"),
        ({"contract": '"TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t"'}, "`contract`"),
        ({"contract": '"0xdAC17F958D2ee523a2206206994597C13D831ec7"'}, "[assets.usdt-ethereum]"),  # EVM-23
        ({"contract": None}, "`contract`"),
        ({"standard": None}, "`standard`"),
        ({"contract": None, "standard": None}, "exactly one"),  # a second native coin
        ({"decimals": "31"}, "`decimals`"),
        ({"decimals": "-1"}, "`decimals`"),
        ({"decimals": '"6"'}, "`decimals`"),
        ({"decimals": "6.0"}, "`decimals`"),
        ({"decimals": "true"}, "`decimals`"),
        ({"decimals": None}, "`decimals`"),
        ({"payable_decimals": "7"}, "`payable_decimals` 7 is more than `decimals` 6"),
        ({"wm_coin_id": "1"}, "`wm_coin_id` 1"),  # USDT's, on the same network
        ({"wm_coin_id": "6"}, "BTC"),  # another coin's, elsewhere
        ({"wm_coin_id": "0"}, "`wm_coin_id`"),
        ({"symbol": '"usdc"'}, "upper-case"),
        ({"symbol": '"US DC"'}, "upper-case"),
        ({"symbol": '"USDD"'}, "name the row usdd-ethereum"),
        ({"network": '"ethereal"'}, "known are tron, "),
        ({"aliases": '["GRAM"]'}, "GRAM means TON"),
        ({"aliases": '["gram"]'}, "upper-case"),
        ({"minimum": '"0.0000001"'}, "`minimum`"),
        ({"minimum": "0.01"}, "`minimum`"),  # a float
        ({"minimum": '"1e2"'}, "`minimum`"),
        ({"minimum": '"1000000"'}, "less than"),
        ({"wallet": '"0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48"'}, "`wallet`"),
        ({"colour": '"blue"'}, "`colour`"),
        ({"title": '""'}, "`title`"),
    ],
)
def test_a_wrong_asset_row_is_told_what_to_change(tmp_path: Path, change: dict[str, str | None], told: str) -> None:
    row = {key: value for key, value in {**TOKEN, **change}.items() if value is not None}
    text = "[assets.usdc-ethereum]\n" + "\n".join(f"{key} = {value}" for key, value in row.items())
    with pytest.raises(BadRegistry) as caught:
        load_registry(write(tmp_path, text))
    assert told in caught.value.message
    assert "[assets.usdc-ethereum]" in caught.value.message or "[networks.ethereum]" in caught.value.message


NETWORK = {
    "title": '"Base"',
    "family": '"evm"',
    "chain_id": "8453",
    "wm_chain_id": "9",
    "block_time_ms": "2000",
    "final_after_s": "1200",
    "grace_s": "10",
}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"family": '"cosmos"'}, "`family`"),
        ({"family": None}, "`family`"),
        ({"family": '"tron"'}, "`chain_id`"),
        ({"chain_id": "0"}, "`chain_id`"),
        ({"chain_id": "56"}, "[networks.bsc]"),
        ({"wm_chain_id": "1"}, "[networks.tron]"),
        ({"block_time_ms": "0"}, "`block_time_ms`"),
        ({"confirmations": "12"}, "`confirmations`"),
        ({"genesis": '"d4e56740"'}, "`genesis`"),
        ({"grace_s": "-1"}, "`grace_s`"),
        ({"endpoints": '["127.0.0.1:8545"]'}, "`endpoints`"),
        ({"endpoints": '["file:///etc/passwd"]'}, "`endpoints`"),
        ({"endpoints": '["http://a", "http://a"]', "quorum": "2"}, "`quorum`"),
        ({"quorum": "0"}, "`quorum`"),
        ({"testnet": "1"}, "`testnet`"),
        ({"rpc": '"http://a"'}, "`rpc`"),
        ({}, "exactly one"),  # no native coin
    ],
)
def test_a_wrong_network_row_is_told_what_to_change(tmp_path: Path, change: dict[str, str | None], told: str) -> None:
    row = {key: value for key, value in {**NETWORK, **change}.items() if value is not None}
    text = "[networks.base]\n" + "\n".join(f"{key} = {value}" for key, value in row.items())
    error = refusal(tmp_path, text)
    assert "[networks.base]" in error.message
    assert told in error.message


@pytest.mark.parametrize("network_id", ["Base", "b", "base-sepolia", "x" * 17])
def test_a_network_is_named_by_one_word(tmp_path: Path, network_id: str) -> None:
    text = f"[networks.{network_id}]\n" + "\n".join(f"{key} = {value}" for key, value in NETWORK.items())
    assert "one lower-case word" in refusal(tmp_path, text).message


@pytest.mark.parametrize(
    "text",
    [
        "networks = 1",
        "[networks]\ntron = 1",
        "[settings]\na = 1",
        "[networks.tron",
        "[networks.tron]\ntitle = 'a'\n[networks.tron]\ntitle = 'b'",
    ],
)
def test_what_is_no_registry_is_refused_by_name(tmp_path: Path, text: str) -> None:
    refusal(tmp_path, text)


def test_unreadable_files_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(BadRegistry, match=r"none\.toml"):
        load_registry(tmp_path / "none.toml")
    latin = tmp_path / "latin.toml"
    latin.write_bytes('[networks.tron]\ntitle = "é"'.encode("latin-1"))
    with pytest.raises(BadRegistry, match=r"latin\.toml: save it as UTF-8"):
        load_registry(latin)
    huge = write(tmp_path, "#" * 1_000_001, "huge.toml")
    with pytest.raises(BadRegistry, match=r"huge\.toml: larger"):
        load_registry(huge)


def test_the_built_in_file_needs_no_override_to_load() -> None:
    assert load_registry() == REGISTRY
    assert load_registry(BUILT_IN) == REGISTRY, "reading a row twice changes nothing"


def test_large_amounts_of_bitcoin_may_need_more_confirmations(tmp_path):
    assert load_registry().assets["btc-bitcoin"].depths == (Depth(10**8, 6),)
    path = tmp_path / "own.toml"
    path.write_text(
        '[assets.btc-bitcoin]\ndepths = [{ amount = "0.01", confirmations = 4 }, { amount = "2", confirmations = 12 }]'
    )
    assert load_registry(path).assets["btc-bitcoin"].depths == (Depth(10**6, 4), Depth(2 * 10**8, 12))


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ('[assets.btc-bitcoin]\ndepths = [{ amount = "0.000000001", confirmations = 4 }]', "`depths`"),
        ('[assets.btc-bitcoin]\ndepths = [{ amount = "1", confirmations = 0 }]', "confirmations"),
        ('[assets.btc-bitcoin]\ndepths = [{ amount = "1" }]', "confirmations"),
        ('[assets.btc-bitcoin]\ndepths = [{ amount = "1", finality = "finalized" }]', "`amount` and `confirmations`"),
        ('[assets.eth-ethereum]\ndepths = [{ amount = "1", confirmations = 4 }]', "`amount` and `finality`"),
        ('[assets.eth-ethereum]\ndepths = [{ amount = "1", finality = "latest" }]', "finality"),
        ('[assets.usdt-tron]\ndepths = [{ amount = "1", confirmations = 4 }]', "family tron have no `depths`"),
        ('[assets.usdt-tron]\nquorums = [{ amount = "1", quorum = 1 }]', "quorum"),
        ('[assets.usdt-tron]\nquorums = [{ amount = "0.0000001", quorum = 2 }]', "`quorums`"),
    ],
)
def test_odd_depths_are_refused(tmp_path, row, says):
    path = tmp_path / "own.toml"
    path.write_text(row)
    with pytest.raises(BadRegistry, match=says):
        load_registry(path)


def test_large_amounts_ask_for_two_endpoints_and_on_evm_for_the_stronger_tag(tmp_path: Path) -> None:
    registry = load_registry()
    assert all(asset.quorums for asset in registry.assets.values()), (
        "one node's word is not enough for any large amount"
    )
    assert registry.assets["usdt-tron"].quorums == (Agreement(10_000 * 10**6, 2),)
    evm = {asset.id for asset in registry.assets.values() if registry.networks[asset.network].family is Family.EVM}
    assert {asset.id for asset in registry.assets.values() if any(d.finality for d in asset.depths)} == evm
    path = tmp_path / "own.toml"
    path.write_text('[assets.usdt-tron]\nquorums = [{ amount = "5", quorum = 2 }, { amount = "50", quorum = 3 }]')
    usdt = load_registry(path).assets["usdt-tron"]
    assert [usdt.demand(units * 10**6).quorum for units in (4, 5, 49, 50)] == [0, 2, 2, 3]
