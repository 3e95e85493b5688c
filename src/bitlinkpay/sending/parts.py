"""What the lanes of one network are made of, and how patient they are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Generic, Protocol, TypeVar

from bitlinkpay.chains.outgoing import Intent, Sender, Signed
from bitlinkpay.chains.registry import Registry
from bitlinkpay.core.assets import Network
from bitlinkpay.core.clock import Clock
from bitlinkpay.db.pool import Database
from bitlinkpay.risk.model import Provider
from bitlinkpay.sending.model import OwnerKind
from bitlinkpay.sending.service import Owner

P = TypeVar("P")
Q_contra = TypeVar("Q_contra", contravariant=True)


class Signing(Protocol[Q_contra]):
    """The signer as a lane sees it."""

    async def sign(self, intent: Intent, plan: Q_contra) -> Signed:
        """Return the signed bytes; the same question has the same answer.

        Raises:
            SignerRefused: its policy says no, and it has never signed this intent.
            Unavailable: nobody answers.
        """
        ...


@dataclass(frozen=True, slots=True)
class Limits:
    """How patient a lane is.

    Attributes:
        in_flight: most transactions at once that are not final.
        unmined: most transactions at once that stand in no block; nodes keep one at most of an EVM account that has
            delegated (EIP-7702 as go-ethereum's pool takes it).
        intent_life: how long the signer may take to sign.
        retry_after: how long a payment rests that could not be planned or that the signer refused.
        resend_after: how long a transaction that no node knows rests before the same bytes go out again.
        lost_after: when one that no node knows becomes uncertain.
        bump_after: when a waiting one is outbid.
        attempts: most versions of one transaction.
    """

    in_flight: int = 64
    unmined: int = 16
    intent_life: timedelta = timedelta(hours=1)
    retry_after: timedelta = timedelta(minutes=1)
    resend_after: timedelta = timedelta(seconds=20)
    lost_after: timedelta = timedelta(minutes=5)
    bump_after: timedelta = timedelta(minutes=3)
    attempts: int = 6


@dataclass(frozen=True, slots=True)
class LaneParts(Generic[P]):
    """What the lanes of one network are made of.

    `clock` is business time, `wall` is not; `providers` are asked about recipients once more before a signature.
    """

    database: Database
    registry: Registry
    network: Network
    sender: Sender[P]
    plan_type: type[P]
    signing: Signing[P]
    owners: Mapping[OwnerKind, Owner]
    clock: Clock
    wall: Clock
    limits: Limits = Limits()
    providers: Sequence[Provider] = ()
