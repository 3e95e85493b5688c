"""What operators sign: approvals of payments, and lists of cold addresses. Checking is in `operators`."""

from datetime import datetime

import msgspec

from bitlinkpay.signer.audit.events import ColdList


class Approval(msgspec.Struct, frozen=True):
    """One operator's permission for exactly one payment, once, above the caps.

    Attributes:
        signer: fingerprint of the key ring that may pay it, so that it is worth nothing elsewhere.
        network: id of the network.
        asset: id of the asset.
        target: canonical address.
        tag: memo for the recipient.
        units: base units.
        reference: 32 random hex digits: no approval counts twice.
        expires_at: wall time; at most a day ahead.
        signature: Ed25519 over all the rest.
    """

    signer: str
    network: str
    asset: str
    target: str
    tag: str
    units: int
    reference: str
    expires_at: datetime
    signature: bytes = b""

    def message(self) -> bytes:
        """Return what is signed."""
        bare = msgspec.structs.replace(self, signature=b"")
        return b"bitlinkpay approval 1\n" + msgspec.json.encode(bare)


def cold_message(fingerprint: str, cold: ColdList) -> bytes:
    """Return what operators sign to change the cold addresses of one signer."""
    rows = sorted(cold.addresses.items())
    return b"bitlinkpay cold list 1\n" + msgspec.json.encode((fingerprint, cold.serial, rows))
