"""A delivery (one callback to one URL), its state table, and what an attempt's answer does to it. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import ClassVar, Final
from uuid import UUID

from bitlinkpay.core.errors import Invalid, Kind, Problem
from bitlinkpay.core.fsm import Machine
from bitlinkpay.core.ids import DeliveryId, MerchantId


class DeliveryState(StrEnum):
    """Where a delivery stands."""

    PENDING = "pending"  # owed: it waits for its time, or is being sent
    DELIVERED = "delivered"  # the merchant acknowledged it
    PARKED = "parked"  # the schedule is used up; the merchant is told, a person may resend
    ENDED = "ended"  # the merchant answered 410 for this order


class DeliveryEvent(StrEnum):
    """What happened to a delivery."""

    ACKNOWLEDGED = "acknowledged"
    FAILED = "failed"
    EXHAUSTED = "exhausted"
    GONE = "gone"
    RESENT = "resent"


_S, _E = DeliveryState, DeliveryEvent

DELIVERY: Final = Machine[DeliveryState, DeliveryEvent](
    "delivery",
    MappingProxyType(
        {
            (_S.PENDING, _E.ACKNOWLEDGED): _S.DELIVERED,
            (_S.PENDING, _E.FAILED): _S.PENDING,
            (_S.PENDING, _E.EXHAUSTED): _S.PARKED,
            (_S.PENDING, _E.GONE): _S.ENDED,
            # An answer that arrives after its lease ran out still proves that the merchant has it.
            (_S.PARKED, _E.ACKNOWLEDGED): _S.DELIVERED,
            (_S.ENDED, _E.ACKNOWLEDGED): _S.DELIVERED,
            (_S.PENDING, _E.RESENT): _S.PENDING,
            (_S.DELIVERED, _E.RESENT): _S.PENDING,
            (_S.PARKED, _E.RESENT): _S.PENDING,
            (_S.ENDED, _E.RESENT): _S.PENDING,
        }
    ),
)


class ForbiddenUrl(Invalid):
    """A callback URL that this deployment will not send to."""

    code: ClassVar[str] = "callback_url.forbidden"


class UnknownDelivery(Problem):
    """No delivery has this id."""

    code: ClassVar[str] = "delivery.not_found"
    kind: ClassVar[Kind] = Kind.NOT_FOUND


@dataclass(frozen=True, slots=True)
class NewDelivery:
    """A callback to be sent.

    Attributes:
        delivery_id: id of the outbox event that owes it, so that fanning out twice owes it once.
        subject_id: the order (or withdrawal) that it tells about.
        url: as `urls.check_url` returned it.
        body: the exact bytes that are signed and sent.
    """

    delivery_id: DeliveryId
    merchant_id: MerchantId
    subject_id: UUID
    kind: str
    url: str
    body: bytes
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Claimed:
    """A delivery leased to one relay for one attempt.

    Attributes:
        attempt: number of this attempt, from 1; it fences results of leases that ran out.
        step: place in the schedule, 0 for the first try of a run.
    """

    delivery_id: DeliveryId
    merchant_id: MerchantId
    subject_id: UUID
    kind: str
    url: str
    endpoint: str
    body: bytes
    attempt: int
    step: int


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: an HTTP status with at most 64 kB of body, or `status` None and an error in words."""

    status: int | None
    headers: Mapping[str, str]
    body: bytes
    error: str = ""


class Outcome(StrEnum):
    """What an answer means (PROTOCOL.md, "Callbacks")."""

    DELIVERED = "delivered"
    RETRY = "retry"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Judgement:
    """An outcome, its reason in words, and how long the merchant asked to wait (seconds, 0 for no wish)."""

    outcome: Outcome
    reason: str
    wait_s: int = 0


@dataclass(frozen=True, slots=True)
class Result:
    """One finished attempt and what becomes of its delivery.

    `state`, `step` and `next_at` are what the delivery becomes; times of the attempt are wall clock.
    """

    claimed: Claimed
    started_at: datetime
    finished_at: datetime
    request_headers: Mapping[str, str]
    answer: Answer
    judgement: Judgement
    state: DeliveryState
    step: int
    next_at: datetime


@dataclass(frozen=True, slots=True)
class Delivery:
    """A delivery as people and programs see it."""

    delivery_id: DeliveryId
    merchant_id: MerchantId
    subject_id: UUID
    kind: str
    url: str
    body: bytes
    state: DeliveryState
    attempts: int
    sequence: int
    next_at: datetime
    created_at: datetime
    delivered_at: datetime | None


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt as kept for ever: what was sent and what was answered (first 4 kB)."""

    delivery_id: DeliveryId
    attempt: int
    started_at: datetime
    finished_at: datetime
    url: str
    request_headers: Mapping[str, str]
    response_status: int | None
    response_headers: Mapping[str, str]
    response_body: str
    error: str
    outcome: Outcome
