"""A payin (order): its values, its state table and the pure judgement of money that arrives for it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from bitlinkpay.chains.base import Arrival
from bitlinkpay.core.assets import Asset
from bitlinkpay.core.errors import Conflict, Invalid, NotFound
from bitlinkpay.core.fsm import Machine
from bitlinkpay.core.ids import DepositId, MerchantId, PayinId
from bitlinkpay.merchants.model import Merchant, Policy
from bitlinkpay.wm.ids import DepositStatus


class PayinState(StrEnum):
    """Where an order stands. `created` includes a pre-order whose payer has not picked a network yet."""

    CREATED = "created"
    CONFIRMING = "confirming"
    PAID = "paid"
    EXPIRED = "expired"
    CANCELLED = "cancelled"


class PayinEvent(StrEnum):
    """What happened to an order."""

    OPENED = "opened"
    PICKED = "picked"  # the payer chose the network of a pre-order
    SEEN = "seen"  # a transfer that would complete it stands in a block
    DROPPED = "dropped"  # the last such transfer vanished or was held back
    LABELLED = "labelled"  # odd money came, or money for it was decided; the state stays
    COMPLETED = "completed"  # a transfer completed it by rule
    ACCEPTED = "accepted"  # a person accepted odd money as its payment
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    REVERSED = "reversed"  # its payment vanished in a deep reorganisation; the state stays, its merchant was told
    RESTORED = "restored"  # the payment came back, or another one came or was accepted in its place


class Label(StrEnum):
    """Why a transfer did not complete its order. Shown on the order and on the money."""

    SHORT = "short"
    OVER = "over"
    LATE = "late"
    DOUBLE = "double"
    AFTER_CANCEL = "after_cancel"
    WRONG_ASSET = "wrong_asset"
    WRONG_NETWORK = "wrong_network"
    SYSTEM = "system"
    UNTAGGED = "untagged"  # it came without its tag, and an operator found the order
    QUARANTINED = "quarantined"
    REVERSED = "reversed"


_S, _E = PayinState, PayinEvent

PAYIN: Final = Machine[PayinState, PayinEvent](
    "payin",
    MappingProxyType(
        {
            (_S.CREATED, _E.PICKED): _S.CREATED,
            (_S.CREATED, _E.SEEN): _S.CONFIRMING,
            (_S.CREATED, _E.LABELLED): _S.CREATED,
            (_S.CREATED, _E.COMPLETED): _S.PAID,
            (_S.CREATED, _E.ACCEPTED): _S.PAID,
            (_S.CREATED, _E.EXPIRED): _S.EXPIRED,
            (_S.CREATED, _E.CANCELLED): _S.CANCELLED,
            (_S.CONFIRMING, _E.LABELLED): _S.CONFIRMING,
            (_S.CONFIRMING, _E.DROPPED): _S.CREATED,
            (_S.CONFIRMING, _E.COMPLETED): _S.PAID,
            (_S.CONFIRMING, _E.ACCEPTED): _S.PAID,
            (_S.PAID, _E.LABELLED): _S.PAID,
            (_S.PAID, _E.REVERSED): _S.PAID,
            (_S.PAID, _E.RESTORED): _S.PAID,
            (_S.EXPIRED, _E.LABELLED): _S.EXPIRED,
            (_S.EXPIRED, _E.COMPLETED): _S.PAID,
            (_S.EXPIRED, _E.ACCEPTED): _S.PAID,
            (_S.CANCELLED, _E.LABELLED): _S.CANCELLED,
            (_S.CANCELLED, _E.ACCEPTED): _S.PAID,
        }
    ),
)


@dataclass(frozen=True, slots=True)
class ReturnLinks:
    """Where the hosted page leads back to; "" for none."""

    home: str = ""
    success: str = ""
    failure: str = ""


@dataclass(frozen=True, slots=True)
class NewOrder:
    """A request for an order on one network, parsed. `None` stands for absent, `""` for no text."""

    merchant: Merchant
    source_id: str
    asset: Asset
    fiat_amount: Decimal
    symbol: str
    exchange_rate: Decimal | None
    amount: Decimal | None
    callback_url: str
    lang: str


@dataclass(frozen=True, slots=True)
class NewPreOrder:
    """A request for an order whose payer picks the network, parsed."""

    merchant: Merchant
    source_id: str
    coin: str
    fiat_amount: Decimal
    lang: str
    links: ReturnLinks
    callback_url: str


@dataclass(frozen=True, slots=True)
class Price:
    """What is asked, fixed once: base units, the rate behind them, the fee on them."""

    units: int
    symbol: str
    exchange_rate: Decimal
    fee_units: int


@dataclass(frozen=True, slots=True)
class Payin:
    """An order as stored.

    Attributes:
        asset: None until the payer of a pre-order has picked; `coin` is the ticker from the first moment.
        units: asked base units, 0 until picked.
        accepted_units: base units accepted as its payment, 0 until paid.
        fee_units: the fee on the asked amount; once paid, the fee booked.
        address: canonical address, "" until picked.
        request_hash: SHA-256 over the request's fields; tells a repeat from another request.
    """

    payin_id: PayinId
    merchant_id: MerchantId
    source_id: str
    state: PayinState
    labels: frozenset[Label]
    coin: str
    asset: str | None
    units: int
    accepted_units: int
    fee_ppm: int
    fee_units: int
    fiat_amount: Decimal
    symbol: str
    exchange_rate: Decimal
    address: str
    tag: str
    policy: Policy
    callback_url: str
    lang: str
    links: ReturnLinks
    request_hash: bytes
    created_at: datetime
    expires_at: datetime
    deposit_id: DepositId | None = None
    paid_at: datetime | None = None

    @property
    def has_lost_payment(self) -> bool:
        """Say whether it counts as paid while (a part of) its payment left the chain after credit."""
        return self.state is PayinState.PAID and Label.REVERSED in self.labels


@dataclass(frozen=True, slots=True)
class Arrived:
    """Money at an order's address, as the judgement needs it. `first_block_at` sticks through reorganisations."""

    asset: str
    network: str
    units: int
    arrival: Arrival
    first_block_at: datetime
    grace: timedelta


@dataclass(frozen=True, slots=True)
class Judgement:
    """Whether money completes its order, else the label it carries; `is_sum`: only together with earlier money."""

    label: Label | None
    is_sum: bool = False

    @property
    def completes(self) -> bool:
        """Say whether the money completes the order."""
        return self.label is None


def judge(payin: Payin, money: Arrived, *, order_network: str, earlier_units: int) -> Judgement:
    """Say whether `money` completes `payin` by the exact amount rule and the merchant's policy.

    Money that completes it alone does so under every policy: a gentler policy never refuses what the exact rule takes.
    Short money that came late is late, also where the merchant takes late money: it cannot make an ended order "short".

    Args:
        payin: the order, locked.
        money: one transfer of a listed asset to the order's address.
        order_network: the network that the order asked for.
        earlier_units: in-time short money of the same asset that a summing policy may add.
    """
    odd = _odd(payin, money, order_network) or _wrong_amount(payin, money.units)
    is_sum = odd is Label.SHORT and payin.policy.is_summing and earlier_units > 0
    if is_sum:
        odd = _wrong_amount(payin, money.units + earlier_units)
    if odd is Label.SHORT and not is_in_time(payin, money):
        odd = Label.LATE
    return Judgement(odd, is_sum=is_sum and odd is None)


def _odd(payin: Payin, money: Arrived, order_network: str) -> Label | None:
    oddities = (
        (money.network != order_network, Label.WRONG_NETWORK),
        (money.asset != payin.asset, Label.WRONG_ASSET),
        (money.arrival is Arrival.SYSTEM, Label.SYSTEM),
        (payin.state is PayinState.PAID and not payin.has_lost_payment, Label.DOUBLE),
        (payin.state is PayinState.CANCELLED, Label.AFTER_CANCEL),
        (not payin.policy.accepts_late and not is_in_time(payin, money), Label.LATE),
    )
    return next((label for applies, label in oddities if applies), None)


def _wrong_amount(payin: Payin, units: int) -> Label | None:
    slack = payin.policy.slack(payin.asset or "", payin.units)
    if units < payin.units - slack:
        return Label.SHORT
    if units > payin.units + slack and not payin.policy.accepts_over:
        return Label.OVER
    return None


def is_in_time(payin: Payin, money: Arrived) -> bool:
    """Say whether the block that first held the money is not later than expiry plus the network's grace."""
    return money.first_block_at <= payin.expires_at + money.grace


_WM_STATUS: Final[Mapping[PayinState, DepositStatus]] = MappingProxyType(
    {
        PayinState.CREATED: DepositStatus.CREATED,
        PayinState.CONFIRMING: DepositStatus.CREATED,
        PayinState.PAID: DepositStatus.SUCCESS,
        PayinState.CANCELLED: DepositStatus.USER_CANCEL,
        PayinState.EXPIRED: DepositStatus.EXPIRE_CANCEL,
    }
)


def wm_status(payin: Payin) -> DepositStatus:
    """Return the SDK's status: 20 only for an expired order on which short money came (PROTOCOL.md, detail)."""
    if payin.state is PayinState.EXPIRED and Label.SHORT in payin.labels:
        return DepositStatus.LESS_AMOUNT
    return _WM_STATUS[payin.state]


class OrderNotFound(NotFound):
    """No order with this id for this merchant."""

    code = "order.not_found"

    def __init__(self) -> None:
        super().__init__("no order with this source_id", param="source_id")


class OrderExistsDifferent(Conflict):
    """The `source_id` was used before with other parameters."""

    code = "order.exists_different"

    def __init__(self, source_id: str) -> None:
        super().__init__(
            f"source_id {source_id[:80]!r} was already used for an order with other parameters; "
            "repeat the same parameters or use a new source_id",
            param="source_id",
        )


class OrderNotCancellable(Conflict):
    """Money was received, or the order has ended."""

    code = "order.not_cancellable"

    def __init__(self, payin: Payin) -> None:
        why = "it is " + payin.state if payin.state is not PayinState.CREATED else "money was received for it"
        super().__init__(f"the order cannot be cancelled: {why}", param="source_id")


class AssetNotOffered(Invalid):
    """The coin and network are not offered to this merchant."""

    code = "order.asset_not_offered"


class AssetHeld(Conflict):
    """The coin's contract is not what was reviewed: no new orders until a person has looked."""

    code = "order.asset_held"


class AmountOutOfRange(Invalid):
    """The asked amount is below the asset's minimum or above what the books carry."""

    code = "order.amount_out_of_range"


class PriceDisagrees(Invalid):
    """`amount`, `exchange_rate` and `fiat_amount` do not agree within one payable unit."""

    code = "order.price_disagrees"
