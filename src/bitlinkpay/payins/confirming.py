"""Large money is final only when as many independent endpoints as its row asks for show it (THREATS rules 12, 13).

A network is read with its own quorum, which may be one endpoint, and by its own final tag, which may be the faster one.
From the amounts of its row on, a transfer waits until a stricter reader of the same network, with a higher quorum or
the stronger tag, shows its block as final, under the same hash, with the same transfer in it.
"""

import logging
from collections.abc import Mapping, Sequence
from typing import Final

from bitlinkpay.chains.base import Arrival, Block, Chain, ChainError, Transfer
from bitlinkpay.chains.registry import Registry
from bitlinkpay.core.assets import Demand
from bitlinkpay.core.ids import DepositId
from bitlinkpay.deposits.model import Deposit

log = logging.getLogger(__name__)

_TOO_FEW: Final = "the amount asks for {} independent endpoints, fewer are named"
_NOT_NOW: Final = "too few independent endpoints show it now"

Stricter = Mapping[Demand, Chain | None]
"""By demand who can meet it, None where too few endpoints are named; what the network meets anyway is left out."""


class Confirming:
    """Asks the stricter readers of one network. Nothing is open in the database while it does."""

    def __init__(self, stricter: Stricter, registry: Registry) -> None:
        self._stricter = stricter
        self._registry = registry
        self._confirmed: set[DepositId] = set()
        self._told: dict[DepositId, str] = {}

    async def confirmed(self, deposits: Sequence[Deposit]) -> list[Deposit]:
        """Return the deposits whose amounts ask for no more, or for what the chain has shown; the others wait."""
        passed = [deposit for deposit in deposits if await self._is_confirmed(deposit)]
        here = {deposit.deposit_id for deposit in deposits}
        self._confirmed &= here  # what was settled, and what left the chain meanwhile, does not come again
        self._told = {deposit_id: text for deposit_id, text in self._told.items() if deposit_id in here}
        return passed

    async def _is_confirmed(self, deposit: Deposit) -> bool:
        demand = self._registry.assets[deposit.asset].demand(deposit.units)
        if demand not in self._stricter or deposit.deposit_id in self._confirmed:
            return True
        chain, level, why = self._stricter[demand], logging.CRITICAL, ""
        try:
            text = _TOO_FEW.format(demand.quorum) if chain is None else await self._objection(chain, deposit)
        except ChainError as error:  # which reads differently at every look
            level, why, text = logging.WARNING, _NOT_NOW, f"{_NOT_NOW}: {error}"
        if text is None:
            self._confirmed.add(deposit.deposit_id)
        elif text and self._told.get(deposit.deposit_id) != (why or text):
            log.log(level, "%s: %s units in %s wait: %s", deposit.asset, deposit.units, deposit.txid, text)
            self._told[deposit.deposit_id] = why or text
        return text is None

    async def _objection(self, chain: Chain, deposit: Deposit) -> str | None:
        """Return why a stricter reader does not bear a deposit out, "" while it has not got there, None if it does."""
        height = deposit.height
        if (await chain.head()).final.height < height:
            return ""
        found = [(block, t) for block in await chain.scan(height, height) for t in block.transfers]
        if any(_is_it(deposit, block, transfer) for block, transfer in found):
            return None
        if deposit.arrival is not Arrival.DIRECT:  # what no scan may show, named in as many ways as endpoints have
            asset = self._registry.assets[deposit.asset]
            hidden = [*found, *await chain.locate(asset, deposit.target, height, height)]
            if sum(t.units for block, t in hidden if _is_hidden(deposit, block, t)) >= deposit.units:
                return None
        return "independent endpoints agree that the block does not hold it"


def _is_it(deposit: Deposit, block: Block, transfer: Transfer) -> bool:
    key = transfer.txid, transfer.position, transfer.target
    named = transfer.asset, transfer.tag, transfer.units
    return _is_there(deposit, block) and (key, named) == (deposit.key, (deposit.asset, deposit.tag, deposit.units))


def _is_hidden(deposit: Deposit, block: Block, transfer: Transfer) -> bool:
    is_his = (transfer.asset, transfer.target) == (deposit.asset, deposit.target)
    return _is_there(deposit, block) and is_his and transfer.arrival is not Arrival.DIRECT


def _is_there(deposit: Deposit, block: Block) -> bool:
    return (block.height, block.hash) == (deposit.height, deposit.block_hash)
