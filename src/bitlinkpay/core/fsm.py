"""State machines as tables."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar

S = TypeVar("S", bound=StrEnum)
E = TypeVar("E", bound=StrEnum)


class IllegalMove(Exception):
    """An event that the table does not list for the current state."""


@dataclass(frozen=True)  # no slots: `Machine[S, E](...)` sets `__orig_class__`, which breaks on a frozen slotted class
class Machine(Generic[S, E]):
    """All allowed moves of one noun: `(state, event) -> state`. What is not listed is refused."""

    name: str
    moves: Mapping[tuple[S, E], S]

    def next(self, state: S, event: E) -> S:
        """Return the state after `event`.

        Raises:
            IllegalMove: the table has no such move.
        """
        try:
            return self.moves[state, event]
        except KeyError:
            raise IllegalMove(f"{self.name}: no move from {state} by {event}") from None

    def allows(self, state: S, event: E) -> bool:
        """Say whether the table lists this move."""
        return (state, event) in self.moves
