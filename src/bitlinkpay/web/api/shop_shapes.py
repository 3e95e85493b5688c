"""What travels before an order: what may be asked for, on which terms, and at which price."""

from typing import Annotated

from msgspec import Meta

from bitlinkpay.core.mode import Mode
from bitlinkpay.merchants.api_keys.model import Scope
from bitlinkpay.web.api.shapes import AmountText, Answer, AssetId, DecimalText, Moment, Money, Request

RateText = Annotated[str, Meta(pattern=r"^[0-9]+(\.[0-9]+)?$", examples=["0.003"], description="A part of 1.")]


class NetworkBody(Answer, frozen=True, kw_only=True):
    """Where an asset moves. `final_after_s` is the usual time from block to finality; `has_tags` is true on TON."""

    id: str
    title: str
    chain_id: int
    block_time_ms: int
    confirmations: int
    final_after_s: int
    has_tags: bool


class OrderTermsBody(Answer, frozen=True, kw_only=True):
    """How an asset may be asked for: the smallest order, and how many digits an asked amount carries."""

    is_offered: bool
    is_on_hold: bool
    smallest: AmountText
    digits: int


class PayoutTermsBody(Answer, frozen=True, kw_only=True):
    """How an asset may be paid out. Null is no limit; the network's fee comes on top, see `quoteFees`.

    `fee_rate` of the amount and `fee_flat` are the platform's fee. What is above `review_above`, or takes more than
    `fresh_max` of what was credited within 24 hours, waits for a person.
    """

    smallest: AmountText
    largest: AmountText | None
    day_max: AmountText | None
    review_above: AmountText | None
    fresh_max: AmountText | None
    fee_rate: RateText
    fee_flat: AmountText


class AssetBody(Answer, frozen=True, kw_only=True):
    """A coin on a network. `contract` is "" for the network's own coin; `wm_coin_id` is its number in the SDKs."""

    id: AssetId
    symbol: str
    title: str
    standard: str
    contract: str
    decimals: int
    wm_chain_id: int
    wm_coin_id: int
    network: NetworkBody
    orders: OrderTermsBody
    payouts: PayoutTermsBody


class AssetsBody(Answer, frozen=True, kw_only=True):
    """Every asset of this deployment whose network is on."""

    data: list[AssetBody]


class KeyBody(Answer, frozen=True, kw_only=True):
    """The key that signed the request."""

    id: str
    name: str
    scopes: list[Scope]
    networks: list[str]


class MerchantBody(Answer, frozen=True, kw_only=True):
    """Who you are here, and the terms of new orders. `now` is the platform's clock, by which signatures are timed.

    `business_now` is what orders live by: the same, but in a sandbox whose clock was moved.
    """

    id: str
    broker: str
    name: str
    mode: Mode
    pricing_currency: str
    fee_rate: RateText
    order_life_s: int
    callback_url: str
    callback_statuses: list[int]
    payout_networks: list[str]
    return_hosts: list[str]
    requests_per_minute: int
    key: KeyBody
    now: Moment
    business_now: Moment


class QuoteOrder(Request, frozen=True, kw_only=True):
    """An order that is not made yet; the fields are those of an order."""

    asset: AssetId
    fiat_amount: DecimalText
    currency: Annotated[str, Meta(pattern="^([A-Z0-9]{2,12})?$", max_length=12)] = ""
    exchange_rate: DecimalText | None = None
    amount: DecimalText | None = None


class OrderQuoteBody(Answer, frozen=True, kw_only=True):
    """What an order would ask for now, and the platform's fee on it; both are fixed when the order is made."""

    amount: Money
    fee: Money
    symbol: str
    exchange_rate: AmountText


class PickAsset(Request, frozen=True, kw_only=True):
    """What the payer of a pre-order chose; it fixes rate, amount and address and gives the order a fresh life."""

    asset: AssetId
