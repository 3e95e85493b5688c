"""What is wrong with a field, told as what to write instead: the words of msgspec are those of Python."""

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

_DIGITS: Final = (
    'plain digits with at most one point, such as "12.5": at most 22 before the point and 18 after it, no sign'
)
_FORMS: Final[Mapping[str, str]] = MappingProxyType(
    {
        r"^(0|[1-9][0-9]{0,21})(\.[0-9]{1,18})?$": _DIGITS,
        r"^[a-z0-9]{1,16}-[a-z0-9]{1,24}$": "an asset such as usdt-tron",
        r"^([a-z0-9]{1,16}-[a-z0-9]{1,24})?$": "an asset such as usdt-tron",
        "^[a-z0-9]{1,24}$": "a network such as tron",
        "^[a-z0-9]{0,24}$": "a network such as tron",
        "^((dep_|out_)?[0-9a-f]{32})?$": "the id of a deposit or a payout",
        "^((pay_|out_)?[0-9a-f]{32})?$": "the id of an order or a payout",
        "^([A-Z0-9]{2,12})?$": "a currency in capital letters, such as CNY",
        "^pay_[0-9a-f]{32}$": "pay_ and 32 hex digits, as the order's answer had it",
        "^set_[0-9a-f]{32}$": "set_ and 32 hex digits in lower case",
        "^(rul_[0-9a-f]{32})?$": "rul_ and 32 hex digits, as the rule's answer had it",
        "^([01][0-9]|2[0-3]):[0-5][0-9]$": "a time of day such as 09:30",
    }
)
_WANTED: Final[Mapping[str, str]] = MappingProxyType(
    {
        "str": "text in quotes",
        "int": "a whole number",
        "bool": "true or false",
        "array": "a list",
        "object": "an object",
        "null": "null",
    }
)
_GOT: Final[Mapping[str, str]] = MappingProxyType(
    {"str": "text", "int": "a number", "float": "a number", "array": "a list", "object": "an object"}
)
_OF_LENGTH: Final[Mapping[str, str]] = MappingProxyType({"str": "characters", "array": "entries", "object": "fields"})
_BOUND: Final[Mapping[str, str]] = MappingProxyType({">=": "at least", "<=": "at most"})


def plain(text: str) -> str:
    """Return msgspec's words as an instruction; what is not known here stays as it is."""
    for pattern, told in _RULES:
        if found := pattern.match(text):
            return told(found)
    return text


def _kinds(names: str, words: Mapping[str, str]) -> str:
    return " or ".join(words.get(name, name) for name in names.split(" | "))


def _form(found: re.Match[str]) -> str:
    for pattern, words in _FORMS.items():
        if found[1] == repr(pattern):
            return f"write {words}"
    return f"write it in the form {found[1]}"


_RULES: Final[tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], str]], ...]] = (
    (re.compile(r"Expected `str` matching regex (.+)"), _form),
    (re.compile(r"Expected `(.+)`, got `(.+)`"), lambda m: f"write {_kinds(m[1], _WANTED)}, not {_kinds(m[2], _GOT)}"),
    (re.compile(r"Expected `(str|array|object)` of length >= 1$"), lambda _: "this may not be empty"),
    (
        re.compile(r"Expected `(str|array|object)` of length (>=|<=) (\d+)"),
        lambda m: f"write {_BOUND[m[2]]} {m[3]} {_OF_LENGTH[m[1]]}",
    ),
    (re.compile(r"Expected `int` (>=|<=) (\d+)"), lambda m: f"write {_BOUND[m[1]]} {m[2]}"),
    (re.compile(r"Object missing required field"), lambda _: "this field is missing, and has to be there"),
    (
        re.compile(r"Object contains unknown field"),
        lambda _: "there is no such field here; /v1/openapi.json lists those that there are",
    ),
    (
        re.compile(r"Invalid enum value (.+)"),
        lambda m: f"{m[1]} is none of the words that may stand here; /v1/openapi.json lists them",
    ),
    (re.compile(r"Expected `datetime` with a timezone"), lambda _: "write a moment such as 2026-01-31T09:30:00Z"),
    (re.compile(r"Invalid RFC3339 encoded datetime"), lambda _: "write a moment such as 2026-01-31T09:30:00Z"),
    (re.compile(r"Invalid RFC3339 encoded date"), lambda _: "write a day such as 2026-01-31"),
)
