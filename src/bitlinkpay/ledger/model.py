"""What goes into the books (moves, postings), what comes back (results), and what must always hold (invariants)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import ClassVar
from uuid import UUID

from bitlinkpay.core.errors import Kind, Problem
from bitlinkpay.core.ids import PostingId
from bitlinkpay.core.money import MAX_UNITS

MAX_BATCH = 4096
MAX_KEY = 200


class LedgerEvent(StrEnum):
    """The business events that move money, one chart function each."""

    DEPOSIT_SEEN = "deposit_seen"
    DEPOSIT_DROPPED = "deposit_dropped"
    DEPOSIT_CREDITED = "deposit_credited"
    DEPOSIT_UNASSIGNED = "deposit_unassigned"
    DEPOSIT_QUARANTINED = "deposit_quarantined"
    DEPOSIT_RELEASED = "deposit_released"
    DEPOSIT_REVERSED = "deposit_reversed"
    UNASSIGNED_ACCEPTED = "unassigned_accepted"
    UNATTRIBUTED_SEEN = "unattributed_seen"
    UNATTRIBUTED_FINAL = "unattributed_final"
    UNATTRIBUTED_CLAIMED = "unattributed_claimed"
    DUST_WRITTEN_OFF = "dust_written_off"
    HOT_WALLET_FUNDED = "hot_wallet_funded"
    REFILL_SENT = "refill_sent"
    REFILL_ARRIVED = "refill_arrived"
    GAS_SPENT = "gas_spent"
    RENT_RETURNED = "rent_returned"
    PAYOUT_RESERVED = "payout_reserved"
    PAYOUT_RELEASED = "payout_released"
    PAYOUT_COMPLETED = "payout_completed"
    REFUND_RESERVED = "refund_reserved"
    REFUND_RELEASED = "refund_released"
    OWN_TRANSFER = "own_transfer"
    UNATTRIBUTED_FUNDED = "unattributed_funded"
    SURPLUS_FOUND = "surplus_found"
    SHORTAGE_WRITTEN_OFF = "shortage_written_off"
    UPKEEP_SPENT = "upkeep_spent"


@dataclass(frozen=True, slots=True)
class Move:
    """Units of one asset, credited to one account and debited to another at once, so that it always balances."""

    debit: str
    credit: str
    units: int

    def __post_init__(self) -> None:
        assert 0 < self.units <= MAX_UNITS, f"a move of {self.units} units"
        assert self.debit != self.credit, f"a move from {self.debit} to itself"


@dataclass(frozen=True, slots=True)
class Posting:
    """One business event in one asset: all of its moves or none.

    Attributes:
        key: unique for ever: the same key with the same content is the same event, events that exclude each other
            share one.
        event: what happened.
        asset: id of the asset.
        moves: in order; no move may overdraw an account, not even for the moves after it.
        merchant_id: the only merchant whose accounts may be touched; None for none.
        happened_at: business time. The day in the books is that of the recording instead.
    """

    key: str
    event: LedgerEvent
    asset: str
    moves: tuple[Move, ...]
    merchant_id: UUID | None
    happened_at: datetime

    def __post_init__(self) -> None:
        assert self.moves, f"{self.key} moves nothing"
        assert 0 < len(self.key) <= MAX_KEY, f"key of {len(self.key)} characters"
        assert self.happened_at.tzinfo is not None, f"{self.key} happened at a time without a zone"


@dataclass(frozen=True, slots=True)
class Posted:
    """Booked now."""

    posting_id: PostingId
    recorded_at: datetime


@dataclass(frozen=True, slots=True)
class Replayed:
    """Booked before under this key with this content; the first result."""

    posting_id: PostingId
    recorded_at: datetime


class Refusal(Problem):
    """A posting that was not booked and left no trace; its key is still free, except after `ExistsDifferent`."""

    code = "ledger.refused"
    kind = Kind.CONFLICT


class ExistsDifferent(Refusal):
    """The key stands in the books with other content."""

    code = "ledger.exists_different"
    __match_args__ = ("field",)

    def __init__(self, field: str) -> None:
        super().__init__(f"this key is booked already with another {field}")
        self.field = field


class AccountRefusal(Refusal):
    """An account does not let the posting through."""

    statement: ClassVar[str] = "{account} refuses the posting"
    __match_args__ = ("account",)

    def __init__(self, account: str) -> None:
        super().__init__(self.statement.format(account=account))
        self.account = account


class InsufficientBalance(AccountRefusal):
    """The account holds less than the move takes."""

    code = "ledger.insufficient_balance"
    statement = "{account} holds less than the move takes"


class BalanceOverflow(AccountRefusal):
    """The account would hold more than 78 digits of base units."""

    code = "ledger.balance_overflow"
    statement = "{account} would hold more than 78 digits"


class AccountFrozen(AccountRefusal):
    """The account was stopped by the auditor until a person has looked at it."""

    code = "ledger.account_frozen"
    statement = "{account} is frozen until its difference is explained"


class UnknownAccount(AccountRefusal):
    """The chart has no kind of account with such a name."""

    code = "ledger.unknown_account"
    statement = "the chart of accounts has no place for {account}"


class ForeignAccount(AccountRefusal):
    """The account belongs to another merchant than the posting."""

    code = "ledger.foreign_account"
    statement = "{account} belongs to another merchant"


class MixedAssets(AccountRefusal):
    """The account is kept in another asset than the posting."""

    code = "ledger.mixed_assets"
    statement = "{account} is kept in another asset"


Result = Posted | Replayed | Refusal


@dataclass(frozen=True, slots=True)
class Balance:
    """What one merchant has in one asset, in base units; `debt_units` is what the merchant owes."""

    asset: str
    available_units: int
    reserved_units: int
    pending_units: int
    unassigned_units: int
    quarantined_units: int
    debt_units: int


@dataclass(frozen=True, slots=True)
class Invariant:
    """What must hold at any moment.

    Attributes:
        name: one word with underscores.
        sentence: what holds, for people.
        query: SQL without parameters whose rows are the violations, each one text that names the culprit.
    """

    name: str
    sentence: str
    query: str


@dataclass(frozen=True, slots=True)
class Check:
    """The outcome of one invariant: `detail` repeats its sentence, with the culprits where it is broken."""

    name: str
    ok: bool
    detail: str


def all_ok(checks: Sequence[Check]) -> bool:
    """Say whether every check held."""
    return all(check.ok for check in checks)
