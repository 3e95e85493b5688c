"""The four checks: source network, known device, payment password, second factor; passed, they give one authorization.

What a try did is committed before it is answered, so that a wrong one counts whatever becomes of the request.
"""

import asyncio
import hashlib
import logging
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from bitlinkpay.authorizations import passwords, store
from bitlinkpay.authorizations.factors import SecondFactor
from bitlinkpay.authorizations.model import (
    FREE_TRIES,
    LIFE,
    Action,
    Answered,
    AnswerSpent,
    Authorization,
    Credential,
    LockedOut,
    NotAuthorized,
    NotSetUp,
    Shown,
    UnknownDevice,
    UnlistedNetwork,
    WrongProof,
    check_network,
)
from bitlinkpay.core.clock import Clock
from bitlinkpay.core.errors import Problem
from bitlinkpay.core.ids import new_uuid7
from bitlinkpay.core.mode import Mode
from bitlinkpay.db.driver import Tx
from bitlinkpay.db.pool import Database
from bitlinkpay.merchants.model import Merchant

_security: Final = logging.getLogger("bitlinkpay.security")


def fingerprint(token: str) -> bytes:
    """Return what a device is known by: SHA-256 of its token, which is random and as good as a key."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


class Checks:
    """The checks of a deployment."""

    def __init__(self, database: Database, factor: SecondFactor, *, mode: Mode, wall: Clock) -> None:
        """Build the checks.

        Args:
            database: where credentials and authorizations are.
            factor: the second factor.
            mode: a sandbox lets requests come from anywhere unless networks are listed.
            wall: the wall clock; codes and pauses follow no sandbox's time.
        """
        self._database = database
        self._factor = factor
        self._mode = mode
        self._wall = wall

    async def authorize(self, merchant: Merchant, action: Action, shown: Shown) -> Authorization:
        """Check all four and return leave to do exactly this action, once, within five minutes.

        The same code with the same action again returns the same authorization while it is unused: an answer may get
        lost. No transaction is open while the password is stretched.

        Raises:
            UnlistedNetwork, UnknownDevice: nothing was counted.
            NotSetUp: the merchant has no payment password or no authenticator.
            WrongProof: password or code are wrong; it was counted.
            LockedOut: too many wrong tries; even a right one does not count now.
            AnswerSpent: the code was used for another action, or this one was done with it.
        """
        assert action.merchant_id == merchant.merchant_id
        try:
            check_network(merchant, shown.peer, is_open=self._mode is Mode.SANDBOX)
            device_id = await self._device(merchant, shown)
        except (UnlistedNetwork, UnknownDevice) as problem:
            _security.warning("%s: merchant=%s peer=%.60r", problem.code, merchant.broker, shown.peer)
            raise
        tried = await self._try_password(merchant, shown)
        judged = await self._database.unit(lambda tx: self._judge(tx, _Question(action, shown, device_id, tried)))
        if isinstance(judged, Problem):
            _security.warning("%s: merchant=%s peer=%.60r", judged.code, merchant.broker, shown.peer)
            raise judged
        return judged

    async def use(self, tx: Tx, authorization_id: UUID, action: Action) -> None:
        """Use an authorization up, in the transaction that does what it allows.

        Raises:
            NotAuthorized: it is of another action or merchant, used, or too old; the transaction must not commit.
        """
        if not await store.use(tx, authorization_id, action, self._wall.now()):
            raise NotAuthorized

    async def _device(self, merchant: Merchant, shown: Shown) -> UUID:
        async with self._database.reader() as tx:
            device = await store.find_device(tx, merchant.merchant_id, fingerprint(shown.device))
        if device is None or not device.is_known:
            raise UnknownDevice
        return device.device_id

    async def _try_password(self, merchant: Merchant, shown: Shown) -> "_Tried":
        async with self._database.reader() as tx:
            credential = await store.find_credential(tx, merchant.merchant_id)
        if credential is None:
            raise NotSetUp
        if credential.is_locked(self._wall.now()):  # spares the stretching; the judgement looks again
            return _Tried(credential.password_hash, is_right=False)
        is_right = await asyncio.to_thread(passwords.is_right, shown.password, credential.password_hash)
        return _Tried(credential.password_hash, is_right=is_right)

    async def _judge(self, tx: Tx, question: "_Question") -> Authorization | Problem:
        """Judge a try under the lock of its merchant's credential."""
        action, now = question.action, self._wall.now()
        credential = await store.lock_credential(tx, action.merchant_id)
        if credential is None or credential.password_hash != question.tried.password_hash:
            return NotSetUp()  # the password was changed while this one was stretched
        if credential.is_locked(now):
            assert credential.locked_until is not None
            return LockedOut(credential.locked_until)
        answered = await self._factor.check(tx, action, question.shown.answer, now)
        if answered is None or not question.tried.is_right:
            return await self._count(tx, action, credential)
        earlier = await store.find_by_answer(tx, answered)
        if earlier is not None:
            return earlier if earlier.still_allows(action, now) else AnswerSpent()
        if not await self._factor.spend(tx, answered):
            return AnswerSpent()
        await store.forget_failures(tx, action.merchant_id)
        return await self._give(tx, question, answered)

    async def _count(self, tx: Tx, action: Action, credential: Credential) -> WrongProof:
        now = self._wall.now()
        until = credential.lock_after(now)
        await store.count_failure(tx, action.merchant_id, until)
        if until is not None:
            await store.append_event(tx, action.merchant_id, "locked_out", f"until {until.isoformat()}", now)
        return WrongProof(FREE_TRIES - credential.failures - 1)

    async def _give(self, tx: Tx, question: "_Question", answered: Answered) -> Authorization:
        now = self._wall.now()
        given = Authorization(
            authorization_id=new_uuid7(),
            merchant_id=question.action.merchant_id,
            action=question.action.name,
            digest=question.action.digest,
            answered=answered,
            device_id=question.device_id,
            peer=question.shown.peer,
            given_at=now,
            expires_at=now + LIFE,
        )
        await store.insert(tx, given)
        return given


@dataclass(frozen=True, slots=True)
class _Tried:
    """Whether the password was right, and the hash that it was compared with."""

    password_hash: str
    is_right: bool


@dataclass(frozen=True, slots=True)
class _Question:
    """Everything that a try is judged by."""

    action: Action
    shown: Shown
    device_id: UUID
    tried: _Tried
