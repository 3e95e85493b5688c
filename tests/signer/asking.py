"""A signer in this process, on a folder of the test's own, with a clock set by hand and questions as an honest lane asks them."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import msgspec
from nacl.signing import SigningKey

from bitlinkpay.chains.outgoing import Intent, KeyRole, Payment, Purpose, Signed, Wallet
from bitlinkpay.chains.registry import load_registry
from bitlinkpay.chains.simulated_plan import SimulatedPlan
from bitlinkpay.core.assets import Family
from bitlinkpay.signer.audit.events import Event
from bitlinkpay.signer.audit.files import read_all
from bitlinkpay.signer.audit.journal import FOLDER
from bitlinkpay.signer.clock import GuardedClock
from bitlinkpay.signer.desk import Desk
from bitlinkpay.signer.files import make_private_folder
from bitlinkpay.signer.keys import derive_keyring
from bitlinkpay.signer.policy.approval import Approval
from bitlinkpay.signer.protocol import Sign
from bitlinkpay.signer.room import Room
from bitlinkpay.signer.vault import Vault
from bitlinkpay.signer.waiting import Waitings
from bitlinkpay.wallets.derivation import Derivation

SEED = bytes(range(64))
REGISTRY = load_registry()
RING, VAULT = derive_keyring(SEED), Vault.of(SEED)
STRANGER = derive_keyring(bytes(64))
ALICE, BOB, EVE = (SigningKey(bytes([n]) * 32) for n in (1, 2, 3))
NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)

POLICY = f"""
mode = "sandbox"
attempts = 3
purposes = ["payout", "sweep", "gas", "cold", "consolidation", "setup", "cancel"]

[operators]
alice = "{bytes(ALICE.verify_key).hex()}"
bob = "{bytes(BOB.verify_key).hex()}"

[caps]
usdt-tron = {{ payment = "1000", hour = "3000", day = "5000" }}

[fees]
tron = {{ most = "20", day = "1000" }}

[cold]
serial = 1
[cold.addresses]
usdt-tron = "{STRANGER.hot_wallet(REGISTRY.networks["tron"], 7).address}"
"""
USDT = 10**6
COLD = STRANGER.hot_wallet(REGISTRY.networks["tron"], 7).address


class HandClock:
    """Seconds that the test sets: the wall's, and the steady ones that nobody can set."""

    def __init__(self) -> None:
        self.wall = NOW.timestamp()
        self.steady = 1_000.0

    def guarded(self) -> GuardedClock:
        return GuardedClock(lambda: self.wall, lambda: self.steady)

    def advance(self, by: timedelta) -> None:
        self.wall += by.total_seconds()
        self.steady += by.total_seconds()

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.wall, UTC)


def stranger(number: int = 0, network: str = "tron") -> str:
    """An address that is none of ours."""
    return STRANGER.hot_wallet(REGISTRY.networks[network], number).address


def hot(network: str = "tron", index: int = 0) -> Wallet:
    return RING.hot_wallet(REGISTRY.networks[network], index)


def deposit(index: int = 0, network: str = "tron") -> Wallet:
    found = REGISTRY.networks[network]
    if found.family is Family.SOLANA:
        return Wallet(KeyRole.DEPOSIT, index, VAULT.solana.address(index))
    return Wallet(KeyRole.DEPOSIT, index, Derivation(RING).address(found.family, index, testnet=False))


@dataclass
class Asking:
    """An opened signer and who asks it."""

    folder: Path
    clock: HandClock = field(default_factory=HandClock)
    room: Room = field(init=False)
    desk: Desk = field(init=False)
    waitings: Waitings = field(init=False)

    @classmethod
    def start(cls, folder: Path, policy: str = POLICY) -> "Asking":
        make_private_folder(folder)
        asking = cls(folder)
        asking.configure(policy)
        asking.open()
        return asking

    def configure(self, policy: str) -> None:
        (self.folder / "policy.toml").write_text(policy)
        (self.folder / "policy.toml").chmod(0o600)

    def open(self) -> None:
        """Start the signer, again where it ran before: only what is on the disk is left of it."""
        self.room = Room.open(self.folder, RING, VAULT, self.clock.guarded())
        self.waitings = Waitings(self.room)
        self.desk = Desk(self.room, self.waitings)

    def restart(self) -> None:
        self.room.journal.close()
        self.open()

    def payment(self, units: int = 100 * USDT, *, to: str = "", source: Wallet | None = None, **more: str) -> Payment:
        fields = {"asset": "usdt-tron", "tag": ""} | more
        return Payment(source=source or hot(), target=to or stranger(), units=units, **fields)

    def intent(self, *payments: Payment, purpose: Purpose = Purpose.PAYOUT, **more: object) -> Intent:
        fields: dict[str, object] = {
            "intent_id": uuid4(),
            "network": "tron",
            "payer": hot(),
            "fee_max_units": USDT,
            "expires_at": self.clock.now() + timedelta(hours=1),
        }
        return Intent(purpose=purpose, payments=payments, **(fields | more))  # type: ignore[arg-type]

    def sign(
        self, intent: Intent, *, number: int = 1, fee: int = 0, ours: Sequence[Wallet] = (), dead: Sequence[str] = ()
    ) -> Signed:
        return self.sign_by(SimulatedPlan(number, fee), intent, ours=ours, dead=dead)

    def sign_by(self, plan: object, intent: Intent, *, ours: Sequence[Wallet] = (), dead: Sequence[str] = ()) -> Signed:
        """Ask by a plan of any family."""
        return self.desk.sign(Sign(intent, msgspec.Raw(msgspec.json.encode(plan)), tuple(ours), tuple(dead)))

    def pay(self, units: int = 100 * USDT, **more: object) -> Signed:
        """Ask for one payout to a stranger."""
        return self.sign(self.intent(self.payment(units)), **more)  # type: ignore[arg-type]

    def approval(self, payment: Payment, key: SigningKey = ALICE, **more: object) -> Approval:
        fields: dict[str, object] = {
            "signer": RING.fingerprint,
            "network": "tron",
            "asset": payment.asset,
            "target": payment.target,
            "tag": payment.tag,
            "units": payment.units,
            "reference": UUID(int=uuid4().int).hex,
            "expires_at": self.clock.now() + timedelta(hours=1),
        }
        bare = Approval(**(fields | more))  # type: ignore[arg-type]
        return msgspec.structs.replace(bare, signature=key.sign(bare.message()).signature)

    def audit(self) -> list[Event]:
        """Return what the audit on the disk holds, each record checked."""
        return [record.event for record in read_all(self.folder / FOLDER)]


def but(intent: Intent, **changes: object) -> Intent:
    """Return an intent with its first payment changed."""
    first = replace(intent.payments[0], **changes)  # type: ignore[arg-type]
    return replace(intent, payments=(first, *intent.payments[1:]))
