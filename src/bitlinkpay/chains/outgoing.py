"""Transactions of our own: what is to be paid, how one transaction does it, and what became of it.

Four values follow each other. An `Intent` says what shall happen and nothing of how. A `Slot` is the place that the
lane of the paying wallet gives it (nonce, query id, unspent outputs), taken in the database under lock. A `Plan` of the
family adds what the network must be asked for (fee, reference block); with intent and plan the bytes are fixed but for
the signature, so that the signer builds them itself and never signs foreign ones. `Signed` are the bytes and their id:
they are stored before they are sent, and the same bytes may be sent again at any time.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final, Protocol, TypeVar
from uuid import UUID

from bitlinkpay.chains.base import BlockRef, FateState
from bitlinkpay.core.assets import Asset, Family


class KeyRole(StrEnum):
    """Which branch of the seed a key stands on."""

    HOT = "hot"  # a wallet that pays: an account of its own, so that a leaked child key gives no deposit key away
    DEPOSIT = "deposit"  # one order's own address


@dataclass(frozen=True, slots=True)
class Wallet:
    """An address of ours with the place of its key.

    Attributes:
        role: the branch of the seed.
        index: the key on it, from 0.
        address: canonical address; the signer derives it again and refuses another.
    """

    role: KeyRole
    index: int
    address: str


class Purpose(StrEnum):
    """Why we send. The signer's rules on targets and caps go by it."""

    PAYOUT = "payout"  # to third parties
    SWEEP = "sweep"  # deposit addresses to the hot wallet
    GAS = "gas"  # native coin to a deposit address, so that it can pay for its own sweep
    COLD = "cold"  # surplus to the one pinned cold address
    CONSOLIDATION = "consolidation"  # many outputs of ours to one
    SETUP = "setup"  # makes a wallet ready (deploys, delegates, activates); pays nobody
    CANCEL = "cancel"  # uses up a nonce that nothing else will use; pays nobody
    LEND = "lend"  # the use of staked native coin to a deposit address, for the length of its sweep (TRON); pays nobody
    RECALL = "recall"  # ends that; a payment of either names the deposit address and the stake


LOANS: Final = frozenset({Purpose.LEND, Purpose.RECALL})
"""Their payments move no money: the units that they name are stake, and stay where they are."""


@dataclass(frozen=True, slots=True)
class Payment:
    """Exactly `units` of one asset from one address of ours to `target`.

    Attributes:
        source: whose money it is; for payouts the paying wallet itself.
        asset: id of the asset.
        target: canonical address.
        tag: memo for the recipient, "" for none.
        units: base units, positive.
    """

    source: Wallet
    asset: str
    target: str
    tag: str
    units: int

    def __post_init__(self) -> None:
        assert self.units > 0, "a payment of nothing"


@dataclass(frozen=True, slots=True)
class Intent:
    """What one transaction shall do.

    Attributes:
        intent_id: ours, UUIDv7; the same for every attempt at it.
        network: id of the network.
        purpose: why.
        payer: the wallet that pays the network's fee and whose lane it takes.
        payments: at most `Sender.payments_max`; none for `SETUP` and `CANCEL`; for `LEND` and `RECALL` one, from
            the payer, in the native coin, which stays where it is.
        fee_max_units: native units that the network may take at most; the signer holds the plan to it.
        expires_at: wall time after which nobody may sign it any more.
    """

    intent_id: UUID
    network: str
    purpose: Purpose
    payer: Wallet
    payments: tuple[Payment, ...]
    fee_max_units: int
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Unspent:
    """An unspent output of ours (Bitcoin)."""

    txid: str
    vout: int
    units: int
    owner: Wallet


@dataclass(frozen=True, slots=True)
class Slot:
    """The place of one transaction in its lane, never given to another one.

    Attributes:
        number: EVM: the nonce. TON: the running number behind the query id. Elsewhere a running number that keeps two
            equal payments from being the same bytes.
        unspent: Bitcoin only: the outputs to spend.
    """

    number: int
    unspent: tuple[Unspent, ...] = ()


@dataclass(frozen=True, slots=True)
class Signed:
    """The bytes to send.

    Attributes:
        txid: the id by which `Sender.outcome` finds it, in the network's usual spelling.
        raw: the signed bytes.
    """

    txid: str
    raw: bytes


class Sent(StrEnum):
    """What a node said to the bytes. None of these is proof of anything on the chain."""

    ACCEPTED = "accepted"  # taken, or known already
    REFUSED = "refused"  # this node will not relay it as it is; it may still be known elsewhere
    UNCLEAR = "unclear"  # no usable answer


@dataclass(frozen=True, slots=True)
class Broadcast:
    """The answer to a broadcast; `reason` is the node's own text, cleaned, "" when accepted."""

    sent: Sent
    reason: str = ""


def most_hopeful(answers: Sequence[Broadcast]) -> Broadcast:
    """Return the answer to act on of several endpoints': bytes that one may have taken are not refused (NODE-12)."""
    return min(answers, key=lambda answer: _HOPE.index(answer.sent))


_HOPE: Final = (Sent.ACCEPTED, Sent.UNCLEAR, Sent.REFUSED)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a transaction of ours.

    Attributes:
        state: as for any transaction.
        block: where it stands.
        fee_units: native units that the network took from `payer`; 0 until it is in a block.
        delivered: per payment of the intent whether it arrived; decided once `state` is `FINAL` or `FAILED`,
            else empty.
        txid: the id under which it was found, which a malleable network may have changed.
        returned_units: native units that the network gave back to `payer` (Solana: the rent of accounts that a sweep
            closed); not taken off `fee_units`.
    """

    state: FateState
    txid: str
    block: BlockRef | None = None
    fee_units: int = 0
    delivered: tuple[bool, ...] = ()
    returned_units: int = 0


@dataclass(frozen=True, slots=True)
class Lane:
    """What the chain itself says of a paying wallet, at its newest final block and at its newest one.

    Attributes:
        final_number: EVM: the next nonce of the final state; elsewhere 0.
        next_number: EVM: the next nonce, unconfirmed transactions included; elsewhere 0.
        is_ready: whether the wallet can send batches as it stands; False asks for a `SETUP` intent first.
    """

    final_number: int
    next_number: int
    is_ready: bool


@dataclass(frozen=True, slots=True)
class FeeQuote:
    """What a transaction would cost now: `units` is expected, `units_max` is the most that a plan of now allows."""

    units: int
    units_max: int


@dataclass(frozen=True, slots=True)
class Loan:
    """What it takes to lend the payer of a transaction what its code burns otherwise (TRON: energy).

    Attributes:
        stake_units: how much of the lender's stake, 0 where the payer has enough of its own.
        lend: the fee of lending, which the lender pays.
        recall: the same of taking it back.
        own: what the transaction itself still takes: `units` of coin that its payer must hold, `units_max` the fee that
            its plan allows, the worth of what is lent included.
        opens: whether the payer has no account yet, and must get coin before anything can be lent to it.
    """

    stake_units: int
    lend: FeeQuote
    recall: FeeQuote
    own: FeeQuote
    opens: bool

    @property
    def covered_units(self) -> int:
        """Return what of the allowed fee the loan pays, so that the payer need not hold it."""
        return self.own.units_max - self.own.units


class Lending(Protocol):
    """A network on which staked coin can be lent. Methods raise `ChainError` when it cannot be read."""

    async def lendable(self, lender: Wallet) -> int:
        """Return how much of its stake a wallet can lend now."""
        ...

    async def loan(self, intent: Intent, lender: Wallet) -> Loan:
        """Say what it would take to lend an intent's payer what it burns.

        Raises:
            CannotPlan: the intent would fail.
        """
        ...

    async def lent(self, lender: Wallet, borrower: str) -> int:
        """Return the stake that one address has lent another by the final blocks."""
        ...


def numbers_taken(family: Family, purpose: Purpose) -> int:
    """Return how many numbers of its lane one transaction uses up.

    An EVM wallet that delegates in its own transaction uses two nonces: the transaction's and the authorization's
    (EIP-7702).
    """
    return 2 if family is Family.EVM and purpose is Purpose.SETUP else 1


def pays_for_itself(family: Family, purpose: Purpose) -> bool:
    """Say whether the fee comes off what a transaction brings to its payer: a Bitcoin sweep spends nothing else."""
    return family is Family.BITCOIN and purpose is Purpose.SWEEP


class CannotPlan(Exception):
    """The intent cannot be carried out as it is, now or ever; `reason` is for people. Nothing was sent."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class FeeTooHigh(CannotPlan):
    """The network asks for more than `Intent.fee_max_units` now; later it may ask for less."""


class LacksGas(FeeTooHigh):
    """The payer holds too little native coin for the fee; with `units` more it could pay."""

    def __init__(self, reason: str, units: int) -> None:
        super().__init__(reason)
        self.units = units


class LacksFunds(CannotPlan):
    """A source of ours holds too little of the asset now; later it may hold more."""


P = TypeVar("P")


class Sender(Protocol[P]):
    """One network as our wallets see it. Methods raise `ChainError` when it cannot be read; they never guess.

    `P` is the family's plan: a frozen dataclass of numbers, texts and bytes that JSON can carry.
    """

    def payments_max(self, asset: Asset, purpose: Purpose) -> int:
        """Return how many payments of an asset one transaction can carry."""
        ...

    async def lane(self, payer: Wallet) -> Lane:
        """Ask the chain where a paying wallet stands."""
        ...

    async def quote(self, intent: Intent) -> FeeQuote:
        """Say what the intent would cost now, simulated on the network where it can be.

        Raises:
            CannotPlan: it would fail (recipient refuses, token paused, balance lacking, ...).
        """
        ...

    async def plan(self, intent: Intent, slot: Slot, previous: P | None = None) -> P:
        """Fix everything but the signature.

        Args:
            intent: what to do.
            slot: its place in the lane.
            previous: the plan to outbid: same slot, same payments, only the fee (and what expires) differs.

        Raises:
            CannotPlan, FeeTooHigh, LacksGas: see there.
        """
        ...

    async def broadcast(self, signed: Signed) -> Broadcast:
        """Hand the bytes to every endpoint; safe to repeat for ever."""
        ...

    async def outcome(self, intent: Intent, plan: P, signed: Signed) -> Outcome:
        """Say what became of it. `UNKNOWN` is no proof of death, see `is_dead`.

        Raises:
            CannotPlan: nobody can tell any more: its asset is not listed now. Others can still be followed.
        """
        ...

    async def is_dead(self, intent: Intent, plan: P, signed: Signed) -> bool:
        """Return True only with proof from final blocks that these bytes can never take effect any more."""
        ...

    async def choose(self, intent: Intent, available: Sequence[Unspent]) -> Sequence[Unspent]:
        """Choose what to spend (Bitcoin; elsewhere nothing): enough for payments and fee at the rate of now.

        Raises:
            CannotPlan: they do not suffice.
        """
        ...

    def produced(self, plan: P, signed: Signed) -> Sequence[Unspent]:
        """Return the outputs that the transaction gives back to wallets of ours (Bitcoin: change, sweeps)."""
        ...
