"""The signer's own process: opens seed, policy and audit, answers on a Unix socket (0600 in a 0700 folder).

Run as `python -m bitlinkpay.signer.server --dir DIR [--key-file FILE]`; prints `ready` when it listens, or
tells whoever started it; ends on SIGTERM or SIGINT. The passphrase comes from BITLINKPAY_SIGNER_PASSPHRASE.
"""

import argparse
import asyncio
import os
import signal
import socket
import struct
import sys
import traceback
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import assert_never

from bitlinkpay.core.errors import Problem
from bitlinkpay.heartbeat import beat_until
from bitlinkpay.notifier import Notifier
from bitlinkpay.signer import hardening, selftest
from bitlinkpay.signer.clock import GuardedClock
from bitlinkpay.signer.desk import Desk
from bitlinkpay.signer.families import known_answers
from bitlinkpay.signer.files import check_private, folder_lock
from bitlinkpay.signer.keys import HIGHEST_INDEX
from bitlinkpay.signer.problems import SignerRefused
from bitlinkpay.signer.protocol import (
    MOST_ADDRESSES,
    SOCKET,
    Approve,
    ApprovedReply,
    ExtendSolana,
    FrameError,
    GetKeyRing,
    GetStanding,
    GetWaiting,
    KeyRingReply,
    PoolReply,
    Refusal,
    Reply,
    Request,
    Sign,
    SignedReply,
    Status,
    StatusReply,
    WaitingReply,
    decode_request,
    encode_frame,
    read_frame,
    socket_name,
)
from bitlinkpay.signer.room import Room
from bitlinkpay.signer.sealing import Unlock, choose_unlock
from bitlinkpay.signer.service import check_keys, open_seed
from bitlinkpay.signer.standing import standing
from bitlinkpay.signer.vault import Vault
from bitlinkpay.signer.waiting import Waitings

_IDLE_S = 30
_MOST_CONNECTIONS = 32
_PEER_CREDENTIALS = struct.Struct("iII")  # pid, uid, gid: struct ucred of unix(7)


class Signer:
    """The opened signer: one answer to each of a closed list of questions."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._waitings = Waitings(room)
        self._desk = Desk(room, self._waitings)
        self._started_at = datetime.now(UTC).isoformat(timespec="seconds")

    @classmethod
    def open(cls, folder: Path, unlock: Unlock, clock: GuardedClock | None = None) -> "Signer":
        """Open the folder's seed, policy and audit; the seed itself is let go.

        Raises:
            Problem: see `service.open_seed` and `Room.open`.
        """
        content = open_seed(folder, unlock)
        return cls(Room.open(folder, check_keys(content), Vault.of(content.seed), clock or GuardedClock()))

    def answer(self, request: Request) -> Reply:
        """Answer one request.

        Raises:
            Problem: it is refused.
        """
        ring = self._room.ring
        reply: Reply
        match request:
            case Status():
                reply = StatusReply(ring.fingerprint, self._started_at, os.getpid())
            case GetKeyRing():
                reply = KeyRingReply(ring)
            case ExtendSolana(first=first, count=count):
                reply = self._pool(first, count)
            case Sign():
                reply = SignedReply(self._desk.sign(request))
            case Approve(approval=approval):
                reply = ApprovedReply(self._waitings.approve(approval))
            case GetWaiting():
                reply = WaitingReply(ring.fingerprint, self._waitings.listed())
            case GetStanding():
                reply = standing(self._room, waiting=len(self._waitings))
            case _:
                assert_never(request)
        return reply

    def notice(self) -> str:
        """Return what everybody who runs the platform should know at a start, "" for nothing."""
        return standing(self._room, waiting=0).cold_change

    def _pool(self, first: int, count: int) -> PoolReply:
        if not (0 < count <= MOST_ADDRESSES and 0 <= first <= HIGHEST_INDEX - count):
            raise SignerRefused(f"ask for 1 to {MOST_ADDRESSES} addresses at indexes below 2^31")
        return PoolReply(self._room.vault.solana.pool(first, count))


async def serve(folder: Path, signer: Signer, *, ready: Callable[[], None], stop: asyncio.Event) -> None:
    """Listen until `stop` is set. The caller holds the folder's lock."""
    connections: set[asyncio.StreamWriter] = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if len(connections) < _MOST_CONNECTIONS and _is_trusted(writer):
                connections.add(writer)
                await _converse(signer, reader, writer)
        finally:
            connections.discard(writer)
            writer.close()

    (folder / SOCKET).unlink(missing_ok=True)
    with socket_name(folder) as name:
        server = await asyncio.start_unix_server(accept, name)
    (folder / SOCKET).chmod(0o600)
    try:
        ready()
        await stop.wait()
    finally:
        server.close()
        for writer in tuple(connections):
            writer.close()
        (folder / SOCKET).unlink(missing_ok=True)


def run(folder: Path, unlock: Unlock, notifier: Notifier) -> None:
    """Test the libraries, open the folder and serve until SIGTERM or SIGINT.

    Raises:
        Problem: the folder can't be opened, is served already, or a known answer came out wrong.
    """
    check_private(folder)
    selftest.run()
    known_answers.run()
    with folder_lock(folder):
        signer = Signer.open(folder, unlock)
        if notice := signer.notice():
            sys.stderr.write(f"signer: cold list: {notice}\n")
        asyncio.run(_serve_until_signal(folder, signer, notifier))


def main(arguments: Sequence[str]) -> int:
    """Run as a process of its own; return the exit code."""
    hardening.harden()
    parser = argparse.ArgumentParser(prog="bitlinkpay signer serve")
    parser.add_argument("--dir", type=Path, required=True)
    parser.add_argument("--key-file", type=Path)
    parser.add_argument("--die-with-parent", action="store_true")
    options = parser.parse_args(arguments)
    if options.die_with_parent:
        hardening.die_with_parent()
    try:
        run(options.dir, choose_unlock(os.environ, options.key_file), Notifier.take())
    except Problem as problem:
        sys.stderr.write(f"signer: {problem.message}\n")
        return 1
    return 0


async def _serve_until_signal(folder: Path, signer: Signer, notifier: Notifier) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    beating = asyncio.create_task(beat_until(notifier, stop))  # in this loop: it falls silent with the desk
    await serve(folder, signer, ready=notifier.announce, stop=stop)
    await beating


async def _converse(signer: Signer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while True:
            async with asyncio.timeout(_IDLE_S):
                body = await read_frame(reader)
                if body is None:
                    return
                writer.write(encode_frame(_reply(signer, body)))
                await writer.drain()
    except (FrameError, TimeoutError, ConnectionError):
        return


def _reply(signer: Signer, body: bytes) -> Reply:
    try:
        return signer.answer(decode_request(body))
    except FrameError:
        return Refusal("no such request")
    except Problem as problem:
        payments = problem.payments if isinstance(problem, SignerRefused) else ()
        return Refusal(problem.message, problem.code, payments)
    except Exception as error:  # noqa: BLE001 - a broken belief signs nothing; its text might show what it was about
        sys.stderr.write(f"signer: {type(error).__name__}\n{''.join(traceback.format_tb(error.__traceback__))}")
        return Refusal(f"nothing was signed: {type(error).__name__}, see the signer's log", "signer.failed")


def _is_trusted(writer: asyncio.StreamWriter) -> bool:
    """Accept our own user and root only, whatever the modes of folder and socket came to be."""
    if sys.platform != "linux":
        return True
    peer: socket.socket = writer.get_extra_info("socket")
    raw = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER_CREDENTIALS.size)
    _, uid, _ = _PEER_CREDENTIALS.unpack(raw)
    return uid in (0, os.getuid())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
