"""A place of ours, what books and chain say of it at one height, and the life of a difference between the two.

A difference is suspected when it is first seen, and counts once a second look, at a later height, finds it no better:
whatever is a race between two readers of one chain is over by then. One that counts and that no transfer explains
stops the payments of its asset, until a person has resolved it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Final
from uuid import UUID

from bitlinkpay.core.errors import Conflict, NotFound
from bitlinkpay.core.fsm import Machine
from bitlinkpay.ledger import accounts

COLD: Final = "cold"
DRIFT_UNITS: Final = 100_000_000
"""0.1 TON. A TON wallet pays for every message that it gets and for its place on the chain, out of its balance, a
fraction of a cent each (docs.ton.org, "Fees"). The notice of a jetton that arrives brings coins of its own, up to some
hundredths of one.
"""

DRIFT_GAIN: Final = 100
"""How many times more of them may have come than gone between two looks: notices are larger than fees."""

DRIFT_DAY: Final = 50
"""How many times as much may go within a day, 5 TON: who takes less than the bound at each look is stopped by then."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where money of ours stands: an address of an order, a hot wallet, or cold storage as a whole.

    Attributes:
        name: the address, or `COLD`.
        addresses: what the chain is asked about; their balances add up.
    """

    name: str
    addresses: tuple[str, ...]

    @property
    def accounts(self) -> tuple[str, ...]:
        """Return the accounts whose balances add up to what stands there."""
        if self.name == COLD:
            return (accounts.COLD,)
        return accounts.hot_custody(self.name), accounts.deposit_custody(self.name)


@dataclass(frozen=True, slots=True)
class Running:
    """A transaction of ours that has not ended in the books, as one place and asset feel it.

    Attributes:
        txids: of its attempts; the chain takes at most one of them.
        out_units: what it takes away.
        in_units: what it brings from another place of ours.
        fee_max_units: what the network may take from this place on top.
    """

    txids: tuple[str, ...]
    out_units: int
    in_units: int
    fee_max_units: int


@dataclass(frozen=True, slots=True)
class Books:
    """What the books say of a place after the block at a final height.

    Attributes:
        units: what the chain should show, if none of `running` stands in a block up to there.
        agreed_height: where books and chain agreed last, None if they were never compared.
    """

    units: int
    running: tuple[Running, ...]
    agreed_height: int | None


@dataclass(frozen=True, slots=True)
class Sight:
    """One look at a place: what the books and the chain say at the same height."""

    network: str
    asset: str
    place: str
    height: int
    books_units: int
    chain_units: int

    @property
    def difference_units(self) -> int:
        """Return by how much the chain holds more; negative where it holds less."""
        return self.chain_units - self.books_units


class EvidenceKind(StrEnum):
    """What may make up a difference."""

    UNBOOKED = "unbooked"  # a transfer on the chain that no posting knows
    VANISHED = "vanished"  # a posting whose transfer the chain does not show


@dataclass(frozen=True, slots=True)
class Evidence:
    """One transaction behind a difference; `units` is what it does to the chain's side of it, negative for less."""

    kind: EvidenceKind
    txid: str
    height: int
    units: int


class DifferenceState(StrEnum):
    """How far a difference is."""

    SUSPECTED = "suspected"  # seen once
    OPEN = "open"  # seen twice and no better: it is none of timing
    AGREED = "agreed"  # it went by itself after that; a person has not looked yet
    PASSED = "passed"  # it went by itself before it counted
    RESOLVED = "resolved"


class DifferenceEvent(StrEnum):
    """What happened to a difference."""

    CHANGED = "changed"
    CONFIRMED = "confirmed"
    DRIFTED = "drifted"  # confirmed, and of a kind that messages bring and cost: the books take it in by themselves
    AGREED = "agreed"
    LOOKED_AT = "looked_at"  # a person knows why it was there and is not any more
    BOOKED = "booked"  # a person took it into the books


_S, _E = DifferenceState, DifferenceEvent

DIFFERENCE: Final = Machine[DifferenceState, DifferenceEvent](
    "difference",
    MappingProxyType(
        {
            (_S.SUSPECTED, _E.CHANGED): _S.SUSPECTED,
            (_S.SUSPECTED, _E.CONFIRMED): _S.OPEN,
            (_S.SUSPECTED, _E.DRIFTED): _S.RESOLVED,
            (_S.SUSPECTED, _E.AGREED): _S.PASSED,
            (_S.OPEN, _E.CHANGED): _S.OPEN,
            (_S.OPEN, _E.AGREED): _S.AGREED,
            (_S.OPEN, _E.BOOKED): _S.RESOLVED,
            (_S.AGREED, _E.LOOKED_AT): _S.RESOLVED,
        }
    ),
)
LIVING: Final = (_S.SUSPECTED, _S.OPEN)
UNRESOLVED: Final = (_S.OPEN, _S.AGREED)


@dataclass(frozen=True, slots=True)
class Difference:
    """A difference as stored, with the newest sight of it.

    Attributes:
        is_explained: whether `evidence` of unbooked arrivals makes up all of it, so that nothing is missing.
    """

    difference_id: UUID
    sight: Sight
    state: DifferenceState
    is_explained: bool
    evidence: tuple[Evidence, ...]
    seen_at: datetime
    updated_at: datetime


class DifferenceNotFound(NotFound):
    """Nobody ever saw such a difference."""

    code = "reconciliation.not_found"

    def __init__(self) -> None:
        super().__init__("no such difference; see `bitlinkpay reconcile show`")


class StillThere(Conflict):
    """Books and chain still disagree: only a posting makes them agree."""

    code = "reconciliation.still_there"

    def __init__(self) -> None:
        super().__init__("books and chain still disagree: find out why, then resolve it with --book")


class NothingToResolve(Conflict):
    """The difference does not wait for a person."""

    code = "reconciliation.nothing_to_resolve"

    def __init__(self, state: DifferenceState) -> None:
        super().__init__(f"the difference is {state}; only one that is open or agreed waits for a person")


def judge(
    found: Difference | None, sight: Sight, *, drift_units: int = 0, drifted_units: int = 0
) -> DifferenceEvent | None:
    """Return what a look means for a living difference of its place; None where it means nothing new.

    Args:
        found: the difference, if any.
        sight: the look.
        drift_units: how much may be missing of a coin that messages bring and cost (see `DRIFT_UNITS`); 0 for others.
        drifted_units: how much of it went that way within a day.
    """
    if found is None or found.state not in LIVING:
        return None
    if sight.difference_units == 0:
        return DifferenceEvent.AGREED
    if found.state is DifferenceState.SUSPECTED and sight.height > found.sight.height and _is_no_better(found, sight):
        loss_max = min(drift_units, max(0, drift_units * DRIFT_DAY - drifted_units))
        is_drift = -loss_max <= sight.difference_units <= drift_units * DRIFT_GAIN
        return DifferenceEvent.DRIFTED if is_drift else DifferenceEvent.CONFIRMED
    return DifferenceEvent.CHANGED if sight.difference_units != found.sight.difference_units else None


def _is_no_better(found: Difference, sight: Sight) -> bool:
    """Say whether at least as much is missing, or too much, as before: who goes on taking must not stay suspected."""
    before, after = found.sight.difference_units, sight.difference_units
    return after <= before < 0 or after >= before > 0


def is_in_motion(books: Books, stands: Sequence[Running], chain_units: int) -> bool:
    """Say whether transactions that stand in final blocks already, and end in the books any moment, explain the chain.

    Args:
        books: what the books say without them.
        stands: those of `books.running` that the chain shows up to that height.
        chain_units: what the chain says.
    """
    if not stands:
        return False
    moved = sum(one.in_units - one.out_units for one in stands)
    fee_max = sum(one.fee_max_units for one in stands)
    return books.units + moved - fee_max <= chain_units <= books.units + moved


def explains(evidence: Sequence[Evidence], sight: Sight) -> bool:
    """Say whether arrivals that the books do not know make up all of what the chain holds more."""
    arrivals = [one for one in evidence if one.kind is EvidenceKind.UNBOOKED and one.units > 0]
    is_all = len(arrivals) == len(evidence) and sum(one.units for one in arrivals) == sight.difference_units
    return sight.difference_units > 0 and is_all
