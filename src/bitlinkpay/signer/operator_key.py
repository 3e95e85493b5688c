"""An operator's own Ed25519 key, on the operator's own machine, sealed like a seed."""

import os
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import msgspec
from nacl.signing import SigningKey

from bitlinkpay.signer.audit.events import ColdList
from bitlinkpay.signer.policy.approval import Approval, cold_message
from bitlinkpay.signer.protocol import Waiting
from bitlinkpay.signer.sealing import Content, Purpose, Unlock, seal, unseal

PASSPHRASE_VARIABLE: Final = "BITLINKPAY_OPERATOR_PASSPHRASE"  # noqa: S105 (the name of a variable)


@dataclass(frozen=True, slots=True)
class OperatorKey:
    """The key while it is in use; `public` is what the signer's policy file pins, 64 hex digits."""

    public: str
    _key: SigningKey = field(repr=False)

    def approve(self, fingerprint: str, payment: Waiting, *, now: datetime, life: timedelta) -> Approval:
        """Return the approval of exactly this payment, once, for the signer of this fingerprint."""
        bare = Approval(
            signer=fingerprint,
            network=payment.network,
            asset=payment.asset,
            target=payment.target,
            tag=payment.tag,
            units=payment.units,
            reference=os.urandom(16).hex(),
            expires_at=now + life,
        )
        return msgspec.structs.replace(bare, signature=self._key.sign(bare.message()).signature)

    def sign_cold(self, fingerprint: str, cold: ColdList) -> str:
        """Return the signature (128 hex digits) of a list of cold addresses."""
        return self._key.sign(cold_message(fingerprint, cold)).signature.hex()


def make(path: Path, unlock: Unlock, *, now: datetime) -> OperatorKey:
    """Write a new key, mode 0600.

    Raises:
        SignerExists: the name is taken.
    """
    key = SigningKey(os.urandom(32))
    public = bytes(key.verify_key).hex()
    seal(path, Content(Purpose.OPERATOR, public, now.isoformat(timespec="seconds"), bytes(key), {}), unlock)
    return OperatorKey(public, key)


def read(path: Path, unlock: Unlock) -> OperatorKey:
    """Open a key.

    Raises:
        WrongUnlock, DamagedFile, SignerMissing, LooseFile: see `signer.problems`.
    """
    content = unseal(path, Purpose.OPERATOR, unlock)
    return OperatorKey(content.fingerprint, SigningKey(content.seed))
