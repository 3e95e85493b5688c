"""Whether a sweep pays: pure. What moving costs is compared with what it moves, both at the prices of now.

Two rules. A sweep waits while it is expected to cost more than `SHARE_MAX` of what it brings. And the most that it may
ever cost, whatever the network asks for meanwhile, is what it brings: no sweep is made at a loss (THREATS SWP-04).
"""

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Final

from bitlinkpay.chains.outgoing import FeeQuote
from bitlinkpay.core.assets import Asset

SHARE_MAX: Final = Fraction(1, 10)


@dataclass(frozen=True, slots=True)
class Worth:
    """What one base unit of the network's coin is worth in base units of an asset."""

    units_per_native: Fraction

    @classmethod
    def at(cls, price: Decimal, *, native: Asset, asset: Asset) -> "Worth":
        """Return the worth at a price: of one native coin in the asset, both in major units."""
        assert price > 0, f"a price of {price}"
        return cls(Fraction(price) * Fraction(10) ** (asset.decimals - native.decimals))

    def of_fee(self, native_units: int) -> int:
        """Return what a fee is worth in the asset, rounded up."""
        return -(-(native_units * self.units_per_native) // 1)

    def in_native(self, units: int) -> int:
        """Return what units of the asset are worth in native coin, rounded down."""
        return units / self.units_per_native // 1


SAME: Final = Worth(Fraction(1))
"""An asset that is the network's own coin."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What a move costs in native units: `units` is expected, `units_max` the most that a plan of now could take."""

    units: int
    units_max: int

    @classmethod
    def share_of(cls, quote: FeeQuote, count: int) -> "Cost":
        """Return one payment's share of a transaction that carries `count`, rounded up."""
        return cls(-(-quote.units // count), -(-quote.units_max // count))

    def beside(self, quote: FeeQuote) -> "Cost":
        """Return this together with another transaction's."""
        return Cost(self.units + quote.units, self.units_max + quote.units_max)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether to move; with the most that the network may take for it, else with the reason for people."""

    fee_max_units: int
    reason: str = ""

    @property
    def pays(self) -> bool:
        """Say whether to move."""
        return not self.reason


def judge(units: int, cost: Cost, worth: Worth) -> Verdict:
    """Decide on a move of `units` of an asset.

    Args:
        units: what it brings, without what the source itself pays for it.
        cost: all that it costs, gas that is sent ahead included.
        worth: what native coin is worth in the asset.
    """
    if units <= 0:
        return Verdict(0, "it holds less than the fee")
    expected = worth.of_fee(cost.units)
    if expected > units * SHARE_MAX:
        percent = "more than all" if expected > units else f"{-(-100 * expected // units)} %"
        return Verdict(0, f"moving it costs {percent} of it, at most {100 * SHARE_MAX} % is paid")
    return Verdict(min(cost.units_max, worth.in_native(units)))


def judge_fixed(units: int, cost: Cost, worth: Worth) -> Verdict:
    """Decide as `judge` does where the most that is paid cannot be held below what was quoted."""
    verdict = judge(units, cost, worth)
    if verdict.pays and verdict.fee_max_units < cost.units_max:
        return Verdict(0, "with bad luck moving it costs more than all of it")
    return verdict
