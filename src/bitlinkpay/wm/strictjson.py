"""Strict JSON (RFC 8259) for request bodies: one UTF-8 object, no duplicate key, no binary float, bounded depth."""

import json
import re
from dataclasses import dataclass
from typing import Final, TypeAlias

from bitlinkpay.core.errors import Invalid

MAX_DEPTH: Final = 8
# An unterminated text is taken to the end, or each escaped quote in it would start a search of its own.
_STRINGS: Final = re.compile(r'"(?:[^"\\]|\\.)*+(?:"|\\?\Z)', re.DOTALL)
_ESCAPED_ODDITIES: Final = re.compile(r"\\u(?:0000|[dD][89a-fA-F])")


@dataclass(frozen=True, slots=True)
class Number:
    """A JSON number as its exact text, such as `1E+2`; never a binary float."""

    text: str


JsonValue: TypeAlias = "str | Number | bool | list[JsonValue] | dict[str, JsonValue] | None"


class Malformed(Invalid):
    """The body is not one strict JSON object."""

    code = "request.malformed"


def parse_object(data: bytes) -> dict[str, JsonValue]:
    """Parse one JSON object. The caller has bounded its size; time and memory are linear in it.

    Raises:
        Malformed: not UTF-8, a byte order mark, a duplicate key at any depth, deeper than 8 levels, `NaN` or
            `Infinity`, a NUL or a lone surrogate in a text, anything after the object, or not an object.
    """
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        raise Malformed("the body is not UTF-8 text") from None
    _check_depth(text)
    try:
        value: object = json.loads(
            text, object_pairs_hook=_object, parse_int=Number, parse_float=Number, parse_constant=_constant
        )
    except (ValueError, RecursionError):
        raise Malformed("the body is not valid JSON") from None
    if not isinstance(value, dict):
        raise Malformed("the body is not a JSON object")
    if _ESCAPED_ODDITIES.search(text):
        _check_texts(value)
    return value


def _check_depth(text: str) -> None:
    if text.count("{") + text.count("[") <= MAX_DEPTH:
        return
    depth = 0
    for mark in _STRINGS.sub("", text):
        if mark in "{[":
            depth += 1
            if depth > MAX_DEPTH:
                raise Malformed(f"the body nests deeper than {MAX_DEPTH} levels")
        elif mark in "}]":
            depth -= 1


def _object(pairs: list[tuple[str, JsonValue]]) -> dict[str, JsonValue]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Malformed("the body has the same key twice")
    return found


def _constant(name: str) -> JsonValue:
    raise Malformed(f"{name} is not a number")


def _check_texts(value: object) -> None:
    """Refuse NUL and lone surrogates, which only an escape can bring in."""
    match value:
        case str():
            if "\x00" in value or not _is_encodable(value):
                raise Malformed("the body has a NUL or half a surrogate pair in a text")
        case dict():
            for name, item in value.items():
                _check_texts(name)
                _check_texts(item)
        case list():
            for item in value:
                _check_texts(item)
        case _:
            pass


def _is_encodable(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
