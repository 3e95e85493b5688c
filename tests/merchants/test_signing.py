"""Signatures of requests: published vectors, and that no two requests share a signed text."""

import hashlib

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from bitlinkpay.merchants.api_keys.signing import (
    SignedText,
    ed25519_signer,
    hmac_signer,
    is_ed25519,
    is_hmac,
    read_signature,
    write_signature,
)

LINE = st.text(st.characters(codec="ascii", exclude_characters="\n\r"), max_size=20)
TEXTS = st.builds(SignedText, method=LINE, target=LINE, time=LINE, nonce=LINE, body=st.binary(max_size=20))


def test_hmac_is_that_of_rfc_4231() -> None:
    """Test case 2."""
    expected = bytes.fromhex("5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843")
    text = b"what do ya want for nothing?"
    assert hmac_signer("Jefe")(text) == expected
    assert is_hmac("Jefe", text, expected)


def test_ed25519_is_that_of_rfc_8032() -> None:
    """Section 7.1, test 2: one byte."""
    private = Ed25519PrivateKey.from_private_bytes(
        bytes.fromhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb")
    )
    public = bytes.fromhex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c")
    expected = bytes.fromhex(
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
        "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
    )
    assert ed25519_signer(private)(b"\x72") == expected
    assert is_ed25519(public, b"\x72", expected)


def test_the_signed_text_is_five_lines() -> None:
    text = SignedText("GET", "/v1/orders?limit=2", "1767225600", "n" * 16, b"")
    assert text.encode().decode().split("\n") == [
        "GET",
        "/v1/orders?limit=2",
        "1767225600",
        "n" * 16,
        hashlib.sha256(b"").hexdigest(),
    ]


@given(TEXTS, TEXTS)
def test_two_requests_never_share_a_signed_text(one: SignedText, other: SignedText) -> None:
    assert (one == other) == (one.encode() == other.encode())


@given(TEXTS, st.integers(0, 63), st.integers(0, 7))
def test_a_signature_with_one_bit_changed_is_none(text: SignedText, place: int, bit: int) -> None:
    private = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    public = private.public_key().public_bytes_raw()
    signed = bytearray(ed25519_signer(private)(text.encode()))
    signed[place] ^= 1 << bit
    assert not is_ed25519(public, text.encode(), bytes(signed))
    shared = bytearray(hmac_signer("secret")(text.encode()))
    shared[place % 32] ^= 1 << bit
    assert not is_hmac("secret", text.encode(), bytes(shared))


def test_a_signature_whose_scalar_is_not_reduced_is_refused() -> None:
    """RFC 8032, 5.1.7: or every signature would have a twin."""
    private = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    signature = ed25519_signer(private)(b"text")
    order = 2**252 + 27742317777372353535851937790883648493
    twin = signature[:32] + (int.from_bytes(signature[32:], "little") + order).to_bytes(32, "little")
    assert not is_ed25519(private.public_key().public_bytes_raw(), b"text", twin)


@pytest.mark.parametrize("text", ["*", "YQ", "YQ==\n", " YQ==", "YQ===", "é", "YQ==YQ=="])
def test_a_signature_in_loose_base64_is_nothing_that_verifies(text: str) -> None:
    assert not is_hmac("secret", b"text", read_signature(text))


@given(st.binary(max_size=70))
def test_signatures_travel_as_strict_base64(signature: bytes) -> None:
    assert read_signature(write_signature(signature)) == signature


@pytest.mark.parametrize("public", [b"", b"x" * 31, b"x" * 33, b"\xff" * 32])
def test_what_is_no_public_key_verifies_nothing(public: bytes) -> None:
    assert not is_ed25519(public, b"text", b"s" * 64)
