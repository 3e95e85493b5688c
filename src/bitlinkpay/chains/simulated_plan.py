"""Transactions of our own on simulated networks: what is signed, how it travels.

A simulated transaction is one JSON text: intent, plan, and a signature by the payer and by every other wallet whose
money moves, over the SHA-256 of the canonical JSON of intent and plan. Its id is the hash of that text, spelled as the
network spells ids.
"""

from dataclasses import dataclass
from hashlib import sha256

import msgspec

from bitlinkpay.chains.outgoing import Intent, Wallet
from bitlinkpay.chains.simulated_format import spell_txid
from bitlinkpay.core.assets import Family

ED25519 = frozenset({Family.SOLANA, Family.TON})  # the families whose keys are Ed25519; the others' are secp256k1


@dataclass(frozen=True, slots=True)
class SimulatedPlan:
    """What a simulated network must be told besides the intent.

    Attributes:
        number: the slot; of two transactions with one payer and one number only one takes effect.
        fee_units: native units that the payer pays; to outbid is to pay more.
    """

    number: int
    fee_units: int


@dataclass(frozen=True, slots=True)
class Witness:
    """One wallet's consent: its public key (32 or 33 bytes) and its signature (64 bytes)."""

    address: str
    key: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class SimulatedTransaction:
    """A signed transaction as it travels."""

    intent: Intent
    plan: SimulatedPlan
    witnesses: tuple[Witness, ...]


def digest(intent: Intent, plan: SimulatedPlan) -> bytes:
    """Return the 32 bytes that every wallet signs."""
    return sha256(msgspec.json.encode((intent, plan))).digest()


def parties(intent: Intent) -> tuple[Wallet, ...]:
    """Return the wallets that must sign: the payer first, then each other source once."""
    return tuple(dict.fromkeys((intent.payer, *(payment.source for payment in intent.payments))))


def encode(transaction: SimulatedTransaction) -> bytes:
    """Return the bytes to broadcast."""
    return msgspec.json.encode(transaction)


def txid(family: Family, raw: bytes) -> str:
    """Return the transaction id of broadcast bytes."""
    return spell_txid(family, sha256(raw).digest())
