"""What is said over the signer's Unix socket: a 4-byte big-endian length, then one JSON object.

JSON, for amounts in wei do not fit into 64 bits. The list of requests is closed: nothing here takes bytes or a hash to
sign, nothing answers with a private key.
"""

import asyncio
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from bitlinkpay.chains.outgoing import Intent, Signed, Wallet
from bitlinkpay.signer.keyring import KeyRing, PoolAddress
from bitlinkpay.signer.policy.approval import Approval

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


class Sign(msgspec.Struct, frozen=True, tag="sign"):
    """Ask to carry out an intent by a plan.

    Attributes:
        intent: what shall happen.
        plan: the family's plan, as JSON.
        ours: wallets of ours among the targets (deposit addresses that get gas); the signer derives them again.
        dead: ids of transactions signed for this intent before that can never take effect any more.
    """

    intent: Intent
    plan: msgspec.Raw
    ours: tuple[Wallet, ...] = ()
    dead: tuple[str, ...] = ()


class Approve(msgspec.Struct, frozen=True, tag="approve"):
    """Hand over an operator's approval of one payment."""

    approval: Approval


class GetWaiting(msgspec.Struct, frozen=True, tag="waiting"):
    """Ask for the payments that were refused for want of an approval."""


class GetStanding(msgspec.Struct, frozen=True, tag="standing"):
    """Ask how much of the caps is used, and where the audit stands."""


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


class SignedReply(msgspec.Struct, frozen=True, tag="signed"):
    """The bytes to store and then to send."""

    signed: Signed


class ApprovedReply(msgspec.Struct, frozen=True, tag="approved"):
    """The approval was genuine and is kept until it is used or expires; `operator` gave it."""

    operator: str


class Waiting(msgspec.Struct, frozen=True):
    """A payment that waits for an approval; `amount` is in major units."""

    request: str
    network: str
    asset: str
    amount: str
    target: str
    tag: str
    units: int
    asked_at: str


class WaitingReply(msgspec.Struct, frozen=True, tag="waiting"):
    """What waits, the newest last, and whose approval counts for it."""

    fingerprint: str
    payments: tuple[Waiting, ...]


class Used(msgspec.Struct, frozen=True):
    """How much of a cap is used, in major units."""

    name: str
    hour: str
    hour_cap: str
    day: str
    day_cap: str


class Standing(msgspec.Struct, frozen=True, tag="standing"):
    """Where the signer stands.

    Attributes:
        mode: sandbox or live.
        policy: SHA-256 of the policy file that it read at its start.
        audit_seq: number of the newest record.
        audit_hash: its hash.
        refusals: how many requests were refused since the oldest record that it remembers.
        waiting: how many payments wait for an approval.
        operators: names of those who may approve.
        purposes: what it signs for.
        cold: the cold addresses in force, by asset.
        cold_change: what is planned, or why the file's list is not taken; "" for neither.
        used: by asset, and fees by network, of what took anything in the last day.
    """

    mode: str
    policy: str
    audit_seq: int
    audit_hash: str
    refusals: int
    waiting: int
    operators: tuple[str, ...]
    purposes: tuple[str, ...]
    cold: dict[str, str]
    cold_change: str
    used: tuple[Used, ...]


class Refusal(msgspec.Struct, frozen=True, tag="refusal"):
    """The request was refused; see `problems` for the codes, and `SignerRefused` for `payments`."""

    message: str
    code: str = "signer.refused"
    payments: tuple[int, ...] = ()


Request = Status | GetKeyRing | ExtendSolana | Sign | Approve | GetWaiting | GetStanding
Reply = StatusReply | KeyRingReply | PoolReply | SignedReply | ApprovedReply | WaitingReply | Standing | Refusal

_REQUEST: msgspec.json.Decoder[Request] = msgspec.json.Decoder(Request, strict=True)
_REPLY: msgspec.json.Decoder[Reply] = msgspec.json.Decoder(Reply, strict=True)


def encode_frame(message: Request | Reply) -> bytes:
    """Return a message as it goes over the socket."""
    body = msgspec.json.encode(message)
    return len(body).to_bytes(_LENGTH_BYTES, "big") + body


def decode_request(body: bytes) -> Request:
    """Read a request.

    Raises:
        FrameError: none that we know.
    """
    try:
        return _REQUEST.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, AssertionError) as error:
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
