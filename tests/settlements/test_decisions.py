"""Whether a run fits: each obstacle by itself, which of several is told, and what refusals of the payout mean."""

from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.flows.harness import REGISTRY, make_merchant
from tests.support.clock import ManualClock

from bitlinkpay.core.errors import Conflict, Problem, Unavailable
from bitlinkpay.core.ids import MerchantId
from bitlinkpay.merchants.model import MerchantState
from bitlinkpay.payouts.checks import fee_units
from bitlinkpay.payouts.model import AddressRefused, AmountRefused, BalanceTooLow, NoLiquidity, PayoutsStopped
from bitlinkpay.payouts.model import Terms as PayoutTerms
from bitlinkpay.settlements.addresses.model import BOUND, HomeAddress
from bitlinkpay.settlements.decisions import Case, amount, find_obstacle, settle, skip_of
from bitlinkpay.settlements.model import (
    Cause,
    Quote,
    Reason,
    Settlement,
    SettlementId,
    SettlementState,
    Skip,
)
from bitlinkpay.settlements.rules.model import Rule, Terms
from bitlinkpay.settlements.rules.schedule import Cadence, Schedule

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
ASSET = REGISTRY.assets["usdt-tron"]
ONE = 10**ASSET.decimals
ID = UUID(int=1)
MERCHANT_ID = MerchantId(ID)
HOME = HomeAddress(ID, MERCHANT_ID, "tron", BOUND, "T1", "", ID, NOW - timedelta(days=2), NOW - timedelta(days=1))
RULE = Rule(ID, MERCHANT_ID, ASSET.id, Terms(schedule=Schedule(Cadence.DAILY, time(0), "UTC")), NOW, ID, NOW)
RUN = Settlement(SettlementId(ID), MERCHANT_ID, Cause.SCHEDULE, ID, "t", SettlementState.DUE, ASSET.id, NOW, NOW)
CASE = Case(RUN, RULE, make_merchant(ManualClock()), HOME, ASSET, PayoutTerms(), 100 * ONE, 0)

ENDED = replace(CASE, rule=replace(RULE, ended_at=NOW))
SUSPENDED = replace(CASE, merchant=replace(CASE.merchant, state=MerchantState.SUSPENDED))
REVOKED = replace(CASE, merchant=replace(CASE.merchant, state=MerchantState.REVOKED))
HOMELESS = replace(CASE, address=None)
RESTING = replace(CASE, address=replace(HOME, usable_at=NOW + timedelta(seconds=1)))
OWING = replace(CASE, debt_units=5 * ONE)
THRESHOLD = replace(CASE, rule=replace(RULE, terms=Terms(threshold_units=100 * ONE)))
POOR = replace(CASE, available_units=0)


def reason(case: Case) -> Reason | None:
    found = find_obstacle(case, NOW)
    return found.reason if found else None


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        (CASE, None),
        (ENDED, Reason.RULE_REMOVED),
        (SUSPENDED, Reason.MERCHANT_INACTIVE),
        (REVOKED, Reason.MERCHANT_INACTIVE),
        (HOMELESS, Reason.NO_ADDRESS),
        (RESTING, Reason.ADDRESS_ON_HOLD),
        (replace(CASE, address=replace(HOME, usable_at=NOW)), None),
        (replace(CASE, address=replace(HOME, ended_at=NOW)), Reason.ADDRESS_ON_HOLD),
        (OWING, Reason.IN_DEBT),
        (THRESHOLD, None),
        (replace(THRESHOLD, available_units=100 * ONE - 1), Reason.BELOW_THRESHOLD),
        (POOR, Reason.BELOW_MINIMUM),
        (replace(CASE, available_units=ASSET.minimum_units - 1), Reason.BELOW_MINIMUM),
        (replace(CASE, available_units=max(1, ASSET.minimum_units)), None),
        (replace(CASE, rule=replace(RULE, terms=replace(RULE.terms, reserve_units=100 * ONE))), Reason.BELOW_MINIMUM),
        (replace(CASE, payout_terms=PayoutTerms(fee_flat_units=100 * ONE)), Reason.BELOW_MINIMUM),
        (replace(ENDED, merchant=SUSPENDED.merchant, address=None, debt_units=1), Reason.RULE_REMOVED),
        (replace(HOMELESS, debt_units=1, available_units=0), Reason.NO_ADDRESS),
    ],
)
def test_the_first_obstacle_is_told(case: Case, expected: Reason | None) -> None:
    assert reason(case) is expected


def test_what_is_told_says_the_figures() -> None:
    def told(case: Case) -> str:
        found = find_obstacle(case, NOW)
        assert found is not None
        return found.detail

    assert told(OWING) == "5 USDT are owed; later credits repay it first"
    assert told(replace(THRESHOLD, available_units=7 * ONE)) == "the balance is 7 USDT again"
    keeping = replace(RULE, terms=replace(RULE.terms, reserve_units=99 * ONE + 999_999))
    assert "the balance is 100 USDT, of which 99.999999 USDT stay: too little" in told(replace(CASE, rule=keeping))
    assert "2026-03-01T12:00" in told(RESTING)


def test_everything_goes_less_reserve_and_fees() -> None:
    assert amount(CASE, network_fee_units=0) == 100 * ONE
    assert settle(CASE, network_fee_units=2 * ONE) == Quote(98 * ONE, 0, 2 * ONE)
    keeping = replace(CASE, rule=replace(RULE, terms=replace(RULE.terms, reserve_units=30 * ONE)))
    priced = replace(keeping, payout_terms=PayoutTerms(fee_flat_units=ONE))
    quote = settle(priced, network_fee_units=2 * ONE)
    assert quote == Quote(67 * ONE, ONE, 2 * ONE)
    assert isinstance(quote, Quote)
    assert quote.charged_units == 3 * ONE


@pytest.mark.parametrize(("most", "is_skipped"), [(3 * ONE - 1, True), (3 * ONE, False), (None, False)])
def test_a_run_costs_no_more_than_its_rule_allows(most: int | None, is_skipped: bool) -> None:
    terms = replace(RULE.terms, fee_max_units=most)
    case = replace(CASE, rule=replace(RULE, terms=terms), payout_terms=PayoutTerms(fee_flat_units=ONE))
    found = settle(case, network_fee_units=2 * ONE)
    assert isinstance(found, Skip) == is_skipped
    if isinstance(found, Skip):
        assert (found.reason, "would cost 3 USDT" in found.detail) == (Reason.FEE_TOO_HIGH, True)


def test_a_network_fee_that_eats_the_balance_leaves_nothing_to_settle() -> None:
    found = settle(CASE, network_fee_units=100 * ONE)
    assert isinstance(found, Skip)
    assert found.reason is Reason.BELOW_MINIMUM


@pytest.mark.parametrize(
    ("problem", "expected"),
    [
        (NoLiquidity("TRON"), Reason.NO_LIQUIDITY),
        (PayoutsStopped("tron"), Reason.STOPPED),
        (AddressRefused("listed"), Reason.ADDRESS_REFUSED),
        (AmountRefused("too much"), Reason.ABOVE_LIMIT),
        (BalanceTooLow("too little"), Reason.REFUSED),
        (Conflict("something else"), Reason.REFUSED),
        (Unavailable("no answer"), None),
    ],
)
def test_a_refusal_ends_a_run_unless_time_may_heal_it(problem: Problem, expected: Reason | None) -> None:
    found = skip_of(problem)
    assert (found.reason if found else None) is expected
    assert found is None or found.detail == problem.message


# --- whatever the figures are

amounts = st.integers(0, 10**24)
fees = st.builds(PayoutTerms, fee_ppm=st.integers(0, 200_000), fee_flat_units=st.integers(0, 10**9))


@given(amounts, fees, st.integers(0, 10**12), st.integers(0, 10**9), st.none() | st.integers(0, 10**9))
def test_a_run_never_takes_more_than_there_is_nor_leaves_more_than_it_should(
    available: int, terms: PayoutTerms, reserve: int, network_fee: int, most: int | None
) -> None:
    plan = replace(RULE.terms, reserve_units=reserve, fee_max_units=most)
    case = replace(CASE, rule=replace(RULE, terms=plan), payout_terms=terms, available_units=available)
    found = settle(case, network_fee_units=network_fee)
    if isinstance(found, Skip):
        assert found.reason in {Reason.BELOW_MINIMUM, Reason.FEE_TOO_HIGH}
        assert (found.reason is Reason.FEE_TOO_HIGH) <= (most is not None)
        return
    taken = found.units + found.charged_units
    assert available - reserve - 1 <= taken <= available - reserve
    assert found.units >= max(1, ASSET.minimum_units)
    assert found.fee_units == fee_units(found.units, terms)
    assert most is None or found.charged_units <= most


@given(amounts, st.integers(1, 10**24))
def test_a_threshold_is_reached_or_it_is_not(available: int, threshold: int) -> None:
    terms = Terms(threshold_units=threshold)
    case = replace(CASE, rule=replace(RULE, terms=terms), available_units=available)
    found = find_obstacle(case, NOW)
    if available < threshold:
        assert found is not None
        assert found.reason is Reason.BELOW_THRESHOLD
    else:
        assert found is None or found.reason is Reason.BELOW_MINIMUM


@pytest.mark.parametrize("wanted", list(Reason))
def test_every_reason_is_explained_to_the_operator(wanted: Reason) -> None:
    page = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()
    assert f"`{wanted}`" in page.split("## Settlement", 1)[1].split("\n## ", 1)[0]
