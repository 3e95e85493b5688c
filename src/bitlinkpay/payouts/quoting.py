"""What the network's fee is in the asset that is paid, from a quote in its own coin."""

from collections.abc import Awaitable, Callable
from decimal import Decimal

from bitlinkpay.chains.outgoing import FeeQuote
from bitlinkpay.core.assets import Asset
from bitlinkpay.core.money import from_units, multiply, to_units_up

Prices = Callable[[str, str], Awaitable[Decimal]]
"""`(base, quote) -> price of one base in quote`; raises a `Problem` when there is no quote."""


async def network_fee_units(asset: Asset, native: Asset, quote: FeeQuote, prices: Prices) -> int:
    """Return the expected network fee in base units of the asset, rounded up.

    Raises:
        Problem: whatever `prices` raises when it has no quote.
    """
    if asset.id == native.id:
        return quote.units
    coins = from_units(quote.units, native.decimals)
    price = await prices(native.symbol, asset.symbol)
    return to_units_up(multiply(coins, price), decimals=asset.decimals, places=asset.payable_decimals)
