"""Secrets that the platform itself must read again, sealed for its database: AES-256-GCM (NIST SP 800-38D).

What it protects from: whoever reads the database, its dumps, replicas or logs, learns no secret without the sealing
key, which lies in a file of the deployment (`merchants.sealing`). Whoever can write into the database cannot move a
sealed secret to another owner or to another use: both are authenticated with it.

What it does not protect from: the owner of a host that holds the key, the deletion of a sealed secret, or an older one
of the same owner and use put in its place. Wallets' seeds are sealed otherwise, by `signer.sealing`.

A sealed secret is its format (one byte), the key's mark (8 bytes), the nonce (12), the ciphertext and its tag (16).
Nonces are random: NIST bounds a key to 2^32 of them, a deployment seals a few for each merchant.
"""

import hashlib
import os
from enum import StrEnum
from typing import Final
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from bitlinkpay.core.errors import Conflict

KEY_BYTES: Final = 32
FORMAT: Final = b"\x01"

_MARK_BYTES = 8
_NONCE_BYTES = 12
_HEAD_BYTES = len(FORMAT) + _MARK_BYTES + _NONCE_BYTES
_DOMAIN = b"bitlinkpay sealing key\n"


class Purpose(StrEnum):
    """What a sealed secret is used for. The words are part of what is sealed and never change."""

    WEBHOOK_SECRET = "webhook secret"  # noqa: S105 (a purpose)
    ONE_TIME_CODES = "one-time codes"  # the key of an authenticator
    API_KEY = "api key"


class Unsealable(Conflict):
    """A sealed secret cannot be read here."""

    code = "sealing.unsealable"


class Sealer:
    """Seals and unseals with one key of 32 bytes, which `fingerprint` (SHA-256) tells from any other."""

    def __init__(self, key: bytes) -> None:
        assert len(key) == KEY_BYTES
        self._cipher = AESGCM(key)
        self.fingerprint = hashlib.sha256(_DOMAIN + key).digest()

    def seal(self, secret: bytes, *, purpose: Purpose, owner: UUID) -> bytes:
        """Seal a secret for one owner and one use."""
        nonce = os.urandom(_NONCE_BYTES)
        head = FORMAT + self.fingerprint[:_MARK_BYTES] + nonce
        return head + self._cipher.encrypt(nonce, secret, _bound(head, purpose, owner))

    def unseal(self, sealed: bytes, *, purpose: Purpose, owner: UUID) -> bytes:
        """Return a sealed secret.

        Raises:
            Unsealable: another key sealed it, for another owner or use, or it is damaged.
        """
        head, box = sealed[:_HEAD_BYTES], sealed[_HEAD_BYTES:]
        if not head.startswith(FORMAT + self.fingerprint[:_MARK_BYTES]):
            raise Unsealable(f"a {purpose} of {owner} was sealed with another key than keys/sealing.key here")
        try:
            return self._cipher.decrypt(head[-_NONCE_BYTES:], box, _bound(head, purpose, owner))
        except (InvalidTag, ValueError):
            raise Unsealable(f"a {purpose} of {owner} is damaged, or was sealed for another owner or use") from None


def _bound(head: bytes, purpose: Purpose, owner: UUID) -> bytes:
    return head + owner.bytes + purpose.encode()
