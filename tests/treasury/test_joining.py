"""Which outputs of a hot wallet are joined: cheap ones, many at once, never at a loss and never all that payments need."""

from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from tests.chains.bitcoin.conftest import coin, network
from tests.chains.bitcoin.ours import HOT, intent, pays

from bitlinkpay.chains.bitcoin.coins import INPUTS_MAX
from bitlinkpay.chains.bitcoin.drafting import FEE_SHARE, SPLIT_UNITS, Rate, choose, draft
from bitlinkpay.chains.bitcoin.fit import misfits
from bitlinkpay.chains.bitcoin.weight import KEY_SCRIPT_BYTES, LATER_RATE, fee_at, input_cost, vsize
from bitlinkpay.chains.codec.bitcoin import TEST
from bitlinkpay.chains.outgoing import CannotPlan, Purpose, Unspent
from bitlinkpay.chains.tariff import Tariff
from bitlinkpay.treasury.joining import Joint, Pocket, join, per_vb
from bitlinkpay.treasury.model import JoinTerms
from bitlinkpay.treasury.terms.store import STANDARD

TERMS = JoinTerms(low_rate=5_000, least=3, keep=2)
SMALL, LARGE = 20_000, 4_000_000


def tariff(rate: int = 2_000) -> Tariff:
    """Return what `BitcoinSender.tariff` does at a rate."""
    frame = fee_at(rate, vsize(0, [KEY_SCRIPT_BYTES]))
    return Tariff(rate, frame, input_cost(rate), input_cost(LATER_RATE), SPLIT_UNITS // 2, INPUTS_MAX, FEE_SHARE)


def pocket(*held: int, **changes: object) -> Pocket:
    return replace(Pocket(held, sum(held), TERMS), **changes)


FULL = pocket(LARGE, SMALL, LARGE, SMALL, SMALL)

# Of which many can be joined: where too few can, Hypothesis says so.
rates = st.one_of(st.integers(1_000, 9_000), st.integers(1_000, 30_000))
sizes = st.one_of(st.integers(294, 5_000), st.integers(5_000, 10**5), st.integers(294, 10**8))
outputs = st.one_of(st.lists(sizes, min_size=20, max_size=60), st.lists(sizes, min_size=INPUTS_MAX, max_size=300))
low_rates = st.one_of(st.integers(10_000, 30_000), st.integers(0, 30_000))
terms = st.builds(JoinTerms, low_rate=low_rates, least=st.integers(2, 9), keep=st.integers(0, 9))
free = st.one_of(st.integers(10**7, 10**9), st.integers(0, 10**7))
pockets = st.builds(lambda held, units, agreed: Pocket(tuple(held), units, agreed), outputs, free, terms)


def test_the_small_ones_are_joined_and_the_large_ones_stay() -> None:
    joint = join(FULL, tariff())
    assert (joint.outputs, joint.units, joint.reason) == (3, 60_000, "")
    assert joint.fee_units == 84 + 3 * 136
    assert joint.fee_max_units == 3 * 678 - 678, "what spending three costs later, less what spending the one does"


@pytest.mark.parametrize(
    ("changes", "rate", "reason"),
    [
        ({"obstacle": "payments wait"}, 1_000, "payments wait"),
        ({}, 5_001, "the network asks for 5.001 sat/vB, more than 5"),
        ({"free_units": 119_999}, 1_000, "2 are worth joining that leave half of the money free, fewer than 3"),
        ({"free_units": -1}, 1_000, "0 are worth joining that leave half of the money free, fewer than 3"),
        ({"held": (SMALL,) * 5, "terms": replace(TERMS, keep=0), "free_units": 10**9}, 1_000, "2 are worth joining"),
        ({"held": (LARGE, LARGE, SMALL, SMALL, 2 * 68)}, 1_000, "2 are worth joining"),
        ({"terms": replace(TERMS, low_rate=9_999)}, 7_000, "costs 1719 satoshi now and saves 1356 later"),
        ({"held": (LARGE, LARGE, 429, 429, 595)}, 3_000, "costs 738 satoshi now, and 726 are the most for what they"),
    ],
)
def test_what_waits_says_why(changes: dict[str, object], rate: int, reason: str) -> None:
    assert join(FULL, tariff()).reason == ""
    waiting = join(replace(FULL, **changes), tariff(rate))  # type: ignore[arg-type]
    assert reason in waiting.reason
    assert replace(waiting, reason="") == Joint()


def test_at_the_mark_and_with_exactly_half_left_free_they_are_joined() -> None:
    assert join(FULL, tariff(5_000)).outputs == 3
    assert join(replace(FULL, free_units=120_000), tariff()).outputs == 3
    assert join(replace(FULL, held=(LARGE, LARGE, SMALL, SMALL, 2 * 136 + 1)), tariff()).outputs == 3


@pytest.mark.parametrize("kept", [0, 2, 3])
def test_the_largest_stay_and_too_few_beside_them_are_not_even_looked_at(kept: int) -> None:
    assert replace(FULL, terms=replace(TERMS, keep=kept)).spare == (
        [SMALL] * 3 + [LARGE] * (2 - kept) if kept < 3 else []
    )
    assert pocket().spare == replace(FULL, terms=replace(TERMS, low_rate=0)).spare == []


def test_as_many_as_one_transaction_spends_the_smallest_first() -> None:
    many = pocket(*range(100_000, 100_300), LARGE, LARGE, LARGE, LARGE)
    joint = join(many, tariff())
    assert (joint.outputs, joint.units) == (INPUTS_MAX, sum(range(100_000, 100_000 + INPUTS_MAX)))
    assert 4 * vsize(INPUTS_MAX, [KEY_SCRIPT_BYTES]) < 400_000, "what nodes relay"


def test_the_standard_terms_join_at_half_of_what_spending_costs_later() -> None:
    assert 2 * STANDARD.low_rate == LATER_RATE
    many = pocket(*[SMALL] * 20, *[LARGE] * 10, terms=STANDARD)
    assert join(many, tariff(5_000)).outputs == 20
    assert join(replace(many, held=many.held[1:]), tariff(5_000)).outputs == 0


def test_what_change_is_split_into_stays_as_it_is() -> None:
    part = SPLIT_UNITS // 2
    wallet = pocket(*[part] * 6, part - 1, *[SMALL] * 5)
    assert join(wallet, tariff()).units == part - 1 + 5 * SMALL
    assert join(pocket(*[part] * 50), tariff()).outputs == 0


@given(wallet=pockets, rate=rates, grown=st.integers(1_000, 30_000))
def test_what_is_planned_is_what_is_spent_whatever_the_network_asks_for_by_then(
    wallet: Pocket, rate: int, grown: int
) -> None:
    joint = join(wallet, tariff(rate))
    assume(joint.outputs)
    coins = [Unspent(f"{n:064x}", 0, units, HOT) for n, units in enumerate(wallet.held)]
    what = intent(pays((HOT.address, joint.units)), Purpose.CONSOLIDATION, fee_max=joint.fee_max_units)
    chosen = choose(what, coins, grown, TEST)
    assert sum(coin.units for coin in chosen) == joint.units
    assert 2 <= len(chosen) <= INPUTS_MAX
    assert len(set(chosen)) == len(chosen)
    plan = draft(what, chosen, Rate(rate, 700), TEST)
    assert misfits(what, plan, network(), coin()) == ()
    assert plan.fee_units <= joint.fee_units
    assert plan.change == (joint.units - plan.fee_units,)


def test_where_an_output_of_it_is_gone_nothing_is_joined() -> None:
    coins = [Unspent(f"{n:064x}", 0, 10_000 * 2**n, HOT) for n in range(8)]
    what = intent(pays((HOT.address, 10_000 + 20_000 + 40_000)), Purpose.CONSOLIDATION)
    assert choose(what, coins, 2_000, TEST) == coins[:3]
    for gone in coins[:3]:
        with pytest.raises(CannotPlan, match="not all free any more"):
            choose(what, [one for one in coins if one is not gone], 2_000, TEST)
    between = Unspent("ff" * 32, 0, 25_000, HOT)
    with pytest.raises(CannotPlan):
        choose(what, [*coins, between], 2_000, TEST)
    alone = intent(pays((HOT.address, 160_000)), Purpose.CONSOLIDATION)
    with pytest.raises(CannotPlan):
        choose(alone, coins[3:], 2_000, TEST)  # one output is what it would become


@given(wallet=pockets, rate=rates)
def test_SWP_04_joining_never_costs_more_than_it_spares(wallet: Pocket, rate: int) -> None:
    asked = tariff(rate)
    joint = join(wallet, asked)
    assume(joint.outputs)
    chosen = wallet.spare
    chosen = next(
        chosen[n : n + joint.outputs] for n in range(len(chosen)) if sum(chosen[n : n + joint.outputs]) == joint.units
    )
    assert fee_at(rate, vsize(len(chosen), [KEY_SCRIPT_BYTES])) <= joint.fee_units <= joint.fee_max_units
    assert joint.fee_max_units <= (len(chosen) - 1) * asked.later_units
    assert joint.fee_max_units < joint.units
    assert rate <= wallet.terms.low_rate
    assert all(units > 2 * input_cost(rate) for units in chosen)


@given(wallet=pockets, rate=rates)
def test_PAY_31_payments_keep_half_of_the_money_the_largest_outputs_and_what_their_fee_needs(
    wallet: Pocket, rate: int
) -> None:
    joint = join(wallet, tariff(rate))
    assume(joint.outputs)
    free = min(wallet.free_units, sum(wallet.held))
    assert 2 * joint.units <= free
    assert joint.units + joint.fee_max_units <= free
    largest = sorted(wallet.held, reverse=True)[: wallet.terms.keep]
    assert joint.units <= sum(wallet.held) - sum(largest)
    assert len(wallet.held) - joint.outputs >= wallet.terms.keep
    assert wallet.terms.least <= joint.outputs <= INPUTS_MAX


@pytest.mark.parametrize(("rate", "shown"), [(0, "0"), (1_000, "1"), (5_250, "5.25"), (100_000, "100"), (1, "0.001")])
def test_rates_are_shown_per_vbyte(rate: int, shown: str) -> None:
    assert per_vb(rate) == shown
