"""What stands in the signer's audit. Records are for ever: fields may be added, none may change its meaning."""

from datetime import datetime
from uuid import UUID

import msgspec

from bitlinkpay.chains.outgoing import Intent, Payment


class ColdList(msgspec.Struct, frozen=True):
    """The one cold address of each asset.

    `serial` rises with each change, so that a list signed long ago can't come back.
    """

    serial: int = 0
    addresses: dict[str, str] = {}


class ColdChange(msgspec.Struct, frozen=True):
    """A cold list that will be in force from `at` on, and who signed it."""

    cold: ColdList
    at: datetime
    operators: tuple[str, ...]


class Opened(msgspec.Struct, frozen=True, tag="opened"):
    """A signer began to write a file of the audit; what later records build on is repeated.

    `policy` is the SHA-256 of its policy file.
    """

    fingerprint: str
    mode: str
    policy: str
    cold: ColdList | None
    planned: ColdChange | None


class Issued(msgspec.Struct, frozen=True, tag="issued"):
    """Bytes were signed.

    Attributes:
        intent: what they do.
        content: SHA-256 of the intent.
        plan: SHA-256 of the plan.
        place: what makes two attempts exclude each other on the chain.
        kind: `first`, `bump` or `again`.
        txid: of the signed bytes.
        raw: SHA-256 of the signed bytes.
        dead: transaction ids that the asker claims are dead for ever.
        takes: what it took from the caps.
        approvals: the references of the approvals that it used up.
    """

    intent: Intent
    content: str
    plan: str
    place: str
    kind: str
    txid: str
    raw: str
    dead: tuple[str, ...] = ()
    takes: tuple[tuple[str, int], ...] = ()
    approvals: tuple[str, ...] = ()


class Refused(msgspec.Struct, frozen=True, tag="refused"):
    """Nothing was signed. `unwritten` counts refusals before this one that were too many to write down."""

    intent_id: UUID | None
    code: str
    message: str
    payments: tuple[Payment, ...] = ()
    unwritten: int = 0


class Approved(msgspec.Struct, frozen=True, tag="approved"):
    """An operator's approval came in and was genuine."""

    reference: str
    operator: str
    expires_at: datetime
    network: str
    asset: str
    target: str
    tag: str
    units: int


class ColdPlanned(msgspec.Struct, frozen=True, tag="cold_planned"):
    """A new cold list, signed by two operators, will be in force; None: the change was taken back."""

    change: ColdChange | None


class ColdInForce(msgspec.Struct, frozen=True, tag="cold_in_force"):
    """A cold list is in force from now on."""

    cold: ColdList


class Recovered(msgspec.Struct, frozen=True, tag="recovered"):
    """The last record had been cut short by a crash, before anybody was answered; `lost` bytes were dropped."""

    lost: int


Event = Opened | Issued | Refused | Approved | ColdPlanned | ColdInForce | Recovered


class Record(msgspec.Struct, frozen=True):
    """One line of the audit: `hash` is the SHA-256 of the line without it, `before` the hash of the line before."""

    seq: int
    at: datetime
    before: str
    event: Event
    hash: str = ""
