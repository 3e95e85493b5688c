"""The life of a difference, and what a look at a place means, as pure decisions."""

from dataclasses import replace
from datetime import UTC, datetime
from itertools import product

import pytest

from bitlinkpay.core.fsm import IllegalMove
from bitlinkpay.core.ids import new_uuid7
from bitlinkpay.reconciliation.model import (
    COLD,
    DIFFERENCE,
    DRIFT_DAY,
    DRIFT_GAIN,
    LIVING,
    Books,
    Difference,
    DifferenceEvent,
    DifferenceState,
    Evidence,
    EvidenceKind,
    Place,
    Running,
    Sight,
    explains,
    is_in_motion,
    judge,
)

AT = datetime(2026, 3, 1, tzinfo=UTC)
SIGHT = Sight("tron", "usdt-tron", "T1", height=100, books_units=50, chain_units=45)
SUSPECTED = Difference(new_uuid7(), SIGHT, DifferenceState.SUSPECTED, False, (), AT, AT)
OPEN = replace(SUSPECTED, state=DifferenceState.OPEN)
EVEN = replace(SIGHT, height=101, chain_units=50)
SAME_LATER = replace(SIGHT, height=101)
SAME_OTHERWISE = replace(SIGHT, height=101, books_units=40, chain_units=35)  # money moved, the difference did not
MORE_MISSING = replace(SIGHT, height=101, chain_units=44)
LESS_MISSING = replace(SIGHT, height=101, chain_units=46)
TOO_MUCH = replace(SIGHT, height=101, chain_units=51)


@pytest.mark.parametrize(("state", "event"), list(product(DifferenceState, DifferenceEvent)))
def test_every_move_is_listed_or_refused(state: DifferenceState, event: DifferenceEvent) -> None:
    if (state, event) in DIFFERENCE.moves:
        assert isinstance(DIFFERENCE.next(state, event), DifferenceState)
        assert state not in (DifferenceState.PASSED, DifferenceState.RESOLVED), "an end is an end"
    else:
        with pytest.raises(IllegalMove):
            DIFFERENCE.next(state, event)


@pytest.mark.parametrize(
    ("found", "sight", "event"),
    [
        (None, SIGHT, None),
        (None, EVEN, None),
        (SUSPECTED, SIGHT, None),  # the same block proves nothing new
        (SUSPECTED, SAME_LATER, DifferenceEvent.CONFIRMED),
        (SUSPECTED, SAME_OTHERWISE, DifferenceEvent.CONFIRMED),
        (SUSPECTED, MORE_MISSING, DifferenceEvent.CONFIRMED),  # who goes on taking does not stay suspected
        (SUSPECTED, LESS_MISSING, DifferenceEvent.CHANGED),
        (SUSPECTED, TOO_MUCH, DifferenceEvent.CHANGED),
        (replace(SUSPECTED, sight=TOO_MUCH), replace(TOO_MUCH, height=102, chain_units=52), DifferenceEvent.CONFIRMED),
        (replace(SUSPECTED, sight=TOO_MUCH), replace(TOO_MUCH, height=102), DifferenceEvent.CONFIRMED),
        (
            replace(SUSPECTED, sight=replace(TOO_MUCH, chain_units=52)),
            replace(TOO_MUCH, height=102),
            DifferenceEvent.CHANGED,
        ),
        (SUSPECTED, replace(MORE_MISSING, height=100), DifferenceEvent.CHANGED),
        (SUSPECTED, EVEN, DifferenceEvent.AGREED),
        (OPEN, SAME_LATER, None),
        (OPEN, MORE_MISSING, DifferenceEvent.CHANGED),
        (OPEN, EVEN, DifferenceEvent.AGREED),
    ],
)
def test_a_difference_counts_when_a_later_look_finds_it_no_better(
    found: Difference | None, sight: Sight, event: DifferenceEvent | None
) -> None:
    assert judge(found, sight) is event


@pytest.mark.parametrize(
    ("units", "event"),
    [
        (-5, DifferenceEvent.DRIFTED),
        (-6, DifferenceEvent.CONFIRMED),
        (5 * DRIFT_GAIN, DifferenceEvent.DRIFTED),
        (5 * DRIFT_GAIN + 1, DifferenceEvent.CONFIRMED),
    ],
)
def test_what_messages_bring_and_cost_is_taken_in_within_bounds(units: int, event: DifferenceEvent) -> None:
    sight = replace(SIGHT, chain_units=SIGHT.books_units + units)
    found = replace(SUSPECTED, sight=sight)
    assert judge(found, replace(sight, height=101), drift_units=5) is event
    assert judge(found, sight, drift_units=5) is None
    assert judge(replace(found, state=DifferenceState.OPEN), replace(sight, height=101), drift_units=5) is None
    assert judge(found, replace(sight, height=101)) is DifferenceEvent.CONFIRMED


@pytest.mark.parametrize(
    ("drifted", "units", "event"),
    [
        (5 * DRIFT_DAY - 5, -5, DifferenceEvent.DRIFTED),
        (5 * DRIFT_DAY - 4, -5, DifferenceEvent.CONFIRMED),
        (5 * DRIFT_DAY - 4, -4, DifferenceEvent.DRIFTED),
        (5 * DRIFT_DAY, -1, DifferenceEvent.CONFIRMED),
        (5 * DRIFT_DAY + 3, 1, DifferenceEvent.DRIFTED),
    ],
)
def test_what_goes_with_messages_has_a_bound_for_a_day_too(drifted: int, units: int, event: DifferenceEvent) -> None:
    sight = replace(SIGHT, chain_units=SIGHT.books_units + units)
    later = replace(sight, height=101)
    assert judge(replace(SUSPECTED, sight=sight), later, drift_units=5, drifted_units=drifted) is event


@pytest.mark.parametrize("state", [state for state in DifferenceState if state not in LIVING])
def test_what_has_ended_is_not_taken_up_again(state: DifferenceState) -> None:
    assert judge(replace(SUSPECTED, state=state), MORE_MISSING) is None


def run(out: int = 0, into: int = 0, fee: int = 0) -> Running:
    return Running(("t",), out, into, fee)


@pytest.mark.parametrize(
    ("stands", "chain_units", "answer"),
    [
        ((), 100, False),
        ((), 60, False),
        ((run(out=40),), 60, True),
        ((run(out=40),), 59, False),  # one more is missing than was sent
        ((run(out=40),), 61, False),
        ((run(out=40, fee=5),), 60, True),
        ((run(out=40, fee=5),), 55, True),
        ((run(out=40, fee=5),), 54, False),
        ((run(fee=5),), 98, True),
        ((run(into=7),), 107, True),
        ((run(out=40), run(into=7, fee=2)), 66, True),
        ((run(out=40), run(into=7, fee=2)), 64, False),
    ],
)
def test_only_what_stands_on_the_chain_explains_by_as_much_as_it_moves(
    stands: tuple[Running, ...], chain_units: int, answer: bool
) -> None:
    assert is_in_motion(Books(100, stands, None), stands, chain_units) is answer


def unbooked(units: int) -> Evidence:
    return Evidence(EvidenceKind.UNBOOKED, "t", 99, units)


MORE = replace(SIGHT, chain_units=57)


@pytest.mark.parametrize(
    ("evidence", "sight", "answer"),
    [
        ([unbooked(7)], MORE, True),
        ([unbooked(3), unbooked(4)], MORE, True),
        ([], MORE, False),
        ([unbooked(6)], MORE, False),
        ([unbooked(8)], MORE, False),
        ([unbooked(8), unbooked(-1)], MORE, False),
        ([Evidence(EvidenceKind.VANISHED, "t", 99, 7)], MORE, False),
        ([unbooked(-5)], SIGHT, False),  # a theft that has a name is still a theft
    ],
)
def test_only_arrivals_that_make_up_all_of_it_explain_a_difference(
    evidence: list[Evidence], sight: Sight, answer: bool
) -> None:
    assert explains(evidence, sight) is answer


def test_a_place_is_the_accounts_of_its_address_or_cold_storage() -> None:
    assert Place("T1", ("T1",)).accounts == ("custody:hot:T1", "custody:deposits:T1")
    assert Place(COLD, ("T2", "T3")).accounts == ("custody:cold",)
