"""What looking at a token has shown."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Findings:
    """Why no row fits a token, and what is only worth knowing of it; both for people."""

    faults: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def __add__(self, others: "Findings") -> "Findings":
        """Return both, these first."""
        return Findings((*self.faults, *others.faults), (*self.notes, *others.notes))
