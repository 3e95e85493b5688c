"""What is said over the signer's Unix socket: a 4-byte big-endian length, then one MessagePack object.

The list of requests is closed: nothing here takes bytes to sign, nothing answers with a private key.
"""

import asyncio
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from bitlinkpay.signer.keyring import KeyRing, PoolAddress

SOCKET = "signer.sock"
MOST_ADDRESSES = 1000

_LENGTH_BYTES = 4
_LONGEST_FRAME = 1 << 20
_LONGEST_SOCKET_PATH = 100  # the kernel takes 107 bytes (unix(7)), macOS 103


class FrameError(Exception):
    """The other side sent something that is not a frame of this protocol."""


class Status(msgspec.Struct, frozen=True, tag="status"):
    """Ask who serves."""


class GetKeyRing(msgspec.Struct, frozen=True, tag="keyring"):
    """Ask for the public keys."""


class ExtendSolana(msgspec.Struct, frozen=True, tag="extend_solana"):
    """Ask for `count` (at most 1,000) pool addresses from index `first` on; the same question has the same answer."""

    first: int
    count: int


class StatusReply(msgspec.Struct, frozen=True, tag="status"):
    """Who serves, and since when."""

    fingerprint: str
    started_at: str
    pid: int


class KeyRingReply(msgspec.Struct, frozen=True, tag="keyring"):
    """The public keys."""

    ring: KeyRing


class PoolReply(msgspec.Struct, frozen=True, tag="pool"):
    """Addresses for the pool."""

    addresses: tuple[PoolAddress, ...]


class Refusal(msgspec.Struct, frozen=True, tag="refusal"):
    """The request was not in order."""

    message: str


Request = Status | GetKeyRing | ExtendSolana
Reply = StatusReply | KeyRingReply | PoolReply | Refusal

_REQUEST: msgspec.msgpack.Decoder[Request] = msgspec.msgpack.Decoder(Request, strict=True)
_REPLY: msgspec.msgpack.Decoder[Reply] = msgspec.msgpack.Decoder(Reply, strict=True)


def encode_frame(message: Request | Reply) -> bytes:
    """Return a message as it goes over the socket."""
    body = msgspec.msgpack.encode(message)
    return len(body).to_bytes(_LENGTH_BYTES, "big") + body


def decode_request(body: bytes) -> Request:
    """Read a request.

    Raises:
        FrameError: none that we know.
    """
    try:
        return _REQUEST.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise FrameError(str(error)) from None


def decode_reply(body: bytes) -> Reply:
    """Read a reply.

    Raises:
        FrameError: none that we know.
    """
    try:
        return _REPLY.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise FrameError(str(error)) from None


async def read_frame(reader: asyncio.StreamReader) -> bytes | None:
    """Read the body of one frame, or None where the other side has closed between frames.

    Raises:
        FrameError: cut short, or longer than 1 MiB.
    """
    try:
        head = await reader.readexactly(_LENGTH_BYTES)
        length = int.from_bytes(head, "big")
        if length > _LONGEST_FRAME:
            raise FrameError("the frame is too long")
        return await reader.readexactly(length)
    except asyncio.IncompleteReadError as error:
        if error.partial or error.expected != _LENGTH_BYTES:
            raise FrameError("the frame was cut short") from None
        return None


@contextmanager
def socket_name(folder: Path) -> Iterator[str]:
    """Yield a path of the folder's socket that fits the kernel's limit, however deep the folder is (Linux)."""
    path = str(folder / SOCKET)
    if len(os.fsencode(path)) <= _LONGEST_SOCKET_PATH or sys.platform != "linux":
        yield path
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{descriptor}/{SOCKET}"
    finally:
        os.close(descriptor)
