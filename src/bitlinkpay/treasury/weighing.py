"""What sweeping some addresses would cost now, asked of the network, and which of them that leaves worth it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from bitlinkpay.chains.outgoing import (
    CannotPlan,
    FeeQuote,
    FeeTooHigh,
    LacksGas,
    Payment,
    Purpose,
    Wallet,
    pays_for_itself,
)
from bitlinkpay.core.assets import Asset
from bitlinkpay.core.errors import Problem
from bitlinkpay.core.ids import new_uuid7
from bitlinkpay.treasury.model import Method, Move, MoveKind, MoveState, Sweepable
from bitlinkpay.treasury.parts import TreasuryParts
from bitlinkpay.treasury.planning import SAME, Cost, Worth, judge, judge_fixed

PROBES: Final = 3
"""How many addresses are tried for a price that holds for all: the first may be one whose money nobody can move."""
FUEL_MARGIN: Final = 2
"""How much more gas than expected is sent ahead at most; what is not used stays at the address."""


@dataclass(frozen=True, slots=True)
class Weighed:
    """What comes of an address.

    Attributes:
        address: the address.
        move: what would move, None where it waits.
        gas_fee_units: what handing it gas may cost.
        cost_units: what moving it is expected to cost by a transaction of its own, in native units.
        setup_units: what making the hot wallet ready may cost, where it waits for that only; 0 otherwise.
        reason: why it waits.
    """

    address: Sweepable
    move: Move | None = None
    gas_fee_units: int = 0
    setup_units: int = 0
    reason: str = ""
    cost_units: int = 0

    @property
    def hot_units(self) -> int:
        """Return the native units that the hot wallet must have free for it."""
        if self.move is None:
            return 0
        if self.move.method is Method.TOGETHER:
            return self.move.fee_max_units - self.move.covered_units
        return self.move.gas_units + self.gas_fee_units + 2 * self.move.lend_fee_units  # it is taken back as well


async def worth_of(parts: TreasuryParts, asset: Asset) -> Worth:
    """Return what the network's coin is worth in an asset now.

    Raises:
        Problem: there is no price.
    """
    if asset.id == parts.native.id:
        return SAME
    return Worth.at(await parts.prices(parts.native.symbol, asset.symbol), native=parts.native, asset=asset)


class Scales:
    """Weighs addresses of one network for one asset."""

    def __init__(self, parts: TreasuryParts, asset: Asset) -> None:
        self._parts = parts
        self._asset = asset
        self._worth = SAME

    async def weigh(self, found: Sequence[Sweepable]) -> list[Weighed]:
        """Return what comes of each address; nothing is open in the database while the network is asked."""
        if not found:
            return []
        try:
            self._worth = await worth_of(self._parts, self._asset)
        except Problem as problem:
            return _waiting(found, f"there is no price to compare the cost with: {problem.message}")
        most = self._parts.sender.payments_max(self._asset, Purpose.SWEEP)
        if most > 1:
            if not (await self._parts.sender.lane(self._parts.hot)).is_ready:
                return await self._unready(found)
            groups = [found[first : first + most] for first in range(0, len(found), most)]
            return [one for group in groups for one in await self._together(group)]
        return await self._one_by_one(found)

    def _payment(self, address: Sweepable, units: int) -> Payment:
        return Payment(address.source, self._asset.id, self._parts.hot.address, "", units)

    async def _together(self, group: Sequence[Sweepable]) -> list[Weighed]:
        """Weigh one transaction for all; where some don't pay, again without them; where it can't be, by halves."""
        payments = [self._payment(one, one.units) for one in group]
        intent = self._parts.intent(Purpose.SWEEP, self._parts.hot, *payments)
        try:
            quote = await self._parts.sender.quote(intent)
        except CannotPlan as obstacle:
            if len(group) == 1 or isinstance(obstacle, FeeTooHigh):
                return _waiting(group, obstacle.reason)
            half = len(group) // 2
            return [*await self._together(group[:half]), *await self._together(group[half:])]
        cost = Cost.share_of(quote, len(group))
        verdicts = [(one, judge(one.units, cost, self._worth)) for one in group]
        paying = [one for one, verdict in verdicts if verdict.pays]
        if len(paying) == len(group):
            hot = self._parts.hot
            return [Weighed(one, self._move(one, hot, verdict.fee_max_units)) for one, verdict in verdicts]
        waiting = [Weighed(one, reason=verdict.reason) for one, verdict in verdicts if not verdict.pays]
        return [*(await self._together(paying) if paying else ()), *waiting]

    async def _unready(self, found: Sequence[Sweepable]) -> list[Weighed]:
        """Say that addresses wait for the hot wallet to be made ready; ask for that once together they are worth it."""
        reason = "the hot wallet is not ready for batches yet"
        try:
            quote = await self._parts.sender.quote(self._parts.intent(Purpose.SETUP, self._parts.hot))
        except CannotPlan as obstacle:
            return _waiting(found, f"{reason}: {obstacle.reason}")
        verdict = judge(sum(one.units for one in found), Cost(quote.units, quote.units_max), self._worth)
        return [Weighed(one, setup_units=verdict.fee_max_units, reason=verdict.reason or reason) for one in found]

    async def _one_by_one(self, found: Sequence[Sweepable]) -> list[Weighed]:
        """Weigh a transaction by each address itself, at a price asked for one of them."""
        reason = ""
        for probe in found[:PROBES]:
            try:
                quote = await self._own_quote(probe)
                gas = FeeQuote(0, 0) if self._asset.is_native else await self._gas_quote(probe, quote)
            except CannotPlan as obstacle:
                reason = obstacle.reason
                continue
            return [self._alone(one, quote, gas) for one in found]
        return _waiting(found, reason)

    async def _own_quote(self, probe: Sweepable) -> FeeQuote:
        """Return what a transaction of an address's own costs, though it may not hold the fee yet."""
        if self._asset.is_native:
            return await self._native_quote(probe)
        try:
            return await self._quote(probe, probe.units)
        except LacksGas as lacking:  # families that look at the payer's coin first say how much the fee is short
            fee = probe.native_units + lacking.units
            return FeeQuote(fee, FUEL_MARGIN * fee)

    async def _native_quote(self, probe: Sweepable) -> FeeQuote:
        """Return what moving all of an address's coin but the fee costs: on TRON each byte of the amount does."""
        half = await self._quote(probe, max(1, probe.units // 2))
        rest = probe.units - half.units_max
        if rest <= 0:
            return half
        try:
            return await self._quote(probe, rest)
        except LacksGas as lacking:
            return FeeQuote(half.units + lacking.units, half.units_max + lacking.units)

    async def _quote(self, probe: Sweepable, units: int) -> FeeQuote:
        payment = self._payment(probe, units)
        return await self._parts.sender.quote(self._parts.intent(Purpose.SWEEP, probe.source, payment))

    async def _gas_quote(self, probe: Sweepable, quote: FeeQuote) -> FeeQuote:
        """Return what it costs to hand an address its gas."""
        hot, native = self._parts.hot, self._parts.native.id
        paid = Payment(hot, native, probe.source.address, "", _fuel(quote))
        return await self._parts.sender.quote(self._parts.intent(Purpose.GAS, hot, paid))

    def _alone(self, address: Sweepable, quote: FeeQuote, gas: FeeQuote) -> Weighed:
        fee, brought, lacking = _fuel(quote), address.units, 0
        if self._asset.is_native:
            cost, fee = Cost(quote.units, quote.units_max), quote.units_max
            brought -= fee
        elif lacking := max(0, fee - address.native_units):
            cost = Cost(fee, fee).beside(gas)  # what is left of the gas at the address is as good as gone
        else:
            cost = Cost(quote.units, fee)
        verdict = judge_fixed(brought, cost, self._worth)
        if not verdict.pays:
            return Weighed(address, reason=verdict.reason)
        move = self._move(replace(address, units=brought), address.source, fee, gas_units=lacking)
        return Weighed(address, move, gas.units_max if lacking else 0, cost_units=cost.units)

    def _move(self, address: Sweepable, payer: Wallet, fee_max_units: int, *, gas_units: int = 0) -> Move:
        method = Method.FUELLED if gas_units else Method.ALONE if payer == address.source else Method.TOGETHER
        brings_fee = pays_for_itself(self._parts.network.family, Purpose.SWEEP)
        return Move(
            move_id=new_uuid7(),
            kind=MoveKind.SWEEP,
            method=method,
            network=self._parts.network.id,
            asset=self._asset.id,
            source=address.source,
            payer=payer,
            target=self._parts.hot.address,
            units=address.units,
            fee_max_units=fee_max_units,
            gas_units=gas_units,
            covered_units=fee_max_units if brings_fee else 0,
            state=MoveState.FUELLING if gas_units else MoveState.MOVING,
        )


def _fuel(quote: FeeQuote) -> int:
    return max(1, min(quote.units_max, FUEL_MARGIN * quote.units))


def _waiting(found: Sequence[Sweepable], reason: str) -> list[Weighed]:
    return [Weighed(one, reason=reason) for one in found]
