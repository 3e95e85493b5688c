"""What a request's signature is over, how it is made, and how it is checked. Pure; both sides use it.

The signed text has five lines: method, path with query as sent, time, nonce, SHA-256 of the body in hex.
"""

import hashlib
import hmac
from base64 import b64decode, b64encode
from binascii import Error as NotBase64
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

KEY_HEADER: Final = "blp-key"
TIME_HEADER: Final = "blp-time"
NONCE_HEADER: Final = "blp-nonce"
SIGNATURE_HEADER: Final = "blp-signature"

SignText = Callable[[bytes], bytes]
"""Signs a text with a key at hand."""


@dataclass(frozen=True, slots=True)
class SignedText:
    """What a signature is over. `target` is path and query exactly as they stand in the request line."""

    method: str
    target: str
    time: str
    nonce: str
    body: bytes

    def encode(self) -> bytes:
        """Return the text as bytes."""
        lines = (self.method, self.target, self.time, self.nonce, hashlib.sha256(self.body).hexdigest())
        return "\n".join(lines).encode()


def hmac_signer(secret: str) -> SignText:
    """Return what signs with a shared secret; the HMAC's key is the secret's own text."""
    return lambda text: hmac.digest(secret.encode(), text, hashlib.sha256)


def ed25519_signer(key: Ed25519PrivateKey) -> SignText:
    """Return what signs with a private key."""
    return key.sign


def write_signature(signature: bytes) -> str:
    """Return a signature as its header holds it."""
    return b64encode(signature).decode()


def read_signature(text: str) -> bytes:
    """Return the bytes of a signature header, b"" where it is not strict base64."""
    try:
        return b64decode(text, validate=True)
    except (NotBase64, ValueError):
        return b""


def is_hmac(secret: str, text: bytes, signature: bytes) -> bool:
    """Check an HMAC in constant time."""
    return hmac.compare_digest(hmac.digest(secret.encode(), text, hashlib.sha256), signature)


def is_ed25519(public_key: bytes, text: bytes, signature: bytes) -> bool:
    """Check an Ed25519 signature (RFC 8032)."""
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, text)
    except (InvalidSignature, ValueError):
        return False
    return True
