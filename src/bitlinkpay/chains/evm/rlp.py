"""RLP, the encoding under every Ethereum hash (Yellow Paper, appendix B): encoding only, nothing is ever decoded."""

from collections.abc import Iterable

_SHORT = 56
_BYTES, _LIST = 0x80, 0xC0


def encode_bytes(raw: bytes) -> bytes:
    """Encode a byte string."""
    if len(raw) == 1 and raw[0] < _BYTES:
        return raw
    return _head(len(raw), _BYTES) + raw


def encode_int(value: int) -> bytes:
    """Encode a scalar: big-endian without leading zeros, zero as the empty string."""
    return encode_bytes(value.to_bytes((value.bit_length() + 7) // 8, "big"))


def encode_list(items: Iterable[bytes]) -> bytes:
    """Encode a list of items that are encoded already."""
    body = b"".join(items)
    return _head(len(body), _LIST) + body


def _head(length: int, kind: int) -> bytes:
    if length < _SHORT:
        return bytes((kind + length,))
    size = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes((kind + _SHORT - 1 + len(size),)) + size
