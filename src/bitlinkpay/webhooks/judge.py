"""What a merchant's answer means, as one table, and what it makes of the delivery. Pure."""

from collections.abc import Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Final

import msgspec

from bitlinkpay.webhooks.model import (
    DELIVERY,
    Answer,
    Claimed,
    DeliveryEvent,
    DeliveryState,
    Judgement,
    Outcome,
)
from bitlinkpay.webhooks.schedule import next_slot

_ASKS_TO_WAIT: Final = frozenset({HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE})
_BOM: Final = b"\xef\xbb\xbf"
_WAIT_LIMIT_S: Final = 7 * 24 * 3600
_SECONDS_DIGITS: Final = 12


class _Acknowledgement(msgspec.Struct):
    code: int


_ACKNOWLEDGEMENT: Final = msgspec.json.Decoder(_Acknowledgement, strict=True)


def judge(answer: Answer, *, now: datetime) -> Judgement:
    """Read an answer by the rules of PROTOCOL.md ("Callbacks"). `now` is wall time, for dates in `Retry-After`.

    Delivered is HTTP 200 with a JSON object whose `code` is the number 0, and nothing else; 410 ends the deliveries
    of this order; 429 and 503 may ask to wait; all the rest, redirects too, is tried again by the schedule.
    """
    if answer.error or answer.status is None:
        return Judgement(Outcome.RETRY, answer.error or "no answer")
    if answer.status == HTTPStatus.GONE:
        return Judgement(Outcome.ENDED, "HTTP 410: the receiver wants no more about this order")
    if answer.status == HTTPStatus.OK:
        return _acknowledgement(answer.body)
    wait_s = _wait_s(answer.headers, now) if answer.status in _ASKS_TO_WAIT else 0
    return Judgement(Outcome.RETRY, f"HTTP {answer.status} is not an acknowledgement", wait_s)


def _acknowledgement(body: bytes) -> Judgement:
    try:
        code = _ACKNOWLEDGEMENT.decode(body.removeprefix(_BOM)).code
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Judgement(Outcome.RETRY, 'HTTP 200 without {"code": 0}')
    if code != 0:
        return Judgement(Outcome.RETRY, f"HTTP 200 with code {code}")
    return Judgement(Outcome.DELIVERED, "acknowledged")


def _wait_s(headers: Mapping[str, str], now: datetime) -> int:
    """Read `Retry-After` (RFC 9110, 10.2.3): seconds or a date; what cannot be read is no wish."""
    text = next((value.strip() for name, value in headers.items() if name.lower() == "retry-after"), "")
    if text.isascii() and text.isdigit():
        return _WAIT_LIMIT_S if len(text) > _SECONDS_DIGITS else min(int(text), _WAIT_LIMIT_S)
    try:
        moment = parsedate_to_datetime(text)
        wait = moment - (now if moment.tzinfo else now.replace(tzinfo=None))
    except (ValueError, TypeError, OverflowError, IndexError):
        return 0
    return max(0, min(int(wait.total_seconds()), _WAIT_LIMIT_S))


def decide(
    claimed: Claimed, judgement: Judgement, *, now: datetime, jitter_ppm: int
) -> tuple[DeliveryState, int, datetime]:
    """Return the state, schedule step and next time that an attempt's judgement gives its delivery.

    `now` is business time: retry dates move with the sandbox clock.
    """
    pending = DeliveryState.PENDING
    match judgement.outcome:
        case Outcome.DELIVERED:
            return DELIVERY.next(pending, DeliveryEvent.ACKNOWLEDGED), claimed.step, now
        case Outcome.ENDED:
            return DELIVERY.next(pending, DeliveryEvent.GONE), claimed.step, now
        case Outcome.RETRY:
            slot = next_slot(claimed.step, wait_s=judgement.wait_s, jitter_ppm=jitter_ppm)
            if slot is None:
                return DELIVERY.next(pending, DeliveryEvent.EXHAUSTED), claimed.step, now
            return DELIVERY.next(pending, DeliveryEvent.FAILED), slot.step, now + slot.wait
