"""Which addresses are swept with energy that the hot wallet lends them, because that costs less than burning coin.

Every address is asked for by itself: whether it has an account, energy or free bytes of its own differs from one to
the next. The stake goes to the largest amounts first. While some of it is out, what would burn coin waits, since it is
back within minutes; after half an hour coin is burnt, for there may be more to sweep than a day's energy can carry.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from bitlinkpay.chains.outgoing import CannotPlan, FeeQuote, Lending, Loan, Payment, Purpose
from bitlinkpay.core.assets import Asset
from bitlinkpay.core.errors import Problem
from bitlinkpay.core.ids import new_uuid7
from bitlinkpay.treasury.model import Method, Move, MoveKind, MoveState, Sweepable
from bitlinkpay.treasury.parts import TreasuryParts
from bitlinkpay.treasury.planning import Cost, Worth, judge_fixed
from bitlinkpay.treasury.weighing import Weighed, worth_of

LOANS_MAX: Final = 20
"""How many loans one plan asks the network about: a handful of questions each."""
WAITS_FOR: Final = timedelta(minutes=30)
"""How long an address waits for stake; then coin is burnt for it, if that pays."""
WAITS: Final = "the stake that would save its energy is lent out: it waits until that is back"


@dataclass(frozen=True, slots=True)
class Stake:
    """What can be lent: `free_units` that nothing is promised of, and whether more of it is out."""

    free_units: int
    is_out: bool


def is_needed(purposes: frozenset[Purpose], asset: Asset) -> bool:
    """Say whether lending comes into question: the signer lends and takes back, and code runs."""
    return purposes >= {Purpose.LEND, Purpose.RECALL} and not asset.is_native


class Patience:
    """Since when addresses have waited for stake, as far as this process has seen."""

    def __init__(self) -> None:
        self._since: dict[str, datetime] = {}

    def bear(self, burning: Sequence[Weighed], weighed: Sequence[Weighed], wall: datetime) -> list[Weighed]:
        """Let those burn coin after all that have waited for long enough.

        Args:
            burning: what comes of the addresses without stake.
            weighed: the same with it, in the same order.
            wall: the time now.
        """
        waiting = {one.address.source.address for one in weighed if one.reason == WAITS}
        self._since = {address: self._since.get(address, wall) for address in waiting}
        return [
            before if wall - self._since.get(one.address.source.address, wall) >= WAITS_FOR else one
            for before, one in zip(burning, weighed, strict=True)
        ]


class Borrowing:
    """Weighs loans to addresses of one network for one asset."""

    def __init__(self, parts: TreasuryParts, lending: Lending, asset: Asset) -> None:
        self._parts = parts
        self._lending = lending
        self._asset = asset

    async def weigh(self, weighed: Sequence[Weighed], stake: Stake) -> list[Weighed]:
        """Return what comes of each address where stake may be lent; nothing is open in the database meanwhile.

        Args:
            weighed: what comes of them without.
            stake: what can be lent.
        """
        try:
            worth = await worth_of(self._parts, self._asset)
        except Problem:
            return list(weighed)
        done, free = list(weighed), stake.free_units
        for place, one in enumerate(weighed[:LOANS_MAX]):
            lent = await self._lent(one, worth) if free else None
            if lent is None or lent.move is None:
                continue
            if lent.move.stake_units > free:
                break
            done[place] = lent
            free -= lent.move.stake_units
        return [_patient(one) for one in done] if stake.is_out or free < stake.free_units else done

    async def _lent(self, one: Weighed, worth: Worth) -> Weighed | None:
        """Return an address as it is swept on a loan, None where that cannot be or is no cheaper."""
        address, parts = one.address, self._parts
        money = Payment(address.source, self._asset.id, parts.hot.address, "", address.units)
        try:
            loan = await self._lending.loan(parts.intent(Purpose.SWEEP, address.source, money), parts.hot)
            gas_units = _coin_lacking(address, loan)
            gas = await self._gas(address, gas_units) if gas_units else FeeQuote(0, 0)
        except CannotPlan:
            return None
        cost = cost_of(address, loan, gas, gas_units)
        verdict = judge_fixed(address.units, cost, worth)
        if not verdict.pays or (one.move is not None and cost.units >= one.cost_units):
            return None
        return Weighed(address, self._move(address, loan, gas_units), gas.units_max, cost_units=cost.units)

    async def _gas(self, address: Sweepable, units: int) -> FeeQuote:
        hot = self._parts.hot
        paid = Payment(hot, self._parts.native.id, address.source.address, "", units)
        return await self._parts.sender.quote(self._parts.intent(Purpose.GAS, hot, paid))

    def _move(self, address: Sweepable, loan: Loan, gas_units: int) -> Move:
        state = MoveState.LENDING if loan.stake_units else MoveState.MOVING
        move = Move(
            move_id=new_uuid7(),
            kind=MoveKind.SWEEP,
            method=Method.LENT if loan.stake_units else Method.ALONE,
            network=self._parts.network.id,
            asset=self._asset.id,
            source=address.source,
            payer=address.source,
            target=self._parts.hot.address,
            units=address.units,
            fee_max_units=loan.own.units_max,
            state=state,
            stake_units=loan.stake_units,
            lend_fee_units=loan.lend.units_max if loan.stake_units else 0,
            covered_units=loan.covered_units,
        )
        if not gas_units:
            return move
        method = Method.LENT if loan.stake_units else Method.FUELLED
        return replace(move, method=method, gas_units=gas_units, state=MoveState.FUELLING)


def _patient(one: Weighed) -> Weighed:
    burns = one.move is not None and one.move.method is Method.FUELLED and not one.move.covered_units
    return Weighed(one.address, reason=WAITS) if burns else one


def _coin_lacking(address: Sweepable, loan: Loan) -> int:
    """Return the coin that must go ahead: for bytes that no allowance covers, and one unit to open an account."""
    return max(loan.own.units - address.native_units, 1 if loan.opens else 0, 0)


def cost_of(address: Sweepable, loan: Loan, gas: FeeQuote, gas_units: int) -> Cost:
    """Return all that a sweep on a loan costs; with bad luck the coin at the address burns too; pure.

    Args:
        address: what is swept.
        loan: what lending takes.
        gas: the fee of coin that goes ahead.
        gas_units: that coin.
    """
    burnt = max(gas_units, min(address.native_units + gas_units, loan.own.units_max))
    cost = Cost(max(gas_units, loan.own.units), burnt).beside(gas)
    return cost.beside(loan.lend).beside(loan.recall) if loan.stake_units else cost
