"""What became of a transaction of ours, hop by hop, from the transactions that followed from it; pure.

A request that the wallet took is only the first hop. Coins have arrived when the recipient's transaction did not send
them back, jettons when the recipient's jetton wallet took them whole; anything before proves nothing (THREATS PAY-25).
What comes back to us (a bounced payment, what is left of the gas) is followed too, so that the fee is exact.
"""

from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from bitlinkpay.chains.base import FateState
from bitlinkpay.chains.ton.body import EXCESSES, INTERNAL_TRANSFER, op_of
from bitlinkpay.chains.ton.cell import Builder
from bitlinkpay.chains.ton.highload import Outgoing
from bitlinkpay.chains.ton.history import is_committed
from bitlinkpay.chains.ton.wire import (
    Malformed,
    RawMessage,
    RawTransaction,
    body_of,
    canonical_address,
    canonical_hash,
)

_NO_BODY = Builder().end()


class Unfinished(Exception):
    """A hop has not been taken yet."""


@dataclass(frozen=True, slots=True)
class Traced:
    """The end of a request: what the network took, and per message whether it arrived."""

    state: FateState
    fee_units: int
    delivered: tuple[bool, ...]


class Trace:
    """The transactions that followed from one external message, by the message that each took."""

    def __init__(self, wallet: str, transactions: Iterable[RawTransaction]) -> None:
        self._wallet = wallet
        self._taken: Mapping[str, RawTransaction] = {
            canonical_hash(tx.in_msg.hash): tx for tx in transactions if tx.in_msg is not None and is_committed(tx)
        }
        self._ours: list[RawTransaction] = []

    def judge(self, root: RawTransaction, sent: Sequence[Outgoing], natives: Sequence[bool]) -> Traced:
        """Follow every message of a batch to its last hop.

        Args:
            root: the wallet's transaction that took the request.
            sent: what the wallet was asked to send.
            natives: which of them are payments of coins; the others are transfers of jettons.

        Raises:
            Unfinished: a hop is still to come.
        """
        self._ours = [root]
        if not root.out_msgs:
            return Traced(FateState.FAILED, self._fee(0), (False,) * len(sent))
        batch = self._next(root.out_msgs[0])
        self._ours.append(batch)
        left = _by_content(batch.out_msgs)
        delivered = tuple(
            self._follow(left, message, is_native=native) for message, native in zip(sent, natives, strict=True)
        )
        arrived = zip(sent, natives, delivered, strict=True)
        paid = sum(message.units for message, is_native, is_delivered in arrived if is_native and is_delivered)
        state = FateState.FINAL if batch.out_msgs or not sent else FateState.FAILED
        return Traced(state, self._fee(paid), delivered)

    def _follow(
        self, left: dict[tuple[str, int, str], list[RawMessage]], message: Outgoing, *, is_native: bool
    ) -> bool:
        found = left.get(_content(message))
        if not found:
            return False  # the wallet skipped it: it could not afford it
        hop = self._next(found.pop(0))
        return self._coins(hop) if is_native else self._jettons(hop)

    def _coins(self, hop: RawTransaction) -> bool:
        if hop.description.bounce is None or hop.description.bounce.type != "ok":
            return True
        self._came_back(hop)
        return False

    def _jettons(self, hop: RawTransaction) -> bool:
        """Follow a transfer from our jetton wallet to the recipient's, and what is left of the gas back to us."""
        onward = [msg for msg in hop.out_msgs if op_of(body_of(msg)) == INTERNAL_TRANSFER]
        if not hop.description.is_whole or not onward:
            self._came_back(hop)
            return False
        last = self._next(onward[0])
        if last.description.is_whole:
            self._came_back(last)
            return True
        for message in last.out_msgs:
            self._came_back(self._next(message))
        return False

    def _came_back(self, hop: RawTransaction) -> None:
        """Count what a hop sent to our wallet: a returned message, or what is left of the gas."""
        for message in hop.out_msgs:
            if canonical_address(message.destination) == self._wallet and (
                message.bounced or op_of(body_of(message)) == EXCESSES
            ):
                self._ours.append(self._next(message))

    def _next(self, message: RawMessage) -> RawTransaction:
        taken = self._taken.get(canonical_hash(message.hash))
        if taken is None:
            raise Unfinished
        return taken

    def _fee(self, paid_units: int) -> int:
        """Return what our wallet has less, beyond what was paid."""
        return sum(_cost(transaction) for transaction in self._ours) - paid_units


def _cost(transaction: RawTransaction) -> int:
    before, after = transaction.account_state_before, transaction.account_state_after
    if before is None or after is None or before.balance is None or after.balance is None:
        raise Malformed("a transaction of ours without what we held before and after")
    return before.balance - after.balance


def _content(message: Outgoing) -> tuple[str, int, str]:
    return message.target, message.units, b64encode((message.body or _NO_BODY).hash).decode()


def _by_content(messages: Sequence[RawMessage]) -> dict[tuple[str, int, str], list[RawMessage]]:
    found: dict[tuple[str, int, str], list[RawMessage]] = {}
    for message in messages:
        content = message.message_content
        digest = canonical_hash(content.hash) if content and content.hash else b64encode(_NO_BODY.hash).decode()
        key = canonical_address(message.destination), message.value or 0, digest
        found.setdefault(key, []).append(message)
    return found
