"""From an intent, outputs to spend and a rate to a plan: what the payer gets back, what the miner gets. Pure."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from bitlinkpay.chains.bitcoin.coins import INPUTS_MAX, Goal, match, select
from bitlinkpay.chains.bitcoin.plan import BitcoinPlan, payments_out
from bitlinkpay.chains.bitcoin.script import script_of
from bitlinkpay.chains.bitcoin.weight import (
    KEY_SCRIPT_BYTES,
    LATER_RATE,
    RELAY_RATE,
    dust_of,
    fee_at,
    input_cost,
    output_vbytes,
    vsize,
)
from bitlinkpay.chains.codec.bitcoin import Prefixes
from bitlinkpay.chains.outgoing import CannotPlan, FeeTooHigh, Intent, LacksGas, Purpose, Unspent
from bitlinkpay.core.errors import Invalid

SPLIT_UNITS: Final = (
    10_000_000  # change is split into outputs of at least this, so that payments need not queue for one
)
SPLIT_MAX: Final = 4
FEE_SHARE: Final = 2  # a fee of more than half of what moves waits for other times, or for a person


@dataclass(frozen=True, slots=True)
class Rate:
    """What the network asks for now, and where its chain stands."""

    sat_per_kvb: int
    height: int


def scripts_of(intent: Intent, prefixes: Prefixes) -> list[bytes]:
    """Return the scripts of the payments that have an output of their own.

    Raises:
        CannotPlan: a target is no address of this network, or a payment too small to be relayed.
    """
    scripts: list[bytes] = []
    for payment in payments_out(intent):
        try:
            script = script_of(payment.target, prefixes)
        except Invalid as error:
            raise CannotPlan(f"{payment.target[:100]}: {error.message}") from None
        if payment.units < dust_of(script):
            raise CannotPlan(f"{payment.units} satoshi are too few: nodes pass on {dust_of(script)} or more")
        scripts.append(script)
    return scripts


def choose(intent: Intent, available: Sequence[Unspent], rate: int, prefixes: Prefixes) -> list[Unspent]:
    """Choose what to spend for an intent at a rate.

    Raises:
        CannotPlan: never possible with these payments.
        LacksGas: not possible with the outputs that are free now.
    """
    scripts = scripts_of(intent, prefixes)
    if intent.purpose is Purpose.SWEEP:
        return _whole_deposits(intent, available)
    own = [coin for coin in available if coin.owner == intent.payer]
    if intent.purpose is Purpose.CONSOLIDATION:
        return _neighbours(own, sum(payment.units for payment in intent.payments))
    if not scripts:
        raise CannotPlan(f"Bitcoin has no {intent.purpose}")
    goal = _goal(sum(payment.units for payment in intent.payments), [len(script) for script in scripts], rate)
    chosen = select(own, goal)
    if chosen is None:
        lacking = max(1, goal.units - sum(coin.units for coin in own))
        raise LacksGas("the wallet's free outputs do not suffice: the others are on their way", lacking)
    return chosen


def _goal(units: int, scripts: Sequence[int], rate: int) -> Goal:
    frame = fee_at(rate, vsize(0, scripts))
    change = fee_at(rate, output_vbytes(KEY_SCRIPT_BYTES))
    return Goal(
        units=units + frame,
        input_units=input_cost(rate),
        slack_units=change + input_cost(LATER_RATE),
        change_units=change + max(_dust(), input_cost(LATER_RATE)),
    )


def _whole_deposits(intent: Intent, available: Sequence[Unspent]) -> list[Unspent]:
    """Find for each swept wallet the outputs that add up to exactly what is swept; nothing of it stays behind."""
    wanted: Counter[str] = Counter()
    for payment in intent.payments:
        wanted[payment.source.address] += payment.units
    chosen: list[Unspent] = []
    for address, units in wanted.items():
        coins = sorted((c for c in available if c.owner.address == address), key=_by_value, reverse=True)
        found = match([coin.units for coin in coins], units, 0)
        if found is None:
            raise CannotPlan(f"no outputs of {address} add up to exactly {units} satoshi")
        chosen += [coins[i] for i in found]
    return chosen


def _neighbours(coins: Sequence[Unspent], units: int) -> list[Unspent]:
    """Find outputs next to each other in size that add up to exactly what shall be joined: those that were planned."""
    ordered = sorted(coins, key=_by_value)
    first, held = 0, 0
    for after, coin in enumerate(ordered, start=1):
        held += coin.units
        while held > units:
            held -= ordered[first].units
            first += 1
        if held == units and 1 < after - first <= INPUTS_MAX:
            return ordered[first:after]
    raise CannotPlan(f"the outputs of {units} satoshi that were to be joined are not all free any more")


def draft(
    intent: Intent, inputs: Sequence[Unspent], rate: Rate, prefixes: Prefixes, previous: BitcoinPlan | None = None
) -> BitcoinPlan:
    """Return the plan that spends `inputs` at a rate; with `previous`, one that nodes take in its place (BIP-125).

    Raises:
        CannotPlan: the inputs do not suffice.
        FeeTooHigh: the fee would be above the intent's.
    """
    scripts = [len(script) for script in scripts_of(intent, prefixes)]
    left = sum(coin.units for coin in inputs) - sum(payment.units for payment in payments_out(intent))
    for count in range(_change_outputs(intent, left, previous), -1, -1):
        size = vsize(len(inputs), [*scripts, *[KEY_SCRIPT_BYTES] * count])
        fee = _fee(rate.sat_per_kvb, size, previous)
        change = _parts(left - fee, count)
        if count and min(change) < _dust():
            continue
        dust = 0 if count else left - fee
        if dust < 0 or (not scripts and not count):
            break
        _check_fee(intent, inputs, fee + dust)
        since = previous.since_height if previous else rate.height
        return BitcoinPlan(tuple(inputs), intent.payer, change, fee + dust, dust, rate.height, since)
    raise LacksGas("what is spent does not cover the network's fee", max(1, fee - left))


def _check_fee(intent: Intent, inputs: Sequence[Unspent], fee: int) -> None:
    """Hold a fee to the intent's limit, and to a share of what moves (THREATS PAY-15)."""
    if fee > intent.fee_max_units:
        raise FeeTooHigh(f"the network asks for {fee} satoshi, more than {intent.fee_max_units}")
    moved = sum(payment.units for payment in payments_out(intent)) or sum(coin.units for coin in inputs)
    if fee * FEE_SHARE > moved:
        raise FeeTooHigh(f"the network asks for {fee} satoshi to move {moved}")


def _change_outputs(intent: Intent, left: int, previous: BitcoinPlan | None) -> int:
    """Return how many outputs to the payer are tried first."""
    if previous is not None:
        return len(previous.change)
    if intent.purpose is Purpose.CONSOLIDATION:
        return 1
    return min(SPLIT_MAX, max(1, left // SPLIT_UNITS))


def _parts(units: int, count: int) -> tuple[int, ...]:
    """Split units into `count` parts, the first of them the largest."""
    if not count:
        return ()
    each, more = divmod(units, count)
    return (each + more, *[each] * (count - 1))


def _fee(rate: int, size: int, previous: BitcoinPlan | None) -> int:
    """Return the fee; in place of another transaction at least its fee and what relaying this one costs."""
    return max(fee_at(rate, size), previous.fee_units + fee_at(RELAY_RATE, size) if previous else 0)


def _dust() -> int:
    return dust_of(b"\x00\x14" + bytes(20))


def _by_value(coin: Unspent) -> tuple[int, str, int]:
    return coin.units, coin.txid, coin.vout
