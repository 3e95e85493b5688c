"""An asset's review: accepted as its contract shows itself, or on hold because it shows something else."""

from dataclasses import dataclass, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from bitlinkpay.chains.token import TokenFacts, objections
from bitlinkpay.core.assets import Asset
from bitlinkpay.core.errors import Conflict
from bitlinkpay.core.fsm import Machine


class ReviewState(StrEnum):
    """Whether money in an asset may be settled."""

    ACCEPTED = "accepted"
    HELD = "held"


class ReviewEvent(StrEnum):
    """What happened to an asset."""

    OBJECTED = "objected"  # a look found what was not accepted
    CLEARED = "cleared"  # the first look without an objection; later ones don't end a hold
    ACCEPTED = "accepted"  # a person took the contract as it is now


_S, _E = ReviewState, ReviewEvent

REVIEW: Final = Machine[ReviewState, ReviewEvent](
    "review",
    MappingProxyType(
        {
            (_S.ACCEPTED, _E.OBJECTED): _S.HELD,
            (_S.HELD, _E.OBJECTED): _S.HELD,
            (_S.HELD, _E.CLEARED): _S.ACCEPTED,
            (_S.HELD, _E.ACCEPTED): _S.ACCEPTED,
        }
    ),
)


class NotAcceptable(Conflict):
    """An asset's contract cannot be taken as it is: the registry row or the contract is wrong."""

    code = "asset.not_acceptable"


@dataclass(frozen=True, slots=True)
class Review:
    """An asset's one row.

    Attributes:
        reason: why it is on hold, "" otherwise.
        seen: what the contract showed when the row was last written.
        accepted: what counts as reviewed; None while nothing has been.
        version: number of the row's last event; a write goes through only on the version it was decided on.
    """

    asset: str
    state: ReviewState
    reason: str
    seen: TokenFacts
    accepted: TokenFacts | None
    version: int


@dataclass(frozen=True, slots=True)
class Turn:
    """One step of a review: what happened and the row after it. `before` is "" for a first look."""

    event: ReviewEvent
    before: str
    after: Review


def judge(asset: Asset, known: Review | None, facts: TokenFacts) -> Turn | None:
    """Return what a look at the contract changes, None for nothing.

    What is seen first without an objection counts as reviewed. A hold on something that was accepted before ends by a
    person only. A contract that was never seen and is not there (deployed, but not final yet) is left open.
    """
    if known is None:
        return _first(asset, facts) if facts.code_hash else None
    reason = "; ".join(objections(asset, facts, known.accepted))
    if not reason and known.state is _S.HELD and known.accepted is None:
        return _turn(known, _E.CLEARED, facts, "", accepted=facts)
    reason = reason or known.reason
    if not reason or (known.state is _S.HELD and (known.seen, known.reason) == (facts, reason)):
        return None
    return _turn(known, _E.OBJECTED, facts, reason, accepted=known.accepted)


def _first(asset: Asset, facts: TokenFacts) -> Turn:
    reason = "; ".join(objections(asset, facts))
    if reason:
        return Turn(_E.OBJECTED, "", Review(asset.id, _S.HELD, reason, facts, None, version=1))
    return Turn(_E.CLEARED, "", Review(asset.id, _S.ACCEPTED, "", facts, facts, version=1))


def accept(asset: Asset, known: Review) -> Turn:
    """Return what a person's acceptance of the contract, as it was seen last, changes.

    Raises:
        NotAcceptable: it would be held again at once: other decimals than the registry's, or no contract.
        Conflict: the asset is not on hold.
    """
    if known.state is not _S.HELD:
        raise Conflict(f"{asset.id} is not on hold", param="asset")
    if wrong := objections(asset, known.seen, known.seen):
        raise NotAcceptable(f"{'; '.join(wrong)}; then restart", param="asset")
    return _turn(known, _E.ACCEPTED, known.seen, "", accepted=known.seen)


def _turn(known: Review, event: ReviewEvent, seen: TokenFacts, reason: str, *, accepted: TokenFacts | None) -> Turn:
    after = replace(
        known,
        state=REVIEW.next(known.state, event),
        reason=reason,
        seen=seen,
        accepted=accepted,
        version=known.version + 1,
    )
    return Turn(event, known.state.value, after)
