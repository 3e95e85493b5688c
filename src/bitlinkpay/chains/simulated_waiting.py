"""What waits for a block on a simulated network, shown as nodes of its family show it (Bitcoin)."""

from collections.abc import Sequence
from typing import Protocol

from bitlinkpay.chains.simulated import Sent, SimulatedChain
from bitlinkpay.chains.simulated_format import spell_txid
from bitlinkpay.chains.waiting import Waiting


class WaitingState(Protocol):
    """Where a simulated network keeps what waits: the port that the sandbox's store implements."""

    async def waiting(self, network: str) -> Sequence[Sent]:
        """Return the transfers of every transaction that stands in no block, in the order they came."""
        ...


class SimulatedWaiting:
    """`chains.waiting.WaitingChain` of one simulated network."""

    def __init__(self, chain: SimulatedChain, state: WaitingState) -> None:
        self._chain = chain
        self._state = state
        self._known: frozenset[bytes] = frozenset()

    async def waiting(self) -> Waiting:
        """Look at what waits; what left and came back is fresh again."""
        sent = await self._state.waiting(self._chain.network.id)
        fresh = self._chain.transfers([one for one in sent if one.txid not in self._known])
        self._known = frozenset(one.txid for one in sent)
        family = self._chain.network.family
        return Waiting(fresh, frozenset(spell_txid(family, txid) for txid in self._known))
