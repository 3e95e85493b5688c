"""What an order asks for: symbol, rate and amount made to agree (PROTOCOL.md, "Symbols"). Pure."""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from bitlinkpay.core.assets import Asset
from bitlinkpay.core.errors import Invalid
from bitlinkpay.core.money import divide, format_decimal, from_units, multiply, share_down, to_units_up
from bitlinkpay.payins.model import AmountOutOfRange, Price, PriceDisagrees

_CODE: Final = re.compile(r"[A-Z0-9]{2,12}", re.ASCII)
_RATE_PLACES: Final = 18
_LIMIT: Final = Decimal(10) ** 22  # decimal(40,18) holds 22 digits before the point

RateSource = Callable[[str, str], Awaitable[Decimal]]
"""`(base, quote) -> price of one base in quote`; raises a `Problem` when there is no quote."""


@dataclass(frozen=True, slots=True)
class Symbol:
    """`A/B`: the rate is B per A. `is_coin_base` tells whether the order's coin is A."""

    base: str
    quote: str
    is_coin_base: bool

    def __str__(self) -> str:
        """Return `A/B`."""
        return f"{self.base}/{self.quote}"

    def coins(self, fiat: Decimal, rate: Decimal) -> Decimal:
        """Return the exact-enough amount of coins that `fiat` buys (40 digits after the point)."""
        return divide(fiat, rate) if self.is_coin_base else multiply(fiat, rate)

    def implied_rate(self, fiat: Decimal, coins: Decimal) -> Decimal:
        """Return the rate that an amount implies, rounded down to 18 places."""
        over, under = (fiat, coins) if self.is_coin_base else (coins, fiat)
        return divide(over, under, places=_RATE_PLACES)


def parse_symbol(text: str, coin: str) -> Symbol:
    """Parse `A/B` where one side is the order's coin.

    Raises:
        Invalid: another form, or neither side is the coin.
    """
    base, slash, quote = text.partition("/")
    if not (slash and _CODE.fullmatch(base) and _CODE.fullmatch(quote)):
        raise Invalid("symbol has the form USDT/CNY", param="symbol")
    if coin not in (base, quote):
        raise Invalid(f"one side of the symbol must be the order's coin, {coin}", param="symbol")
    return Symbol(base, quote, is_coin_base=base == coin)


async def price(
    asset: Asset,
    *,
    symbol: Symbol,
    fiat_amount: Decimal,
    exchange_rate: Decimal | None,
    amount: Decimal | None,
    fee_ppm: int,
    market: RateSource,
) -> Price:
    """Fix what an order asks for. The asked amount is rounded UP to the asset's payable digits.

    A merchant that sends `amount` and/or `exchange_rate` controls the rate: `amount` alone is taken as it is,
    `exchange_rate` alone replaces the market's, both must agree within one payable unit.

    Raises:
        PriceDisagrees: amount and rate do not agree with `fiat_amount`.
        AmountOutOfRange: below the asset's minimum, or it or the rate it implies is beyond 22 digits.
        Problem: whatever `market` raises when it has no quote.
    """
    if fiat_amount <= 0:
        raise Invalid("fiat_amount must be greater than 0", param="fiat_amount")
    if amount is not None and exchange_rate is None:
        rate = symbol.implied_rate(fiat_amount, amount)
        if rate >= _LIMIT:
            raise AmountOutOfRange("amount and fiat_amount imply a rate of more than 22 digits", param="amount")
    else:
        rate = exchange_rate if exchange_rate is not None else await _market_rate(symbol, market)
    units = _units(asset, amount if amount is not None else symbol.coins(fiat_amount, rate))
    if amount is not None and exchange_rate is not None:
        _must_agree(asset, units, _units(asset, symbol.coins(fiat_amount, rate)))
    return Price(units, str(symbol), rate, share_down(units, fee_ppm))


async def _market_rate(symbol: Symbol, market: RateSource) -> Decimal:
    if symbol.base == symbol.quote:
        return Decimal(1)
    return await market(symbol.base, symbol.quote)


def _units(asset: Asset, coins: Decimal) -> int:
    if coins >= _LIMIT:
        raise AmountOutOfRange("the amount has more than 22 digits before the point", param="amount")
    units = to_units_up(coins, decimals=asset.decimals, places=asset.payable_decimals)
    if units < asset.minimum_units:
        least = format_decimal(from_units(asset.minimum_units, asset.decimals))
        raise AmountOutOfRange(f"the smallest order is {least} {asset.symbol}", param="amount")
    return units


def _must_agree(asset: Asset, given: int, computed: int) -> None:
    payable_unit = 10 ** (asset.decimals - asset.payable_decimals)
    if abs(given - computed) > payable_unit:
        meant = format_decimal(from_units(computed, asset.decimals))
        raise PriceDisagrees(
            f"amount and exchange_rate do not agree: fiat_amount at this rate is {meant} {asset.symbol}", param="amount"
        )
