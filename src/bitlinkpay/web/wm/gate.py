"""Who is let in: the encrypted gate behind mutual TLS, and the plain gate that only a sandbox opens.

The order of checks is that of PROTOCOL.md's last section: certificate, secret, body, sign and broker fail with one
uniform answer; only after the signature holds do clock and suspension get words of their own (replays too, in
`desk`, in the transaction of the work). Limits look at the certificate alone and come first: they tell nothing of the
envelope, and a flood costs no decryption.
"""

import hmac
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

from bitlinkpay.core.clock import Clock
from bitlinkpay.core.ids import MerchantId
from bitlinkpay.core.mode import Mode
from bitlinkpay.merchants.directory import Directory
from bitlinkpay.merchants.model import Identity, Merchant, MerchantState
from bitlinkpay.web.wm.limits import Buckets, Rate, steady
from bitlinkpay.web.wm.opener import Opener
from bitlinkpay.wm.envelope import Headers, Opened, Seal, is_broker
from bitlinkpay.wm.ids import OuterCode

TEST_HEADER: Final = b"w-test"
CLOCK_SKEW: Final = timedelta(minutes=5)
FAILURES: Final = Rate(per_minute=300, burst=20_000)
"""Envelopes that may fail per certificate: generous, for implicit rejection leaves nothing to learn from them."""

_security: Final = logging.getLogger("bitlinkpay.security")


@dataclass(frozen=True, slots=True)
class Knock:
    """A request at the gate. `spki` is what TLS proved, b"" for nothing; `peer` the socket's own address."""

    spki: bytes
    peer: str
    path: str
    headers: Headers
    has_test_header: bool
    body: bytes


@dataclass(frozen=True, slots=True)
class Admitted:
    """A merchant's request: plaintext, the seal that must be new (None in plain mode), and the socket's own address."""

    merchant: Merchant
    plaintext: bytes
    seal: Seal | None
    peer: str = ""


@dataclass(frozen=True, slots=True)
class TurnedAway:
    """Why the request was not let in, in the words that the client sees."""

    code: OuterCode
    message: str


UNIFORM: Final = TurnedAway(
    OuterCode.REFUSED, "the request was refused: check certificate, broker, platform key and signature"
)
_SUSPENDED: Final = TurnedAway(OuterCode.SUSPENDED, "this merchant is suspended; ask the platform")
_NO_PLAIN_MODE: Final = TurnedAway(
    OuterCode.PLAIN_MODE, "plain mode (w-test) is not answered here; send the encrypted envelope over mutual TLS"
)
_NO_ENVELOPE: Final = TurnedAway(
    OuterCode.PLAIN_MODE, "this port answers plain mode (w-test: 1) only; send envelopes to the mutual TLS port"
)


class Gate(Protocol):
    """Decides who is let in."""

    async def admit(self, knock: Knock) -> Admitted | TurnedAway:
        """Let a merchant's request in or turn it away.

        Raises:
            Unavailable: the database cannot be asked, or too many requests wait.
        """
        ...


class EncryptedGate:
    """The gate of the mutual TLS port. Who somebody is comes from the certificate; `w-broker` is only a claim."""

    def __init__(
        self,
        directory: Directory,
        opener: Opener,
        *,
        wall: Clock,
        failures: Rate = FAILURES,
        now_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        """Build the gate.

        Args:
            directory: looks certificates up.
            opener: opens envelopes.
            wall: the wall clock, which no sandbox moves.
            failures: how many envelopes of one certificate may fail.
            now_ns: a monotonic clock for the limits.
        """
        self._directory = directory
        self._opener = opener
        self._wall = wall
        self._failure_rate = failures
        self._failures = Buckets[bytes](now_ns)
        self._requests = Buckets[MerchantId](now_ns)

    async def admit(self, knock: Knock) -> Admitted | TurnedAway:
        """Let a merchant's request in or turn it away; see the module for the order of checks."""
        identity = await self._identify(knock)
        if identity is None:
            return UNIFORM
        merchant = identity.merchant
        limited = self._limited(knock, merchant)
        if limited is not None:
            return limited
        if knock.has_test_header:
            _note("plain mode was asked for on the mutual TLS port", knock, merchant)
            return _NO_PLAIN_MODE
        opened = await self._opener.open(knock.headers, knock.body)
        is_own = hmac.compare_digest(knock.headers.broker, merchant.broker.encode())
        if not isinstance(opened, Opened) or not is_own:
            self._failures.take(knock.spki, self._failure_rate)
            self._requests.give_back(merchant.merchant_id, steady(merchant.rate_per_minute))
            _note("an envelope of another broker" if isinstance(opened, Opened) else "a bad envelope", knock, merchant)
            return UNIFORM
        if merchant.state is MerchantState.SUSPENDED:
            return _SUSPENDED
        return self._in_time(opened) or Admitted(merchant, opened.plaintext, opened.seal, knock.peer)

    async def _identify(self, knock: Knock) -> Identity | None:
        identity = await self._directory.find_by_spki(knock.spki)
        if identity is not None and not identity.is_revoked:
            return identity
        if not self._failures.wait_s(knock.spki, self._failure_rate):  # a stranger must not flood the log
            self._failures.take(knock.spki, self._failure_rate)
            what = "an unknown or published certificate" if identity is None else "a revoked certificate"
            _note(what, knock, identity.merchant if identity else None)
        return None

    def _limited(self, knock: Knock, merchant: Merchant) -> TurnedAway | None:
        wait_s = self._failures.wait_s(knock.spki, self._failure_rate)
        if wait_s:
            return _limited(f"too many bad envelopes under this certificate: try again in {wait_s} s")
        return _too_fast(self._requests, merchant)

    def _in_time(self, opened: Opened) -> TurnedAway | None:
        sent_at = datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=opened.seal.ts_ms)
        off = abs(self._wall.now() - sent_at)
        if off <= CLOCK_SKEW:
            return None
        seconds = off // timedelta(seconds=1)
        return TurnedAway(OuterCode.CLOCK, f"w-ts is {seconds} s off the platform's clock, at most 300 are allowed")


class PlainGate:
    """The gate of a sandbox's plain mode: it believes `w-broker`, so a live deployment must not have one."""

    def __init__(self, directory: Directory, mode: Mode, *, now_ns: Callable[[], int] = time.monotonic_ns) -> None:
        assert mode is Mode.SANDBOX, "plain mode authenticates nobody"
        self._directory = directory
        self._requests = Buckets[MerchantId](now_ns)

    async def admit(self, knock: Knock) -> Admitted | TurnedAway:
        """Let a test merchant's request in or turn it away."""
        if not knock.has_test_header:
            return _NO_ENVELOPE
        broker = knock.headers.broker
        merchant = await self._directory.find_by_broker(broker.decode("ascii")) if is_broker(broker) else None
        if merchant is None or merchant.state is MerchantState.REVOKED:
            return UNIFORM
        limited = _too_fast(self._requests, merchant)
        if limited is not None:
            return limited
        if merchant.state is MerchantState.SUSPENDED:
            return _SUSPENDED
        return Admitted(merchant, knock.body, None, knock.peer)


class ClosedGate:
    """The gate of a live deployment's web port: plain mode is refused in the protocol's own words, and noted."""

    async def admit(self, knock: Knock) -> Admitted | TurnedAway:
        """Turn everybody away."""
        _note("plain mode was asked for on a live deployment", knock, None)
        return _NO_PLAIN_MODE


def _too_fast(requests: Buckets[MerchantId], merchant: Merchant) -> TurnedAway | None:
    """Take a request's token, or say when one will be there."""
    rate = steady(merchant.rate_per_minute)
    wait_s = requests.wait_s(merchant.merchant_id, rate)
    if wait_s:
        return _limited(f"too many requests: try again in {wait_s} s")
    requests.take(merchant.merchant_id, rate)
    return None


def _limited(message: str) -> TurnedAway:
    return TurnedAway(OuterCode.LIMITED, message)


def _note(what: str, knock: Knock, merchant: Merchant | None) -> None:
    """Write a security event. Nothing of the client's own making stands in it but the shortened, quoted broker."""
    _security.warning(
        "%s: certificate=%s merchant=%s claims=%r peer=%s path=%s",
        what,
        knock.spki.hex() or "none",
        merchant.broker if merchant else "none",
        knock.headers.broker[:64],
        knock.peer,
        knock.path,
    )
