"""A settlement: its values, its state table and its problems. Once it is requested, its payout has the states."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from types import MappingProxyType
from typing import Final, NewType
from uuid import UUID

from bitlinkpay.core.assets import Asset
from bitlinkpay.core.errors import Conflict, Kind, NotFound, Problem
from bitlinkpay.core.fsm import Machine
from bitlinkpay.core.ids import MerchantId, PayoutId
from bitlinkpay.core.money import format_units
from bitlinkpay.merchants.model import Merchant
from bitlinkpay.payouts.model import PayoutState

SettlementId = NewType("SettlementId", UUID)


class Cause(StrEnum):
    """Who asked for it."""

    MANUAL = "manual"
    SCHEDULE = "schedule"
    THRESHOLD = "threshold"


class SettlementState(StrEnum):
    """Where it stands before its payout takes over."""

    DUE = "due"  # a rule was triggered, nothing is reserved yet
    REQUESTED = "requested"  # a payout reserves its money and carries it
    SKIPPED = "skipped"  # it did not fit; nothing was reserved


class SettlementEvent(StrEnum):
    """What happened to it."""

    TRIGGERED = "triggered"
    POSTPONED = "postponed"
    REQUESTED = "requested"
    SKIPPED = "skipped"


_S, _E = SettlementState, SettlementEvent

SETTLEMENT: Final = Machine[SettlementState, SettlementEvent](
    "settlement",
    MappingProxyType(
        {
            (_S.DUE, _E.POSTPONED): _S.DUE,
            (_S.DUE, _E.REQUESTED): _S.REQUESTED,
            (_S.DUE, _E.SKIPPED): _S.SKIPPED,
        }
    ),
)


class Reason(StrEnum):
    """Why a run was skipped."""

    RULE_REMOVED = "rule_removed"
    MERCHANT_INACTIVE = "merchant_inactive"
    NO_ADDRESS = "no_address"
    ADDRESS_ON_HOLD = "address_on_hold"
    ADDRESS_REFUSED = "address_refused"
    IN_DEBT = "in_debt"
    BELOW_THRESHOLD = "below_threshold"
    BELOW_MINIMUM = "below_minimum"
    ABOVE_LIMIT = "above_limit"
    FEE_TOO_HIGH = "fee_too_high"
    NO_LIQUIDITY = "no_liquidity"
    STOPPED = "stopped"
    REFUSED = "refused"
    NO_ANSWER = "no_answer"


@dataclass(frozen=True, slots=True)
class Skip:
    """A run that does not fit; `detail` says it to people."""

    reason: Reason
    detail: str


@dataclass(frozen=True, slots=True)
class Ask:
    """A manual settlement as it is asked for.

    Attributes:
        settlement_id: made by the caller; the same one again is the same settlement.
        target: as the merchant wrote it.
        amount: what arrives, in major units; None for everything that the balance yields after fees.
        maker: which of our people typed it for the merchant, see `payouts.model.NewPayout`.
    """

    settlement_id: SettlementId
    merchant: Merchant
    asset: Asset
    target: str
    tag: str
    amount: Decimal | None
    maker: str = ""


@dataclass(frozen=True, slots=True)
class Quote:
    """What a settlement would come to now, in base units: shown before it is confirmed."""

    units: int
    fee_units: int
    network_fee_units: int

    @property
    def charged_units(self) -> int:
        """Return both fees."""
        return self.fee_units + self.network_fee_units


@dataclass(frozen=True, slots=True)
class Settlement:
    """A settlement as stored.

    Attributes:
        trigger: what the rule was triggered by; "" by hand.
        payout_id: the payout that carries it, None while it is due or when it was skipped.
        reason: a `Reason` when it was skipped, else "".
        digest: SHA-256 of what was authorized; empty for a rule's.
        tries: how often a run had to be postponed.
    """

    settlement_id: SettlementId
    merchant_id: MerchantId
    cause: Cause
    rule_id: UUID | None
    trigger: str
    state: SettlementState
    asset: str
    not_before: datetime
    created_at: datetime
    payout_id: PayoutId | None = None
    reason: str = ""
    detail: str = ""
    digest: bytes = b""
    authorization_id: UUID | None = None
    tries: int = 0
    decided_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a settlement's payout stands."""

    state: PayoutState
    target: str
    tag: str
    units: int
    fee_units: int
    network_fee_units: int
    txid: str
    reason: str
    ended_at: datetime | None


@dataclass(frozen=True, slots=True)
class Listed:
    """A settlement with what became of it; None where it has no payout."""

    settlement: Settlement
    outcome: Outcome | None


class SettlementNotFound(NotFound):
    """No such settlement of this merchant."""

    code = "settlement.not_found"

    def __init__(self) -> None:
        super().__init__("no settlement with this id")


class SettlementExistsDifferent(Conflict):
    """The id was used before for something else."""

    code = "settlement.exists_different"

    def __init__(self) -> None:
        super().__init__("this settlement id was used with other parameters; repeat the same ones or use a new id")


class MerchantInactive(Problem):
    """Suspended or revoked merchants settle by decision of an operator only."""

    code = "settlement.merchant_inactive"
    kind = Kind.FORBIDDEN

    def __init__(self) -> None:
        super().__init__("the merchant is suspended or revoked; resume it first")


class InDebt(Conflict):
    """Something is owed in this asset, so that nothing can go home."""

    code = "settlement.in_debt"

    def __init__(self, asset: Asset, units: int) -> None:
        super().__init__(
            f"{format_units(units, asset.decimals)} {asset.symbol} are owed, because a credit was undone that had been"
            " spent; settle once later credits have repaid it"
        )


class NothingToSettle(Conflict):
    """The balance does not cover the fees and the smallest payout."""

    code = "settlement.nothing_to_settle"

    def __init__(self, asset: Asset) -> None:
        super().__init__(
            f"the balance of {asset.id} does not cover its fees and the smallest settlement", param="amount"
        )
