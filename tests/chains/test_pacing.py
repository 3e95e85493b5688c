"""How hard an endpoint is asked: exact waits in virtual time, and rests that grow, are bounded, and end."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitlinkpay.chains.pacing import Breaker, Pace

SECOND = 1_000_000_000


@dataclass
class Ticks:
    """Monotonic nanoseconds, moved by hand."""

    now: int = 5 * SECOND

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def ticks() -> Ticks:
    return Ticks()


def test_a_burst_is_free_and_each_call_after_it_waits_its_turn(ticks: Ticks) -> None:
    pace = Pace(per_second=4, burst=3, now_ns=ticks)
    assert [pace.take(1) for _ in range(5)] == [0, 0, 0, SECOND // 4, SECOND // 2]


def test_several_calls_at_once_cost_as_much_as_one_by_one(ticks: Ticks) -> None:
    together, single = (Pace(per_second=10, burst=5, now_ns=ticks) for _ in range(2))
    assert together.take(12) == [single.take(1) for _ in range(12)][-1] == 7 * SECOND // 10


def test_the_budget_comes_back_with_time_and_never_exceeds_the_burst(ticks: Ticks) -> None:
    pace = Pace(per_second=2, burst=2, now_ns=ticks)
    assert pace.take(2) == 0
    ticks.now += SECOND // 2
    assert (pace.take(1), pace.take(1)) == (0, SECOND // 2)
    ticks.now += 3600 * SECOND
    assert [pace.take(1) for _ in range(3)] == [0, 0, SECOND // 2], "an idle hour saves no more than one burst"


def test_taking_nothing_tells_the_wait_and_costs_nothing(ticks: Ticks) -> None:
    pace = Pace(per_second=1, burst=1, now_ns=ticks)
    pace.take(3)
    assert [pace.take(0) for _ in range(3)] == [2 * SECOND] * 3


def test_a_rate_above_a_call_each_nanosecond_still_divides(ticks: Ticks) -> None:
    assert Pace(per_second=5 * SECOND, burst=1, now_ns=ticks).take(11) == 10


@given(
    st.lists(st.tuples(st.integers(0, 2 * SECOND), st.integers(1, 20)), max_size=40),
    st.integers(1, 50),
    st.integers(1, 50),
)
def test_no_stretch_of_time_sees_more_than_its_rate_and_one_burst(
    steps: list[tuple[int, int]], rate: int, burst: int
) -> None:
    ticks = Ticks()
    pace = Pace(per_second=rate, burst=burst, now_ns=ticks)
    made: list[tuple[int, int]] = []
    for later, calls in steps:
        ticks.now += later
        made.append((ticks.now + pace.take(calls), calls))
    cost = SECOND // rate
    for first in range(len(made)):
        total = 0
        for at, calls in made[first:]:
            total += calls
            # The first item may have begun a burst before its own moment: it counts from there.
            assert total * cost <= at - made[first][0] + burst * cost + made[first][1] * cost


def test_a_breaker_rests_after_its_first_failure_and_says_why(ticks: Ticks) -> None:
    breaker = Breaker(ticks)
    assert (breaker.is_resting, breaker.error) == (False, "")
    breaker.failed("refused")
    assert (breaker.is_resting, breaker.error) == (True, "refused")
    ticks.now += SECOND // 4 + 1
    assert not breaker.is_resting
    assert breaker.error == "refused", "it is shown until a success"


def rest_of(breaker: Breaker, ticks: Ticks) -> int:
    """Return how long the breaker still rests, by halves, and leave the clock where it was."""
    start, low, high = ticks.now, 0, 1 << 40
    while low < high:
        middle = (low + high) // 2
        ticks.now = start + middle
        low, high = (middle + 1, high) if breaker.is_resting else (low, middle)
    ticks.now = start
    return low


def test_rests_double_with_jitter_of_half_and_stop_at_a_minute(ticks: Ticks) -> None:
    breaker = Breaker(ticks)
    for number in range(40):
        breaker.failed("down")
        full = min(60 * SECOND, SECOND // 4 << number)
        assert full // 2 <= rest_of(breaker, ticks) <= full


def test_rests_of_two_endpoints_that_fail_together_differ(ticks: Ticks) -> None:
    breakers = [Breaker(ticks) for _ in range(8)]
    for breaker in breakers:
        breaker.failed("down")
    assert len({rest_of(breaker, ticks) for breaker in breakers}) > 1


@pytest.mark.parametrize(("asked", "rests"), [(10 * SECOND, 10 * SECOND), (3600 * SECOND, 60 * SECOND)])
def test_what_the_endpoint_asks_for_is_kept_up_to_a_minute(ticks: Ticks, asked: int, rests: int) -> None:
    breaker = Breaker(ticks)
    breaker.failed("too many requests", at_least_ns=asked)
    assert rest_of(breaker, ticks) == rests


def test_one_success_forgets_all_failures(ticks: Ticks) -> None:
    breaker = Breaker(ticks)
    for _ in range(10):
        breaker.failed("down")
    breaker.succeeded()
    assert (breaker.is_resting, breaker.error) == (False, "")
    breaker.failed("down")
    assert rest_of(breaker, ticks) <= SECOND // 4
