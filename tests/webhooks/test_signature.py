"""Signatures, checked with the public `standardwebhooks` library as a merchant would."""

import json
from base64 import b64encode
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from bitlinkpay.core.errors import Invalid
from bitlinkpay.webhooks.signature import key_of, new_secret, signature_headers

settings.register_profile("patient", deadline=None)
settings.load_profile("patient")


def _sign(body: bytes, *secrets: str, at: datetime | None = None) -> dict[str, str]:
    return signature_headers("evt_1", body, secrets_of_merchant=secrets, now=at or datetime.now(UTC))


@given(st.dictionaries(st.text(), st.text() | st.integers() | st.none(), max_size=5))
def test_WHK_16_signature_verifies_over_the_sent_bytes(value: dict[str, object]):
    secret = new_secret()
    for body in (json.dumps(value).encode(), json.dumps(value, ensure_ascii=False, indent=3).encode(errors="replace")):
        assert Webhook(secret).verify(body, _sign(body, secret)) == json.loads(body)


def test_WHK_16_signature_fails_over_json_written_anew():
    secret = new_secret()
    body = b'{"amount":"12.50","url":"https:\\/\\/a.example\\/"}'
    headers = _sign(body, secret)
    assert Webhook(secret).verify(body, headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify(json.dumps(json.loads(body)), headers)


def test_WHK_12_both_secrets_verify_while_a_rotation_overlaps():
    old, new, other = new_secret(), new_secret(), new_secret()
    headers = _sign(b"{}", new, old)
    assert Webhook(old).verify(b"{}", headers) == {}
    assert Webhook(new).verify(b"{}", headers) == {}
    with pytest.raises(WebhookVerificationError):
        Webhook(other).verify(b"{}", headers)


@pytest.mark.parametrize("minutes", [-6, 6])
def test_WHK_11_an_old_or_future_timestamp_is_refused_by_receivers(minutes: int):
    secret = new_secret()
    headers = _sign(b"{}", secret, at=datetime.now(UTC) + timedelta(minutes=minutes))
    with pytest.raises(WebhookVerificationError, match="too"):
        Webhook(secret).verify(b"{}", headers)


@pytest.mark.parametrize("field", ["webhook-id", "webhook-timestamp"])
def test_id_and_time_are_signed_too(field: str):
    secret = new_secret()
    headers = _sign(b"{}", secret)
    headers[field] = "evt_2" if field == "webhook-id" else str(int(headers[field]) + 1)
    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify(b"{}", headers)


def test_secrets_are_random_and_of_the_form_of_the_specification():
    secrets = {new_secret() for _ in range(50)}
    assert len(secrets) == 50
    assert all(secret.startswith("whsec_") and len(key_of(secret)) == 32 for secret in secrets)


@pytest.mark.parametrize(
    "secret",
    [
        "",
        "whsec_",
        "whsec_short",
        "whsec_!!!!",
        b64encode(bytes(32)).decode(),
        "whsec_" + b64encode(bytes(23)).decode(),
        "whsec_" + b64encode(bytes(65)).decode(),
        "WHSEC_" + b64encode(bytes(32)).decode(),
        "whsec_é",
    ],
)
def test_a_secret_of_another_form_signs_nothing(secret: str):
    with pytest.raises(Invalid):
        _sign(b"{}", secret)


def test_nothing_is_sent_unsigned():
    with pytest.raises(Invalid, match="no webhook secret"):
        _sign(b"{}")
