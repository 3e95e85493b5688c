"""TON tags: what tells one order's payment from another's at the one shared wallet.

A tag is a payload of 8 or more digits and a check digit. Its promises, each with its reason:
- two numbers never give one tag: each era (all payloads of one length) is permuted by a bijection, and eras differ in
  length;
- it keeps its length wherever it is retyped: the first digit is never 0;
- no two tags differ in one digit or in two neighbours swapped: the Damm check digit finds both, so what one such slip
  makes of a tag is not a tag (H. M. Damm, "Total anti-symmetrische Quasigruppen", 2004);
- the next tag can't be told from the last: the bijection is a keyed Feistel network.
"""

import hashlib
from dataclasses import dataclass

_FIRST_DIGITS = 8
_ROUNDS = 8
_DAMM = (
    (0, 3, 1, 7, 5, 9, 8, 6, 4, 2),
    (7, 0, 9, 2, 1, 5, 4, 8, 6, 3),
    (4, 2, 0, 6, 8, 7, 1, 3, 5, 9),
    (1, 7, 5, 0, 9, 8, 3, 4, 2, 6),
    (6, 1, 2, 3, 0, 4, 5, 9, 7, 8),
    (3, 6, 7, 4, 2, 0, 9, 5, 8, 1),
    (5, 8, 6, 9, 7, 2, 0, 1, 3, 4),
    (8, 9, 4, 5, 3, 6, 2, 0, 1, 7),
    (9, 4, 3, 8, 6, 1, 7, 2, 0, 5),
    (2, 5, 8, 1, 4, 3, 6, 7, 9, 0),
)


@dataclass(frozen=True, slots=True)
class Era:
    """All payloads of one length; `first` is the number of its first tag."""

    digits: int
    first: int

    @property
    def size(self) -> int:
        """Return how many payloads there are: those whose first digit is not 0."""
        size: int = 9 * 10 ** (self.digits - 1)
        return size


def era_of(number: int) -> Era:
    """Return the era that a number falls into: 8 digits for the first 90 million, then 9, and so on."""
    assert number >= 0
    era = Era(_FIRST_DIGITS, 0)
    while number >= era.first + era.size:
        era = Era(era.digits + 1, era.first + era.size)
    return era


def tag_of(secret: bytes, number: int) -> str:
    """Return the tag of a number: the same for the same secret, for ever."""
    era = era_of(number)
    payload = str(10 ** (era.digits - 1) + scramble(secret, number - era.first, era))
    return payload + str(check_digit(payload))


def is_tag(text: str) -> bool:
    """Say whether a text could be one of our tags: long enough, ASCII digits, no leading 0, right check digit."""
    has_form = len(text) > _FIRST_DIGITS and text.isascii() and text.isdigit() and text[0] != "0"
    return has_form and check_digit(text) == 0


def check_digit(digits: str) -> int:
    """Return the Damm digit of a payload; of a payload with its right check digit that is 0."""
    interim = 0
    for digit in digits:
        interim = _DAMM[interim][int(digit)]
    return interim


def scramble(secret: bytes, value: int, era: Era) -> int:
    """Map `0..era.size - 1` onto itself: a Feistel network over two unequal halves, each step undone by subtraction."""
    small: int = 10 ** (era.digits // 2)
    large = era.size // small
    assert 0 <= value < era.size == large * small
    left, right = divmod(value, small)
    for step in range(_ROUNDS):
        if step % 2:
            right = (right + _noise(secret, era, step, left)) % small
        else:
            left = (left + _noise(secret, era, step, right)) % large
    return left * small + right


def _noise(secret: bytes, era: Era, step: int, half: int) -> int:
    salt = bytes([era.digits, step])
    return int.from_bytes(
        hashlib.blake2b(half.to_bytes(16, "big"), digest_size=16, key=secret, salt=salt).digest(), "big"
    )
