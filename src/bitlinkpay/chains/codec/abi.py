"""The few values of Solidity's ABI that token contracts take and give, on EVM networks and on TRON."""

from typing import Final

from bitlinkpay.chains.codec.text import printable

WORD_BYTES: Final = 32
_SMALL_MAX = 255


def word(raw: bytes) -> bytes:
    """Return an address or number as one word, padded on the left."""
    assert len(raw) <= WORD_BYTES, f"{len(raw)} bytes do not fit a word"
    return raw.rjust(WORD_BYTES, b"\0")


def small(answer: bytes) -> int | None:
    """Return an answer of one word that is a `uint8` or `bool`, None for any other."""
    value = int.from_bytes(answer, "big") if len(answer) == WORD_BYTES else None
    return value if value is not None and value <= _SMALL_MAX else None


def text(answer: bytes) -> str:
    """Return a `string`, or the older `bytes32`, as printable text of bounded length: foreign."""
    if len(answer) >= 2 * WORD_BYTES and answer[:WORD_BYTES] == WORD_BYTES.to_bytes(WORD_BYTES, "big"):
        length = int.from_bytes(answer[WORD_BYTES : 2 * WORD_BYTES], "big")
        answer = answer[2 * WORD_BYTES : 2 * WORD_BYTES + min(length, len(answer))]
    return printable(answer.rstrip(b"\0").decode("utf-8", "replace"))
