"""Registry rows for a local node."""

from datetime import timedelta

from tests.chains.rows import asset_row

from bitlinkpay.chains.codec.evm import parse
from bitlinkpay.core.assets import Asset, Family, Network

NETWORK = "devnet"


def network(*, chain_id: int = 31337, genesis: str = "") -> Network:
    return Network(
        id=NETWORK,
        title="Local development network",
        family=Family.EVM,
        chain_id=chain_id,
        genesis=genesis,
        wm_chain_id=2,
        block_time=timedelta(seconds=1),
        confirmations=0,
        final_after=timedelta(seconds=2),
        grace=timedelta(seconds=30),
    )


def coin() -> Asset:
    return _asset("eth-devnet", "ETH", "", 18)


def token(contract: str, *, symbol: str = "USDT", decimals: int = 6) -> Asset:
    return _asset(f"{symbol.lower()}-devnet", symbol, parse(contract), decimals)


def _asset(asset_id: str, symbol: str, contract: str, decimals: int) -> Asset:
    return asset_row(NETWORK, asset_id, symbol, contract, standard="ERC20", decimals=decimals, payable_decimals=8)
