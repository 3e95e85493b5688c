"""The state table of settlements, what rules may say, and what labels look like."""

from dataclasses import replace
from datetime import time
from itertools import product

import pytest

from bitlinkpay.chains.registry import load_registry
from bitlinkpay.core.errors import Invalid
from bitlinkpay.core.money import MAX_UNITS
from bitlinkpay.settlements.addresses.model import BOUND, LONGEST_LABEL, check_label
from bitlinkpay.settlements.model import SETTLEMENT, SettlementEvent, SettlementState
from bitlinkpay.settlements.rules.model import RuleKind, Terms, check_rule
from bitlinkpay.settlements.rules.schedule import Cadence, Schedule

ASSET = load_registry().assets["usdt-tron"]
DAILY = Schedule(Cadence.DAILY, time(8, 0), "Asia/Shanghai")
S, E = SettlementState, SettlementEvent


@pytest.mark.parametrize(("state", "event"), list(product(S, E)))
def test_only_a_run_that_is_due_moves(state: SettlementState, event: SettlementEvent) -> None:
    moves = {E.POSTPONED: S.DUE, E.REQUESTED: S.REQUESTED, E.SKIPPED: S.SKIPPED}
    is_listed = state is S.DUE and event in moves
    assert SETTLEMENT.allows(state, event) == is_listed
    if is_listed:
        assert SETTLEMENT.next(state, event) is moves[event]


def test_a_rule_has_one_kind() -> None:
    assert Terms(schedule=DAILY).kind is RuleKind.SCHEDULE
    assert Terms(threshold_units=10**8).kind is RuleKind.THRESHOLD
    for terms in (Terms(), Terms(schedule=DAILY, threshold_units=10**8)):
        with pytest.raises(Invalid, match="either a schedule or a threshold"):
            check_rule(ASSET, terms)


@pytest.mark.parametrize(
    ("terms", "param"),
    [
        (Terms(schedule=DAILY, reserve_units=-1), "reserve"),
        (Terms(schedule=DAILY, reserve_units=MAX_UNITS + 1), "reserve"),
        (Terms(schedule=DAILY, fee_max_units=-1), "fee_max"),
        (Terms(schedule=replace(DAILY, zone="Mars")), "zone"),
        (Terms(threshold_units=0), "threshold"),
        (Terms(threshold_units=ASSET.minimum_units - 1), "threshold"),
        (Terms(threshold_units=10**8, reserve_units=10**8), "threshold"),
        (Terms(threshold_units=MAX_UNITS + 1), "threshold"),
    ],
)
def test_a_rule_that_could_never_settle_is_refused(terms: Terms, param: str) -> None:
    with pytest.raises(Invalid) as refused:
        check_rule(ASSET, terms)
    assert refused.value.param == param


def test_a_threshold_leaves_room_for_reserve_and_smallest_payout() -> None:
    check_rule(ASSET, Terms(threshold_units=10**8 + ASSET.minimum_units, reserve_units=10**8))
    check_rule(ASSET, Terms(schedule=DAILY, reserve_units=10**8, fee_max_units=0))


def test_an_authorization_covers_every_word_of_a_rule() -> None:
    plain = Terms(schedule=DAILY, reserve_units=1, fee_max_units=2)
    others = [
        replace(plain, schedule=replace(DAILY, at=time(8, 1))),
        replace(plain, schedule=replace(DAILY, zone="Asia/Tokyo")),
        replace(plain, schedule=replace(DAILY, cadence=Cadence.WEEKLY, day=1)),
        replace(plain, schedule=replace(DAILY, cadence=Cadence.WEEKLY, day=2)),
        replace(plain, reserve_units=2),
        replace(plain, fee_max_units=None),
        replace(plain, schedule=None, threshold_units=1),
        replace(plain, schedule=None, threshold_units=2),
    ]
    words = [terms.words() for terms in (plain, *others)]
    assert len(set(words)) == len(words)
    assert {len(word) for word in words} == {7}


@pytest.mark.parametrize("label", [" office", "office ", "a\nb", "\u202eoffice", "x" * (LONGEST_LABEL + 1)])
def test_a_label_can_be_read(label: str) -> None:
    with pytest.raises(Invalid):
        check_label(label)


def test_the_bound_address_has_no_label() -> None:
    assert BOUND == ""
    check_label(BOUND)
    check_label("Bureau de Genève")
