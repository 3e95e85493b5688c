"""Which outputs of a hot wallet to join now: pure. Small ones are gathered while the network is cheap (Bitcoin).

Each output costs a fee when it is spent. Many small ones make payments dear on a day when the network is, so that they
become one while it asks for little. Never at a loss: whatever the network asks for meanwhile, joining may cost no more
than what spending them one by one is assumed to cost later. And never in the way of payments: while one waits nothing
is joined, and the largest outputs and half of the money stay free for those that come meanwhile.
"""

from dataclasses import dataclass
from decimal import Decimal
from itertools import accumulate
from typing import Final

from bitlinkpay.chains.tariff import Tariff
from bitlinkpay.treasury.model import JoinTerms

FREE_SHARE: Final = 2
"""At most one part in so many of what is free is joined at once: it can't be spent until that is final."""
WORTH: Final = 2
"""An output is worth joining above so many times what its own input costs now."""
_KILO: Final = 1000


@dataclass(frozen=True, slots=True)
class Pocket:
    """What a hot wallet holds of the network's coin.

    Attributes:
        held: the units of each output that is final and not part of any transaction.
        free_units: what the books hold there and no payment waits for.
        terms: when to join.
        obstacle: why nothing may be joined now, "" if it may.
    """

    held: tuple[int, ...]
    free_units: int
    terms: JoinTerms
    obstacle: str = ""

    @property
    def spare(self) -> list[int]:
        """Return the outputs that payments can do without, the smallest first; none where they are too few to join."""
        some = sorted(self.held)[: max(0, len(self.held) - self.terms.keep)]
        return some if self.terms.low_rate and len(some) >= self.terms.least else []


@dataclass(frozen=True, slots=True)
class Joint:
    """What to join, or why nothing.

    Attributes:
        outputs: how many, 0 for none.
        units: what they hold together.
        fee_units: what it costs now.
        fee_max_units: what it may cost at most.
        reason: why they wait, "" if they are joined.
    """

    outputs: int = 0
    units: int = 0
    fee_units: int = 0
    fee_max_units: int = 0
    reason: str = ""


def join(pocket: Pocket, tariff: Tariff) -> Joint:
    """Decide what to join: the smallest outputs that are worth it, next to each other in size."""
    terms = pocket.terms
    if pocket.obstacle:
        return Joint(reason=pocket.obstacle)
    if tariff.rate > terms.low_rate:
        return Joint(reason=f"the network asks for {per_vb(tariff.rate)} sat/vB, more than {per_vb(terms.low_rate)}")
    chosen = _chosen(pocket, tariff)
    if len(chosen) < terms.least:
        return Joint(
            reason=f"{len(chosen)} are worth joining that leave half of the money free, fewer than {terms.least}"
        )
    fee = tariff.fee(len(chosen))
    spared = sum(min(units, tariff.later_units) for units in chosen) - tariff.later_units
    if fee > spared:
        return Joint(reason=f"joining {len(chosen)} costs {fee} satoshi now and saves {spared} later")
    most = sum(chosen) // tariff.fee_share
    if fee > most:
        return Joint(
            reason=f"joining {len(chosen)} costs {fee} satoshi now, and {most} are the most for what they hold"
        )
    return Joint(len(chosen), sum(chosen), fee, min(spared, most))


def _chosen(pocket: Pocket, tariff: Tariff) -> list[int]:
    least = WORTH * tariff.input_units
    worth = [units for units in pocket.spare if least < units < tariff.large_units][: tariff.inputs_max]
    most = min(pocket.free_units, sum(pocket.held)) // FREE_SHARE
    return [units for units, total in zip(worth, accumulate(worth), strict=True) if total <= most]


def per_vb(rate: int) -> str:
    """Return units per 1,000 vB as people read a rate: per vB, without needless zeros."""
    return f"{(Decimal(rate) / _KILO).normalize():f}"
