"""The few ASGI shapes this face uses, typed (ASGI 3.0, HTTP sub-specification 2.3)."""

from collections.abc import Awaitable, Callable
from typing import NotRequired, TypeAlias, TypedDict


class HttpScope(TypedDict):
    """One HTTP request. `client` is the socket's own peer; `state` is what the TLS layer proved of it."""

    type: str
    method: str
    raw_path: bytes
    query_string: bytes
    headers: list[tuple[bytes, bytes]]
    client: tuple[str, int] | None
    state: NotRequired[dict[str, object]]


class Received(TypedDict, total=False):
    """`http.request` or `http.disconnect`."""

    type: str
    body: bytes
    more_body: bool


class Sent(TypedDict, total=False):
    """`http.response.start` or `http.response.body`."""

    type: str
    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


Receive: TypeAlias = Callable[[], Awaitable[Received]]
Send: TypeAlias = Callable[[Sent], Awaitable[None]]

SPKI: str = "spki"
"""Key of `state`: SHA-256 of the peer certificate's public key, set by the TLS listener, absent elsewhere."""
