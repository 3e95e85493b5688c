import pytest

from bitlinkpay.core.errors import Kind
from bitlinkpay.web.checkout.limits import Limiter, TooManyQuestions

_SECOND = 1_000_000_000


class Hand:
    """A monotonic clock that the test turns."""

    def __init__(self) -> None:
        self.at = 0

    def __call__(self) -> int:
        return self.at


def test_a_burst_is_allowed_then_nothing_until_it_refills() -> None:
    hand = Hand()
    limiter = Limiter(burst=3, per_s=60, nanoseconds=hand)
    for _ in range(3):
        limiter.take("a")
    with pytest.raises(TooManyQuestions) as refused:
        limiter.take("a")
    assert refused.value.kind is Kind.LIMITED
    hand.at += 20 * _SECOND
    limiter.take("a")
    with pytest.raises(TooManyQuestions):
        limiter.take("a")


def test_keys_do_not_share() -> None:
    limiter = Limiter(burst=1, per_s=60, nanoseconds=Hand())
    limiter.take("a")
    limiter.take("b")
    assert limiter.is_spent("a")
    assert not limiter.is_spent("c")


def test_checking_counts_nothing() -> None:
    limiter = Limiter(burst=1, per_s=60, nanoseconds=Hand())
    for _ in range(5):
        assert not limiter.is_spent("a")
    limiter.take("a")
    assert limiter.is_spent("a")


def test_a_rest_fills_no_more_than_the_burst() -> None:
    hand = Hand()
    limiter = Limiter(burst=2, per_s=60, nanoseconds=hand)
    limiter.take("a")
    hand.at += 3600 * _SECOND
    limiter.take("a")
    limiter.take("a")
    with pytest.raises(TooManyQuestions):
        limiter.take("a")


def test_memory_is_bounded_and_the_oldest_key_is_forgotten() -> None:
    limiter = Limiter(burst=1, per_s=60, keys=10, nanoseconds=Hand())
    for number in range(11):
        limiter.take(str(number))
    limiter.take("0")
    with pytest.raises(TooManyQuestions):
        limiter.take("10")
    assert len(limiter._buckets) == 10
