"""What waits in the mempool: tells when a payment was first seen, long before its block. Never for credit."""

from typing import Final

import msgspec

from bitlinkpay.chains.bitcoin.node import TEXT, BitcoinNode, decode, unhex
from bitlinkpay.chains.bitcoin.wire import Transaction, read_transaction
from bitlinkpay.chains.quorum import Quorum
from bitlinkpay.chains.rpc import Call

TXIDS: Final = msgspec.json.Decoder(list[str])
FRESH_MAX: Final = 2_000


class Mempool:
    """Follows the mempool of the first endpoint that answers: one call, and one for each new transaction."""

    def __init__(self, quorum: Quorum[BitcoinNode], *, fresh_max: int = FRESH_MAX) -> None:
        self._quorum = quorum
        self._fresh_max = fresh_max
        self._known: set[str] = set()

    async def look(self) -> tuple[list[Transaction], frozenset[str]]:
        """Return transactions that wait and were not returned before, and the ids of all that wait.

        At most `fresh_max` are returned; the rest come next time. One operator is believed: what it says here moves no
        money and credits nothing.
        """
        return await self._quorum.first(self._read)

    async def _read(self, node: BitcoinNode) -> tuple[list[Transaction], frozenset[str]]:
        (waiting,) = await node.ask([Call("getrawmempool")], TXIDS)
        everything = frozenset(waiting)
        self._known &= everything
        fresh = [txid for txid in waiting if txid not in self._known][: self._fresh_max]
        calls = [Call("getrawtransaction", (txid, 0)) for txid in fresh]
        found: list[Transaction] = []
        for call, answer in zip(calls, await node.answers(calls) if calls else [], strict=True):
            if answer.error is None:  # else it left the mempool meanwhile
                found.append(read_transaction(unhex(decode(answer, call, TEXT))))
        self._known.update(fresh)
        return found, everything
