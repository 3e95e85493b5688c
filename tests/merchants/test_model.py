"""State table, policy and terms."""

from collections.abc import Callable
from dataclasses import FrozenInstanceError
from datetime import timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitlinkpay.core.errors import Invalid
from bitlinkpay.core.fsm import IllegalMove
from bitlinkpay.merchants.model import MERCHANT, Merchant, MerchantEvent, MerchantState, Policy
from bitlinkpay.merchants.terms import check_policy, check_terms, contrast_on_white

Make = Callable[..., Merchant]


@pytest.mark.parametrize("state", MerchantState)
@pytest.mark.parametrize("event", MerchantEvent)
def test_every_state_and_event_is_listed_or_refused(state: MerchantState, event: MerchantEvent) -> None:
    if MERCHANT.allows(state, event):
        assert MERCHANT.next(state, event) in MerchantState
        assert state is not MerchantState.REVOKED
    else:
        with pytest.raises(IllegalMove):
            MERCHANT.next(state, event)


def test_revoked_is_the_end() -> None:
    assert not any(MERCHANT.allows(MerchantState.REVOKED, event) for event in MerchantEvent)


def test_standard_terms(some_merchant: Make) -> None:
    merchant = some_merchant()
    check_terms(merchant)
    assert merchant.fee_ppm == 3000
    assert merchant.order_life == timedelta(minutes=30)
    assert merchant.callback_statuses == (8,)
    assert merchant.policy == Policy(
        tolerance_ppm=0, tolerance_units={}, is_summing=False, accepts_late=False, accepts_over=False
    )
    assert merchant.offers("usdt-tron")
    with pytest.raises(FrozenInstanceError):
        merchant.fee_ppm = 0


def test_LED_12_the_fee_rounds_down(some_merchant: Make) -> None:
    assert [some_merchant().fee_on(units) for units in (0, 1, 333, 334, 1_000_000)] == [0, 0, 0, 1, 3000]


def test_API_30_a_list_of_assets_closes_all_others(some_merchant: Make) -> None:
    merchant = some_merchant(allowed_assets=("usdt-tron",))
    assert merchant.offers("usdt-tron")
    assert not merchant.offers("usdt-ethereum")


@given(st.integers(0, 10**30), st.integers(0, 100_000), st.integers(0, 10**20))
def test_slack_is_the_larger_tolerance_and_never_rounds_up(asked: int, ppm: int, units: int) -> None:
    policy = Policy(tolerance_ppm=ppm, tolerance_units={"usdt-tron": units})
    slack = policy.slack("usdt-tron", asked)
    assert slack == max(asked * ppm // 1_000_000, units)
    assert policy.slack("trx-tron", asked) * 1_000_000 <= asked * ppm
    assert Policy().slack("usdt-tron", asked) == 0


@given(
    st.builds(
        Policy, st.integers(0, 100_000), st.dictionaries(st.just("usdt-tron"), st.integers(0, 10**70)), st.booleans()
    )
)
def test_a_policy_survives_the_database_form(policy: Policy) -> None:
    check_policy(policy)
    assert msgspec.convert(msgspec.json.decode(msgspec.json.encode(policy)), Policy) == policy


@pytest.mark.parametrize(
    ("param", "value"),
    [
        ("name", ""),
        ("name", "x" * 81),
        ("name", " padded "),
        ("name", "line\nbreak"),
        ("name", "nul\x00"),
        ("name", "turned \u202e round"),
        ("name", "zero\u200bwidth"),
        ("support", "x" * 201),
        ("support", "\ud800"),
        ("pricing_currency", "cny"),
        ("pricing_currency", "USDT"),
        ("pricing_currency", "C1Y"),
        ("pricing_currency", ""),
        ("callback_url", "https://e.example/" + "a" * 2048),
        ("callback_statuses", (0,)),
        ("callback_statuses", (8, 8)),
        ("fee_ppm", -1),
        ("fee_ppm", 200_001),
        ("order_life", timedelta(seconds=59)),
        ("order_life", timedelta(days=7, seconds=1)),
        ("return_hosts", ("Shop.example",)),
        ("return_hosts", ("https://shop.example",)),
        ("return_hosts", ("shop.example:8080",)),
        ("return_hosts", ("-shop.example",)),
        ("return_hosts", ("shop..example",)),
        ("return_hosts", ("店.example",)),
        ("return_hosts", ("",)),
        ("return_hosts", ("a.example", "a.example")),
        ("return_hosts", tuple(f"h{n}.example" for n in range(21))),
        ("lang", "english please"),
        ("lang", "<script>"),
        ("accent", "red"),
        ("accent", "#FFF"),
        ("accent", "#AA0000"),
        ("accent", "#ffff00"),
        ("accent", "#808080"),
        ("allowed_assets", ("USDT",)),
        ("allowed_assets", ("usdt-tron", "usdt-tron")),
        ("rate_per_minute", 0),
        ("rate_per_minute", 10**9 + 1),
    ],
)
def test_terms_that_make_no_sense_are_refused_by_name(some_merchant: Make, param: str, value: object) -> None:
    with pytest.raises(Invalid) as caught:
        check_terms(some_merchant(**{param: value}))
    assert caught.value.param == param


@pytest.mark.parametrize(
    ("param", "value"),
    [
        ("name", "茶館 & Söhne"),
        ("support", "Telegram @tea, +49 30 1234"),
        ("callback_statuses", (8, 12, 16, 20)),
        ("callback_statuses", ()),
        ("fee_ppm", 0),
        ("return_hosts", ("shop.example", "xn--5b9a.example", "localhost", "127.0.0.1")),
        ("lang", "zh_Hant"),
        ("lang", "en"),
        ("accent", "#0b57d0"),
        ("accent", "#000000"),
        ("allowed_assets", ("usdt-tron", "eth-arbitrum")),
    ],
)
def test_good_terms_pass(some_merchant: Make, param: str, value: object) -> None:
    check_terms(some_merchant(**{param: value}))


@pytest.mark.parametrize(
    ("policy", "param"),
    [
        (Policy(tolerance_ppm=-1), "tolerance_ppm"),
        (Policy(tolerance_ppm=100_001), "tolerance_ppm"),
        (Policy(tolerance_units={"usdt-tron": -1}), "tolerance_units"),
        (Policy(tolerance_units={"usdt-tron": 10**78}), "tolerance_units"),
        (Policy(tolerance_units={"USDT": 1}), "tolerance_units"),
    ],
)
def test_policies_that_make_no_sense_are_refused(some_merchant: Make, policy: Policy, param: str) -> None:
    with pytest.raises(Invalid) as caught:
        check_terms(some_merchant(policy=policy))
    assert caught.value.param == param


@pytest.mark.parametrize(
    ("accent", "hundredths"),
    [("#000000", 2100), ("#ffffff", 100), ("#767676", 454), ("#777777", 447), ("#0000ff", 859), ("#ff0000", 399)],
)
def test_contrast_is_that_of_wcag(accent: str, hundredths: int) -> None:
    assert contrast_on_white(accent) == hundredths
