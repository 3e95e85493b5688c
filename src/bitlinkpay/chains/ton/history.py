"""The transactions of one account as the chain that they are: each names the one before it by number and hash.

So it can be told that none was left out (THREATS TON-11): from the last transaction below a range of masterchain
blocks, link by link, to one beyond the range or to the account's own last one. A cursor of time proves nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from bitlinkpay.chains.base import GapError
from bitlinkpay.chains.ton.wire import Malformed, RawTransaction, canonical_address, canonical_hash


@dataclass(frozen=True, slots=True)
class Link:
    """A transaction as its account's next one names it.

    Attributes:
        lt: logical time, which rises from each transaction of an account to the next.
        hash: its hash, canonical.
    """

    lt: int
    hash: str


BEGINNING: Final = Link(0, "")  # before an account's first transaction


def link_of(transaction: RawTransaction) -> Link:
    """Return a transaction's own link."""
    return Link(int(transaction.lt), canonical_hash(transaction.hash))


def link_before(transaction: RawTransaction) -> Link:
    """Return the link to the one before it."""
    if not transaction.prev_trans_lt:
        return BEGINNING
    return Link(int(transaction.prev_trans_lt), canonical_hash(transaction.prev_trans_hash))


def is_committed(transaction: RawTransaction) -> bool:
    """Say whether a masterchain block has committed a transaction; some indexers also tell what may yet happen."""
    return bool(transaction.mc_block_seqno) and not transaction.emulated and transaction.finality == "finalized"


def height_of(transaction: RawTransaction) -> int:
    """Return the masterchain block that committed a transaction.

    Raises:
        Malformed: none has (THREATS TON-12).
    """
    if not transaction.mc_block_seqno or not is_committed(transaction):
        raise Malformed("a transaction that no masterchain block has committed")
    return int(transaction.mc_block_seqno)


@dataclass(frozen=True, slots=True)
class Stretch:
    """A gapless piece of an account's history.

    Attributes:
        transactions: ascending.
        end: the link of the last one, or where the piece began if it is empty.
    """

    transactions: tuple[RawTransaction, ...]
    end: Link

    def follow(self, account: str, page: Sequence[RawTransaction]) -> "Stretch":
        """Return the piece with the next page of it.

        Raises:
            GapError: a transaction is missing between two others.
            Malformed: another account, another order, not committed.
        """
        end = self.end
        for transaction in page:
            if canonical_address(transaction.account) != account or transaction.lt <= end.lt:
                raise Malformed(f"the history of {account} is out of order")
            if link_before(transaction) != end:
                raise GapError(f"{account}: a transaction before {transaction.lt} is missing")
            height_of(transaction)
            end = link_of(transaction)
        return Stretch((*self.transactions, *page), end)

    def until(self, height: int) -> "Stretch":
        """Return the part that was committed up to a masterchain block; `end` is the last link of it."""
        kept = tuple(transaction for transaction in self.transactions if height_of(transaction) <= height)
        if any(height_of(transaction) <= height for transaction in self.transactions[len(kept) :]):
            raise Malformed("a transaction was committed before the one that it follows")
        if kept:
            return Stretch(kept, link_of(kept[-1]))
        first = self.transactions[0] if self.transactions else None
        return Stretch((), self.end if first is None else link_before(first))

    def reaches(self, height: int, tip: Link) -> bool:
        """Say whether nothing up to a masterchain block can be missing at the end.

        Args:
            height: the block.
            tip: the account's last transaction, read when the block was known.
        """
        if self.end.lt >= tip.lt:
            return True
        return bool(self.transactions) and height_of(self.transactions[-1]) > height
