"""What waits for a block at the kernel's node: ~60 lines of policy of ours, in the words of Bitcoin Core's errors.

Scripts are verified by Bitcoin Core's own code. Ours, and only in spirit Core's, are: the least fee (1 sat/vB), dust,
replacement by a higher fee (BIP-125 rules 3 and 4, without asking whether it was signalled, as Core does since version
28), and what leaves when a block comes. There is no package relay, no limit on chains of unconfirmed transactions, and
no check that a whole block of them fits together but the kernel's when it is mined.
"""

from collections.abc import Callable, Iterable

import pbk
from tests.chains.bitcoin.serialize import Tx, TxOut

RELAY_SAT_PER_VB = 1
DUST = {25: 546, 23: 540, 22: 294, 34: 330}  # by size of the script: P2PKH, P2SH, P2WPKH, P2WSH and P2TR
CONFLICT, MISSING = "txn-mempool-conflict", "bad-txns-inputs-missingorspent"


class Refused(Exception):
    """What `sendrawtransaction` answers."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class Mempool:
    """Transactions that wait, oldest first. `coin` finds an output in the chain that a next block may spend."""

    def __init__(self, coin: Callable[[tuple[str, int]], TxOut | None]) -> None:
        self.waiting: dict[str, Tx] = {}
        self._fees: dict[str, int] = {}
        self._coin = coin

    def add(self, tx: Tx) -> None:
        """Take a transaction in, and drop those that it replaces."""
        if tx.txid in self.waiting:
            return
        spent = [self.output(i.outpoint) for i in tx.inputs]
        if None in spent:
            raise Refused(-25, MISSING)
        verify(tx, spent)
        fee = sum(o.units for o in spent) - sum(o.units for o in tx.outputs)
        if fee < RELAY_SAT_PER_VB * tx.vsize:
            raise Refused(-26, f"min relay fee not met, {fee} < {RELAY_SAT_PER_VB * tx.vsize}")
        if any(o.units < DUST.get(len(o.script), 0) for o in tx.outputs):
            raise Refused(-26, "dust")
        rivals = self._with_children(self._rivals(tx))
        if rivals:
            self._check_replacement(tx, fee, rivals)
            self.drop(rivals)
        self.waiting[tx.txid] = tx
        self._fees[tx.txid] = fee

    def _check_replacement(self, tx: Tx, fee: int, rivals: set[str]) -> None:
        if any(i.txid in rivals for i in tx.inputs):
            raise Refused(-26, "bad-txns-spends-conflicting-tx")
        paid = sum(self._fees[txid] for txid in rivals)
        if fee < paid + RELAY_SAT_PER_VB * tx.vsize:
            raise Refused(-26, f"insufficient fee, rejecting replacement {tx.txid}; {fee} < {paid} and its own relay")
        if any(fee * self.waiting[txid].vsize <= self._fees[txid] * tx.vsize for txid in rivals):
            raise Refused(-26, f"insufficient fee, rejecting replacement {tx.txid}; new feerate not higher")

    def output(self, outpoint: tuple[str, int]) -> TxOut | None:
        """Return an output that a transaction may spend, of the chain or of what waits."""
        txid, vout = outpoint
        parent = self.waiting.get(txid)
        if parent is not None:
            return parent.outputs[vout] if vout < len(parent.outputs) else None
        return self._coin(outpoint)

    def spender(self, outpoint: tuple[str, int]) -> str | None:
        return next((txid for txid, tx in self.waiting.items() if any(i.outpoint == outpoint for i in tx.inputs)), None)

    def _rivals(self, tx: Tx) -> set[str]:
        return {txid for i in tx.inputs if (txid := self.spender(i.outpoint)) not in {None, tx.txid}}

    def _with_children(self, txids: Iterable[str]) -> set[str]:
        found = set(txids)
        while more := {
            t for t, tx in self.waiting.items() if t not in found and any(i.txid in found for i in tx.inputs)
        }:
            found |= more
        return found

    def drop(self, txids: Iterable[str]) -> None:
        for txid in list(txids):
            self.waiting.pop(txid, None)
            self._fees.pop(txid, None)

    def connected(self, txs: Iterable[Tx]) -> None:
        """Forget what a block holds, and what it makes impossible."""
        for tx in txs:
            self.drop(self._with_children(self._rivals(tx)))
            self.drop([tx.txid])

    def disconnected(self, txs: Iterable[Tx]) -> None:
        """Take back what a block that left the chain held, where it still can be."""
        kept = list(self.waiting.values())
        self.drop(list(self.waiting))
        for tx in [tx for tx in txs if not tx.is_coinbase] + kept:
            try:
                self.add(tx)
            except Refused:
                continue


def verify(tx: Tx, spent: list[TxOut]) -> None:
    """Let Bitcoin Core verify every input."""
    parsed = pbk.Transaction(tx.raw())
    outputs = [pbk.TransactionOutput(pbk.ScriptPubkey(o.script), o.units) for o in spent]
    context = pbk.script.PrecomputedTransactionData(parsed, outputs)
    for index, output in enumerate(spent):
        try:
            is_good = pbk.ScriptPubkey(output.script).verify(
                output.units, parsed, context, index, pbk.ScriptVerificationFlags.ALL
            )
        except pbk.ScriptVerifyException as error:
            raise Refused(-26, f"mandatory-script-verify-flag-failed ({error})") from None
        if not is_good:
            raise Refused(-26, "mandatory-script-verify-flag-failed")
