"""What a signer remembers of the last day: made from its audit at the start, and kept by the same records after it."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from bitlinkpay.signer.audit.events import (
    Approved,
    ColdChange,
    ColdInForce,
    ColdList,
    ColdPlanned,
    Issued,
    Opened,
    Record,
    Recovered,
    Refused,
)
from bitlinkpay.signer.policy.model import DAY
from bitlinkpay.signer.policy.windows import Windows


@dataclass(frozen=True, slots=True)
class Attempt:
    """A version of an intent that was signed."""

    plan: str
    place: str
    txid: str


@dataclass(slots=True)
class Known:
    """An intent that was signed and has not expired."""

    content: str
    expires_at: datetime
    attempts: list[Attempt] = field(default_factory=list)


class History:
    """Caps taken, intents signed, approvals not used up, the cold list in force."""

    def __init__(self) -> None:
        self.windows = Windows(DAY)
        self.cold: ColdList | None = None
        self.planned: ColdChange | None = None
        self.refusals = 0
        self._intents: dict[UUID, Known] = {}
        self._approvals: dict[str, Approved] = {}
        self._references: dict[str, datetime] = {}

    @classmethod
    def replay(cls, records: Iterable[Record]) -> "History":
        """Remember what an audit holds."""
        history = cls()
        for record in records:
            history.apply(record)
        return history

    def apply(self, record: Record) -> None:
        """Remember one record."""
        match record.event:
            case Opened() as opened:
                self.cold, self.planned = opened.cold, opened.planned
            case Issued() as issued:
                self._remember(issued, record.at)
            case Approved() as approved:
                self._approvals[approved.reference] = approved
                self._references[approved.reference] = approved.expires_at
            case ColdPlanned(change=change):
                self.planned = change
            case ColdInForce(cold=cold):
                self.cold, self.planned = cold, None
            case Refused(unwritten=unwritten):
                self.refusals += 1 + unwritten
            case Recovered():
                pass

    def find(self, intent_id: UUID) -> Known | None:
        """Return what was signed for an intent that has not expired."""
        return self._intents.get(intent_id)

    def has_reference(self, reference: str) -> bool:
        """Say whether an approval of this reference came before."""
        return reference in self._references

    def list_approvals(self, now: datetime) -> list[Approved]:
        """Return the approvals that nobody has used and that have not expired."""
        return [approved for approved in self._approvals.values() if approved.expires_at > now]

    def forget(self, now: datetime) -> None:
        """Drop what has expired: neither intents nor approvals are taken after that."""
        self._intents = {key: known for key, known in self._intents.items() if known.expires_at > now}
        self._approvals = {key: one for key, one in self._approvals.items() if one.expires_at > now}
        self._references = {key: until for key, until in self._references.items() if until > now}

    def _remember(self, issued: Issued, at: datetime) -> None:
        intent = issued.intent
        known = self._intents.setdefault(intent.intent_id, Known(issued.content, intent.expires_at))
        known.attempts.append(Attempt(issued.plan, issued.place, issued.txid))
        for key, units in issued.takes:
            self.windows.take(key, units, at)
        for reference in issued.approvals:
            self._approvals.pop(reference, None)
