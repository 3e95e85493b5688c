"""Registry rows of assets, alike on every family's test network."""

from bitlinkpay.core.assets import Asset


def asset_row(
    network: str, asset_id: str, symbol: str, contract: str, *, standard: str, decimals: int, payable_decimals: int
) -> Asset:
    """Return a payable asset, a token by `standard` where there is a contract, else the network's coin."""
    return Asset(
        id=asset_id,
        symbol=symbol,
        network=network,
        standard=standard if contract else "",
        contract=contract,
        wallet="",
        decimals=decimals,
        payable_decimals=min(decimals, payable_decimals),
        wm_coin_id=1,
        minimum_units=1,
        sanity_units=10**30,
        payable=True,
    )
