"""Published answers of real nodes; `published.json` names the source of each."""

import functools
import json
from pathlib import Path
from typing import TypeVar

import msgspec
import pytest

T = TypeVar("T")


@functools.cache
def published() -> dict[str, list[dict[str, object]]]:
    return json.loads(Path(__file__).with_name("published.json").read_text())


def all_of(kind: str) -> list[object]:
    """Return pytest parameters, one an answer, named by its source."""
    return [pytest.param(item, id=str(item["source"])) for item in published()[kind]]


def decoded(item: dict[str, object], decoder: "msgspec.json.Decoder[T]") -> T:
    """Return an answer as the adapter decodes it."""
    return decoder.decode(json.dumps(item["answer"]))
