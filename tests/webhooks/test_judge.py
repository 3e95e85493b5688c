"""The answer table, the schedule and the state table: pure."""

import itertools
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from uuid import uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitlinkpay.core.fsm import IllegalMove
from bitlinkpay.core.ids import DeliveryId, MerchantId
from bitlinkpay.webhooks.judge import decide, judge
from bitlinkpay.webhooks.model import DELIVERY, Answer, Claimed, DeliveryEvent, DeliveryState, Judgement, Outcome
from bitlinkpay.webhooks.schedule import JITTER_PPM, OFFSETS, next_slot

settings.register_profile("patient", deadline=None)
settings.load_profile("patient")

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def _outcome(status: int | None, body: bytes = b"", **headers: str) -> Outcome:
    return judge(
        Answer(status, {name.replace("_", "-"): text for name, text in headers.items()}, body), now=NOW
    ).outcome


@pytest.mark.parametrize(
    "body",
    [
        b'{"code":0}',
        b'{"code": 0, "msg": "success"}',
        b'{"code": 0, "msg": "success", "data": {"a": [1, null, 1.5]}}',
        b'\n {"msg":"ok","code":0}\r\n',
        b'\xef\xbb\xbf{"code":0}',
        '{"msg":"成功","code":0}'.encode(),
        '{"msg":"成功","code":0}'.encode("gbk"),  # other keys are not read
    ],
)
def test_WHK_06_code_0_in_a_json_object_is_delivered(body: bytes):
    assert _outcome(200, body) is Outcome.DELIVERED
    assert _outcome(200, body, content_type="text/html") is Outcome.DELIVERED


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"success",
        b"ok",
        b"0",
        b"null",
        b"true",
        b"[]",
        b'[{"code":0}]',
        b"{}",
        b'{"code":1}',
        b'{"code":-1}',
        b'{"code":"0"}',
        b'{"code":null}',
        b'{"code":false}',
        b'{"code":0.5}',
        b'{"code":[0]}',
        b'{"Code":0}',
        b'{"data":{"code":0}}',
        b'{"code":0',
        b'{"code":0}x',
        b'{"code":0}{"code":0}',
        b"<html><body>ok</body></html>",
        b'\xff\xfe{\x00"\x00',
        b"[" * 60_000,
        b'{"a":' * 10_000,
        b'{"code":1e999}',
        b'{"code":18446744073709551616}',
        b"\x1f\x8b\x08\x00",
    ],
)
def test_WHK_06_anything_else_in_a_200_is_a_failure(body: bytes):
    assert _outcome(200, body) is Outcome.RETRY


@pytest.mark.parametrize(
    "status", [100, 201, 202, 204, 206, 301, 302, 303, 307, 308, 400, 401, 403, 404, 409, 413, 500, 502, 504]
)
def test_WHK_06_every_other_status_is_a_failure_even_with_the_right_body(status: int):
    assert _outcome(status, b'{"code":0}') is Outcome.RETRY


def test_WHK_06_410_ends_the_deliveries_of_this_order():
    assert _outcome(410, b'{"code":0}') is Outcome.ENDED


def test_WHK_06_a_broken_exchange_is_a_failure_with_its_reason():
    judgement = judge(Answer(None, {}, b"", "the host name does not resolve"), now=NOW)
    assert judgement == Judgement(Outcome.RETRY, "the host name does not resolve")
    cut = judge(Answer(200, {}, b"", "the answer is longer than 64 kB"), now=NOW)
    assert cut.outcome is Outcome.RETRY


@pytest.mark.parametrize(
    ("text", "wait_s"),
    [
        ("120", 120),
        (" 120 ", 120),
        ("0", 0),
        ("-5", 0),
        ("1.5", 0),
        ("soon", 0),
        ("", 0),
        ("١٢", 0),
        ("9" * 400, 7 * 24 * 3600),
        ("999999999999", 7 * 24 * 3600),
        (format_datetime(NOW + timedelta(minutes=10), usegmt=True), 600),
        (format_datetime(NOW - timedelta(minutes=10), usegmt=True), 0),
        (format_datetime(NOW + timedelta(days=400), usegmt=True), 7 * 24 * 3600),
        ("Sun, 99 Foo 2026 99:99:99 GMT", 0),
        ("Fri, 31 Dec 9999 23:59:59 -9999", 0),
    ],
)
@pytest.mark.parametrize("status", [429, 503])
def test_WHK_06_retry_after_is_read(status: int, text: str, wait_s: int):
    judgement = judge(Answer(status, {"Retry-After": text}, b""), now=NOW)
    assert judgement.outcome is Outcome.RETRY
    if text.endswith("-9999"):
        assert judgement.wait_s in {0, 7 * 24 * 3600}
    else:
        assert judgement.wait_s == wait_s


@pytest.mark.parametrize("status", [200, 301, 404, 500])
def test_WHK_06_retry_after_of_other_statuses_is_not_a_wish(status: int):
    assert judge(Answer(status, {"Retry-After": "3600"}, b""), now=NOW).wait_s == 0


@given(st.integers(100, 599), st.binary(max_size=200), st.text(max_size=40))
def test_any_answer_has_a_judgement(status: int, body: bytes, wish: str):
    judgement = judge(Answer(status, {"retry-after": wish}, body), now=NOW)
    assert 0 <= judgement.wait_s <= 7 * 24 * 3600
    assert judgement.reason


# --- schedule


def test_WHK_07_the_schedule_ends_after_72_hours():
    assert OFFSETS[0] == timedelta(0)
    assert OFFSETS[-1] == timedelta(hours=72)
    assert list(OFFSETS) == sorted(set(OFFSETS))
    gaps = [later - sooner for sooner, later in itertools.pairwise(OFFSETS)]
    assert gaps == sorted(gaps)


def test_WHK_07_every_slot_is_used_once_then_none():
    step, elapsed, attempts = 0, timedelta(0), 1
    while (slot := next_slot(step, wait_s=0, jitter_ppm=0)) is not None:
        assert slot.step == step + 1
        step, elapsed, attempts = slot.step, elapsed + slot.wait, attempts + 1
    assert (elapsed, attempts) == (timedelta(hours=72), len(OFFSETS))


@given(st.integers(0, len(OFFSETS) - 2), st.integers(0, 10**9), st.integers(0, 1_000_000))
def test_a_wish_is_honoured_within_the_schedule(step: int, wait_s: int, jitter_ppm: int):
    slot = next_slot(step, wait_s=wait_s, jitter_ppm=jitter_ppm)
    assert slot is not None
    assert slot.step > step
    left = OFFSETS[-1] - OFFSETS[step]
    assert slot.wait >= min(timedelta(seconds=wait_s), left)
    plain = OFFSETS[slot.step] - OFFSETS[step]
    assert plain <= slot.wait <= plain + plain * JITTER_PPM / 1_000_000
    if slot.step > step + 1:
        assert OFFSETS[slot.step - 1] - OFFSETS[step] < timedelta(seconds=wait_s)


def test_jitter_spreads_what_failed_together():
    waits = {next_slot(5, wait_s=0, jitter_ppm=ppm).wait for ppm in range(0, 1_000_001, 10_000)}
    assert len(waits) == 101


# --- decide


def _claimed(step: int = 0) -> Claimed:
    return Claimed(DeliveryId(uuid4()), MerchantId(uuid4()), uuid4(), "k", "https://a.example/", "e", b"{}", 1, step)


def test_decide_follows_the_state_table():
    assert decide(_claimed(), Judgement(Outcome.DELIVERED, ""), now=NOW, jitter_ppm=0)[0] is DeliveryState.DELIVERED
    assert decide(_claimed(), Judgement(Outcome.ENDED, ""), now=NOW, jitter_ppm=0)[0] is DeliveryState.ENDED
    assert decide(_claimed(0), Judgement(Outcome.RETRY, ""), now=NOW, jitter_ppm=0) == (
        DeliveryState.PENDING,
        1,
        NOW + timedelta(seconds=10),
    )
    assert decide(_claimed(0), Judgement(Outcome.RETRY, "", wait_s=3600), now=NOW, jitter_ppm=0) == (
        DeliveryState.PENDING,
        7,
        NOW + timedelta(hours=1),
    )
    last = len(OFFSETS) - 1
    assert decide(_claimed(last), Judgement(Outcome.RETRY, ""), now=NOW, jitter_ppm=0)[0] is DeliveryState.PARKED


@pytest.mark.parametrize("state", list(DeliveryState))
@pytest.mark.parametrize("event", list(DeliveryEvent))
def test_every_state_and_event_is_listed_or_refused(state: DeliveryState, event: DeliveryEvent):
    if DELIVERY.allows(state, event):
        assert DELIVERY.next(state, event) in DeliveryState
    else:
        with pytest.raises(IllegalMove):
            DELIVERY.next(state, event)


def test_what_is_delivered_only_a_person_sends_again():
    allowed = {event for event in DeliveryEvent if DELIVERY.allows(DeliveryState.DELIVERED, event)}
    assert allowed == {DeliveryEvent.RESENT}
