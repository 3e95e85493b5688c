"""Known answers of the signing libraries, and that a wrong one stops the start."""

import os
from hashlib import sha256

import nacl.signing
import pytest
import wallycore
from coincurve import PrivateKey, PublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bitlinkpay.signer.families import known_answers
from bitlinkpay.signer.problems import SelfTestFailed

ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
SIGNATURES = int(os.environ.get("SIGNATURES", "20000"))


def test_PAY_39_known_answers_hold() -> None:
    known_answers.run()


@pytest.mark.parametrize("name", ["RFC6979", "RFC8032"])
def test_a_wrong_answer_stops_everything(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    *head, (key, text, signature) = getattr(known_answers, name)
    monkeypatch.setattr(known_answers, name, (*head, (key, text, signature[:-1] + "f")))
    with pytest.raises(SelfTestFailed, match="are broken"):
        known_answers.run()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("EIP155_FIELDS", known_answers.EIP155_FIELDS | {"nonce": 10}),
        ("EIP155_KEY", bytes.fromhex("45" * 32)),
        ("BIP143_UNITS", 600_000_001),
        ("BIP143_KEY", bytes(31) + b"\x01"),
    ],
)
def test_another_input_gives_another_answer(monkeypatch: pytest.MonkeyPatch, name: str, value: object) -> None:
    monkeypatch.setattr(known_answers, name, value)
    with pytest.raises(SelfTestFailed):
        known_answers.run()


def test_the_vectors_are_those_of_other_libraries() -> None:
    for key, message, signature in known_answers.RFC6979:
        made = PrivateKey(key.to_bytes(32, "big")).sign_recoverable(message)
        assert made[:64].hex() == signature
    for seed, text, signature in known_answers.RFC8032:
        assert Ed25519PrivateKey.from_private_bytes(bytes.fromhex(seed)).sign(bytes.fromhex(text)).hex() == signature


def test_PAY_39_no_two_messages_share_a_nonce_and_s_is_low() -> None:
    """As many signatures as SIGNATURES says (a release runs a million): one `r` each, none with a high `s`."""
    key = sha256(b"a hot wallet").digest()
    seen: set[bytes] = set()
    for number in range(SIGNATURES):
        digest = sha256(number.to_bytes(8, "big")).digest()
        signature = bytes(wallycore.ec_sig_from_bytes(key, digest, wallycore.EC_FLAG_ECDSA))
        seen.add(signature[:32])
        assert int.from_bytes(signature[32:], "big") <= ORDER // 2
    assert len(seen) == SIGNATURES


def test_PAY_39_a_signature_is_a_function_of_key_and_message() -> None:
    digest = sha256(b"the same").digest()
    for key in (sha256(bytes([n])).digest() for n in range(50)):
        made = {bytes(wallycore.ec_sig_from_bytes(key, digest, wallycore.EC_FLAG_ECDSA)) for _ in range(3)}
        assert len(made) == 1
        assert made.pop() == PrivateKey(key).sign_recoverable(digest, hasher=None)[:64]
        assert PublicKey.from_secret(key).format() == bytes(wallycore.ec_public_key_from_private_key(key))
        pair = nacl.signing.SigningKey(key)
        assert pair.sign(digest).signature == Ed25519PrivateKey.from_private_bytes(key).sign(digest)
