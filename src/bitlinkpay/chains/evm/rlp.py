"""RLP, the encoding under every Ethereum hash (Yellow Paper, appendix B): encoding only, nothing is ever decoded."""

from collections.abc import Iterable

_SHORT = 56
_BYTES, _LIST = 0x80, 0xC0
_BYTES_HEADS = tuple(bytes((_BYTES + length,)) for length in range(_SHORT))
_LIST_HEADS = tuple(bytes((_LIST + length,)) for length in range(_SHORT))


def encode_bytes(raw: bytes) -> bytes:
    """Encode a byte string."""
    length = len(raw)
    if length < _SHORT:
        return raw if length == 1 and raw[0] < _BYTES else _BYTES_HEADS[length] + raw
    return _long_head(length, _BYTES) + raw


def encode_int(value: int) -> bytes:
    """Encode a scalar: big-endian without leading zeros, zero as the empty string."""
    return encode_bytes(value.to_bytes((value.bit_length() + 7) // 8, "big"))


def encode_list(items: Iterable[bytes]) -> bytes:
    """Encode a list of items that are encoded already."""
    body = b"".join(items)
    length = len(body)
    return (_LIST_HEADS[length] if length < _SHORT else _long_head(length, _LIST)) + body


def _long_head(length: int, kind: int) -> bytes:
    size = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes((kind + _SHORT - 1 + len(size),)) + size
