"""The merchant-side sample: what another Standard Webhooks library signs is accepted, everything else is refused."""

from base64 import b64encode
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from standardwebhooks import Webhook

from bitlinkpay.client.callbacks import ACKNOWLEDGED, TOLERANCE, BadCallback, verify_callback
from bitlinkpay.wm.answers import DepositCallback, WithdrawCallback, callback_body

SECRET = "whsec_" + b64encode(bytes(range(32))).decode()
OTHER_SECRET = "whsec_" + b64encode(bytes(32)).decode()
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
CONTENT = DepositCallback(
    source_id="订单-1",
    chain_id=2,
    coin_id=1,
    address="TXYZopYRdj2D9XRtbG411XZZ3kM5VkAeBf",
    tag="",
    hash="ab" * 32,
    fiat_amount=Decimal("72.00"),
    symbol="USDT/CNY",
    exchange_rate=Decimal("7.2"),
    amount=Decimal("10.000000"),
    service_fee=Decimal("0.030000"),
    order_id="0192" * 8,
    status=8,
    status_desc="completed",
)
BODY = callback_body(CONTENT)


def signed(body: bytes = BODY, *, secret: str = SECRET, at: datetime = NOW) -> dict[str, str]:
    return {
        "webhook-id": "evt_1",
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": Webhook(secret).sign("evt_1", at, body.decode()),
        "content-type": "application/json",
    }


def refused(headers: dict[str, str], body: bytes = BODY, *, secret: str = SECRET) -> str:
    with pytest.raises(BadCallback) as caught:
        verify_callback(secret, headers, body, now=NOW)
    return str(caught.value)


def test_a_callback_signed_by_another_library_says_what_it_says():
    assert verify_callback(SECRET, signed(), BODY, now=NOW) == CONTENT


def test_a_withdrawals_callback_says_what_it_says():
    paid = WithdrawCallback("w-1", "0192" * 8, 1, 1, CONTENT.address, "", "cd" * 32, Decimal(4), Decimal("0.5"), Decimal("0.5"), 4, "Withdraw Success")  # fmt: skip
    body = callback_body(paid)
    assert verify_callback(SECRET, signed(body), body, now=NOW) == paid
    assert "signature" in refused(signed(BODY), body)


def test_a_secret_without_its_prefix_is_the_same_secret():
    assert verify_callback(SECRET.removeprefix("whsec_"), signed(), BODY, now=NOW) == CONTENT


def test_the_signature_of_another_secret_is_refused():
    assert "signature" in refused(signed(secret=OTHER_SECRET))
    assert "signature" in refused(signed(), secret=OTHER_SECRET)


@pytest.mark.parametrize("at", [0, 20, len(BODY) // 2, len(BODY) - 1])
def test_a_body_with_one_altered_bit_is_refused(at):
    altered = bytearray(BODY)
    altered[at] ^= 1
    assert "signature" in refused(signed(), bytes(altered))


def test_a_body_that_means_the_same_but_has_other_bytes_is_refused():
    assert "signature" in refused(signed(), BODY + b"\n")
    assert "signature" in refused(signed(), b"")


@pytest.mark.parametrize("direction", [-1, 1])
def test_five_minutes_are_tolerated_and_a_second_more_is_not(direction):
    edge = NOW + direction * TOLERANCE
    assert verify_callback(SECRET, signed(at=edge), BODY, now=NOW) == CONTENT
    assert "5 minutes" in refused(signed(at=edge + direction * timedelta(seconds=1)))


def test_an_old_callback_cannot_be_given_a_new_time():
    headers = signed(at=NOW - timedelta(hours=1)) | {"webhook-timestamp": str(int(NOW.timestamp()))}
    assert "signature" in refused(headers)


def test_a_signature_does_not_hold_for_another_id():
    assert "signature" in refused(signed() | {"webhook-id": "evt_2"})


@pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp", "webhook-signature"])
@pytest.mark.parametrize("is_there", [True, False])
def test_a_missing_or_empty_header_is_refused(name, is_there):
    headers = signed()
    if is_there:
        headers[name] = ""
    else:
        del headers[name]
    refused(headers)


@pytest.mark.parametrize("timestamp", ["soon", "-1772366400", "1772366400.0", " 1772366400", "1e9", "0x69a42ac0"])
def test_a_time_that_is_no_plain_number_is_refused(timestamp):
    assert "webhook-timestamp" in refused(signed() | {"webhook-timestamp": timestamp})


@pytest.mark.parametrize("timestamp", ["9" * 20, "9" * 400])
def test_a_time_beyond_the_calendar_is_refused(timestamp):
    refused(signed() | {"webhook-timestamp": timestamp})


def test_during_a_rotation_either_secret_opens_the_same_callback():
    old, new = signed(secret=OTHER_SECRET), signed()
    both = new | {"webhook-signature": f"{old['webhook-signature']} {new['webhook-signature']}"}
    assert verify_callback(SECRET, both, BODY, now=NOW) == CONTENT
    assert verify_callback(OTHER_SECRET, both, BODY, now=NOW) == CONTENT


def test_signatures_of_other_versions_are_passed_over():
    right = signed()["webhook-signature"]
    assert verify_callback(SECRET, signed() | {"webhook-signature": f"v1a,xyz {right}"}, BODY, now=NOW) == CONTENT
    digest = right.removeprefix("v1,")
    for wrong in (f"v2,{digest}", digest, f"v1,{digest}x", f"v1 {digest}", right[:-4]):
        assert "signature" in refused(signed() | {"webhook-signature": wrong})


def test_a_signature_beyond_ascii_is_refused():
    refused(signed() | {"webhook-signature": "v1,é"})


def test_the_acknowledgement_is_what_the_protocol_asks_for():
    assert ACKNOWLEDGED == b'{"code":0,"msg":"success"}'
