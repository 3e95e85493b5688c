"""Which outputs to spend: an exact match where there is one, else the largest first. Pure, bounded, repeatable."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

from bitlinkpay.chains.outgoing import Unspent

INPUTS_MAX: Final = 200  # 54,200 units of weight of the 400,000 that nodes relay
_TRIES: Final = 100_000


@dataclass(frozen=True, slots=True)
class Goal:
    """What a choice must cover.

    Attributes:
        units: payments and the fee of a transaction without inputs and change.
        input_units: what each input adds to the fee.
        slack_units: how much more may be given away rather than pay for a change output now and its spending later.
        change_units: what a change output must hold at least, its own fee included.
    """

    units: int
    input_units: int
    slack_units: int
    change_units: int


def select(available: Sequence[Unspent], goal: Goal) -> list[Unspent] | None:
    """Return outputs that cover a goal, None where those that are worth spending do not suffice."""
    worth = [coin for coin in available if coin.units > goal.input_units]
    ordered = sorted(worth, key=lambda coin: (-coin.units, coin.txid, coin.vout))
    exact = match([coin.units - goal.input_units for coin in ordered], goal.units, goal.slack_units)
    if exact is not None:
        return [ordered[i] for i in exact]
    return _largest_first(ordered, goal)


def match(values: Sequence[int], target: int, slack: int) -> list[int] | None:
    """Return the indexes of values that add up to `target..target + slack`, as near to `target` as is found.

    Branch and bound (Murch, "An Evaluation of Coin Selection Strategies", 2016) over values in falling order, depth
    first with the larger branch first, for a bounded number of steps.
    """
    left = [*accumulate(reversed(values), initial=0)][::-1]  # what is still to come from each index on
    best: list[int] | None = None
    best_sum = target + slack + 1
    taken: list[int] = []
    total, at = 0, 0
    for _ in range(_TRIES):
        if target <= total < best_sum:
            best, best_sum = list(taken), total
        if at < len(values) and total < target <= total + left[at] and len(taken) < INPUTS_MAX:
            taken.append(at)
            total += values[at]
            at += 1
        elif taken:
            at = taken.pop() + 1
            total -= values[at - 1]
        else:
            break
    return best


def _largest_first(ordered: Sequence[Unspent], goal: Goal) -> list[Unspent] | None:
    chosen: list[Unspent] = []
    held = -goal.units
    for coin in ordered[:INPUTS_MAX]:
        chosen.append(coin)
        held += coin.units - goal.input_units
        if held >= goal.change_units:
            return chosen
    return chosen if held >= 0 else None
