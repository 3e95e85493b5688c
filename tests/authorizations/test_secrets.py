"""Passwords are stretched, and one-time codes follow the RFC's vectors."""

import base64
from datetime import UTC, datetime
from urllib.parse import parse_qs, urlsplit

import pytest
from tests.authorizations.people import PASSWORD

from bitlinkpay.authorizations import onetime, passwords
from bitlinkpay.authorizations.model import WeakPassword

STRETCHED = passwords.stretch(PASSWORD)
RFC_KEY = b"12345678901234567890"  # RFC 6238, appendix B
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)

# --- passwords


def test_a_password_is_kept_as_argon2id_with_64_mib_and_three_passes() -> None:
    assert STRETCHED.startswith("$argon2id$v=19$m=65536,t=3,p=1$")
    assert PASSWORD not in STRETCHED
    assert passwords.stretch(PASSWORD) != STRETCHED, "a salt of its own each time"


def test_only_the_same_password_is_right() -> None:
    assert passwords.is_right(PASSWORD, STRETCHED)
    for other in ("", PASSWORD + " ", PASSWORD.upper(), PASSWORD[:-1], "x" * 5000, "\ud800"):
        assert not passwords.is_right(other, STRETCHED)


def test_one_spelling_of_a_character_is_as_good_as_another() -> None:
    composed, decomposed = "pässwörter-geheim", "pa\u0308sswo\u0308rter-geheim"
    assert passwords.is_right(decomposed, passwords.stretch(composed))


@pytest.mark.parametrize("weak", ["", "short", "123456789", "aaaaaaaaaaaaaaa", "abababababab", "x" * 201])
def test_a_weak_or_absurd_password_is_refused(weak: str) -> None:
    with pytest.raises(WeakPassword):
        passwords.stretch(weak)


# --- one-time codes


@pytest.mark.parametrize(
    ("at", "digits_8"),
    [
        (59, "94287082"),
        (1111111109, "07081804"),
        (1111111111, "14050471"),
        (1234567890, "89005924"),
        (2000000000, "69279037"),
        (20000000000, "65353130"),
    ],
)
def test_codes_are_those_of_rfc_6238(at: int, digits_8: str) -> None:
    """Appendix B, SHA-1; six digits are the last six of eight."""
    moment = datetime.fromtimestamp(at, UTC)
    assert onetime.code_at(RFC_KEY, onetime.step_of(moment)) == digits_8[-6:]
    assert onetime.matching_step(RFC_KEY, digits_8[-6:], moment) == at // 30


@pytest.mark.parametrize(("off", "is_taken"), [(-2, False), (-1, True), (0, True), (1, True), (2, False)])
def test_WEB_03_a_code_counts_one_step_early_or_late_and_no_more(off: int, is_taken: bool) -> None:
    step = onetime.step_of(NOW)
    found = onetime.matching_step(RFC_KEY, onetime.code_at(RFC_KEY, step + off), NOW)
    assert found == (step + off if is_taken else None)


@pytest.mark.parametrize("shape", ["", "12345", "1234567", " 12345", "12345\n", "１２３４５６", "-12345", "abcdef"])
def test_what_is_no_code_is_no_code(shape: str) -> None:
    assert onetime.matching_step(RFC_KEY, shape, NOW) is None


def test_an_app_can_read_what_it_scans() -> None:
    key = onetime.new_key()
    uri = urlsplit(onetime.provisioning_uri(key, account="Corner Shop & Co: 1", issuer="Pay Ltd"))
    words = parse_qs(uri.query)
    assert (uri.scheme, uri.netloc, uri.path) == ("otpauth", "totp", "/Pay%20Ltd:Corner%20Shop%20%26%20Co%3A%201")
    assert base64.b32decode(words["secret"][0]) == key
    assert len(key) == 20
    assert (words["issuer"], words["algorithm"], words["digits"], words["period"]) == (
        ["Pay Ltd"], ["SHA1"], ["6"], ["30"],
    )  # fmt: skip
