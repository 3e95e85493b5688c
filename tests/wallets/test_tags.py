"""TON tags: unique, at least two digits apart, unguessable, stable."""

import hashlib
import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitlinkpay.wallets.tags import _DAMM, Era, check_digit, era_of, is_tag, scramble, tag_of

SECRET = hashlib.sha256(b"a deployment").digest()
FIRST = Era(8, 0)
FROZEN = ["461266081", "881510418", "108113722", "9696994752"]


def test_the_check_table_is_totally_anti_symmetric() -> None:
    """Damm's conditions: a Latin square, zero diagonal, and (c*x)*y = (c*y)*x only for x = y."""
    digits = range(10)
    assert all(sorted(row) == list(digits) for row in _DAMM)
    assert all(sorted(column) == list(digits) for column in zip(*_DAMM, strict=True))
    assert all(_DAMM[digit][digit] == 0 for digit in digits)
    for c, x, y in itertools.product(digits, repeat=3):
        assert x == y or _DAMM[_DAMM[c][x]][y] != _DAMM[_DAMM[c][y]][x]


def test_the_known_example() -> None:
    assert check_digit("572") == 4


@given(st.integers(0, 10**12))
def test_a_tag_has_its_form(number: int) -> None:
    tag = tag_of(SECRET, number)
    assert is_tag(tag)
    assert len(tag) == era_of(number).digits + 1 >= 9
    assert tag[0] != "0"


@given(st.integers(0, 10**10), st.data())
def test_one_wrong_digit_or_a_swap_is_no_tag(number: int, data: st.DataObject) -> None:
    tag = tag_of(SECRET, number)
    position = data.draw(st.integers(0, len(tag) - 1))
    digit = data.draw(st.sampled_from([d for d in "0123456789" if d != tag[position]]))
    assert not is_tag(tag[:position] + digit + tag[position + 1 :])
    if position and tag[position] != tag[position - 1]:
        assert not is_tag(tag[: position - 1] + tag[position] + tag[position - 1] + tag[position + 1 :])


def test_scrambling_is_a_bijection_over_whole_eras() -> None:
    """Exhaustive where that is quick: the same code runs over 8 digits and more."""
    for digits in (2, 3, 4, 5):
        era = Era(digits, 0)
        assert {scramble(SECRET, value, era) for value in range(era.size)} == set(range(era.size))


@settings(max_examples=300)
@given(st.integers(0, FIRST.size - 1), st.integers(0, FIRST.size - 1))
def test_two_numbers_never_share_a_tag(first: int, second: int) -> None:
    assert (tag_of(SECRET, first) == tag_of(SECRET, second)) == (first == second)


def test_a_long_run_of_neighbours_is_unique_and_far_apart() -> None:
    tags = [tag_of(SECRET, number) for number in range(20_000)]
    assert len(set(tags)) == len(tags)
    steps = [abs(int(left) - int(right)) for left, right in itertools.pairwise(tags)]
    assert len(set(steps)) > 19_900  # no pattern to continue
    assert sum(step > 10**6 for step in steps) > 19_900


def test_tags_spread_over_the_whole_range() -> None:
    leading = [tag_of(SECRET, number)[0] for number in range(9_000)]
    assert all(850 < leading.count(digit) < 1150 for digit in "123456789")


def test_eras_follow_each_other_without_overlap() -> None:
    assert era_of(0) == FIRST
    assert era_of(FIRST.size - 1) == FIRST
    assert era_of(FIRST.size) == Era(9, FIRST.size)
    assert era_of(FIRST.size + 9 * 10**8) == Era(10, FIRST.size + 9 * 10**8)
    assert len(tag_of(SECRET, FIRST.size - 1)) == 9
    assert len(tag_of(SECRET, FIRST.size)) == 10


def test_another_secret_gives_another_order() -> None:
    other = hashlib.sha256(b"another deployment").digest()
    assert sum(tag_of(SECRET, number) == tag_of(other, number) for number in range(1000)) < 3


def test_a_tag_is_the_same_for_ever() -> None:
    assert [tag_of(bytes(32), number) for number in (0, 1, 2, FIRST.size)] == FROZEN


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0",
        "123456789",
        "00000000",
        "000000000",
        "12345678",
        "１２３４５６７８９",
        "²³45678901",
        " 123456789",
        "12345678a",
        "-12345678",
    ],
)
def test_other_texts_are_no_tags(text: str) -> None:
    assert not is_tag(text)


@given(st.text(max_size=20))
def test_judging_any_text_is_safe(text: str) -> None:
    assert is_tag(text) in (True, False)
