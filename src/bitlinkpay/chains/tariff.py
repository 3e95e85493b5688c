"""What joining outputs costs, where a network counts outputs and not balances (Bitcoin)."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable


@dataclass(frozen=True, slots=True)
class Tariff:
    """What a transaction of many outputs of one wallet into one costs, in native units.

    Attributes:
        rate: what the network asks for now, native units per 1,000 vB.
        frame_units: the fee now of one output and no input.
        input_units: what each output that is spent adds to it now.
        later_units: what spending one output is assumed to cost on some other day.
        large_units: an output that holds as much is useful as it is: change is split into such.
        inputs_max: how many outputs one transaction may spend.
        fee_share: a fee may be at most one part in so many of what moves.
    """

    rate: int
    frame_units: int
    input_units: int
    later_units: int
    large_units: int
    inputs_max: int
    fee_share: int

    def fee(self, inputs: int) -> int:
        """Return what joining so many outputs costs now."""
        return self.frame_units + inputs * self.input_units


@runtime_checkable
class TariffSender(Protocol):
    """A `chains.outgoing.Sender` of a network that counts outputs."""

    async def tariff(self) -> Tariff:
        """Ask the network what it wants now.

        Raises:
            ChainError: nobody says.
        """
        ...
