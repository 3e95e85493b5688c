"""Proof and payers of deposits on a chain of outputs (Bitcoin), where no address has a balance to compare with."""

import logging
from collections.abc import Sequence

from bitlinkpay.chains.base import ChainError
from bitlinkpay.chains.outputs import OutputChain, Place
from bitlinkpay.chains.registry import Registry
from bitlinkpay.core.ids import DepositId
from bitlinkpay.deposits.model import Deposit

log = logging.getLogger(__name__)


class OutputProof:
    """Asks one such chain about single outputs. Nothing is open in the database while it does."""

    def __init__(self, chain: OutputChain, registry: Registry) -> None:
        self._chain = chain
        self._registry = registry

    def ripe(self, deposits: Sequence[Deposit], height: int) -> list[Deposit]:
        """Return the deposits that lie deep enough for their amount and origin under the final `height`."""
        return [deposit for deposit in deposits if deposit.height + self._more(deposit) <= height]

    def _more(self, deposit: Deposit) -> int:
        """Return how many blocks more than any final deposit of its network this one has to wait."""
        needed = self._chain.confirmations(self._registry.assets[deposit.asset], deposit.units, deposit.arrival)
        return needed - self._registry.networks[deposit.network].confirmations

    async def list_missing(self, deposits: Sequence[Deposit]) -> list[DepositId]:
        """Return the deposits whose output the nodes' own state does not hold as it was seen.

        Raises:
            ChainError: the nodes could not be asked.
        """
        are_there = await self._chain.are_unspent([_place(deposit) for deposit in deposits])
        return [d.deposit_id for d, is_there in zip(deposits, are_there, strict=True) if not is_there]

    async def payers(self, deposits: Sequence[Deposit]) -> dict[DepositId, tuple[str, ...]]:
        """Return who paid each deposit; one whose payers cannot be read now is left out and has to wait."""
        found: dict[DepositId, tuple[str, ...]] = {}
        for deposit in deposits:
            try:
                found[deposit.deposit_id] = tuple(await self._chain.payers(_place(deposit)))
            except ChainError as error:
                log.warning("%s: who paid %s cannot be read: %s", deposit.network, deposit.txid, error)
        return found


def _place(deposit: Deposit) -> Place:
    return Place(deposit.block_hash, deposit.txid, deposit.position, deposit.target, deposit.units)
