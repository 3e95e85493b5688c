"""What a chain of outputs (Bitcoin) can prove where a chain of accounts shows a balance.

Nothing on such a chain holds "the balance of an address": money lies in single outputs, each spendable once, and any
node can say at once whether one of them still is. So the deposits of such a chain are proven one by one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from bitlinkpay.chains.base import Arrival
from bitlinkpay.core.assets import Asset


@dataclass(frozen=True, slots=True)
class Place:
    """An output that was seen in a block.

    Attributes:
        block_hash: the block.
        txid, position: the output, as `chains.base.Transfer` names it.
        target: canonical address that it pays.
        units: what it pays.
    """

    block_hash: str
    txid: str
    position: str
    target: str
    units: int


@runtime_checkable
class OutputChain(Protocol):
    """A chain of outputs. Methods raise `ChainError` when it cannot be read; they never guess."""

    def confirmations(self, asset: Asset, units: int, arrival: Arrival) -> int:
        """Return how many blocks, its own included, a transfer must stand under before its money may be credited.

        Never fewer than the network's own `confirmations`; more for large amounts, and for new coins, which nobody
        can spend before they are mature.
        """
        ...

    async def are_unspent(self, places: Sequence[Place]) -> Sequence[bool]:
        """Say of each output whether the nodes' own state holds it, unspent, with this target and these units."""
        ...

    async def payers(self, place: Place) -> Sequence[str]:
        """Return the addresses whose money its transaction spent, in canonical form, sorted; "" for one without name.

        New coins have none.
        """
        ...
