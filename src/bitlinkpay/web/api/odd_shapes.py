"""What travels about odd money: what was put aside, and what its merchant decides about it."""

from typing import Annotated, Literal

from msgspec import Meta

from bitlinkpay.payins.model import Label
from bitlinkpay.web.api.shapes import Address, Answer, AnyAssetId, Moment, Money, PayoutBody, Request, SpanQuery, Tag


class UnassignedQuery(SpanQuery, frozen=True, kw_only=True):
    """Which page of the money that was put aside; the time is when it was seen."""

    state: Literal["unassigned", "quarantined"] | None = None
    label: Label | None = None
    asset: AnyAssetId = ""


class UnassignedBody(Answer, frozen=True, kw_only=True):
    """A transfer to one of your addresses. `label` says why it completed no order; you decide while it is `unassigned`.

    `quarantined` money waits for the platform. `fee` is what was charged when it was credited, null before;
    `order_id` is "" where it came for none. `address` is where it came to. `refunds` are those that were ever asked
    for, the oldest first, and empty in lists.
    """

    id: str
    state: str
    label: str
    amount: Money
    fee: Money | None
    network: str
    txid: str
    sender: str
    address: str
    tag: str
    order_id: str
    refunds: list[PayoutBody]
    seen_at: Moment


class RefundUnassigned(Request, frozen=True, kw_only=True):
    """Where odd money shall go, which your signature confirms; nothing goes to its sender by itself."""

    address: Address
    tag: Tag = ""


class ConfirmRefund(Request, frozen=True, kw_only=True):
    """The address of a refund that the platform's people asked for, as you confirm it."""

    address: Annotated[Address, Meta(description="Where the refund goes, in any of the network's spellings.")]


class RefundQuoteBody(Answer, frozen=True, kw_only=True):
    """What a refund would bring now: `total` is the odd money, `amount` what is left of it for the recipient."""

    amount: Money
    fee: Money
    network_fee: Money
    total: Money
