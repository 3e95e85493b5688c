"""The signer's own process: opens the seed, keeps what it needs, answers on a Unix socket (0600 in a 0700 folder).

Run as `python -m bitlinkpay.signer.server --dir DIR [--key-file FILE]`; prints `ready` when it listens; ends on
SIGTERM or SIGINT. The passphrase comes from BITLINKPAY_SIGNER_PASSPHRASE.
"""

import argparse
import asyncio
import os
import signal
import socket
import struct
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import assert_never

from bitlinkpay.core.errors import Problem
from bitlinkpay.signer import hardening, selftest
from bitlinkpay.signer.files import check_private, folder_lock
from bitlinkpay.signer.keyring import KeyRing
from bitlinkpay.signer.keys import HIGHEST_INDEX, SolanaBranch
from bitlinkpay.signer.protocol import (
    MOST_ADDRESSES,
    SOCKET,
    ExtendSolana,
    FrameError,
    GetKeyRing,
    KeyRingReply,
    PoolReply,
    Refusal,
    Reply,
    Request,
    Status,
    StatusReply,
    decode_request,
    encode_frame,
    read_frame,
    socket_name,
)
from bitlinkpay.signer.sealing import Unlock, choose_unlock
from bitlinkpay.signer.service import check_keys, open_seed

_IDLE_S = 30
_MOST_CONNECTIONS = 32
_PEER_CREDENTIALS = struct.Struct("iII")  # pid, uid, gid: struct ucred of unix(7)


class Signer:
    """The opened signer: public keys, and the one private branch that extending the pool needs."""

    def __init__(self, ring: KeyRing, branch: SolanaBranch) -> None:
        self._ring = ring
        self._branch = branch
        self._started_at = datetime.now(UTC).isoformat(timespec="seconds")

    @classmethod
    def open(cls, folder: Path, unlock: Unlock) -> "Signer":
        """Open the folder's seed; the seed itself is let go.

        Raises:
            Problem: see `service.open_seed`.
        """
        content = open_seed(folder, unlock)
        return cls(check_keys(content), SolanaBranch.of(content.seed))

    def answer(self, request: Request) -> Reply:
        """Answer one request."""
        match request:
            case Status():
                return StatusReply(self._ring.fingerprint, self._started_at, os.getpid())
            case GetKeyRing():
                return KeyRingReply(self._ring)
            case ExtendSolana(first=first, count=count):
                if not (0 < count <= MOST_ADDRESSES and 0 <= first <= HIGHEST_INDEX - count):
                    return Refusal(f"ask for 1 to {MOST_ADDRESSES} addresses at indexes below 2^31")
                return PoolReply(self._branch.pool(first, count))
            case _:
                assert_never(request)


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


def run(folder: Path, unlock: Unlock, *, ready: Callable[[], None]) -> None:
    """Test the libraries, open the folder and serve until SIGTERM or SIGINT.

    Raises:
        Problem: the folder can't be opened, is served already, or a known answer came out wrong.
    """
    check_private(folder)
    selftest.run()
    with folder_lock(folder):
        signer = Signer.open(folder, unlock)
        asyncio.run(_serve_until_signal(folder, signer, ready))


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
        run(options.dir, choose_unlock(os.environ, options.key_file), ready=_say_ready)
    except Problem as problem:
        sys.stderr.write(f"signer: {problem.message}\n")
        return 1
    return 0


async def _serve_until_signal(folder: Path, signer: Signer, ready: Callable[[], None]) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await serve(folder, signer, ready=ready, stop=stop)


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


def _is_trusted(writer: asyncio.StreamWriter) -> bool:
    """Accept our own user and root only, whatever the modes of folder and socket came to be."""
    if sys.platform != "linux":
        return True
    peer: socket.socket = writer.get_extra_info("socket")
    raw = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER_CREDENTIALS.size)
    _, uid, _ = _PEER_CREDENTIALS.unpack(raw)
    return uid in (0, os.getuid())


def _say_ready() -> None:
    sys.stdout.write("ready\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
