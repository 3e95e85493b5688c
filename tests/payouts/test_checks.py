"""What is checked before anything is reserved."""

from decimal import Decimal

import pytest

from bitlinkpay.chains.registry import load_registry
from bitlinkpay.core.assets import Family
from bitlinkpay.core.errors import Invalid
from bitlinkpay.payouts import checks
from bitlinkpay.payouts.model import AddressRefused, AmountRefused, Terms

REGISTRY = load_registry()
USDT = REGISTRY.assets["usdt-tron"]
NETWORK = REGISTRY.networks["ethereum"]
SOMEBODY = "0x52908400098527886E0F7030069857D2E4169EE7"


@pytest.mark.parametrize(
    ("family", "address", "why"),
    [
        (Family.EVM, "0x0000000000000000000000000000000000000000", "burnt"),
        (Family.EVM, "0x000000000000000000000000000000000000dEaD", "burnt"),
        (Family.EVM, "0x0000000000000000000000000000000000000001", "network itself"),
        (Family.EVM, "0x0000000000000000000000000000000000000100", "network itself"),
        (Family.TRON, "T9yD14Nj9j7xAB4dbGeiX9h8unkKHxuWwb", "burnt"),
        (Family.SOLANA, "11111111111111111111111111111111", "burnt"),
        (Family.TON, "0:" + "0" * 64, "burnt"),
    ],
)
def test_PAY_27_places_where_money_is_lost_are_refused(family: Family, address: str, why: str) -> None:
    with pytest.raises(AddressRefused, match=why):
        checks.check_target(family, address, ours="", contracts=[])


def test_PAY_27_a_tokens_contract_and_our_own_wallets_are_refused() -> None:
    with pytest.raises(AddressRefused, match="contract"):
        checks.check_target(Family.EVM, SOMEBODY, ours="", contracts=[SOMEBODY])
    with pytest.raises(AddressRefused, match="wallet of this platform"):
        checks.check_target(Family.EVM, SOMEBODY, ours="wallet", contracts=[])
    checks.check_target(Family.EVM, SOMEBODY, ours="deposit", contracts=[])  # DEP-20: another merchant's order
    checks.check_target(Family.EVM, SOMEBODY, ours="", contracts=[])


@pytest.mark.parametrize(
    ("amount", "terms", "today", "why"),
    [
        ("0", Terms(), 0, "smallest withdrawal"),
        ("0.0000001", Terms(), 0, "at most 6 digits"),
        ("101", Terms(payment_max_units=100_000_000), 0, "largest single withdrawal is 100 USDT"),
        ("60", Terms(day_max_units=100_000_000), 50_000_000, "daily limit leaves 50 USDT"),
    ],
)
def test_PAY_30_an_amount_outside_its_limits_is_refused_whole(amount: str, terms: Terms, today: int, why: str) -> None:
    with pytest.raises(AmountRefused, match=why):
        checks.check_amount(USDT, Decimal(amount), terms, today_units=today)


def test_an_amount_within_its_limits_is_exact() -> None:
    terms = Terms(payment_max_units=100_000_000, day_max_units=150_000_000)
    assert checks.check_amount(USDT, Decimal(100), terms, today_units=50_000_000) == 100_000_000


def test_a_fee_is_flat_and_a_share_rounded_down() -> None:
    assert checks.fee_units(1_000_001, Terms(fee_ppm=1000, fee_flat_units=7)) == 1007


def test_PAY_29_an_address_that_only_looks_like_an_earlier_one_is_told() -> None:
    twin = "0x5290AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA9EE7"
    assert checks.look_alike(NETWORK, twin, [SOMEBODY]) == SOMEBODY
    assert checks.look_alike(NETWORK, SOMEBODY, [SOMEBODY]) == ""
    assert checks.look_alike(NETWORK, "0x1290AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA9EE7", [SOMEBODY]) == ""


def test_tags_travel_on_ton_only() -> None:
    checks.check_tag(Family.TON, "42")
    checks.check_tag(Family.TRON, "")
    with pytest.raises(Invalid, match="no tags"):
        checks.check_tag(Family.TRON, "42")
