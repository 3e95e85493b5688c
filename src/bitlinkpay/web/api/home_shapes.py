"""What travels about money going home: settlements, their rules, and the statements of days."""

from datetime import date
from typing import Annotated, Literal

from msgspec import Meta

from bitlinkpay.payouts.model import PayoutState
from bitlinkpay.settlements.addresses.model import LONGEST_LABEL
from bitlinkpay.settlements.model import Cause
from bitlinkpay.settlements.rules.schedule import Cadence
from bitlinkpay.web.api.shapes import (
    Address,
    AmountText,
    Answer,
    AnyAssetId,
    AssetId,
    DecimalText,
    ListQuery,
    Moment,
    Money,
    NetworkId,
    Request,
    SpanQuery,
    Tag,
)

SettlementIdText = Annotated[
    str, Meta(pattern="^set_[0-9a-f]{32}$", description="Made by you; the same one again is the same settlement.")
]
SignedAmountText = Annotated[str, Meta(pattern=r"^-?[0-9]+(\.[0-9]+)?$", examples=["-12.5"])]


class Proof(Request, frozen=True, kw_only=True):
    """What the merchant's person shows: its device's token, the payment password, the code of its authenticator."""

    device: Annotated[str, Meta(max_length=200)]
    password: Annotated[str, Meta(max_length=1024)]
    code: Annotated[str, Meta(max_length=64)]


class QuoteSettlement(Request, frozen=True, kw_only=True):
    """A settlement that is not asked for yet; without `amount` everything that the balance yields after fees."""

    asset: AssetId
    address: Address
    tag: Tag = ""
    amount: DecimalText | None = None


class RequestSettlement(Request, frozen=True, kw_only=True):
    """The merchant's own money to its own address, under all four checks."""

    id: SettlementIdText
    asset: AssetId
    address: Address
    proof: Proof
    tag: Tag = ""
    amount: DecimalText | None = None


class SettlementQuery(SpanQuery, frozen=True, kw_only=True):
    """Which page of settlements, or of the runs of one rule; the time is when they were asked for or triggered."""

    rule_id: Annotated[str, Meta(pattern="^(rul_[0-9a-f]{32})?$")] = ""
    state: Annotated[str, Meta(pattern=f"^({'|'.join(['due', 'skipped', *PayoutState])})?$")] = ""
    asset: AnyAssetId = ""


class SettlementBody(Answer, frozen=True, kw_only=True):
    """A settlement. `state` is that of its payout, before and without one `due` or `skipped`; then `reason` says why.

    Amounts are null where no payout was made; `rule_id` and `trigger` are "" for one by hand.
    """

    id: str
    cause: Cause
    state: str
    rule_id: str
    trigger: str
    asset: AssetId
    amount: Money | None
    fee: Money | None
    network_fee: Money | None
    address: str
    tag: str
    txid: str
    reason: str
    detail: str
    created_at: Moment
    ended_at: Moment | None


class ScheduleBody(Request, frozen=True, kw_only=True):
    """A local time of people, again and again: `day` is 1 (Monday) to 7 weekly, 1 to 31 monthly, 0 daily."""

    cadence: Cadence
    at: Annotated[str, Meta(pattern="^([01][0-9]|2[0-3]):[0-5][0-9]$", examples=["09:30"])]
    zone: Annotated[str, Meta(min_length=1, max_length=64, examples=["Asia/Shanghai"])]
    day: Annotated[int, Meta(ge=0, le=31)] = 0


class AddRule(Request, frozen=True, kw_only=True):
    """A rule for one asset, by schedule or by threshold; it pays to the address that is bound on the network."""

    asset: AssetId
    proof: Proof
    schedule: ScheduleBody | None = None
    threshold: DecimalText | None = None
    reserve: DecimalText = "0"
    fee_max: DecimalText | None = None


class RuleBody(Answer, frozen=True, kw_only=True):
    """A rule: what triggers it, how much of the balance stays, the most that a run may cost."""

    id: str
    asset: AssetId
    schedule: ScheduleBody | None
    threshold: Money | None
    reserve: Money
    fee_max: Money | None
    next_due_at: Moment | None
    created_at: Moment
    ended_at: Moment | None


class RulesBody(Answer, frozen=True, kw_only=True):
    """Every rule that is in force."""

    data: list[RuleBody]


class BindAddress(Request, frozen=True, kw_only=True):
    """An address that money goes home to: the network's bound one where `label` is "", else one saved by that name.

    It takes the place of the address that stood there.
    """

    network: NetworkId
    address: Address
    proof: Proof
    tag: Tag = ""
    label: Annotated[str, Meta(max_length=LONGEST_LABEL)] = ""


class HomeAddressQuery(ListQuery, frozen=True, kw_only=True):
    """Which page of the addresses in use, of one network or of all."""

    network: Annotated[str, Meta(pattern="^[a-z0-9]{0,24}$", max_length=24)] = ""


class HomeAddressBody(Answer, frozen=True, kw_only=True):
    """A bound (`label` is "") or saved address. Until `usable_at` it rests, and no rule pays to it."""

    id: str
    network: str
    label: str
    address: str
    tag: str
    state: Literal["resting", "usable", "ended"]
    bound_at: Moment
    usable_at: Moment
    ended_at: Moment | None


class StatementQuery(Request, frozen=True, kw_only=True):
    """A day in UTC, of one asset or of all that anything happened in."""

    day: date
    asset: AnyAssetId = ""


class PotsBody(Answer, frozen=True, kw_only=True):
    """What stood in each pot, in major units."""

    available: AmountText
    reserved: AmountText
    pending: AmountText
    unassigned: AmountText
    quarantined: AmountText
    debt: AmountText


class ChangesBody(Answer, frozen=True, kw_only=True):
    """By how much each pot changed, in major units."""

    available: SignedAmountText
    reserved: SignedAmountText
    pending: SignedAmountText
    unassigned: SignedAmountText
    quarantined: SignedAmountText
    debt: SignedAmountText


class MovementBody(Answer, frozen=True, kw_only=True):
    """All postings of one kind of event in the day; `fees` is what of it went to the platform."""

    event: str
    postings: int
    change: ChangesBody
    fees: SignedAmountText


class StatementBody(Answer, frozen=True, kw_only=True):
    """One day in one asset: opening and movements add up to the closing; nothing is added to a closed day."""

    asset: AssetId
    day: date
    is_closed: bool
    opening: PotsBody
    movements: list[MovementBody]
    fees: SignedAmountText
    closing: PotsBody


class StatementsBody(Answer, frozen=True, kw_only=True):
    """The statements of a day, by asset."""

    data: list[StatementBody]
