"""Seeing payments before any block holds them, where nodes show what waits (Bitcoin). Never for credit."""

from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from bitlinkpay.chains.base import Transfer


@dataclass(frozen=True, slots=True)
class Waiting:
    """What one look at the transactions that wait found.

    Attributes:
        fresh: transfers of listed assets in those that no look before has returned.
        txids: every transaction that waits.
    """

    fresh: tuple[Transfer, ...]
    txids: AbstractSet[str]


@runtime_checkable
class WaitingChain(Protocol):
    """A chain whose nodes show what waits for a block."""

    async def waiting(self) -> Waiting:
        """Look at what waits, as one operator shows it: it moves no money.

        Raises:
            ChainError: nobody shows it.
        """
        ...
