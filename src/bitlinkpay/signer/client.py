"""How other processes ask the signer: one short connection per question."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NoReturn

import msgspec

from bitlinkpay.chains.outgoing import Intent, Signed, Wallet
from bitlinkpay.core.errors import Problem
from bitlinkpay.signer.keyring import KeyRing, PoolAddress
from bitlinkpay.signer.policy.approval import Approval
from bitlinkpay.signer.problems import (
    ApprovalNeeded,
    AuditFailed,
    CapReached,
    ClockJumped,
    SignerPaused,
    SignerRefused,
    SignerUnreachable,
)
from bitlinkpay.signer.protocol import (
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
    Standing,
    Status,
    StatusReply,
    WaitingReply,
    decode_reply,
    encode_frame,
    read_frame,
    socket_name,
)

_PAUSED: Final = frozenset({AuditFailed.code, ClockJumped.code})


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

    async def sign(
        self, intent: Intent, plan: object, *, ours: Sequence[Wallet] = (), dead: Sequence[str] = ()
    ) -> Signed:
        """Ask for the signed bytes of an intent; the same question has the same answer until the intent expires.

        Args:
            intent: what shall happen.
            plan: the plan of the network's family.
            ours: wallets of ours among the targets: deposit addresses that get gas.
            dead: ids of transactions signed for this intent before that are proved dead.

        Raises:
            ApprovalNeeded, CapReached: some payments, which the problem names, need an operator, or another time.
            SignerRefused: never as it is.
            SignerPaused: the signer signs nothing at the moment.
        """
        asked = Sign(intent, msgspec.Raw(msgspec.json.encode(plan)), tuple(ours), tuple(dead))
        reply = await self._ask(asked)
        return reply.signed if isinstance(reply, SignedReply) else self._reject(reply)

    async def approve(self, approval: Approval) -> str:
        """Hand over an operator's approval; return the operator's name."""
        reply = await self._ask(Approve(approval))
        return reply.operator if isinstance(reply, ApprovedReply) else self._reject(reply)

    async def waiting(self) -> WaitingReply:
        """Ask for the payments that wait for an approval."""
        reply = await self._ask(GetWaiting())
        return reply if isinstance(reply, WaitingReply) else self._reject(reply)

    async def standing(self) -> Standing:
        """Ask how much of the caps is used, and where the audit stands."""
        reply = await self._ask(GetStanding())
        return reply if isinstance(reply, Standing) else self._reject(reply)

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
            raise _problem(reply)
        raise SignerUnreachable(self._folder / SOCKET, f"it answered with {type(reply).__name__}")


def _problem(refusal: Refusal) -> Problem:
    match refusal.code:
        case ApprovalNeeded.code:
            return ApprovalNeeded(refusal.message, refusal.payments)
        case CapReached.code:
            return CapReached(refusal.message, refusal.payments)
        case code if code in _PAUSED:
            return SignerPaused(refusal.message)
        case _:
            return SignerRefused(refusal.message, refusal.payments)
