"""Loans of stake: their values and the one table of their states."""

from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final
from uuid import UUID

from bitlinkpay.chains.outgoing import Wallet
from bitlinkpay.core.fsm import Machine
from bitlinkpay.treasury.model import Method, Move, MoveEvent, MoveState


class LoanState(StrEnum):
    """How far a loan is."""

    ASKED = "asked"  # its sweep is planned: it is about to be lent, or already on its way
    LENT = "lent"  # by final blocks; it is taken back once its sweep has ended
    RETURNING = "returning"  # taking it back is queued or on its way
    RETURNED = "returned"
    FAILED = "failed"  # it was never lent


class LoanEvent(StrEnum):
    """What happened to a loan."""

    LENT = "lent"
    RECALLED = "recalled"
    RETURNED = "returned"
    FAILED = "failed"
    GONE = "gone"  # the chain shows less of it than was lent: somebody took it back without us


_S, _E = LoanState, LoanEvent

LOAN: Final = Machine[LoanState, LoanEvent](
    "loan",
    MappingProxyType(
        {
            (_S.ASKED, _E.LENT): _S.LENT,
            (_S.ASKED, _E.FAILED): _S.FAILED,
            (_S.LENT, _E.RECALLED): _S.RETURNING,
            (_S.LENT, _E.GONE): _S.RETURNED,
            (_S.RETURNING, _E.RETURNED): _S.RETURNED,
            (_S.RETURNING, _E.FAILED): _S.LENT,
        }
    ),
)


@dataclass(frozen=True, slots=True)
class StakeLoan:
    """What one sweep was lent.

    Attributes:
        move_id: the sweep, and the owner's id of the payment that lends.
        network: id of the network.
        lender: whose stake it is.
        borrower: whose transaction it pays.
        stake_units: how much.
        recall_id: the owner's id of the newest payment that takes it back, None before the first.
        state: see `LOAN`.
    """

    move_id: UUID
    network: str
    lender: Wallet
    borrower: Wallet
    stake_units: int
    recall_id: UUID | None = None
    state: LoanState = LoanState.ASKED

    def __post_init__(self) -> None:
        assert self.stake_units > 0, "a loan of nothing"
        assert self.state is not LoanState.RETURNING or self.recall_id, "a return that nothing carries"


def event_of(move: Move, event: MoveEvent) -> LoanEvent | None:
    """Return what an event of a sweep is to its loan, None where that is nothing.

    A sweep that fails after the loan was made, or ends well, leaves the loan where it is: the next look takes it back.
    """
    if move.method is not Method.LENT:
        return None
    if event is MoveEvent.LENT:
        return LoanEvent.LENT
    is_unlent = move.state in {MoveState.FUELLING, MoveState.LENDING}
    return LoanEvent.FAILED if event is MoveEvent.FAILED and is_unlent else None
