"""Refusals and the operators' answers to them: what waits for an approval, and approvals as they come in."""

from datetime import datetime
from typing import Final

from bitlinkpay.chains.outgoing import Intent
from bitlinkpay.core.errors import Problem
from bitlinkpay.core.money import format_units
from bitlinkpay.signer.audit.events import Approved, Refused
from bitlinkpay.signer.policy.approval import Approval
from bitlinkpay.signer.policy.caps import request_id
from bitlinkpay.signer.policy.model import LONGEST_LIFE
from bitlinkpay.signer.policy.operators import find_signer
from bitlinkpay.signer.problems import ApprovalNeeded, CapReached, SignerRefused
from bitlinkpay.signer.protocol import Waiting
from bitlinkpay.signer.room import Room

MOST_WAITING: Final = 256
MOST_REFUSALS: Final = 60
"""Records of refusals a minute; more are counted only, for whoever asks may ask without end."""

MOST_NOTED: Final = 16
"""Payments that a record of a refusal shows."""


class Waitings:
    """Payments that were refused for want of an approval, the newest last."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._waiting: dict[str, Waiting] = {}
        self._minute = 0
        self._written = 0
        self._unwritten = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def listed(self) -> tuple[Waiting, ...]:
        """Return what waits."""
        return tuple(self._waiting.values())

    def note(self, intent: Intent, problem: Problem, now: datetime) -> None:
        """Write a refusal down, and keep the payments that an approval would let through.

        Raises:
            AuditFailed: it could not be written.
        """
        self._record(intent, problem, now)
        if isinstance(problem, ApprovalNeeded | CapReached):
            for place in problem.payments:
                self._keep(intent, place, now)

    def approve(self, approval: Approval) -> str:
        """Take an operator's approval; return the operator's name.

        Raises:
            SignerRefused: no operator of ours signed it, it is for another signer, too old, too long or came before.
            ClockJumped, AuditFailed: nothing is taken at the moment.
        """
        room, now = self._room, self._room.clock.now()
        operator = find_signer(room.policy.operators, approval.message(), approval.signature)
        if operator is None:
            raise SignerRefused("no operator whom the signer's policy.toml names signed this approval")
        if approval.signer != room.ring.fingerprint:
            raise SignerRefused(f"this approval is for the signer {approval.signer[:8]}")
        if approval.expires_at.tzinfo is None or not now < approval.expires_at <= now + LONGEST_LIFE:
            raise SignerRefused("an approval lives for a day at most, by a time with its zone, and has not expired")
        if room.history.has_reference(approval.reference):
            raise SignerRefused("this approval came before")
        approved = Approved(
            reference=approval.reference,
            operator=operator,
            expires_at=approval.expires_at,
            network=approval.network,
            asset=approval.asset,
            target=approval.target,
            tag=approval.tag,
            units=approval.units,
        )
        room.write(approved, now)
        self._waiting.pop(request_id(approval.network, approval), None)
        return operator

    def _record(self, intent: Intent, problem: Problem, now: datetime) -> None:
        minute = int(now.timestamp()) // 60
        if minute != self._minute:
            self._minute, self._written = minute, 0
        if self._written >= MOST_REFUSALS:
            self._unwritten += 1
            return
        payments = intent.payments[:MOST_NOTED]
        refused = Refused(intent.intent_id, problem.code, problem.message, payments, unwritten=self._unwritten)
        self._room.write(refused, now)
        self._written, self._unwritten = self._written + 1, 0

    def _keep(self, intent: Intent, place: int, now: datetime) -> None:
        payment = intent.payments[place]
        name = request_id(intent.network, payment)
        self._waiting.pop(name, None)
        self._waiting[name] = Waiting(
            request=name,
            network=intent.network,
            asset=payment.asset,
            amount=format_units(payment.units, self._room.registry.asset(payment.asset).decimals),
            target=payment.target,
            tag=payment.tag,
            units=payment.units,
            asked_at=now.isoformat(timespec="seconds"),
        )
        if len(self._waiting) > MOST_WAITING:
            del self._waiting[next(iter(self._waiting))]
