"""What travels, as types: the document of the API, the server and the Python client are made from them.

Money is a decimal text in major units beside the asset's id. Times are RFC 3339 in UTC. Unknown fields are refused.
"""

from datetime import datetime
from typing import Annotated, Final, Generic, TypeVar

import msgspec
from msgspec import Meta

from bitlinkpay.ledger.entries.store import Pot
from bitlinkpay.payins.model import PayinState
from bitlinkpay.payouts.model import PayoutKind, PayoutState
from bitlinkpay.wm.bodies import MAX_ADDRESS, MAX_COIN, MAX_LANG, MAX_SOURCE_ID, MAX_TAG, MAX_URL

T = TypeVar("T")

LARGEST_BATCH: Final = 100
LARGEST_PAGE: Final = 100

SourceId = Annotated[
    str,
    Meta(min_length=1, max_length=MAX_SOURCE_ID, description="Your own id; the same one never makes a second object."),
]
AssetId = Annotated[str, Meta(pattern=r"^[a-z0-9]{1,16}-[a-z0-9]{1,24}$", max_length=41, examples=["usdt-tron"])]
AnyAssetId = Annotated[str, Meta(pattern=r"^([a-z0-9]{1,16}-[a-z0-9]{1,24})?$", max_length=41)]
DecimalText = Annotated[
    str,
    Meta(
        pattern=r"^(0|[1-9][0-9]{0,21})(\.[0-9]{1,18})?$",
        max_length=41,
        description="Plain digits with at most one point; no sign, exponent or space.",
        examples=["12.5"],
    ),
]
NetworkId = Annotated[str, Meta(pattern="^[a-z0-9]{1,24}$", max_length=24, examples=["tron"])]
AmountText = Annotated[str, Meta(pattern=r"^[0-9]+(\.[0-9]+)?$", examples=["12.5"])]
JsonObject = Annotated[msgspec.Raw, Meta(extra_json_schema={"type": "object"}, description="Fields as they come.")]
Moment = Annotated[datetime, Meta(tz=True)]
Since = Annotated[datetime, Meta(tz=True, description="This moment and later, such as 2026-01-31T00:00:00Z.")]
Until = Annotated[datetime, Meta(tz=True, description="Before this moment.")]
Url = Annotated[str, Meta(max_length=MAX_URL)]
Lang = Annotated[str, Meta(max_length=MAX_LANG)]
Address = Annotated[str, Meta(min_length=1, max_length=MAX_ADDRESS)]
Tag = Annotated[str, Meta(max_length=MAX_TAG, description="TON only.")]


class Request(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A body or a query that a client sends."""


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """A body that the platform sends."""


class Money(Answer, frozen=True, kw_only=True):
    """An amount of an asset, in major units."""

    amount: AmountText
    asset: AssetId


class Page(Answer, Generic[T], frozen=True, kw_only=True):
    """A page of a list. `next_cursor` leads to the next one; null at the end."""

    data: list[T]
    next_cursor: str | None


class ListQuery(Request, frozen=True, kw_only=True):
    """Which page of a list."""

    limit: Annotated[int, Meta(ge=1, le=LARGEST_PAGE)] = 50
    cursor: Annotated[str, Meta(max_length=200, description="`next_cursor` of the page before.")] = ""


class SpanQuery(ListQuery, frozen=True, kw_only=True):
    """Which page of a list, and of which time."""

    since: Since | None = None
    until: Until | None = None


# --- orders


class CreateOrder(Request, frozen=True, kw_only=True):
    """An order for one asset.

    `currency` is that of `fiat_amount`, and the merchant's pricing currency where it is left out; the order's own coin
    asks for exactly `fiat_amount` of it. `exchange_rate` (`currency` per coin) or `amount` replace the platform's rate.
    """

    source_id: SourceId
    asset: AssetId
    fiat_amount: DecimalText
    currency: Annotated[str, Meta(pattern="^([A-Z0-9]{2,12})?$", max_length=12)] = ""
    exchange_rate: DecimalText | None = None
    amount: DecimalText | None = None
    callback_url: Url = ""
    lang: Lang = ""


class CreatePreOrder(Request, frozen=True, kw_only=True):
    """An order whose payer picks the network on the page; `fiat_amount` is in the merchant's pricing currency."""

    source_id: SourceId
    coin: Annotated[str, Meta(min_length=1, max_length=MAX_COIN, examples=["USDT"])]
    fiat_amount: DecimalText
    lang: Lang = ""
    home_url: Url = ""
    success_url: Url = ""
    failure_url: Url = ""
    callback_url: Url = ""


class OrderQuery(SpanQuery, frozen=True, kw_only=True):
    """Which page of orders, or the one order of a `source_id`; the time is when they were made."""

    source_id: Annotated[str, Meta(max_length=MAX_SOURCE_ID)] = ""
    state: PayinState | None = None
    asset: AnyAssetId = ""


class DepositBody(Answer, frozen=True, kw_only=True):
    """One transfer that came for an order; `label` says why it does not complete it, "" where it does."""

    id: str
    amount: Money
    txid: str
    state: str
    label: str
    seen_at: Moment


class OrderBody(Answer, frozen=True, kw_only=True):
    """An order. `asset`, `amount` and what follows from them are null until the payer of a pre-order has picked.

    `accepted` is what was accepted as its payment, `fee` the platform's fee on it; both are null before it is paid.
    `txid` is the transfer that completed it.
    """

    id: str
    source_id: str
    state: str
    labels: list[str]
    coin: str
    asset: AssetId | None
    amount: Money | None
    accepted: Money | None
    fee: Money | None
    fiat_amount: AmountText
    symbol: str
    exchange_rate: AmountText
    address: str
    tag: str
    txid: str
    url: str
    callback_url: str
    deposits: list[DepositBody]
    created_at: Moment
    expires_at: Moment
    paid_at: Moment | None


# --- payouts


class CreatePayout(Request, frozen=True, kw_only=True):
    """A payment out of the balance; the recipient gets exactly `amount`, fees are charged beside it."""

    source_id: SourceId
    asset: AssetId
    address: Address
    amount: DecimalText
    tag: Tag = ""
    callback_url: Url = ""


class CreatePayoutBatch(Request, frozen=True, kw_only=True):
    """Several payouts at once; each is made or refused by itself."""

    payouts: Annotated[list[CreatePayout], Meta(min_length=1, max_length=LARGEST_BATCH)]


class PayoutQuery(SpanQuery, frozen=True, kw_only=True):
    """Which page of payouts, or the one of a `source_id`, whose `kind` is payout unless said otherwise.

    The time is when they were asked for.
    """

    source_id: Annotated[str, Meta(max_length=MAX_SOURCE_ID)] = ""
    kind: PayoutKind | None = None
    state: PayoutState | None = None
    asset: AnyAssetId = ""


class PayoutBody(Answer, frozen=True, kw_only=True):
    """Money on its way out: `kind` is payout, settlement or refund. Both fees are charged beside `amount`.

    `reason` says why it waits for a person, was rejected or failed; `txid` is "" before it is signed.
    """

    id: str
    source_id: str
    kind: str
    state: str
    amount: Money
    fee: Money
    network_fee: Money
    address: str
    tag: str
    txid: str
    reason: str
    callback_url: str
    created_at: Moment
    ended_at: Moment | None


class BatchError(Answer, frozen=True, kw_only=True):
    """Why one payout of a batch was refused."""

    type: str
    code: str
    message: str
    param: str | None


class BatchResult(Answer, frozen=True, kw_only=True):
    """What became of one payout of a batch: the payout, or the error."""

    source_id: str
    payout: PayoutBody | None
    error: BatchError | None


class BatchBody(Answer, frozen=True, kw_only=True):
    """What became of a batch, in its order."""

    results: list[BatchResult]


# --- addresses


class ValidateAddress(Request, frozen=True, kw_only=True):
    """An address to be looked at."""

    network: NetworkId
    address: Address
    tag: Tag = ""


class AddressBody(Answer, frozen=True, kw_only=True):
    """Whether an address can be paid. `reason` says why not; `address` is its usual spelling, "" where it is none.

    Sanctions lists are asked when fees are quoted and when a payout is made.
    """

    is_payable: bool
    address: str
    reason: str


class QuoteFees(Request, frozen=True, kw_only=True):
    """A payout that is not asked for yet."""

    asset: AssetId
    address: Address
    amount: DecimalText
    tag: Tag = ""


class QuoteBody(Answer, frozen=True, kw_only=True):
    """What a payout would cost now; nothing is reserved, and the fees are fixed when the payout is made."""

    amount: Money
    fee: Money
    network_fee: Money
    total: Money


# --- books


class BalanceBody(Answer, frozen=True, kw_only=True):
    """What a merchant has in one asset, in major units; `debt` is what it owes."""

    asset: AssetId
    available: AmountText
    reserved: AmountText
    pending: AmountText
    unassigned: AmountText
    quarantined: AmountText
    debt: AmountText


class BalancesBody(Answer, frozen=True, kw_only=True):
    """Every asset with anything in it."""

    data: list[BalanceBody]


class EntryQuery(SpanQuery, frozen=True, kw_only=True):
    """Which page of entries, of one asset, account, deposit or payout, or of all; they are timed by their recording."""

    asset: AnyAssetId = ""
    account: Pot | None = None
    item_id: Annotated[str, Meta(pattern="^((dep_|out_)?[0-9a-f]{32})?$", max_length=36)] = ""


class EntryBody(Answer, frozen=True, kw_only=True):
    """One line of the books: what `event` added to (`credit`) or took from (`debit`) one of the merchant's accounts.

    `item_id` is the deposit or payout that the account is kept for, "" for the accounts of a whole asset; `balance` is
    the account's afterwards. Debt is owed by the merchant: a debit adds to it.
    """

    id: str
    posting_id: str
    event: str
    account: str
    item_id: str
    direction: str
    amount: Money
    balance: Money
    happened_at: Moment
    recorded_at: Moment


# --- callbacks and events


class CallbackQuery(ListQuery, frozen=True, kw_only=True):
    """Which page of callbacks, in one state, about one order or payout, or of all."""

    state: Annotated[str, Meta(pattern="^(pending|delivered|parked|ended)?$", max_length=9)] = ""
    subject_id: Annotated[str, Meta(pattern="^((pay_|out_)?[0-9a-f]{32})?$", max_length=36)] = ""


class AttemptBody(Answer, frozen=True, kw_only=True):
    """One try to deliver a callback, and what was answered."""

    attempt: int
    at: Moment
    outcome: str
    status: int | None
    error: str


class CallbackBody(Answer, frozen=True, kw_only=True):
    """A callback. `body` is exactly what is sent; `attempts` is empty in lists."""

    id: str
    kind: str
    subject_id: str
    url: str
    state: str
    body: str
    tries: int
    attempts: list[AttemptBody]
    next_at: Moment
    created_at: Moment
    delivered_at: Moment | None


class EventQuery(ListQuery, frozen=True, kw_only=True):
    """Where to read on; without a cursor from the oldest event that is kept."""


class EventBody(Answer, frozen=True, kw_only=True):
    """Something that happened. `data` is what a callback of it says, as JSON that is not looked into."""

    id: str
    kind: str
    subject_id: str
    happened_at: Moment
    data: JsonObject


class EventsBody(Answer, frozen=True, kw_only=True):
    """Events in the order that never changes. `next_cursor` is always there: keep it and ask again."""

    data: list[EventBody]
    next_cursor: str
