"""How other processes ask the signer: one short connection per question."""

import asyncio
from pathlib import Path
from typing import NoReturn

from bitlinkpay.signer.keyring import KeyRing, PoolAddress
from bitlinkpay.signer.problems import SignerRefused, SignerUnreachable
from bitlinkpay.signer.protocol import (
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
    decode_reply,
    encode_frame,
    read_frame,
    socket_name,
)


class SignerClient:
    """The public methods of the signer that serves a folder. Each raises `SignerUnreachable` or `SignerRefused`."""

    def __init__(self, folder: Path, *, timeout_s: int = 10) -> None:
        self._folder = folder
        self._timeout_s = timeout_s

    async def status(self) -> StatusReply:
        """Ask who serves."""
        reply = await self._ask(Status())
        return reply if isinstance(reply, StatusReply) else self._reject(reply)

    async def keyring(self) -> KeyRing:
        """Ask for the public keys."""
        reply = await self._ask(GetKeyRing())
        return reply.ring if isinstance(reply, KeyRingReply) else self._reject(reply)

    async def extend_solana(self, first: int, count: int) -> tuple[PoolAddress, ...]:
        """Ask for `count` (at most 1,000) pool addresses from index `first` on; safe to repeat."""
        reply = await self._ask(ExtendSolana(first, count))
        return reply.addresses if isinstance(reply, PoolReply) else self._reject(reply)

    async def _ask(self, request: Request) -> Reply:
        path = self._folder / SOCKET
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._exchange(request)
        except TimeoutError:
            raise SignerUnreachable(path, f"no answer in {self._timeout_s} s") from None
        except (OSError, FrameError) as error:
            raise SignerUnreachable(path, str(error)) from None

    async def _exchange(self, request: Request) -> Reply:
        with socket_name(self._folder) as name:
            reader, writer = await asyncio.open_unix_connection(name)
        try:
            writer.write(encode_frame(request))
            await writer.drain()
            body = await read_frame(reader)
        finally:
            writer.close()
        if body is None:
            raise FrameError("the signer closed the connection")
        return decode_reply(body)

    def _reject(self, reply: Reply) -> NoReturn:
        if isinstance(reply, Refusal):
            raise SignerRefused(reply.message)
        raise SignerUnreachable(self._folder / SOCKET, f"it answered with {type(reply).__name__}")
