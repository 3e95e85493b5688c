"""What the signer's services share: rules, registry, keys, clock, memory and audit."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from bitlinkpay.chains.registry import Registry
from bitlinkpay.signer.audit.events import Event, Opened, Recovered
from bitlinkpay.signer.audit.journal import FOLDER, Journal, open_past
from bitlinkpay.signer.clock import GuardedClock
from bitlinkpay.signer.keyring import KeyRing
from bitlinkpay.signer.policy.cold import review
from bitlinkpay.signer.policy.file import POLICY_FILE, load_policy
from bitlinkpay.signer.policy.history import History
from bitlinkpay.signer.policy.model import DAY, HOUR, Policy
from bitlinkpay.signer.vault import Vault

HORIZON: Final = DAY + HOUR
"""How far back a signer remembers: caps count for a day, intents and approvals live no longer."""


@dataclass(frozen=True, slots=True)
class Room:
    """One opened signer."""

    policy: Policy
    registry: Registry
    ring: KeyRing
    vault: Vault
    clock: GuardedClock
    history: History
    journal: Journal

    @classmethod
    def open(cls, folder: Path, ring: KeyRing, vault: Vault, clock: GuardedClock) -> "Room":
        """Read policy and audit of a signer folder, and write down that it was opened.

        Raises:
            BadPolicy, BadRegistry, AuditBroken, ClockBehind, AuditFailed, LooseFile: see there.
        """
        policy, registry = load_policy(folder / POLICY_FILE)
        now = clock.now()
        past = open_past(folder / FOLDER, now=now, horizon=HORIZON)
        history = History.replay(past.records)

        def opening() -> Opened:
            return Opened(ring.fingerprint, policy.mode, policy.digest, history.cold, history.planned)

        room = cls(policy, registry, ring, vault, clock, history, Journal(folder / FOLDER, past.head, opening))
        room.write(opening(), now)
        if past.lost:
            room.write(Recovered(past.lost), now)
        if change := review(policy, history, ring.fingerprint, now):
            room.write(change, now)
        return room

    def write(self, event: Event, now: datetime) -> None:
        """Write a record and remember it.

        Raises:
            AuditFailed: it may not be there; nothing may be answered.
        """
        self.history.apply(self.journal.append(event, now))
