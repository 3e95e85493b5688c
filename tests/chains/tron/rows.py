"""Registry rows for the test network."""

from datetime import timedelta

from tests.chains.rows import asset_row

from bitlinkpay.core.assets import Asset, Family, Network

NETWORK = "tron"


def network(genesis: str = "") -> Network:
    return Network(
        id=NETWORK,
        title="TRON",
        family=Family.TRON,
        chain_id=0,
        genesis=genesis,
        wm_chain_id=1,
        block_time=timedelta(seconds=3),
        confirmations=0,
        final_after=timedelta(seconds=60),
        grace=timedelta(seconds=10),
    )


def coin() -> Asset:
    return _asset("trx-tron", "TRX", "", 6)


def token(contract: str, *, symbol: str = "USDT", decimals: int = 6) -> Asset:
    return _asset(f"{symbol.lower()}-tron", symbol, contract, decimals)


def _asset(asset_id: str, symbol: str, contract: str, decimals: int) -> Asset:
    return asset_row(NETWORK, asset_id, symbol, contract, standard="TRC20", decimals=decimals, payable_decimals=6)
