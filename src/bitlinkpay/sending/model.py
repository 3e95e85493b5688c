"""What is sent: a sending (one payment that somebody above asked for), the transaction that carries it, its attempts.

A sending waits in the queue of its lane (one paying wallet on one network). The lane's worker puts several of them
into one transaction, whose slot no other transaction ever gets. A transaction has one attempt, and another one only to
outbid it. Both tables of states stand here; nobody else changes a state.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Final
from uuid import UUID

from bitlinkpay.chains.outgoing import LOANS, Payment, Purpose, Slot, Wallet
from bitlinkpay.core.errors import Conflict
from bitlinkpay.core.fsm import Machine
from bitlinkpay.core.ids import MerchantId, SendingId, TransactionId


class SendingState(StrEnum):
    """How far one payment is."""

    QUEUED = "queued"
    HELD = "held"  # out of the queue until a person has looked
    SENDING = "sending"  # in a transaction: its bytes may exist
    UNCERTAIN = "uncertain"  # no node knows it any more, and nothing proves that it is dead
    CONFIRMING = "confirming"  # in a block that is not final
    DELIVERED = "delivered"
    FAILED = "failed"  # nothing arrived, for good
    CANCELLED = "cancelled"  # withdrawn before anything was signed


class SendingEvent(StrEnum):
    """What happened to a payment."""

    TAKEN = "taken"
    RELEASED = "released"  # its transaction never came to life: back into the queue
    LOST = "lost"
    FOUND = "found"
    MINED = "mined"
    VANISHED = "vanished"  # its block left the chain
    DELIVERED = "delivered"
    FAILED = "failed"
    REFUSED = "refused"  # it can't be carried out, now or ever
    CANCELLED = "cancelled"
    HELD = "held"
    RESUMED = "resumed"


_S, _E = SendingState, SendingEvent

SENDING: Final = Machine[SendingState, SendingEvent](
    "sending",
    MappingProxyType(
        {
            (_S.QUEUED, _E.TAKEN): _S.SENDING,
            (_S.QUEUED, _E.REFUSED): _S.FAILED,
            (_S.QUEUED, _E.CANCELLED): _S.CANCELLED,
            (_S.QUEUED, _E.HELD): _S.HELD,
            (_S.HELD, _E.RESUMED): _S.QUEUED,
            (_S.HELD, _E.CANCELLED): _S.CANCELLED,
            (_S.SENDING, _E.RELEASED): _S.QUEUED,
            (_S.SENDING, _E.LOST): _S.UNCERTAIN,
            (_S.SENDING, _E.MINED): _S.CONFIRMING,
            (_S.SENDING, _E.DELIVERED): _S.DELIVERED,
            (_S.SENDING, _E.FAILED): _S.FAILED,
            (_S.UNCERTAIN, _E.RELEASED): _S.QUEUED,
            (_S.UNCERTAIN, _E.FOUND): _S.SENDING,
            (_S.UNCERTAIN, _E.MINED): _S.CONFIRMING,
            (_S.UNCERTAIN, _E.DELIVERED): _S.DELIVERED,
            (_S.UNCERTAIN, _E.FAILED): _S.FAILED,
            (_S.CONFIRMING, _E.VANISHED): _S.SENDING,
            (_S.CONFIRMING, _E.DELIVERED): _S.DELIVERED,
            (_S.CONFIRMING, _E.FAILED): _S.FAILED,
        }
    ),
)


class TransactionState(StrEnum):
    """How far a transaction is."""

    ALLOTTED = "allotted"  # slot and plan are stored, the signer may have been asked
    SIGNED = "signed"  # the bytes are stored
    BROADCAST = "broadcast"  # the bytes were handed to a node
    UNCERTAIN = "uncertain"
    MINED = "mined"
    FINAL = "final"
    REVERTED = "reverted"  # final, and it did nothing but cost
    RELEASED = "released"  # never sent: the slot is free again
    DEAD = "dead"  # proved at finality: it can never take effect


class TransactionEvent(StrEnum):
    """What happened to a transaction."""

    SIGNED = "signed"
    BROADCAST = "broadcast"
    LOST = "lost"
    FOUND = "found"
    MINED = "mined"
    VANISHED = "vanished"
    FINALIZED = "finalized"
    REVERTED = "reverted"
    REFUSED = "refused"  # it must not be signed, and no bytes of it were ever stored
    DIED = "died"


_T, _F = TransactionState, TransactionEvent

TRANSACTION: Final = Machine[TransactionState, TransactionEvent](
    "transaction",
    MappingProxyType(
        {
            (_T.ALLOTTED, _F.SIGNED): _T.SIGNED,
            (_T.ALLOTTED, _F.REFUSED): _T.RELEASED,
            (_T.SIGNED, _F.BROADCAST): _T.BROADCAST,
            (_T.BROADCAST, _F.LOST): _T.UNCERTAIN,
            (_T.UNCERTAIN, _F.FOUND): _T.BROADCAST,
            (_T.MINED, _F.VANISHED): _T.BROADCAST,
            **{
                (state, event): after
                for state in (_T.SIGNED, _T.BROADCAST, _T.UNCERTAIN)
                for event, after in ((_F.MINED, _T.MINED), (_F.DIED, _T.DEAD))
            },
            **{
                (state, event): after
                for state in (_T.SIGNED, _T.BROADCAST, _T.UNCERTAIN, _T.MINED)
                for event, after in ((_F.FINALIZED, _T.FINAL), (_F.REVERTED, _T.REVERTED))
            },
        }
    ),
)
OPEN: Final = (_T.ALLOTTED, _T.SIGNED, _T.BROADCAST, _T.UNCERTAIN, _T.MINED)


class OwnerKind(StrEnum):
    """Who asked for a payment; what its end means is settled by that package."""

    PAYOUT = "payout"
    SETTLEMENT = "settlement"
    REFUND = "refund"
    SWEEP = "sweep"
    GAS = "gas"
    COLD = "cold"
    CONSOLIDATION = "consolidation"
    SETUP = "setup"
    LEND = "lend"
    RECALL = "recall"


@dataclass(frozen=True, slots=True)
class Sending:
    """One payment of ours.

    Attributes:
        sending_id: made by whom asked for it; the idempotency key.
        owner: which package asked.
        owner_id: its object; one sending per (owner, owner_id) for ever.
        merchant_id: whose money it is, None for the platform's own; queues are fair between merchants.
        network: id of the network.
        purpose: what the signer goes by.
        payer: the wallet whose lane it waits in.
        payment: what is paid; None for a wallet's `SETUP`.
        fee_max_units: native units it may cost at most, alone or as its share of a batch.
        covered_units: what of that lent energy pays, or the money itself (Bitcoin): the payer need not hold it.
        state: see `SENDING`.
        transaction_id: what carries it now.
        reason: why it waits or failed, "" otherwise.
        queued_at: business time.
        not_before: it is left alone until then.
    """

    sending_id: SendingId
    owner: OwnerKind
    owner_id: UUID
    merchant_id: MerchantId | None
    network: str
    purpose: Purpose
    payer: Wallet
    payment: Payment | None
    fee_max_units: int
    state: SendingState
    transaction_id: TransactionId | None
    reason: str
    queued_at: datetime
    not_before: datetime
    covered_units: int = 0

    @property
    def spends(self) -> Payment | None:
        """Return the payment whose money leaves its source, None where none does: a loan's stake stays."""
        return None if self.purpose in LOANS else self.payment


@dataclass(frozen=True, slots=True)
class Attempt:
    """One version of a transaction's bytes.

    Attributes:
        number: from 1; a later one outbids the one before.
        plan: the family's plan as JSON text.
        txid: "" until it is signed.
        raw: the signed bytes, empty until then.
        signed_at: wall time, None until then.
        sent_at: wall time of the newest broadcast, None before the first.
    """

    number: int
    plan: bytes
    txid: str
    raw: bytes
    signed_at: datetime | None
    sent_at: datetime | None


@dataclass(frozen=True, slots=True)
class Transaction:
    """One transaction of a lane with its payments and attempts, as stored."""

    transaction_id: TransactionId
    network: str
    purpose: Purpose
    payer: Wallet
    slot: Slot
    state: TransactionState
    fee_max_units: int
    expires_at: datetime
    allotted_at: datetime
    sendings: tuple[Sending, ...]
    attempts: tuple[Attempt, ...]

    @property
    def latest(self) -> Attempt:
        """Return the newest attempt; every transaction has one."""
        return self.attempts[-1]


class LaneLost(Exception):
    """Another worker holds the lane or moved it: the work at hand is thrown away."""


class PaymentMoved(Exception):
    """A payment left the queue while it was planned, called back or held: the work at hand is thrown away."""


class LaneNotFrozen(Conflict):
    """There is no lane of this wallet, or it works."""

    code = "lane.not_frozen"

    def __init__(self, network: str, payer: str) -> None:
        super().__init__(f"the lane of {payer} on {network} is not frozen; see `bitlinkpay lane list`")


class LaneBusy(Conflict):
    """The lane can't be moved on while transactions of it are on their way."""

    code = "lane.busy"

    def __init__(self, running: int) -> None:
        super().__init__(
            f"{running} transactions of this lane have not ended, and the chain stands beyond the lane's own number;"
            " wait until each is final or proved dead, then try again"
        )


class SendingExists(Conflict):
    """The same payment was asked for with other content."""

    code = "sending.exists_different"


class TooLate(Conflict):
    """The payment is not where it could be called back, held or resumed."""

    code = "sending.too_late"

    def __init__(self, state: SendingState) -> None:
        super().__init__(f"too late: the payment is {state} already")
