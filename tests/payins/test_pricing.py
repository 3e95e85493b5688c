"""What an order asks for (PROTOCOL.md, "Symbols"): rounding up, who controls the rate, agreement within one unit."""

from decimal import Decimal

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from bitlinkpay.chains.registry import load_registry
from bitlinkpay.core.assets import Asset
from bitlinkpay.core.errors import Invalid, Unavailable
from bitlinkpay.core.money import EXACT, from_units, to_units
from bitlinkpay.payins.model import AmountOutOfRange, Price, PriceDisagrees
from bitlinkpay.payins.pricing import Symbol, parse_symbol, price

REGISTRY = load_registry()
USDT, BTC, BSC = (REGISTRY.assets[name] for name in ("usdt-tron", "btc-bitcoin", "usdt-bsc"))
PAYABLE = [asset for asset in REGISTRY.assets.values() if asset.payable]


class Market:
    """A market with one price, that counts how often it is asked."""

    def __init__(self, rate: str = "7.2") -> None:
        self.rate = Decimal(rate)
        self.asked: list[tuple[str, str]] = []

    async def __call__(self, base: str, quote: str) -> Decimal:
        self.asked.append((base, quote))
        return self.rate


async def ask(  # noqa: PLR0917 - a price list reads best in columns
    asset: Asset = USDT,
    symbol: str = "USDT/CNY",
    fiat: str = "7.2",
    rate: str = "",
    amount: str = "",
    market: Market | None = None,
) -> Price:
    return await price(
        asset,
        symbol=parse_symbol(symbol, asset.symbol),
        fiat_amount=Decimal(fiat),
        exchange_rate=Decimal(rate) if rate else None,
        amount=Decimal(amount) if amount else None,
        fee_ppm=3000,
        market=market or Market(),
    )


async def test_the_example_of_the_protocol():
    asked = await ask()
    assert (asked.units, asked.exchange_rate, asked.symbol, asked.fee_units) == (
        1_000_000,
        Decimal("7.2"),
        "USDT/CNY",
        3_000,
    )


async def test_the_coin_on_the_other_side_multiplies():
    market = Market("0.14")
    assert (await ask(symbol="CNY/USDT", fiat="100", market=market)).units == 14_000_000
    assert market.asked == [("CNY", "USDT")]


async def test_a_coin_priced_in_itself_needs_no_market():
    market = Market("5")
    assert (await ask(symbol="USDT/USDT", fiat="12.5", market=market)).units == 12_500_000
    assert market.asked == []


@pytest.mark.parametrize(
    ("asset", "fiat", "rate", "units"),
    [
        (USDT, "1", "3", 333_334),  # 0.333333… rounded up
        (USDT, "0.000001", "0.000001", 1_000_000),
        (BTC, "1", "650000", 154),
        (BSC, "1", "3", 333_334 * 10**12),  # never more digits than usual wallets carry
        (USDT, "7.2", "7.2", 1_000_000),
        (USDT, "7.2000001", "7.2", 1_000_001),
    ],
)
async def test_API_25_the_asked_amount_is_rounded_up_to_payable_digits(asset: Asset, fiat: str, rate: str, units: int):
    if units < asset.minimum_units:
        with pytest.raises(AmountOutOfRange):
            await ask(asset, f"{asset.symbol}/CNY", fiat, rate)
        return
    assert (await ask(asset, f"{asset.symbol}/CNY", fiat, rate)).units == units


async def test_API_34_a_merchant_controls_its_rate():
    market = Market("7.2")
    assert (await ask(amount="50", market=market)).units == 50_000_000
    assert (await ask(rate="0.0001", market=market)).units == 72_000_000_000
    assert (await ask(rate="7.2", amount="1", market=market)).units == 1_000_000
    assert market.asked == []


async def test_an_amount_alone_says_what_its_rate_was():
    assert (await ask(fiat="7.2", amount="2")).exchange_rate == Decimal("3.6")
    assert (await ask(symbol="CNY/USDT", fiat="7.2", amount="2")).exchange_rate == Decimal("0.277777777777777777")


@pytest.mark.parametrize(
    ("amount", "agrees"),
    [("1", True), ("1.000001", True), ("0.999999", True), ("1.000002", False), ("0.999998", False), ("100", False)],
)
async def test_API_34_amount_and_rate_agree_within_one_payable_unit(amount: str, agrees: bool):
    if agrees:
        assert (await ask(rate="7.2", amount=amount)).units == to_units(Decimal(amount), 6)
    else:
        with pytest.raises(PriceDisagrees):
            await ask(rate="7.2", amount=amount)


@pytest.mark.parametrize("fiat", ["0", "-1", "-0.000001"])
async def test_API_26_a_price_of_nothing_is_refused(fiat: str):
    with pytest.raises(Invalid):
        await ask(fiat=fiat)


async def test_API_26_the_smallest_order_and_one_unit_less():
    assert (await ask(amount="0.01")).units == USDT.minimum_units
    with pytest.raises(AmountOutOfRange, match=r"0\.01 USDT"):
        await ask(amount="0.009999")


async def test_API_26_more_than_22_digits_is_refused():
    most = "9" * 22
    assert (await ask(BSC, amount=most)).units == int(most) * 10**18
    with pytest.raises(AmountOutOfRange):
        await ask(BSC, amount="1" + "0" * 22)
    with pytest.raises(AmountOutOfRange):
        await ask(fiat=most, rate="0.000000000000000001")
    with pytest.raises(AmountOutOfRange):  # the rate that follows would not fit into its column
        await ask(fiat=most, amount="0.01")


async def test_no_quote_means_no_price():
    async def silent(base: str, quote: str) -> Decimal:
        raise Unavailable(f"no price for {base}/{quote}")

    with pytest.raises(Unavailable):
        await price(
            USDT,
            symbol=parse_symbol("USDT/CNY", "USDT"),
            fiat_amount=Decimal(1),
            exchange_rate=None,
            amount=None,
            fee_ppm=0,
            market=silent,
        )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/",
        "USDT",
        "USDT/",
        "/USDT",
        "usdt/CNY",
        "USDT/CNY/X",
        "USDT/C",
        "USDT/CNY ",
        "USDT\\CNY",
        "USDT/ABCDEFGHIJKLM",
        "ＵSDT/CNY",
        "BTC/CNY",
        "USDT/\x00CN",
    ],
)
def test_API_34_a_symbol_of_another_form_or_coin_is_refused(text: str):
    with pytest.raises(Invalid) as refused:
        parse_symbol(text, "USDT")
    assert refused.value.param == "symbol"


def test_a_symbol_knows_its_side():
    assert parse_symbol("USDT/CNY", "USDT") == Symbol("USDT", "CNY", is_coin_base=True)
    assert parse_symbol("CNY/USDT", "USDT") == Symbol("CNY", "USDT", is_coin_base=False)


plain = st.decimals(min_value="0.000001", max_value="10000000", places=6, allow_nan=False, allow_infinity=False)
rates = st.decimals(
    min_value="0.000000000000000001", max_value="1000000", places=18, allow_nan=False, allow_infinity=False
)


@settings(deadline=None)
@given(st.sampled_from(PAYABLE), plain, rates, st.booleans())
async def test_the_asked_amount_is_never_less_than_the_price_and_less_than_one_payable_unit_more(
    asset: Asset, fiat: Decimal, rate: Decimal, is_base: bool
):
    symbol = Symbol(asset.symbol, "CNY", True) if is_base else Symbol("CNY", asset.symbol, False)
    exact = symbol.coins(fiat, rate)
    assume(from_units(asset.minimum_units, asset.decimals) <= exact < Decimal(10) ** 22)
    asked = await price(
        asset, symbol=symbol, fiat_amount=fiat, exchange_rate=rate, amount=None, fee_ppm=3000, market=Market()
    )
    step = 10 ** (asset.decimals - asset.payable_decimals)
    coins = from_units(asked.units, asset.decimals)
    assert asked.units % step == 0
    assert exact <= coins < EXACT.add(exact, from_units(step, asset.decimals))
    assert 0 <= asked.fee_units == asked.units * 3 // 1000 <= asked.units


@settings(deadline=None)
@given(st.sampled_from(PAYABLE), plain, rates, st.integers(-3, 3))
async def test_what_we_answered_agrees_when_it_is_sent_back(asset: Asset, fiat: Decimal, rate: Decimal, off: int):
    symbol = Symbol(asset.symbol, "CNY", is_coin_base=True)
    exact = symbol.coins(fiat, rate)
    step = 10 ** (asset.decimals - asset.payable_decimals)
    assume(from_units(asset.minimum_units + 4 * step, asset.decimals) <= exact < Decimal(10) ** 21)
    terms = {"symbol": symbol, "fiat_amount": fiat, "exchange_rate": rate, "fee_ppm": 3000, "market": Market()}
    first = await price(asset, amount=None, **terms)  # type: ignore[arg-type]
    again = from_units(first.units + off * step, asset.decimals)
    if abs(off) <= 1:
        assert (await price(asset, amount=again, **terms)).units == first.units + off * step  # type: ignore[arg-type]
    else:
        with pytest.raises(PriceDisagrees):
            await price(asset, amount=again, **terms)  # type: ignore[arg-type]


@settings(deadline=None)
@given(st.sampled_from(PAYABLE), st.decimals(min_value="0.2", max_value="1000000", places=18, allow_nan=False))
async def test_API_25_a_given_amount_is_rounded_up_and_never_down(asset: Asset, amount: Decimal):
    asked = await price(
        asset,
        symbol=Symbol(asset.symbol, "CNY", is_coin_base=True),
        fiat_amount=Decimal(1),
        exchange_rate=None,
        amount=amount,
        fee_ppm=0,
        market=Market(),
    )
    step = from_units(10 ** (asset.decimals - asset.payable_decimals), asset.decimals)
    assert amount <= from_units(asked.units, asset.decimals) < EXACT.add(amount, step)
