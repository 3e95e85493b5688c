"""The signer of a schedule: the shipped desk on files of its own, which dies at a file call and starts again from them."""

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

import msgspec
from tests.crashes.faults import Crash, Fuse, Place
from tests.flows.harness import REGISTRY
from tests.flows.paying import SEED
from tests.support.clock import ManualClock

from bitlinkpay.chains.address import show_address
from bitlinkpay.chains.outgoing import Intent, Signed, Wallet
from bitlinkpay.core.mode import Mode
from bitlinkpay.signer.audit.chain import encode, seal
from bitlinkpay.signer.audit.events import Event, Issued, Record
from bitlinkpay.signer.audit.files import list_files, read_all
from bitlinkpay.signer.audit.journal import FOLDER, Journal
from bitlinkpay.signer.clock import GuardedClock
from bitlinkpay.signer.desk import Desk
from bitlinkpay.signer.files import make_private_folder
from bitlinkpay.signer.keys import derive_keyring
from bitlinkpay.signer.policy.file import POLICY_FILE
from bitlinkpay.signer.policy.template import write_template
from bitlinkpay.signer.problems import SignerRefused, SignerUnreachable
from bitlinkpay.signer.protocol import Sign
from bitlinkpay.signer.room import Room
from bitlinkpay.signer.vault import Vault
from bitlinkpay.signer.waiting import Waitings

RING, VAULT = derive_keyring(SEED), Vault.of(SEED)


class _Died(Exception):
    """The signer's process is gone; whoever asked it gets no answer."""


@dataclass
class FaultyJournal:
    """An audit whose every write may be the signer's last: nothing of it, half of it or all of it is on the disk."""

    journal: Journal
    folder: Path
    fuse: Fuse

    def append(self, event: Event, at: datetime) -> Record:
        self._tick("before write")
        try:
            self._tick("within write")
        except (_Died, Crash):
            line = encode(seal(self.journal.head.seq + 1, at, self.journal.head.hash, event))
            with list_files(self.folder)[-1].open("ab") as file:
                file.write(line[: len(line) // 2])
            raise
        record = self.journal.append(event, at)
        self._tick("after write")
        return record

    def _tick(self, what: str) -> None:
        if self.fuse.strikes(Place.FILE, what):
            raise _Died


@dataclass
class Keeper:
    """The signer as the workers reach it: there, away, or refusing what it has not signed before."""

    folder: Path
    wall: ManualClock
    cold: Mapping[str, str]  # by asset, as its policy pins them
    is_away: bool = False
    refusal: str = ""
    starts: int = 0
    _room: Room | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        make_private_folder(self.folder)
        write_template(self.folder, Mode.SANDBOX)
        pinned = [f'{asset} = "{_shown(asset, address)}"' for asset, address in self.cold.items()]
        with (self.folder / POLICY_FILE).open("a") as policy:
            policy.write("\n".join(["[cold]", "serial = 1", "[cold.addresses]", *pinned, ""]))

    def sign(self, ask: Sign, fuse: Fuse) -> Signed:
        if self.is_away:
            raise SignerUnreachable(self.folder, "it is away")
        room = self._open()
        if self.refusal and room.history.find(ask.intent.intent_id) is None:
            raise SignerRefused(self.refusal)
        journal = FaultyJournal(room.journal, self.folder / FOLDER, fuse)
        faulty = replace(room, journal=journal)  # type: ignore[arg-type]
        try:
            return Desk(faulty, Waitings(faulty)).sign(ask)
        except _Died:
            self.die()
            raise SignerUnreachable(self.folder, "it died") from None
        except Crash:
            self.die()
            raise

    def die(self) -> None:
        """End the signer's process: what it remembered is gone, its files stay."""
        if self._room is not None:
            with suppress(OSError):
                self._room.journal.close()
            self._room = None

    def issued(self) -> set[str]:
        """Return the ids that the audit on the disk, each record checked, says were given out."""
        records = read_all(self.folder / FOLDER) if self.starts else ()
        return {record.event.txid for record in records if isinstance(record.event, Issued)}

    def _open(self) -> Room:
        if self._room is None:
            steady = self.wall.now
            clock = GuardedClock(lambda: steady().timestamp(), lambda: steady().timestamp())
            self._room = Room.open(self.folder, RING, VAULT, clock)
            self.starts += 1
        return self._room


def _shown(asset: str, address: str) -> str:
    return show_address(REGISTRY.networks[REGISTRY.assets[asset].network], address)


@dataclass
class FaultyPen:
    """The way of one process to the signer."""

    keeper: Keeper
    fuse: Fuse

    async def sign(self, intent: Intent, plan: object, *, ours: Sequence[Wallet] = ()) -> Signed:
        await self.fuse.pass_by(Place.SIGNER, "before", self._silent)
        ask = Sign(intent, msgspec.Raw(msgspec.json.encode(plan)), tuple(ours))
        signed = self.keeper.sign(ask, self.fuse)
        await self.fuse.pass_by(Place.SIGNER, "after", self._silent)
        return signed

    def _silent(self) -> SignerUnreachable:
        return SignerUnreachable(self.keeper.folder, f"no answer, {os.strerror(110)}")
