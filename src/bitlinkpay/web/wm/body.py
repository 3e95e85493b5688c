"""Reading a request's body within limits of size and time."""

import asyncio
from dataclasses import dataclass
from enum import Enum

from bitlinkpay.web.wm.asgi import Receive
from bitlinkpay.wm.envelope import MAX_BODY


class Unread(Enum):
    """Why there is no body. The connection is closed after the answer, for the rest of it is still on its way."""

    TOO_LARGE = "too_large"
    TOO_SLOW = "too_slow"
    GONE = "gone"  # the client hung up; nobody reads an answer


@dataclass(frozen=True, slots=True)
class BodyLimits:
    """Bytes and seconds that one body may take; `drain` bytes of a larger one are read so that the answer arrives."""

    size: int = MAX_BODY
    time_s: int = 10
    drain: int = 1_048_576


async def read_body(receive: Receive, limits: BodyLimits) -> bytes | Unread:
    """Read the whole body, or say why not."""
    try:
        async with asyncio.timeout(limits.time_s):
            return await _read(receive, limits)
    except TimeoutError:
        return Unread.TOO_SLOW


async def _read(receive: Receive, limits: BodyLimits) -> bytes | Unread:
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return Unread.GONE
        part = message.get("body", b"")
        size += len(part)
        if size <= limits.size:
            parts.append(part)
        is_last = not message.get("more_body", False)
        if size > limits.drain or (is_last and size > limits.size):
            return Unread.TOO_LARGE
        if is_last:
            return b"".join(parts)
