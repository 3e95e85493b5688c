"""The signer's clock: wall time that nobody sets while it runs."""

import itertools
import time
from datetime import UTC, datetime, timedelta

import pytest
from tests.signer.asking import NOW, HandClock

from bitlinkpay.signer.clock import GuardedClock, steady
from bitlinkpay.signer.problems import ClockJumped


def test_it_is_the_wall_time_as_long_as_that_goes_on_steadily() -> None:
    hand = HandClock()
    clock = hand.guarded()
    for by in (timedelta(0), timedelta(milliseconds=1), timedelta(days=500)):
        hand.advance(by)
        assert clock.now() == hand.now()
    assert clock.now().tzinfo is UTC


@pytest.mark.parametrize("drift", [-1.9, 1.9])
def test_a_small_drift_is_let_pass(drift: float) -> None:
    hand = HandClock()
    clock = hand.guarded()
    hand.wall += drift
    assert clock.now() == hand.now()


@pytest.mark.parametrize("drift", [-2.1, 2.1, -86_400.0, 86_400.0])
def test_OPS_07_signing_stops_when_the_clock_is_off_by_more_than_two_seconds(drift: float) -> None:
    hand = HandClock()
    clock = hand.guarded()
    hand.advance(timedelta(hours=5))
    hand.wall += drift
    with pytest.raises(ClockJumped, match=f"set by {round(drift)} s"):
        clock.now()
    hand.advance(timedelta(hours=5))
    with pytest.raises(ClockJumped):
        clock.now()
    hand.wall -= drift
    assert clock.now() == hand.now()


@pytest.mark.parametrize("stands", range(6))
def test_a_machine_that_stands_still_between_two_looks_sets_no_clock(stands: int) -> None:
    """Ten seconds pass for both clocks between two of the looks at them: three when it starts, three when it is asked."""
    looks = itertools.count()

    def passed() -> float:
        return 10.0 if next(looks) > stands else 0.0

    assert GuardedClock(lambda: NOW.timestamp() + passed(), passed).now() >= NOW


def test_many_small_steps_add_up() -> None:
    hand = HandClock()
    clock = hand.guarded()
    for _ in range(2):
        hand.wall += 0.9
        clock.now()
    hand.wall += 0.9
    with pytest.raises(ClockJumped):
        clock.now()


def test_by_default_it_is_this_machine_s_clock() -> None:
    before = datetime.now(UTC)
    assert before <= GuardedClock().now() <= datetime.now(UTC)
    first = steady()
    assert first <= steady() < first + 60
    assert NOW.timestamp() != time.time()
