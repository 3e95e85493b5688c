"""What a schedule is made of: acts drawn from its seed, and flows that play them.

A new flow (sweeps, settlements) is a class like those in `tests/crashes/flows/`, and one line in `schedule.FLOWS`.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, ClassVar, Protocol

from tests.crashes.faults import Fault

from bitlinkpay.sending.model import OwnerKind
from bitlinkpay.sending.service import Owner

if TYPE_CHECKING:
    from tests.crashes.stage import Process, Stage

Loop = Callable[[], Awaitable[bool]]
"""One step of a worker's loop: True when there may be more to do now."""


@dataclass(frozen=True, slots=True)
class Act:
    """One thing that happens, drawn before anything has happened, so that a schedule can be cut shorter.

    Attributes:
        flow: the flow's class name.
        name: its method.
        die: what the method draws its own choices from.
        fault: what strikes the process that does it.
        place: at which tick of its fuse; 0 for never.
    """

    flow: str
    name: str
    die: int
    fault: Fault
    place: int

    def dice(self) -> Random:
        """Return the act's own dice, the same at every call."""
        return Random(self.die)

    def __str__(self) -> str:
        strike = f" {self.fault}@{self.place}" if self.place else ""
        return f"{self.flow}.{self.name}{strike}"


class Flow(Protocol):
    """One thing that a deployment does, with the people and networks around it."""

    WEIGHTS: ClassVar[Mapping[str, int]]
    """How often each act is drawn; each is a method `async (act) -> str` that says what came of it."""

    def __init__(self, stage: "Stage") -> None: ...

    def owners(self) -> Mapping[OwnerKind, Owner]:
        """Return who settles the payments that this flow asks for."""
        ...

    def loops(self, process: "Process") -> Mapping[str, Loop]:
        """Return the loops that a worker process runs for this flow, on the process's own faulty parts."""
        ...

    async def settle(self) -> None:
        """Do what people do until nothing is left undecided; called in every round of the rest."""
        ...

    async def account(self) -> int:
        """Hold the end against what must be true; return by how much it changed the merchant's available balance."""
        ...
