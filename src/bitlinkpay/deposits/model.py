"""A deposit (one transfer to us), its state table, and the watcher's cursor."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Final
from uuid import UUID

from bitlinkpay.chains.base import Arrival
from bitlinkpay.core.fsm import Machine
from bitlinkpay.core.ids import DepositId, MerchantId, PayinId


class DepositState(StrEnum):
    """How far an arrival is: only the finality rule and the screening verdict move it on."""

    SEEN = "seen"
    FINAL = "final"
    SCREENED = "screened"
    CREDITED = "credited"
    UNASSIGNED = "unassigned"
    REFUNDED = "refunded"  # its money belongs to a refund, which tells how far that is
    QUARANTINED = "quarantined"
    CLAIMED = "claimed"  # it had no owner and became the company's own
    DROPPED = "dropped"
    REVERSED = "reversed"


class DepositEvent(StrEnum):
    """What happened to an arrival."""

    SEEN = "seen"
    FINALIZED = "finalized"
    PASSED = "passed"  # screening found nothing
    HELD = "held"  # screening or a sanity rule holds it back
    CREDITED = "credited"
    PUT_ASIDE = "put_aside"  # odd money: unassigned with its label
    DROPPED = "dropped"  # its block left the chain before credit
    REVERSED = "reversed"  # its block left the chain after credit
    RELEASED = "released"  # a person let quarantined money go on
    CLAIMED = "claimed"  # an operator took money without an owner as the company's
    ASSIGNED = "assigned"  # an operator found the owner of money that had none
    REFUNDED = "refunded"  # a refund of it was asked for
    RETURNED = "returned"  # the refund came to nothing


_S, _E = DepositState, DepositEvent

DEPOSIT: Final = Machine[DepositState, DepositEvent](
    "deposit",
    MappingProxyType(
        {
            (_S.SEEN, _E.FINALIZED): _S.FINAL,
            (_S.SEEN, _E.DROPPED): _S.DROPPED,
            (_S.FINAL, _E.PASSED): _S.SCREENED,
            (_S.FINAL, _E.HELD): _S.QUARANTINED,
            (_S.FINAL, _E.DROPPED): _S.DROPPED,
            (_S.SCREENED, _E.CREDITED): _S.CREDITED,
            (_S.SCREENED, _E.PUT_ASIDE): _S.UNASSIGNED,
            (_S.UNASSIGNED, _E.CREDITED): _S.CREDITED,
            (_S.UNASSIGNED, _E.REVERSED): _S.REVERSED,
            (_S.UNASSIGNED, _E.CLAIMED): _S.CLAIMED,
            (_S.UNASSIGNED, _E.ASSIGNED): _S.UNASSIGNED,
            (_S.UNASSIGNED, _E.REFUNDED): _S.REFUNDED,
            (_S.REFUNDED, _E.RETURNED): _S.UNASSIGNED,
            (_S.REFUNDED, _E.REVERSED): _S.REVERSED,
            (_S.CLAIMED, _E.REVERSED): _S.REVERSED,
            (_S.QUARANTINED, _E.RELEASED): _S.UNASSIGNED,
            (_S.QUARANTINED, _E.REVERSED): _S.REVERSED,
            (_S.CREDITED, _E.REVERSED): _S.REVERSED,
        }
    ),
)


_UNSETTLED: Final = frozenset({DepositState.SEEN, DepositState.FINAL, DepositState.SCREENED})

TransferKey = tuple[str, str, str]
"""(txid, position, target): one transfer on its network, whatever block it stands in."""


@dataclass(frozen=True, slots=True)
class Deposit:
    """One arrival, as stored.

    Attributes:
        position: stable place inside the transaction, see `chains.base.Transfer`.
        merchant_id: None for money whose owner is unknown (TON without a tag).
        first_block_at: time of the first block that ever held this transfer, or when it was seen to wait for one (see
            `Sighting.made_at`); sticks through reorganisations.
        label: why it did not complete its order, "" otherwise.
        fee_units: the fee booked when credited.
    """

    deposit_id: DepositId
    network: str
    height: int
    block_hash: str
    txid: str
    position: str
    asset: str
    source: str
    target: str
    tag: str
    units: int
    arrival: Arrival
    merchant_id: MerchantId | None
    payin_id: PayinId | None
    state: DepositState
    label: str
    fee_units: int
    first_block_at: datetime
    seen_at: datetime

    @property
    def is_settled(self) -> bool:
        """Say whether it has left the books' pending money."""
        return self.state not in _UNSETTLED

    @property
    def key(self) -> TransferKey:
        """Return what tells this transfer from every other one of its network."""
        return self.txid, self.position, self.target


@dataclass(frozen=True, slots=True)
class DepositChange:
    """One move of one deposit along its state table."""

    deposit_id: DepositId
    event: DepositEvent
    before: DepositState
    after: DepositState
    label: str = ""
    fee_units: int = 0
    cause: str = ""


# A payer may leave a transaction unmined on purpose, and replace it when the price has turned: seen early, it counts as
# made then only if a block follows soon.
WAIT_MAX: Final = timedelta(hours=3)


@dataclass(frozen=True, slots=True)
class Sighting:
    """What is known of a transfer: when it was first in a block, since when it waited, whether a row of it stands."""

    first_block_at: datetime | None
    waited_since: datetime | None
    stands: bool

    def made_at(self, block_at: datetime) -> datetime:
        """Return when a transfer counts as made that stands in a block of this time."""
        made = min(block_at, self.first_block_at or block_at)
        waited = self.waited_since
        return min(made, waited) if waited and made - waited <= WAIT_MAX else made


@dataclass(frozen=True, slots=True)
class Unconfirmed:
    """A payment for an order that waits for its first block."""

    payin_id: PayinId
    txid: str
    position: str
    target: str
    asset: str
    units: int
    first_seen_at: datetime


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far a network has been read without a gap, and under whose lease."""

    network: str
    height: int
    hash: str
    time: datetime
    final_height: int


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to move one network's cursor until `until`."""

    network: str
    token: UUID
    until: datetime


@dataclass(frozen=True, slots=True)
class Watched:
    """An address of ours that a transfer arrived at; `payin_id` is None for a shared wallet."""

    target: str
    tag: str
    merchant_id: MerchantId | None
    payin_id: PayinId | None


class LostLease(Exception):
    """Another watcher moved this network's cursor or took its lease: the work at hand is thrown away."""
