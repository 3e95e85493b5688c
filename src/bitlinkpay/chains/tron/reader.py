"""Reading ranges of blocks so that no single endpoint can alter, drop or cut short what they hold.

Logs and inner calls stand in no hash of a TRON block, so `quorum` endpoints send every block and its outcomes, and what
was read out of them must be equal: `2 * quorum` calls a block, whatever it holds. Each endpoint's block must also hash
to its own id. Blocks that are final are asked of the solidified state, newer ones of the newest.

`Proof.RECOMPUTED`: a block whose transactions do not hash to its root is taken only where at least two operators agree.
"""

import asyncio
import logging
from collections.abc import Callable
from enum import StrEnum
from itertools import pairwise
from typing import TypeVar

from bitlinkpay.chains.base import ForkedBlock
from bitlinkpay.chains.finality import Finality
from bitlinkpay.chains.quorum import Quorum
from bitlinkpay.chains.tron.node import Api, TronNode
from bitlinkpay.chains.tron.proof import Unproven
from bitlinkpay.chains.tron.sealed import Sealed

F = TypeVar("F")

_LOG = logging.getLogger(__name__)
_ENOUGH_TO_COMPARE = 2


class Proof(StrEnum):
    """How a block is believed, besides by agreement."""

    RECOMPUTED = "recomputed"
    COMPARED = "compared"


class BlockReader:
    """Reads blocks from the endpoints of one network."""

    def __init__(
        self, quorum: Quorum[TronNode], finality: Finality[TronNode], proof: Proof, *, operators: int, range_max: int
    ) -> None:
        """Take how many operators at least stand behind an answer of the quorum."""
        self._quorum = quorum
        self._operators = operators
        self._finality = finality
        self._proof = proof
        self._range_max = range_max

    def api(self, height: int) -> Api:
        """Return which state answers for a block: only what is solidified decides on credit (THREATS TRX-02)."""
        return Api.SOLID if height <= self._finality.height else Api.FULL

    async def read(self, first: int, last: int, extract: Callable[[Sealed], F]) -> list[F]:
        """Return what `extract` finds in each block of `first..last`, of at most `range_max` of them.

        Raises:
            GapError, ForkedBlock, NotEnoughAnswers, ChainError: nothing was read.
        """
        last = min(last, first + self._range_max - 1)
        found = await self._quorum.agree(lambda node: self._fetch(node, first, last, extract))
        for height, (is_proven, _) in enumerate(found, first):
            if not is_proven:
                self._unproven(height)
        return [fact for _, fact in found]

    def _unproven(self, height: int) -> None:
        what = f"block {height} does not hash to its root of transactions"
        if self._proof is Proof.RECOMPUTED and self._operators < _ENOUGH_TO_COMPARE:
            raise Unproven(f'{what}: raise the quorum to 2, or set proof = "compared" to believe the one endpoint')
        _LOG.warning("%s: taken because %d operators agree on it", what, self._operators)

    async def _fetch(
        self, node: TronNode, first: int, last: int, extract: Callable[[Sealed], F]
    ) -> list[tuple[bool, F]]:
        api = self.api(last)
        try:
            blocks = await asyncio.gather(*(node.sealed(api, height) for height in range(first, last + 1)))
        except Unproven as error:
            self._quorum.doubt(node, str(error))
            raise
        for parent, block in pairwise(blocks):
            if block.parent != parent.ref.hash:
                raise ForkedBlock(f"block {block.ref.height} does not follow the block read before it")
        return [(block.is_proven, extract(block)) for block in blocks]
