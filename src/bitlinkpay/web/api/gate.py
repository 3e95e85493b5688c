"""Who is let in: requests that a working key signed, from where it may be used, in time, once, and not too often.

Key, signature, revocation and network fail with one answer; only after the signature holds do suspension, limit, clock
and replay get words of their own. A key's budget is touched by requests with its signature alone, so that nobody else
can use it up.
"""

import hashlib
import logging
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from bitlinkpay.core.clock import Clock
from bitlinkpay.core.errors import Invalid, Kind, Problem, Unavailable
from bitlinkpay.core.ids import ApiKeyId, parse_id
from bitlinkpay.core.sealing import Sealer, Unsealable
from bitlinkpay.db import replay
from bitlinkpay.db.batch import MicroBatch
from bitlinkpay.db.pool import Database
from bitlinkpay.merchants.api_keys.directory import ApiKeys, Holder
from bitlinkpay.merchants.api_keys.model import Algorithm
from bitlinkpay.merchants.api_keys.service import secret_of
from bitlinkpay.merchants.api_keys.signing import (
    KEY_HEADER,
    NONCE_HEADER,
    SIGNATURE_HEADER,
    TIME_HEADER,
    SignedText,
    is_ed25519,
    is_hmac,
    read_signature,
)
from bitlinkpay.merchants.directory import Directory
from bitlinkpay.merchants.model import MerchantState
from bitlinkpay.web.api.call import Caller
from bitlinkpay.web.api.refusals import ClockOff, Replayed, TooMany, Unsigned
from bitlinkpay.web.wm.gate import CLOCK_SKEW
from bitlinkpay.web.wm.limits import Buckets, Rate, steady
from bitlinkpay.web.wm.seals import claim

BATCH: Final = 256
_TIME: Final = re.compile(r"[0-9]{10}", re.ASCII)
_NONCE: Final = re.compile(r"[A-Za-z0-9_-]{16,64}", re.ASCII)
_NOTES: Final = Rate(per_minute=60, burst=60)

_security: Final = logging.getLogger("bitlinkpay.security")


class MerchantSuspended(Problem):
    """The merchant may not work for now."""

    code = "merchant.suspended"
    kind = Kind.FORBIDDEN

    def __init__(self) -> None:
        super().__init__("this merchant is suspended; ask the platform")


@dataclass(frozen=True, slots=True)
class Knock:
    """A request at the gate.

    Attributes:
        spki: what TLS proved of the client, None on a port without client certificates.
        peer: the socket's own address.
        headers: names in lower case; a header that is sent twice is not there.
    """

    spki: bytes | None
    peer: str
    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Admitted:
    """Who was let in, and how much is left of the key's budget, as headers."""

    caller: Caller
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _Signature:
    key_id: ApiKeyId
    text: bytes
    sent_at: datetime
    signature: bytes


class Gate:
    """Decides who is let in."""

    def __init__(
        self,
        database: Database,
        keys: ApiKeys,
        sealer: Sealer,
        directory: Directory,
        *,
        wall: Clock,
        now_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        """Build the gate.

        Args:
            database: where answered requests are remembered.
            keys: looks keys up.
            sealer: opens the secrets of HMAC keys.
            directory: looks client certificates up.
            wall: the wall clock, which no sandbox moves.
            now_ns: a monotonic clock for the limits.
        """
        self._database = database
        self._keys = keys
        self._sealer = sealer
        self._directory = directory
        self._wall = wall
        self._requests = Buckets[ApiKeyId](now_ns)
        self._notes = Buckets[str](now_ns)
        self._claims = MicroBatch[bytes, bool](self._claim, limit=BATCH)

    async def admit(self, knock: Knock) -> Admitted:
        """Let a request in; see the module for the order of checks.

        Raises:
            Unsigned, MerchantSuspended, TooMany, ClockOff, Replayed: see there.
            Unavailable: the database can't be asked, or this host can't open the key's secret.
        """
        signature = _signature(knock)
        holder = await self._keys.find(signature.key_id) if signature else None
        if signature is None or holder is None:
            raise self._refused("no signature of a known key", knock)
        if not self._is_signed(holder, signature):
            raise self._refused("a wrong signature", knock, holder)
        await self._check_holder(holder, knock)
        headers = self._count(holder)
        now = self._wall.now()
        off = abs(now - signature.sent_at)
        if off > CLOCK_SKEW:
            raise ClockOff(off // timedelta(seconds=1), now)
        if not await self._claims.submit(hashlib.sha256(holder.key.key_id.bytes + signature.text).digest()):
            raise Replayed
        return Admitted(Caller(holder.key, holder.merchant, knock.peer), headers)

    async def drain(self) -> None:
        """Return once everything that was begun is answered."""
        await self._claims.drain()

    def _is_signed(self, holder: Holder, signature: _Signature) -> bool:
        key = holder.key
        if key.algorithm is Algorithm.ED25519:
            return is_ed25519(key.material, signature.text, signature.signature)
        try:
            secret = secret_of(self._sealer, key)
        except Unsealable as problem:
            raise Unavailable(f"the secret of key {key.key_id.hex} cannot be read here: {problem}") from problem
        return is_hmac(secret, signature.text, signature.signature)

    async def _check_holder(self, holder: Holder, knock: Knock) -> None:
        key, merchant = holder.key, holder.merchant
        if key.revoked_at is not None or merchant.state is MerchantState.REVOKED:
            raise self._refused("a revoked key", knock, holder)
        if not key.allows_from(knock.peer):
            raise self._refused("a key from an unlisted address", knock, holder)
        if knock.spki is not None:
            identity = await self._directory.find_by_spki(knock.spki)
            is_own = identity is not None and identity.merchant.merchant_id == merchant.merchant_id
            if identity is None or identity.is_revoked or not is_own:
                raise self._refused("a key under another merchant's certificate", knock, holder)
        if merchant.state is MerchantState.SUSPENDED:
            raise MerchantSuspended

    def _count(self, holder: Holder) -> Mapping[str, str]:
        key_id, rate = holder.key.key_id, steady(holder.merchant.rate_per_minute)
        wait_s = self._requests.wait_s(key_id, rate)
        if wait_s:
            raise TooMany(wait_s)
        self._requests.take(key_id, rate)
        return {
            "ratelimit-limit": str(rate.burst),
            "ratelimit-remaining": str(self._requests.left(key_id, rate)),
            "ratelimit-reset": str(self._requests.full_s(key_id)),
        }

    async def _claim(self, digests: Sequence[bytes]) -> Sequence[bool | Problem]:
        now = self._wall.now()
        seals = [replay.Seal(digest, now) for digest in digests]
        return await self._database.unit(lambda tx: claim(tx, seals, now))

    def _refused(self, what: str, knock: Knock, holder: Holder | None = None) -> Unsigned:
        """Note a security event, so many a minute and peer; nothing of the client's own making stands in it."""
        if not self._notes.wait_s(knock.peer, _NOTES):
            self._notes.take(knock.peer, _NOTES)
            _security.warning(
                "%s: key=%s merchant=%s peer=%s",
                what,
                holder.key.key_id.hex if holder else "none",
                holder.merchant.broker if holder else "none",
                knock.peer,
            )
        return Unsigned()


def _signature(knock: Knock) -> _Signature | None:
    """Return the signature that a request carries, None where a part of it is missing or malformed."""
    headers = knock.headers
    sent, nonce = headers.get(TIME_HEADER, ""), headers.get(NONCE_HEADER, "")
    if not _TIME.fullmatch(sent) or not _NONCE.fullmatch(nonce):
        return None
    try:
        key_id = ApiKeyId(parse_id("key", headers.get(KEY_HEADER, "")))
    except Invalid:
        return None
    text = SignedText(knock.method, knock.target, sent, nonce, knock.body).encode()
    sent_at = datetime.fromtimestamp(int(sent), UTC)
    return _Signature(key_id, text, sent_at, read_signature(headers.get(SIGNATURE_HEADER, "")))
