"""What became of a transaction of ours: by its id, and where no node knows that, by what it spends (THREATS BTC-11)."""

from collections.abc import Sequence
from functools import partial
from typing import Final

from bitlinkpay.chains.base import Head
from bitlinkpay.chains.bitcoin.lookup import Lookup, Mined
from bitlinkpay.chains.bitcoin.node import BitcoinNode
from bitlinkpay.chains.bitcoin.plan import BitcoinPlan
from bitlinkpay.chains.bitcoin.reader import BlockReader
from bitlinkpay.chains.bitcoin.transfers import block_ref
from bitlinkpay.chains.bitcoin.unspent import read_unspent
from bitlinkpay.chains.bitcoin.wire import RawBlock, outpoint, read_transaction
from bitlinkpay.chains.outgoing import Signed, Unspent
from bitlinkpay.chains.quorum import Quorum

_BELOW: Final = 6  # a fork may put a transaction into a block below the newest one when it was made
_SEARCH_MAX: Final = 144  # blocks read in one search: a day's


class Tracker:
    """Follows transactions of ours on one network. What it remembers only saves reading blocks twice."""

    def __init__(self, quorum: Quorum[BitcoinNode], reader: BlockReader, lookup: Lookup) -> None:
        self._quorum = quorum
        self._reader = reader
        self._lookup = lookup
        self._searched: dict[str, int] = {}  # txid -> the first height that is not searched for good

    async def find(self, plan: BitcoinPlan, signed: Signed, head: Head) -> Mined | bool:
        """Return our transaction in its block, be it under another id, else whether it waits in a mempool."""
        found = await self._lookup.find(signed.txid)
        if isinstance(found, Mined) or found:
            return found
        spender = await self.spender(plan, signed, head)
        return spender if spender is not None and is_same(spender, signed) else False

    async def spender(self, plan: BitcoinPlan, signed: Signed, head: Head) -> Mined | None:
        """Return the transaction in a block that spends what ours does, read out of the blocks since it was made.

        None proves nothing: the outputs may be unspent, or a long search may not be done; it goes on when asked again.
        """
        if not await self._is_spent(plan.inputs):
            return None
        wanted = {outpoint(spent.txid, spent.vout) for spent in plan.inputs}
        first = self._searched.get(signed.txid, max(0, plan.since_height - _BELOW))
        for height in range(first, min(first + _SEARCH_MAX, head.latest.height + 1)):
            (found,) = await self._reader.read(height, height, partial(_spender_in, wanted=wanted))
            if found is not None:
                self._searched.pop(signed.txid, None)
                return found
            if height < head.final.height:
                self._searched[signed.txid] = height + 1
        return None

    async def _is_spent(self, inputs: Sequence[Unspent]) -> bool:
        async def ask(node: BitcoinNode) -> bool:
            found = await read_unspent(node, [(spent.txid, spent.vout) for spent in inputs])
            return any(output is None for output in found)

        return await self._quorum.agree(ask)


def is_same(mined: Mined, signed: Signed) -> bool:
    """Say whether a mined transaction does what ours does, whatever became of its signatures."""
    ours = read_transaction(signed.raw)
    return (ours.spends, ours.outputs) == (mined.transaction.spends, mined.transaction.outputs)


def _spender_in(block: RawBlock, height: int, *, wanted: set[bytes]) -> Mined | None:
    for transaction in block.transactions:
        if not wanted.isdisjoint(transaction.spends):
            return Mined(block_ref(block.header, height), transaction)
    return None
