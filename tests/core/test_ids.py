"""Ids: valid UUIDv7s that rise in the order in which a process makes them, and stay hard to guess."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from uuid import RFC_4122, UUID

import pytest

from bitlinkpay.core.errors import Invalid
from bitlinkpay.core.ids import Uuid7Maker, first_uuid7, new_uuid7, parse_id, show_id

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
NOW_NS = int(NOW.timestamp()) * 10**9
ONE_MILLISECOND = 4096  # numbers that its counter has


def made_at(*moments_ns: int) -> list[UUID]:
    """Make one id at each reading of the clock."""
    clock = iter(moments_ns)
    maker = Uuid7Maker(lambda: next(clock))
    return [maker.make() for _ in moments_ns]


def millis_of(made: Sequence[UUID]) -> list[int]:
    """Return how many milliseconds after NOW each id says that it was made."""
    return [(one.int >> 80) - NOW_NS // 10**6 for one in made]


def test_an_id_is_a_uuid7_of_its_moment() -> None:
    (made,) = made_at(NOW_NS)
    assert (made.version, made.variant) == (7, RFC_4122)
    assert made >= first_uuid7(NOW)
    assert millis_of([made]) == [0]


@pytest.mark.parametrize(
    "moments",
    [
        (NOW_NS,) * (2 * ONE_MILLISECOND + 1),
        (NOW_NS, NOW_NS + 10**6, NOW_NS + 10**6, NOW_NS + 5 * 10**6),
        (NOW_NS, NOW_NS - 3_600 * 10**9, NOW_NS - 1, NOW_NS, NOW_NS + 10**9),
    ],
    ids=["one millisecond", "a clock that goes on", "a clock that was set back"],
)
def test_ids_rise_whatever_the_clock_does(moments: Sequence[int]) -> None:
    made = made_at(*moments)
    assert made == sorted(made)
    assert len({one.int >> 64 for one in made}) == len(made), "by chance alone"


def test_a_full_millisecond_borrows_from_the_next_and_no_more() -> None:
    made = made_at(*(NOW_NS,) * (ONE_MILLISECOND + 1), NOW_NS + 10**7)
    assert millis_of([made[0], made[ONE_MILLISECOND - 1], made[-2], made[-1]]) == [0, 0, 1, 10]


def test_what_is_random_of_an_id_is_never_the_same() -> None:
    chances = {one.int & (2**62 - 1) for one in made_at(*(NOW_NS,) * 1_000)}
    assert len(chances) == 1_000
    assert max(chances) > 2**61 > min(chances)


def test_threads_never_make_the_same_id() -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: new_uuid7(), range(4_000)))
    assert len({one.int >> 64 for one in made}) == len(made)


def test_an_id_is_read_as_it_is_shown_or_bare() -> None:
    made = new_uuid7()
    assert parse_id("pay", show_id("pay", made)) == parse_id("pay", made.hex) == made
    with pytest.raises(Invalid, match="is not an id of the form pay_ and 32 hex digits"):
        parse_id("pay", show_id("ord", made))
