"""What gas costs now and what a replacement must offer, in wei per gas (EIP-1559)."""

import statistics
from dataclasses import dataclass, replace
from typing import Final

from bitlinkpay.chains.evm.node import EvmNode
from bitlinkpay.chains.evm.plan import EvmPlan
from bitlinkpay.chains.evm.wire import FEE_HISTORY, FeeHistory, Malformed, quantity
from bitlinkpay.chains.outgoing import FeeTooHigh
from bitlinkpay.chains.quorum import Quorum
from bitlinkpay.chains.rpc import Call

_BLOCKS: Final = 10
_PERCENTILE: Final = 50
_RISE: Final = 8  # EIP-1559: the base fee rises by at most an eighth from block to block
_BUMP: Final = 8  # nodes take a replacement from 10 % more on (geth, Erigon, reth) or 12.5 % (older Nethermind)
_ROOM: Final = 2  # a base fee twice as high is reached after six full blocks


@dataclass(frozen=True, slots=True)
class Market:
    """What the next block asks for: its base fee and the tip that others pay."""

    base: int
    tip: int

    @property
    def per_gas(self) -> int:
        """Return what a unit of gas costs in the next block."""
        return self.base + self.tip

    @property
    def roomy(self) -> int:
        """Return what a unit of gas may cost by a plan of now."""
        return _ROOM * self.base + self.tip


class FeeReader:
    """Prices of one network."""

    def __init__(self, quorum: Quorum[EvmNode]) -> None:
        self._quorum = quorum

    async def market(self) -> Market:
        """Return the lower median of what independent endpoints say, so that one cannot raise it (THREATS NODE-10).

        Raises:
            ChainError: fewer endpoints answered than the quorum asks for.
        """
        markets = sorted([market for _, market in await self._quorum.survey(_read)], key=lambda m: (m.per_gas, m.tip))
        return markets[(len(markets) - 1) // 2]


async def _read(node: EvmNode) -> Market:
    call = Call("eth_feeHistory", (hex(_BLOCKS), "latest", [_PERCENTILE]))
    (history,) = await node.ask([call], FEE_HISTORY)
    return read_market(history)


def read_market(history: FeeHistory) -> Market:
    """Return the next block's base fee and the median of the tips that recent blocks with transactions took.

    Raises:
        Malformed: a network without EIP-1559, or no blocks.
    """
    if not history.base_fee_per_gas:
        raise Malformed("a node knows no base fee: this network has no EIP-1559")
    tips = [quantity(rewards[0]) for rewards in history.reward or () if rewards]
    paid = [tip for tip in tips if tip]
    return Market(quantity(history.base_fee_per_gas[-1]), statistics.median_high(paid) if paid else 0)


def price(plan: EvmPlan, market: Market, fee_max_units: int) -> EvmPlan:
    """Return the plan with the fee of now, and as much room above it as `fee_max_units` allows.

    Raises:
        FeeTooHigh: even the next block may ask for more.
    """
    limit = fee_max_units // plan.gas_limit
    needed = market.base + -(-market.base // _RISE) + market.tip
    if limit < needed:
        raise FeeTooHigh(_too_high(plan, needed, fee_max_units))
    return replace(plan, max_fee=min(market.roomy, limit), priority_fee=market.tip)


def outbid(plan: EvmPlan, market: Market, fee_max_units: int) -> EvmPlan:
    """Return the same plan with both fees raised by at least an eighth: nodes refuse a replacement with less.

    Raises:
        FeeTooHigh: that is more than `fee_max_units` allows.
    """
    tip = max(_raised(plan.priority_fee), market.tip)
    wanted = max(_raised(plan.max_fee), _ROOM * market.base + tip)
    limit = fee_max_units // plan.gas_limit
    if limit < (needed := max(_raised(plan.max_fee), tip)):
        raise FeeTooHigh(_too_high(plan, needed, fee_max_units))
    return replace(plan, max_fee=min(wanted, limit), priority_fee=tip)


def _raised(fee: int) -> int:
    return fee + max(1, -(-fee // _BUMP))


def _too_high(plan: EvmPlan, needed: int, fee_max_units: int) -> str:
    return f"the network asks for {plan.gas_limit * needed} wei, the most that may be paid is {fee_max_units}"
