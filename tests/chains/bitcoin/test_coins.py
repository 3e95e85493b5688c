"""Choosing outputs and drafting plans: exact arithmetic over everything that hypothesis can think of."""

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.chains.bitcoin.conftest import coin, network
from tests.chains.bitcoin.keys import Lock, TestKey
from tests.chains.bitcoin.ours import HOT, KEYS, intent, pays
from tests.chains.bitcoin.serialize import Tx

from bitlinkpay.chains.bitcoin.coins import Goal, match, select
from bitlinkpay.chains.bitcoin.drafting import Rate, choose, draft
from bitlinkpay.chains.bitcoin.fit import misfits
from bitlinkpay.chains.bitcoin.script import address_of
from bitlinkpay.chains.bitcoin.weight import dust_of, fee_at, input_cost, vsize
from bitlinkpay.chains.codec.bitcoin import TEST
from bitlinkpay.chains.outgoing import CannotPlan, LacksGas, Unspent
from bitlinkpay.signer.families.bitcoin import sign

VALUES = st.lists(st.integers(1, 60), max_size=9)
ANN = TestKey.of("ann")
TARGETS = [address for lock in Lock if (address := address_of(ANN.script(lock), TEST))]


def coins(*units: int) -> list[Unspent]:
    return [Unspent(f"{n + 1:064x}", n, value, HOT) for n, value in enumerate(units)]


@given(VALUES, st.integers(1, 300), st.integers(0, 10))
def test_an_exact_match_is_found_where_there_is_one_and_is_the_nearest(values, target, slack):
    values = sorted(values, reverse=True)
    sums = [sum(c) for n in range(1, len(values) + 1) for c in combinations(values, n)]
    fitting = [total for total in sums if target <= total <= target + slack]
    found = match(values, target, slack)
    assert (found is not None) == bool(fitting)
    if found is not None:
        assert len(set(found)) == len(found)
        assert sum(values[i] for i in found) == min(fitting)


def test_a_hopeless_search_ends():
    assert match([2 * n + 1_000_000 for n in range(400, 0, -1)], 77_777_777, 0) is None


@given(st.lists(st.integers(1, 10**9), max_size=30), st.integers(1, 10**9), st.integers(0, 5_000))
def test_a_choice_covers_its_goal_with_outputs_that_are_worth_their_cost(values, units, input_units):
    goal = Goal(units, input_units, 500, 1_000)
    chosen = select(coins(*values), goal)
    worth = [value for value in values if value > input_units]
    if chosen is None:
        assert sum(worth) - input_units * len(worth) < units
    else:
        assert sum(c.units - input_units for c in chosen) >= units
        assert all(c.units > input_units for c in chosen)
        assert len({(c.txid, c.vout) for c in chosen}) == len(chosen)


def test_an_exact_output_is_taken_before_a_large_one():
    goal = Goal(units=100_000, input_units=340, slack_units=500, change_units=1_000)
    assert [c.units for c in select(coins(5_000_000, 100_340, 100_100), goal)] == [100_340]
    assert [c.units for c in select(coins(5_000_000, 60_000), goal)] == [5_000_000]


@given(
    st.lists(st.integers(1_000, 10**8), min_size=1, max_size=40),
    st.lists(st.tuples(st.sampled_from(TARGETS), st.integers(600, 10**7)), min_size=1, max_size=12),
    st.integers(1_000, 200_000),
)
def test_what_is_drafted_adds_up_fits_its_intent_and_weighs_what_was_reckoned(values, payments, rate):
    what = intent(pays(*payments), fee_max=10**9)
    try:
        plan = draft(what, choose(what, coins(*values), rate, TEST), Rate(rate, 100), TEST)
    except CannotPlan:
        return
    assert misfits(what, plan, network(), coin()) == ()
    assert sum(c.units for c in plan.inputs) == sum(p.units for p in what.payments) + sum(plan.change) + plan.fee_units
    tx = Tx.parse(sign(what, plan, KEYS).raw)
    size = vsize(len(plan.inputs), [len(o.script) for o in tx.outputs])
    assert size - len(plan.inputs) <= tx.vsize <= size
    assert plan.fee_units - plan.dust_units == fee_at(rate, size)


@given(st.integers(100_000, 10**8), st.integers(1_000, 50_000), st.integers(1_000, 50_000))
def test_what_outbids_pays_more_in_total_and_for_each_vbyte(units, rate, later):
    what = intent(pays((TARGETS[0], units // 3)), fee_max=10**9)
    try:
        plan = draft(what, coins(units), Rate(rate, 100), TEST)
        better = draft(what, coins(units), Rate(later, 105), TEST, plan)
    except CannotPlan:
        return
    size = vsize(1, [25, *[22] * len(better.change)])
    assert better.fee_units >= plan.fee_units + size
    assert better.fee_units * vsize(1, [25, *[22] * len(plan.change)]) > plan.fee_units * size
    assert (better.height, better.since_height) == (105, 100)


@pytest.mark.parametrize(
    ("lock", "units"),
    [(Lock.P2PKH, 546), (Lock.P2SH_P2WPKH, 540), (Lock.P2WPKH, 294), (Lock.P2WSH, 330), (Lock.P2TR, 330)],
)
def test_dust_is_what_bitcoin_core_says(lock, units):
    assert dust_of(ANN.script(lock)) == units


def test_weights_are_those_of_the_rule_book():
    assert vsize(1, [22, 22]) == 141, "the usual payment with change"
    assert vsize(1, [22]) == 110
    assert (input_cost(1_000), input_cost(10_000)) == (68, 678)


def test_outputs_that_cost_more_than_they_hold_stay_where_they_are():
    what = intent(pays((TARGETS[2], 50_000)))
    chosen = choose(what, coins(900_000, 300, 250, 600), 10_000, TEST)
    assert [c.units for c in chosen] == [900_000]
    with pytest.raises(LacksGas):
        choose(what, coins(*[300] * 150), 10_000, TEST)
