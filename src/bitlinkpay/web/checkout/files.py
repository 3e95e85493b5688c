"""The page's own style sheet and script: served from memory under names that carry their hash."""

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Final

PREFIX: Final = "/static/checkout"
_TYPES: Final = {"css": "text/css", "js": "text/javascript"}


@dataclass(frozen=True, slots=True)
class StaticFile:
    """One file. `integrity` is its Subresource Integrity value (W3C SRI): the browser refuses any other bytes."""

    name: str
    body: bytes
    media_type: str
    integrity: str

    @property
    def url(self) -> str:
        """Return the path that the page links to."""
        return f"{PREFIX}/{self.name}"


@cache
def style() -> StaticFile:
    """Return the style sheet."""
    return _load("checkout", "css")


@cache
def script() -> StaticFile:
    """Return the script."""
    return _load("checkout", "js")


@cache
def by_name() -> Mapping[str, StaticFile]:
    """Return every file by the name under which it is served."""
    return MappingProxyType({file.name: file for file in (style(), script())})


def _load(stem: str, suffix: str) -> StaticFile:
    body = (files(__package__) / "static" / f"{stem}.{suffix}").read_bytes()
    digest = hashlib.sha256(body).digest()
    integrity = "sha256-" + base64.b64encode(digest).decode()
    return StaticFile(f"{stem}.{digest.hex()[:16]}.{suffix}", body, _TYPES[suffix], integrity)
