"""A payout: its values, its state table and its problems.

A settlement is the merchant's own money going home and a refund is odd money going back; all three are paid alike.
"""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from bitlinkpay.core.assets import Asset
from bitlinkpay.core.errors import Conflict, Invalid, Kind, NotFound, Problem
from bitlinkpay.core.fsm import Machine
from bitlinkpay.core.ids import DepositId, MerchantId, PayoutId
from bitlinkpay.merchants.model import Merchant


class PayoutKind(StrEnum):
    """Why money leaves a merchant's balance. Each has its own `source_id` namespace."""

    PAYOUT = "payout"
    SETTLEMENT = "settlement"
    REFUND = "refund"


class PayoutState(StrEnum):
    """Where a payout stands; from the first moment its money is reserved."""

    IN_REVIEW = "in_review"  # a person has to look, before it is queued or again before it is signed
    APPROVED = "approved"  # waits in the queue of its wallet
    SIGNED = "signed"
    BROADCAST = "broadcast"
    UNCERTAIN = "uncertain"  # nobody knows; proof decides
    CONFIRMING = "confirming"
    COMPLETED = "completed"
    REJECTED = "rejected"
    CANCELLED = "cancelled"
    FAILED = "failed"


class PayoutEvent(StrEnum):
    """What happened to a payout."""

    APPROVED = "approved"
    REJECTED = "rejected"
    CANCELLED = "cancelled"
    HELD = "held"
    SIGNED = "signed"
    BROADCAST = "broadcast"
    LOST = "lost"
    CONFIRMING = "confirming"
    REQUEUED = "requeued"
    COMPLETED = "completed"
    FAILED = "failed"


_S, _E = PayoutState, PayoutEvent
_LIVING: Final = (_S.APPROVED, _S.SIGNED, _S.BROADCAST, _S.UNCERTAIN, _S.CONFIRMING)

PAYOUT: Final = Machine[PayoutState, PayoutEvent](
    "payout",
    MappingProxyType(
        {
            (_S.IN_REVIEW, _E.APPROVED): _S.APPROVED,
            (_S.IN_REVIEW, _E.REJECTED): _S.REJECTED,
            (_S.IN_REVIEW, _E.CANCELLED): _S.CANCELLED,
            (_S.APPROVED, _E.CANCELLED): _S.CANCELLED,
            (_S.APPROVED, _E.HELD): _S.IN_REVIEW,
            (_S.APPROVED, _E.SIGNED): _S.SIGNED,
            (_S.SIGNED, _E.BROADCAST): _S.BROADCAST,
            (_S.UNCERTAIN, _E.BROADCAST): _S.BROADCAST,
            (_S.CONFIRMING, _E.BROADCAST): _S.BROADCAST,
            **{(state, _E.LOST): _S.UNCERTAIN for state in (_S.SIGNED, _S.BROADCAST)},
            **{(state, _E.CONFIRMING): _S.CONFIRMING for state in (_S.SIGNED, _S.BROADCAST, _S.UNCERTAIN)},
            **{(state, _E.REQUEUED): _S.APPROVED for state in _LIVING},
            **{(state, _E.COMPLETED): _S.COMPLETED for state in _LIVING if state is not _S.APPROVED},
            **{(state, _E.FAILED): _S.FAILED for state in _LIVING},
        }
    ),
)
ENDED: Final = frozenset({_S.COMPLETED, _S.REJECTED, _S.CANCELLED, _S.FAILED})


@dataclass(frozen=True, slots=True)
class Terms:
    """What a merchant pays for money that leaves in one asset, and how much may leave; None is no limit.

    Attributes:
        fee_ppm: the platform's fee in millionths of the amount.
        fee_flat_units: what is added to it.
        payment_max_units: the most that one payout may be.
        day_max_units: the most that the payouts of 24 hours may be.
        review_above_units: a larger one waits for a person.
        fresh_max_units: the most that may leave without a person of what was credited in the last 24 hours.
    """

    fee_ppm: int = 0
    fee_flat_units: int = 0
    payment_max_units: int | None = None
    day_max_units: int | None = None
    review_above_units: int | None = None
    fresh_max_units: int | None = None


@dataclass(frozen=True, slots=True)
class NewPayout:
    """A request for a payout, parsed.

    Attributes:
        target: as the merchant wrote it.
        amount: what the recipient gets, in major units.
        fiat_amount: what it is for the merchant, None if it did not say; with `symbol` and `exchange_rate`.
        callback_url: "" for the merchant's own.
        maker: which of our people asked for it, who then can't be the one to approve it; "" for the merchant's API.
    """

    merchant: Merchant
    kind: PayoutKind
    source_id: str
    asset: Asset
    target: str
    tag: str
    amount: Decimal
    fiat_amount: Decimal | None = None
    symbol: str = ""
    exchange_rate: Decimal | None = None
    callback_url: str = ""
    maker: str = ""


@dataclass(frozen=True, slots=True)
class Charge:
    """What a payout costs its merchant, in base units of the asset that is paid.

    Attributes:
        fee_units: the platform's fee, by the merchant's plan.
        network_fee_units: the network's fee as quoted; what the quote exceeded stays the platform's.
        native_max_units: the most that the network may take, in units of its own coin.
    """

    fee_units: int
    network_fee_units: int
    native_max_units: int

    @property
    def units(self) -> int:
        """Return what is charged in all: `gas_fee` of the SDK protocol."""
        return self.fee_units + self.network_fee_units


@dataclass(frozen=True, slots=True)
class Payout:
    """A payout as stored.

    Attributes:
        target: canonical address.
        units: what the recipient gets.
        reason: why it was held, rejected or failed; "" otherwise.
        txid: the transaction that carries it, "" before it is signed.
        request_hash: SHA-256 over the request's fields; tells a repeat from another request.
        maker: see `NewPayout`.
        checker: which of our people let it go, "" for nobody.
        deposit_id: the odd money that a refund gives back, None for money of the balance.
    """

    payout_id: PayoutId
    merchant_id: MerchantId
    kind: PayoutKind
    source_id: str
    state: PayoutState
    asset: str
    target: str
    tag: str
    units: int
    charge: Charge
    fiat_amount: Decimal
    symbol: str
    exchange_rate: Decimal
    callback_url: str
    reason: str
    txid: str
    request_hash: bytes
    created_at: datetime
    ended_at: datetime | None = None
    maker: str = ""
    checker: str = ""
    deposit_id: DepositId | None = None

    @property
    def reserved_units(self) -> int:
        """Return what is set aside for it: principal and fees."""
        return self.units + self.charge.units

    @property
    def awaits_merchant(self) -> bool:
        """Say whether it is a refund that one of our people asked for and whose address nobody has confirmed yet."""
        return self.kind is PayoutKind.REFUND and bool(self.maker) and not self.checker

    @property
    def has_ended(self) -> bool:
        """Say whether nothing can happen to it any more."""
        return self.state in ENDED


class PayoutNotFound(NotFound):
    """No such payout, of this merchant where a merchant asks; `named` is how it was named."""

    code = "payout.not_found"

    def __init__(self, named: str = "source_id") -> None:
        super().__init__(f"no withdrawal with this {named}", param=named)


class PayoutExistsDifferent(Conflict):
    """The `source_id` was used before with other parameters."""

    code = "payout.exists_different"

    def __init__(self, source_id: str) -> None:
        super().__init__(
            f"source_id {source_id[:80]!r} was already used for a withdrawal with other parameters;"
            " repeat the same parameters or use a new source_id",
            param="source_id",
        )


class BalanceTooLow(Conflict):
    """The merchant's available balance does not cover amount and fees."""

    code = "payout.balance_too_low"


class PayoutTooLate(Conflict):
    """It is not where a decision about it could still be heard."""

    code = "payout.too_late"

    def __init__(self, state: PayoutState) -> None:
        super().__init__(f"too late: the withdrawal is {state} already")


class SamePerson(Problem):
    """Who asked for a payout can't be who approves it (THREATS, PAY-43)."""

    code = "payout.same_person"
    kind = Kind.FORBIDDEN

    def __init__(self, person: str) -> None:
        super().__init__(f"{person} asked for this payout: another person has to approve it")


class AddressUnconfirmed(Conflict):
    """The merchant has not confirmed where its odd money shall go."""

    code = "payout.address_unconfirmed"

    def __init__(self) -> None:
        super().__init__(
            "the merchant has to confirm the address of this refund: `bitlinkpay unassigned confirm` takes it down"
        )


class NothingToConfirm(Conflict):
    """It does not wait for its merchant's word on the address."""

    code = "payout.nothing_to_confirm"

    def __init__(self, payout: Payout) -> None:
        super().__init__(f"this {payout.kind} is {payout.state} and waits for no confirmation of its address")


class QuoteExpired(Problem):
    """The network's fee and the rate were asked for too long ago (THREATS, PAY-33)."""

    code = "payout.quote_expired"
    kind = Kind.UNAVAILABLE

    def __init__(self) -> None:
        super().__init__("the quote of the network's fee is too old by now; nothing was reserved, ask again")


class AddressRefused(Invalid):
    """Nobody may be paid at this address."""

    code = "payout.address_refused"

    def __init__(self, why: str) -> None:
        super().__init__(f"the address can't be paid: {why}", param="address")


class AmountRefused(Invalid):
    """The amount is below the minimum, above a limit, or has more digits than the chain carries."""

    code = "payout.amount_refused"


class NoLiquidity(Problem):
    """The wallet that pays on this network holds too little now."""

    code = "payout.no_liquidity"
    kind = Kind.UNAVAILABLE

    def __init__(self, network: str) -> None:
        super().__init__(
            f"the platform's liquidity on {network} does not cover this now, and nothing was reserved;"
            " try again later, or withdraw another asset after an exchange"
        )


class PayoutsStopped(Problem):
    """Payouts of this network, asset or merchant, or all, are stopped for now."""

    code = "payout.stopped"
    kind = Kind.UNAVAILABLE

    def __init__(self, what: str) -> None:
        super().__init__(f"withdrawals of {what} are stopped for now; nothing was reserved, try again later")
