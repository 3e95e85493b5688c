"""A day's statement of one merchant in one asset: opening, movements by kind, fees, closing. A day is UTC.

What a merchant has stands in six pots, as in `ledger.model.Balance`. For each of them opening and movements add up to
the closing, and a day opens with what the day before closed with.
"""

from dataclasses import astuple, dataclass, fields
from datetime import date, datetime
from typing import Final

from bitlinkpay.core.errors import Invalid, Unavailable
from bitlinkpay.core.ids import MerchantId, PostingId


@dataclass(frozen=True, slots=True)
class Pots:
    """Base units in each pot of a merchant, or by how much each changed; `debt_units` is what the merchant owes."""

    available_units: int = 0
    reserved_units: int = 0
    pending_units: int = 0
    unassigned_units: int = 0
    quarantined_units: int = 0
    debt_units: int = 0

    def __add__(self, other: "Pots") -> "Pots":
        """Add pot by pot."""
        pairs = zip(astuple(self), astuple(other), strict=True)
        return Pots(*(mine + theirs for mine, theirs in pairs))


POTS: Final = tuple(field.name for field in fields(Pots))


@dataclass(frozen=True, slots=True)
class Movement:
    """All postings of one kind of event in one day.

    Attributes:
        event: see `ledger.model.LedgerEvent`.
        postings: how many.
        first: the first of them in the order of recording; with `last` and the number it names them all.
        last: the last of them.
        change: what they did to each pot.
        fee_units: what of it went to the platform as fees; negative where fees came back.
    """

    event: str
    postings: int
    first: PostingId
    last: PostingId
    change: Pots
    fee_units: int


@dataclass(frozen=True, slots=True)
class Statement:
    """One merchant's day in one asset.

    Attributes:
        is_closed: whether nothing can be added to the day any more.
        movements: by event.
    """

    merchant_id: MerchantId
    asset: str
    day: date
    is_closed: bool
    opening: Pots
    movements: tuple[Movement, ...]

    @property
    def closing(self) -> Pots:
        """Return what the day ended with, or stands at."""
        return sum((movement.change for movement in self.movements), self.opening)

    @property
    def fee_units(self) -> int:
        """Return the fees of the day."""
        return sum(movement.fee_units for movement in self.movements)


@dataclass(frozen=True, slots=True)
class Line:
    """One posting of a statement: the entries behind its movements."""

    posting_id: PostingId
    recorded_at: datetime
    event: str
    key: str
    change: Pots
    fee_units: int


class DayNotBegun(Invalid):
    """The books have no such day yet."""

    code = "statement.day_not_begun"

    def __init__(self, today: date) -> None:
        super().__init__(f"ask for a day up to today, {today} in UTC", param="day")


class StatementAstray(Unavailable):
    """A statement ends otherwise than the books do; nobody is shown it."""

    code = "statement.astray"

    def __init__(self, statement: Statement) -> None:
        super().__init__(
            f"the statement of {statement.asset} on {statement.day} does not end with what the books say; it is shown"
            " once the operator has found out why (`bitlinkpay ledger check`)"
        )


def is_worth_showing(statement: Statement) -> bool:
    """Say whether a merchant had anything or anything moved."""
    return statement.opening != Pots() or bool(statement.movements)
