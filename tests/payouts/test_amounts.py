"""What money that leaves costs and may be: fees of the network in the asset that is paid, and every limit at its edge."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.flows.harness import REGISTRY
from tests.payouts.makers import payout

from bitlinkpay.chains.codec import ton
from bitlinkpay.chains.outgoing import FeeQuote
from bitlinkpay.core.assets import Family
from bitlinkpay.core.errors import Unavailable
from bitlinkpay.core.money import MAX_UNITS, from_units
from bitlinkpay.payouts import checks
from bitlinkpay.payouts.model import AddressRefused, AmountRefused, Charge, Terms
from bitlinkpay.payouts.quoting import network_fee_units

USDT, BSC, ETH = (REGISTRY.assets[name] for name in ("usdt-tron", "usdt-bsc", "eth-ethereum"))
SMALLEST = USDT.minimum_units
PAID_ASSETS = [asset for asset in REGISTRY.assets.values() if not asset.is_native]

# --- the network's fee


@given(
    st.sampled_from(PAID_ASSETS),
    st.integers(0, 10**30),
    st.decimals(min_value=Decimal("1e-18"), max_value=Decimal(10**9), places=18),
)
async def test_a_fee_in_another_coin_is_rounded_up_by_less_than_one_payable_step(asset, units: int, price: Decimal):
    native = REGISTRY.native(asset.network)

    async def prices(base: str, quote: str) -> Decimal:
        assert (base, quote) == (native.symbol, asset.symbol)
        return price

    fee = await network_fee_units(asset, native, FeeQuote(units, units * 9), prices)
    exact = Fraction(units, 10**native.decimals) * Fraction(price) * 10**asset.decimals
    step = 10 ** (asset.decimals - asset.payable_decimals)
    assert exact <= fee < exact + step
    assert fee % step == 0


async def test_a_fee_of_nothing_costs_nothing_and_the_smallest_one_a_step() -> None:
    async def prices(base: str, quote: str) -> Decimal:
        return Decimal("0.000000000000000001")

    native = REGISTRY.native("bsc")
    assert await network_fee_units(BSC, native, FeeQuote(0, 10), prices) == 0
    assert await network_fee_units(BSC, native, FeeQuote(1, 10), prices) == 10**12


async def test_a_coin_of_its_own_is_charged_as_quoted_to_the_unit() -> None:
    async def prices(base: str, quote: str) -> Decimal:
        raise AssertionError("nobody has to be asked")

    assert await network_fee_units(ETH, ETH, FeeQuote(21_000 * 7 + 1, 10**18), prices) == 147_001


async def test_a_missing_price_is_told_as_it_comes() -> None:
    async def prices(base: str, quote: str) -> Decimal:
        raise Unavailable("no price")

    with pytest.raises(Unavailable, match="no price"):
        await network_fee_units(USDT, REGISTRY.native("tron"), FeeQuote(1, 1), prices)


# --- the platform's fee


@given(st.integers(0, MAX_UNITS), st.integers(0, 200_000), st.integers(0, 10**40))
def test_a_share_is_never_more_than_it_says_and_less_than_a_unit_below(units: int, ppm: int, flat: int) -> None:
    fee = checks.fee_units(units, Terms(fee_ppm=ppm, fee_flat_units=flat)) - flat
    assert Fraction(units * ppm, 10**6) - 1 < fee <= Fraction(units * ppm, 10**6)


def test_what_is_charged_and_reserved_is_the_sum_of_its_parts() -> None:
    charge = Charge(fee_units=7, network_fee_units=11, native_max_units=10**9)
    assert charge.units == 18
    assert payout(units=100, charge=charge).reserved_units == 118


# --- limits


@given(
    st.integers(0, 10**12),
    st.none() | st.integers(0, 10**12),
    st.none() | st.integers(0, 10**12),
    st.integers(0, 10**12),
)
def test_PAY_30_an_amount_passes_exactly_when_it_is_within_every_limit(
    units: int, payment: int | None, day: int | None, today: int
) -> None:
    terms = Terms(payment_max_units=payment, day_max_units=day, review_above_units=0, fresh_max_units=0)
    is_within = units >= SMALLEST and (payment is None or units <= payment) and (day is None or units + today <= day)
    amount = from_units(units, USDT.decimals)
    if is_within:
        assert checks.check_amount(USDT, amount, terms, today_units=today) == units
    else:
        with pytest.raises(AmountRefused) as refused:
            checks.check_amount(USDT, amount, terms, today_units=today)
        assert refused.value.param == "amount"


@pytest.mark.parametrize(
    ("amount", "terms", "today", "says"),
    [
        ("0.009999", Terms(), 0, "the smallest withdrawal is 0.01 USDT"),
        ("0.0100001", Terms(), 0, "at most 6 digits after the point of USDT"),
        ("10.000001", Terms(payment_max_units=10_000_000), 0, "the largest single withdrawal is 10 USDT"),
        ("1", Terms(payment_max_units=0), 0, "the largest single withdrawal is 0 USDT"),
        ("10.5", Terms(day_max_units=20_000_000), 9_500_001, "the daily limit leaves 10.499999 USDT for today"),
        ("1", Terms(day_max_units=20_000_000), 25_000_000, "the daily limit leaves 0 USDT for today"),
        # of two limits that it breaks the one of the single payment is told: no other day would help
        ("9", Terms(payment_max_units=8_000_000, day_max_units=1), 0, "the largest single withdrawal is 8 USDT"),
    ],
)
def test_PAY_30_a_refusal_says_what_would_be_let_through(amount: str, terms: Terms, today: int, says: str) -> None:
    with pytest.raises(AmountRefused) as refused:
        checks.check_amount(USDT, Decimal(amount), terms, today_units=today)
    assert refused.value.message == says


@pytest.mark.parametrize(
    ("asset", "amount", "units"),
    [
        ("usdt-bsc", "0.010000000000000001", 10**16 + 1),
        ("btc-bitcoin", "0.00000546", 546),
        ("eth-ethereum", "1E+3", 10**21),
        ("ton-ton", "0.010000001", 10_000_001),
    ],
)
def test_an_amount_keeps_every_digit_that_the_chain_carries(asset: str, amount: str, units: int) -> None:
    assert checks.check_amount(REGISTRY.assets[asset], Decimal(amount), Terms(), today_units=0) == units


# --- addresses


@pytest.mark.parametrize(("number", "is_refused"), [(1, True), (0x9, True), (0x1FF, True), (0x200, False)])
def test_PAY_27_the_networks_own_contracts_end_where_the_last_precompile_stands(number: int, is_refused: bool) -> None:
    address = f"0x{number:040x}"
    if is_refused:
        with pytest.raises(AddressRefused, match="belongs to the network itself"):
            checks.check_target(Family.EVM, address, ours="", contracts=[])
    else:
        checks.check_target(Family.EVM, address, ours="", contracts=[])


@pytest.mark.parametrize("network", ["tron", "solana", "ton"])
def test_PAY_27_every_token_contract_of_a_network_is_refused_there(network: str) -> None:
    family = REGISTRY.networks[network].family
    contracts = [asset.contract for asset in REGISTRY.assets_of(network) if asset.contract]
    assert contracts
    for contract in contracts:
        with pytest.raises(AddressRefused, match="a token's contract, not a wallet") as refused:
            checks.check_target(family, contract, ours="", contracts=contracts)
        assert refused.value.param == "address"


def test_PAY_27_the_incinerator_of_solana_is_refused() -> None:
    with pytest.raises(AddressRefused, match="burnt"):
        checks.check_target(Family.SOLANA, "1nc1nerator11111111111111111111111111111111", ours="", contracts=[])


BODY = "12ab" + "0" * 32 + "cd34"


@pytest.mark.parametrize(
    ("now", "earlier", "told"),
    [
        (f"0x12AB{'9' * 32}CD34", [f"0x{BODY}"], f"0x{BODY}"),  # letter case is no difference to the eye
        (f"0x12ab{'9' * 32}cd35", [f"0x{BODY}"], ""),
        (f"0x22ab{'9' * 32}cd34", [f"0x{BODY}"], ""),
        (f"0:aa11{'9' * 56}ff22", [f"0:aa11{'8' * 56}ff22"], ton.show(f"0:aa11{'8' * 56}ff22", testnet=False)),
        (f"0:aa11{'9' * 56}ff22", [f"0:ab11{'8' * 56}ff22"], ""),
        ("TNPeAAAAAAAAAAAAAAAAAAAAAAAAAANYqeL", ["TXYZ", "TNPeeaaFB7K9cmo4uQpcU32zGK8G1NYqeL"],
         "TNPeeaaFB7K9cmo4uQpcU32zGK8G1NYqeL"),
        ("TNPeAAAAAAAAAAAAAAAAAAAAAAAAAANYqeL", [], ""),
    ],
)  # fmt: skip
def test_PAY_29_four_characters_at_both_ends_are_compared(now: str, earlier: list[str], told: str) -> None:
    network = REGISTRY.networks["ton" if ":" in now else "tron"]
    assert checks.look_alike(network, now, earlier) == told


def test_PAY_29_on_ton_the_ends_that_people_are_shown_are_compared_too() -> None:
    """The form that is shown ends with a checksum: whoever makes a twin of it has other ends in the canonical form."""
    mine = f"0:aa11{'8' * 56}ff22"
    shown = ton.show(mine, testnet=False)
    others = (f"0:aabb{n:04x}{'9' * 52}ee22" for n in range(1 << 16))
    twin = next(one for one in others if ton.show(one, testnet=False)[-4:] == shown[-4:])
    assert ton.show(twin, testnet=False)[:4] == shown[:4]
    assert checks.look_alike(REGISTRY.networks["ton"], twin, [mine]) == shown
    assert checks.look_alike(REGISTRY.networks["ton"], f"0:aabb{'9' * 56}ee22", [mine]) == ""


def test_PAY_29_an_address_that_was_paid_itself_is_told_only_of_the_other() -> None:
    mine, twin = f"0x{BODY}", f"0x12ab{'7' * 32}cd34"
    network = REGISTRY.networks["ethereum"]
    assert checks.look_alike(network, mine, [mine]) == ""
    assert checks.look_alike(network, mine, [mine, twin]) == twin
