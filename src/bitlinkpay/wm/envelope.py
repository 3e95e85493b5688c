"""The encrypted envelope of the SDK protocol: opening it without an oracle, and sealing it for our own client.

A request carries `w-secret` (RSA PKCS#1 v1.5 of a 16-character secret), a body (AES-256-ECB under SHA-256 of the
secret) and `w-sign` (32 hex characters of SHA-256 over plaintext, broker, time and nonce). PKCS#1 v1.5 is only safe
when nobody can tell a bad padding from a bad anything else, so `open_envelope` has no early exit: whatever is wrong,
a decoy takes its place and the same steps run to the same end (implicit rejection, RFC 8017 section 7.2.2 note and
draft-irtf-cfrg-rsa-guidance).
"""

import base64
import binascii
import hashlib
import hmac
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import ECB
from cryptography.hazmat.primitives.padding import PKCS7
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

MAX_BODY: Final = 65_536  # bytes of the base64 body; the largest honest request has about 4 kB
SECRET_SIZE: Final = 16
_BLOCK: Final = 16
_SIGN_FIRST, _SIGN_LAST = 16, 48  # the 32 of the 64 hex characters that travel

_TS: Final = re.compile(rb"[0-9]{13}")
_NONCE: Final = re.compile(rb"[0-9]{6}")
_SIGN: Final = re.compile(rb"[0-9a-f]{32}")
_BROKER: Final = re.compile(rb"[\x21-\x7e]{1,64}")

HEADERS: Final = (b"w-broker", b"w-ts", b"w-nonce", b"w-secret", b"w-sign")


class EnvelopeError:
    """The one refusal of an envelope: it never says which part was wrong, so it has nothing to say."""

    __slots__ = ()


REFUSED: Final = EnvelopeError()


@dataclass(frozen=True, slots=True)
class Headers:
    """The five envelope headers as received; b"" for one that is missing or was sent twice."""

    broker: bytes
    ts: bytes
    nonce: bytes
    secret: bytes
    sign: bytes


@dataclass(frozen=True, slots=True)
class Seal:
    """What makes one envelope unique: a second one with the same seal is a replay (PROTOCOL.md, last section)."""

    broker: str
    ts_ms: int
    nonce: str
    sign: str

    @property
    def digest(self) -> bytes:
        """Return 32 bytes that no other seal has."""
        return hashlib.sha256(f"{self.ts_ms}|{self.nonce}|{self.sign}|{self.broker}".encode()).digest()


@dataclass(frozen=True, slots=True)
class Opened:
    """An envelope whose signature holds: the plaintext bytes as signed, and its seal."""

    plaintext: bytes
    seal: Seal


@dataclass(frozen=True, slots=True)
class Sealed:
    """A request ready to send: headers by name, body."""

    headers: dict[str, str]
    body: bytes


class WeakEnvelopeKey(Exception):
    """The key cannot serve: not RSA of at least 2048 bits, or its self-test failed."""


class EnvelopeKey:
    """The platform's RSA key that opens envelopes. Thread-safe: decryptions may run in parallel threads.

    Raises:
        WeakEnvelopeKey: the key is not RSA, shorter than 2048 bits, or its own self-test fails.
    """

    def __init__(self, private_key: RSAPrivateKey) -> None:
        if private_key.key_size < 2048:  # noqa: PLR2004 -- the standard's own floor
            raise WeakEnvelopeKey(f"the envelope key has {private_key.key_size} bits; make one of at least 2048")
        self._key = private_key
        self._size = (private_key.key_size + 7) // 8
        self._modulus = private_key.public_key().public_numbers().n
        self._decoy_key = os.urandom(32)
        self._self_test()

    @classmethod
    def load(cls, pem: bytes) -> "EnvelopeKey":
        """Load an unencrypted PEM private key (PKCS#8 or PKCS#1).

        Raises:
            WeakEnvelopeKey: see the class.
            ValueError: the PEM cannot be read.
        """
        key = load_pem_private_key(pem, password=None)
        if not isinstance(key, RSAPrivateKey):
            raise WeakEnvelopeKey("the envelope key is not an RSA key")
        return cls(key)

    @property
    def public_key(self) -> RSAPublicKey:
        """The key that merchants encrypt under."""
        return self._key.public_key()

    def secret(self, wire: bytes) -> bytes:
        """Return the 16 bytes that `w-secret` carries, or 16 bytes nobody can predict, in the same work.

        OpenSSL 3.2 and later answer a bad padding with pseudo-random bytes; older ones raise. Both end here in the
        same decoy, which depends on the ciphertext alone, so that asking twice tells nothing.
        """
        decoy = hmac.digest(self._decoy_key, wire, "sha256")[:SECRET_SIZE]
        try:
            plain = self._key.decrypt(self._ciphertext(wire), PKCS1v15())
        except ValueError:
            plain = b""
        return plain if len(plain) == SECRET_SIZE else decoy

    def _ciphertext(self, wire: bytes) -> bytes:
        """Decode base64; what does not decode to a number below the modulus is replaced by one that does."""
        decoy = b"\x00" + hashlib.shake_256(wire).digest(self._size - 1)
        raw = _unbase64(wire)
        fits = len(raw) == self._size and int.from_bytes(raw, "big") < self._modulus
        return raw if fits else decoy

    def _self_test(self) -> None:
        """Prove at start that a good secret opens and that a bad padding is indistinguishable from one."""
        known = b"self-test-secret"
        good = base64.b64encode(self.public_key.encrypt(known, PKCS1v15()))
        bad = base64.b64encode(b"\x00" + os.urandom(self._size - 1))
        if self.secret(good) != known or len(self.secret(bad)) != SECRET_SIZE:
            raise WeakEnvelopeKey("the envelope key failed its self-test")


def is_broker(wire: bytes) -> bool:
    """Say whether a `w-broker` is spelled as a broker id may be: 1 to 64 visible ASCII characters."""
    return _BROKER.fullmatch(wire) is not None


def read_headers(raw: Iterable[tuple[bytes, bytes]]) -> Headers:
    """Pick the envelope headers out of lower-case ASGI headers; one that is missing or doubled reads as b""."""
    found: dict[bytes, bytes] = {}
    doubled: set[bytes] = set()
    for name, value in raw:
        if name in HEADERS:
            if name in found:
                doubled.add(name)
            found[name] = value
    broker, ts, nonce, secret, sign = (b"" if name in doubled else found.get(name, b"") for name in HEADERS)
    return Headers(broker=broker, ts=ts, nonce=nonce, secret=secret, sign=sign)


def open_envelope(key: EnvelopeKey, headers: Headers, body: bytes) -> Opened | EnvelopeError:
    """Open one envelope. Every failure does the work of a success and returns the same `EnvelopeError`.

    Checked: nonce exactly 6 digits, time exactly 13, sign exactly 32 lower-case hex characters (so that no digit can
    move between fields that are hashed without separators), secret, body, padding, signature (constant time).
    Not checked here: whose broker it is, clock, replay. `body` is at most `MAX_BODY` bytes: the caller cuts before.
    """
    is_spelled = _is_spelled(headers)
    aes_key = hashlib.sha256(key.secret(headers.secret)).digest()
    ciphertext, is_body = _body_or_decoy(body)
    padded = _ecb(aes_key, ciphertext)
    text, is_padded = _unpad(padded)
    signed = _sign(text, headers.broker, headers.ts, headers.nonce)
    is_signed = hmac.compare_digest(signed, headers.sign)
    if not (is_spelled & is_body & is_padded & is_signed):
        return REFUSED
    seal = Seal(
        broker=headers.broker.decode("ascii"),
        ts_ms=int(headers.ts),
        nonce=headers.nonce.decode("ascii"),
        sign=headers.sign.decode("ascii"),
    )
    return Opened(plaintext=text, seal=seal)


def seal_envelope(
    public_key: RSAPublicKey, broker: str, plaintext: bytes, *, ts_ms: int, nonce: str, secret: bytes
) -> Sealed:
    """Seal a request as the SDKs do. `nonce` is 6 digits, `secret` 16 fresh random printable characters."""
    assert len(secret) == SECRET_SIZE
    assert _NONCE.fullmatch(nonce.encode())
    assert _TS.fullmatch(str(ts_ms).encode())
    padder = PKCS7(_BLOCK * 8).padder()
    padded = padder.update(plaintext) + padder.finalize()
    encryptor = Cipher(AES(hashlib.sha256(secret).digest()), ECB()).encryptor()  # noqa: S305 -- the protocol's
    body = base64.b64encode(encryptor.update(padded) + encryptor.finalize())
    sign = _sign(plaintext, broker.encode(), str(ts_ms).encode(), nonce.encode())
    return Sealed(
        headers={
            "w-broker": broker,
            "w-ts": str(ts_ms),
            "w-nonce": nonce,
            "w-secret": base64.b64encode(public_key.encrypt(secret, PKCS1v15())).decode("ascii"),
            "w-sign": sign.decode("ascii"),
        },
        body=body,
    )


def load_public_key(pem: bytes) -> RSAPublicKey:
    """Load the envelope public key file that a merchant was handed (PKIX, `BEGIN PUBLIC KEY`).

    Raises:
        ValueError: it cannot be read, or is not RSA.
    """
    key = load_pem_public_key(pem)
    if not isinstance(key, RSAPublicKey):
        raise ValueError("the envelope public key is not an RSA key")  # noqa: TRY004 -- a value of the wrong kind
    return key


def _is_spelled(headers: Headers) -> bool:
    return (
        is_broker(headers.broker)
        & (_TS.fullmatch(headers.ts) is not None)
        & (_NONCE.fullmatch(headers.nonce) is not None)
        & (_SIGN.fullmatch(headers.sign) is not None)
    )


def _unbase64(wire: bytes) -> bytes:
    try:
        return binascii.a2b_base64(wire, strict_mode=True)
    except binascii.Error:
        return b""


def _body_or_decoy(body: bytes) -> tuple[bytes, bool]:
    """Decode the body; one that is no whole number of AES blocks is replaced by zeros of about its size."""
    raw = _unbase64(body)
    is_blocks = len(raw) % _BLOCK == 0 and raw != b""
    size = max(_BLOCK, len(body) * 3 // 4 // _BLOCK * _BLOCK)
    decoy = bytes(size)
    return (raw, True) if is_blocks else (decoy, False)


def _ecb(key: bytes, ciphertext: bytes) -> bytes:
    decryptor = Cipher(AES(key), ECB()).decryptor()  # noqa: S305 -- the protocol's; new APIs use none of it
    return decryptor.update(ciphertext) + decryptor.finalize()


def _unpad(padded: bytes) -> tuple[bytes, bool]:
    """Take PKCS#7 padding off; where it is wrong, one byte is taken off instead so that the work stays the same."""
    count = padded[-1]
    is_padded = 1 <= count <= _BLOCK and hmac.compare_digest(padded[-count:], bytes((count,)) * count)
    return padded[: -(count if is_padded else 1)], is_padded


def _sign(plaintext: bytes, broker: bytes, ts: bytes, nonce: bytes) -> bytes:
    digest = hashlib.sha256(plaintext + broker + ts + nonce).hexdigest()
    return digest[_SIGN_FIRST:_SIGN_LAST].encode("ascii")
