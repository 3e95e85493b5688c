"""The books again, in plain Python, one posting after the other: what the database must agree with."""

import re
from dataclasses import dataclass, field

from bitlinkpay.core.money import MAX_UNITS
from bitlinkpay.ledger.model import Posting

_MERCHANT = re.compile(
    r"merchant:([0-9a-f]{32}):(available|debt|(reserved|pending|unassigned|quarantined):[0-9a-f]{32})"
)
_PLATFORM = re.compile(
    r"custody:(deposits|hot):[0-9A-Za-z:_-]{1,120}|custody:(cold|staked|rent|external)|custody:in_transit:[0-9a-f]{32}"
    r"|platform:(pending|unattributed):[0-9a-f]{32}|platform:loss|expense:gas|exchange:(long|short)|equity"
    r"|fees:(payin|payout|settlement|exchange|management|network)"
)
_DEBIT = re.compile(r"custody:|expense:|platform:loss|exchange:short|merchant:[0-9a-f]{32}:debt")

Outcome = tuple[str, str | None]


@dataclass(slots=True)
class PlainBooks:
    """Balances and keys, and how each posting changes them."""

    balances: dict[tuple[str, str], int] = field(default_factory=dict)
    booked: dict[str, Posting] = field(default_factory=dict)
    history: list[tuple[str, str, int]] = field(default_factory=list)

    def post(self, posting: Posting) -> Outcome:
        """Return the name of the result's class and what it names."""
        for move in posting.moves:
            for name in (move.debit, move.credit):
                if not _MERCHANT.fullmatch(name) and not _PLATFORM.fullmatch(name):
                    return "UnknownAccount", name
                owner = _MERCHANT.fullmatch(name)
                if owner and (posting.merchant_id is None or owner[1] != posting.merchant_id.hex):
                    return "ForeignAccount", name
        if posting.key in self.booked:
            return self._replay(self.booked[posting.key], posting)
        after = dict(self.balances)
        for move in posting.moves:
            for name, way in ((move.debit, 1), (move.credit, -1)):
                sign = way if _DEBIT.match(name) else -way
                units = after.get((name, posting.asset), 0) + sign * move.units
                if units < 0:
                    return "InsufficientBalance", name
                if units > MAX_UNITS:
                    return "BalanceOverflow", name
                after[name, posting.asset] = units
        self.balances = after
        self.booked[posting.key] = posting
        return "Posted", None

    @staticmethod
    def _replay(first: Posting, again: Posting) -> Outcome:
        fields = {
            "event": (first.event, again.event),
            "asset": (first.asset, again.asset),
            "merchant_id": (first.merchant_id, again.merchant_id),
            "debit": ([move.debit for move in first.moves], [move.debit for move in again.moves]),
            "credit": ([move.credit for move in first.moves], [move.credit for move in again.moves]),
            "units": ([move.units for move in first.moves], [move.units for move in again.moves]),
        }
        for name, (old, new) in fields.items():
            if old != new:
                return "ExistsDifferent", name
        return "Replayed", None
