"""The wire format of protocol buffers, as much of it as TRON's hashes need: varints and length-delimited fields.

Reading follows the reference implementation where a sender can choose: the last of several values counts, an embedded
message that comes in pieces is one, a field of another wire type is an unknown one, unknown groups are passed over.
Writing is canonical: ascending fields, zeros and empty values left out, so that the bytes hash as java-tron's do.
"""

from collections.abc import Iterator

_VARINT, _FIXED64, _BYTES, _GROUP, _GROUP_END, _FIXED32 = range(6)
_WIDTH = {_FIXED64: 8, _FIXED32: 4}
_LOW, _HIGH = 0x7F, 0x80
_VARINT_BYTES_MAX = 10
_DEPTH_MAX = 100  # protobuf's own limit
_BITS = 64


class NotProtobuf(ValueError):
    """The bytes are no protobuf message."""


class Message:
    """The fields of one message, read strictly; what a field means is up to the caller."""

    def __init__(self, raw: bytes) -> None:
        """Read a message.

        Raises:
            NotProtobuf: truncated, an overlong number, field 0, unmatched groups.
        """
        self._numbers: dict[int, int] = {}
        self._bytes: dict[int, list[bytes]] = {}
        for field, value in _fields(raw):
            if isinstance(value, int):
                self._numbers[field] = value
            else:
                self._bytes.setdefault(field, []).append(value)

    def number(self, field: int) -> int:
        """Return an `int64`, `int32` or enum field, 0 where it is missing."""
        value = self._numbers.get(field, 0)
        return value - (1 << _BITS) if value >> (_BITS - 1) else value

    def data(self, field: int) -> bytes:
        """Return a `bytes` or `string` field, empty where it is missing."""
        values = self._bytes.get(field)
        return values[-1] if values else b""

    def all(self, field: int) -> list[bytes]:
        """Return every value of a repeated field."""
        return self._bytes.get(field, [])

    def message(self, field: int) -> "Message":
        """Return an embedded message, empty where it is missing.

        Raises:
            NotProtobuf: as the constructor.
        """
        return Message(b"".join(self.all(field)))


def _fields(raw: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield the varint and length-delimited fields in order."""
    at, end = 0, len(raw)
    while at < end:
        key = raw[at]
        if key < _HIGH:  # most keys are one byte: a call for each would be half of the time
            at += 1
        else:
            key, at = _varint(raw, at)
        wire = key & 7
        if wire == _VARINT:
            value, at = _varint(raw, at)
            yield _field(key), value
        elif wire == _BYTES:
            start, at = _bounds(raw, at)
            yield _field(key), raw[start:at]
        else:
            at = _skip(raw, at, key, 0)


def _field(key: int) -> int:
    if not 0 < key >> 3 < 1 << 29:
        raise NotProtobuf("a field number that cannot be")
    return key >> 3


def _varint(raw: bytes, at: int) -> tuple[int, int]:
    value = 0
    for place in range(_VARINT_BYTES_MAX):
        if at >= len(raw):
            raise NotProtobuf("cut short")
        byte = raw[at]
        at += 1
        value |= (byte & _LOW) << (7 * place)
        if byte < _HIGH:
            return value & ((1 << _BITS) - 1), at
    raise NotProtobuf("a number of more than ten bytes")


def _bounds(raw: bytes, at: int) -> tuple[int, int]:
    size, start = _varint(raw, at)
    if size > len(raw) - start:
        raise NotProtobuf("cut short")
    return start, start + size


def _skip(raw: bytes, at: int, key: int, depth: int) -> int:
    """Return where the field ends whose key was just read."""
    match key & 7:
        case wire if wire in _WIDTH:
            at += _WIDTH[wire]
        case 0:
            _, at = _varint(raw, at)
        case 2:
            _, at = _bounds(raw, at)
        case 3 if depth < _DEPTH_MAX:
            return _skip_group(raw, at, _field(key), depth + 1)
        case _:
            raise NotProtobuf("a group without a beginning, or a wire type that cannot be")
    if at > len(raw):
        raise NotProtobuf("cut short")
    return at


def _skip_group(raw: bytes, at: int, field: int, depth: int) -> int:
    while True:
        key, at = _varint(raw, at)
        if key & 7 == _GROUP_END:
            if key >> 3 != field:
                raise NotProtobuf("a group that ends as another one")
            return at
        at = _skip(raw, at, key, depth)


def varint(value: int) -> bytes:
    """Return a number of 0 to 64 bits, seven bits a byte, the lowest first."""
    assert 0 <= value < 1 << _BITS, f"{value} is no unsigned 64-bit number"
    out = bytearray()
    while value > _LOW:
        out.append(value & _LOW | _HIGH)
        value >>= 7
    out.append(value)
    return bytes(out)


def number(field: int, value: int) -> bytes:
    """Return a varint field, nothing for zero."""
    return varint(field << 3 | _VARINT) + varint(value) if value else b""


def data(field: int, value: bytes) -> bytes:
    """Return a `bytes` or `string` field, nothing for an empty one."""
    return message(field, value) if value else b""


def message(field: int, *parts: bytes) -> bytes:
    """Return an embedded message, or one value of a repeated `bytes` field, that is there even when it is empty."""
    value = b"".join(parts)
    return varint(field << 3 | _BYTES) + varint(len(value)) + value
