"""Secrets at rest: sealed under a key of the deployment's folder `keys/`, so that the database alone signs nothing."""

import os
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from bitlinkpay.core.errors import Conflict, Invalid
from bitlinkpay.core.ids import ApiKeyId
from bitlinkpay.signer.files import folder_turn, make_private_folder, read_private, write_new

FILE: Final = "api-keys.key"
_KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12


class BadSealingKey(Invalid):
    """The file that opens the secrets of API keys is not what it should be."""

    code = "api_key.bad_sealing_key"

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path} does not hold {_KEY_BYTES} bytes; put the right file back from your backup")


class SealingKeyElsewhere(Conflict):
    """Secrets are sealed under a key that this host has no copy of."""

    code = "api_key.sealing_key_elsewhere"

    def __init__(self, folder: Path) -> None:
        super().__init__(
            f"API keys were made on another host: copy its keys/{FILE} to {folder / FILE} (mode 0600), or revoke them"
        )


class Sealer:
    """Seals and opens secrets with AES-256-GCM. A sealed secret opens under its own key id only."""

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)

    @staticmethod
    def is_made(folder: Path) -> bool:
        """Say whether the folder holds the key."""
        return (folder / FILE).exists()

    @classmethod
    def open(cls, folder: Path) -> "Sealer":
        """Read the key of a deployment's `keys/`, and make it where it is missing.

        Every API host needs the same file: one with another file refuses the requests of all HMAC keys.

        Raises:
            BadSealingKey: the file was damaged.
            LooseFile: other users have rights on the file or the folder.
        """
        make_private_folder(folder)
        path = folder / FILE
        with folder_turn(folder):
            if not path.exists():
                write_new(path, os.urandom(_KEY_BYTES))
        key = read_private(path)
        if len(key) != _KEY_BYTES:
            raise BadSealingKey(path)
        return cls(key)

    def seal(self, key_id: ApiKeyId, secret: str) -> bytes:
        """Return a secret that only this deployment's key opens."""
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, secret.encode(), key_id.bytes)

    def unseal(self, key_id: ApiKeyId, sealed: bytes) -> str | None:
        """Return the secret, None where it was sealed under another key, for another id, or was changed."""
        try:
            return self._cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], key_id.bytes).decode()
        except (InvalidTag, ValueError):
            return None
