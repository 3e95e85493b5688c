"""A month of small deposits on networks whose gas and coin change their price every hour: what is swept, and at what cost.

The shipped planner decides. The network is the seam: what its nodes would quote, and then a fee between what was expected
and the most that was allowed, for prices move on between the plan and the block.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from tests.flows.harness import REGISTRY
from tests.support.clock import ManualClock

from bitlinkpay.chains.outgoing import FeeQuote, Intent, KeyRole, Lane, Purpose, Wallet
from bitlinkpay.core.assets import Asset
from bitlinkpay.treasury.model import Method, Move, Sweepable
from bitlinkpay.treasury.parts import TreasuryParts
from bitlinkpay.treasury.planning import Worth
from bitlinkpay.treasury.weighing import Scales

HOURS = 30 * 24
MOST_WEI = 5 * 10**10
HOT = Wallet(KeyRole.HOT, 0, "hot")
GAS = {  # once and per address: gas, or hundredths of a sun at the usual price; NETWORKS.md, sections 1.2 and 5
    "usdt-ethereum": {Purpose.SWEEP: (21_000, 34_032), Purpose.GAS: (0, 21_000)},
    "usdt-tron": {Purpose.SWEEP: (0, 64_000), Purpose.GAS: (0, 13_700)},
}


@dataclass
class Network:
    """What a network's nodes say: `treasury.parts.Pricing`, with a price of gas that wanders."""

    asset: Asset
    chance: random.Random
    price: int
    coin: Decimal

    def payments_max(self, asset: Asset, purpose: Purpose) -> int:
        del asset
        return 50 if purpose is Purpose.SWEEP and self.asset.network == "ethereum" else 1

    async def lane(self, payer: Wallet) -> Lane:
        del payer
        return Lane(0, 0, is_ready=True)

    async def quote(self, intent: Intent) -> FeeQuote:
        once, each = GAS[self.asset.id][intent.purpose]
        units = (once + each * len(intent.payments)) * self.price
        if self.asset.network == "tron":
            return FeeQuote(units, units * 6 // 5)  # what the limit for energy leaves room for
        return FeeQuote(units, 3 * units)  # half as much gas again, at twice the price

    async def prices(self, base: str, quote: str) -> Decimal:
        del base, quote
        return self.coin

    def pass_hour(self) -> None:
        """Let the coin move by up to two per cent, and gas by up to a third, now and then tenfold; TRON's is fixed."""
        self.coin = (self.coin * self.chance.randint(980, 1020) / 1000).quantize(Decimal("0.000001"))
        if self.asset.network == "tron":
            return
        spike = self.chance.choice((10, *[1] * 39))
        self.price = max(1, self.price * self.chance.randint(75, 133) // 100 * spike)
        if self.price > MOST_WEI:
            self.price //= 5


@dataclass
class Month:
    """What happened: `losses` counts sweeps that cost more than they brought, at the prices of their hour."""

    sweeps: int = 0
    losses: int = 0
    moved_units: int = 0
    cost_units: int = 0
    waiting: list[Sweepable] = field(default_factory=list)


async def play(asset_id: str, *, deposits: int, seed: int) -> Month:
    """Play a month with so many deposits an hour, of 0.5 to 200 coins, most of them small."""
    asset, chance = REGISTRY.assets[asset_id], random.Random(seed)
    start = (10**9, Decimal(3500)) if asset.network == "ethereum" else (100, Decimal("0.3"))
    network, month, clock = Network(asset, chance, *start), Month(), ManualClock()
    for hour in range(HOURS):
        network.pass_hour()
        for number in range(deposits):
            units = int(500_000 * chance.paretovariate(0.8)) % 200_000_000 or 500_000
            month.waiting.append(
                Sweepable(Wallet(KeyRole.DEPOSIT, hour * deposits + number, f"a{hour}-{number}"), units, 0, 0)
            )
        await _sweep(month, network, _parts(network, clock))
    return month


def _parts(network: Network, clock: ManualClock) -> TreasuryParts:
    return TreasuryParts(
        database=None,  # type: ignore[arg-type] - weighing asks the network and the market only
        registry=REGISTRY,
        network=REGISTRY.networks[network.asset.network],
        sender=network,
        prices=network.prices,
        holds=None,  # type: ignore[arg-type]
        hot=HOT,
        clock=clock,
        wall=clock,
    )


async def _sweep(month: Month, network: Network, parts: TreasuryParts) -> None:
    month.waiting.sort(key=lambda one: -one.units)
    weighed = await Scales(parts, network.asset).weigh(month.waiting[:100])
    worth = Worth.at(network.coin, native=parts.native, asset=network.asset)
    for one in weighed:
        if one.move is None:
            continue
        month.waiting.remove(one.address)
        cost = worth.of_fee(_paid(network, one.move, one.gas_fee_units, weighed_count(weighed)))
        month.sweeps += 1
        month.moved_units += one.move.units
        month.cost_units += cost
        month.losses += cost > one.move.units


def weighed_count(weighed: Sequence[object]) -> int:
    return sum(getattr(one, "move", None) is not None for one in weighed)


def _paid(network: Network, move: Move, gas_fee_units: int, count: int) -> int:
    """Return what a sweep costs in the end: gas that was sent ahead whole, else up to all that was allowed."""
    if move.method is Method.FUELLED:
        return move.gas_units + network.chance.randint(gas_fee_units // 3, gas_fee_units)
    once, each = GAS[network.asset.id][Purpose.SWEEP]
    expected = min(move.fee_max_units, (once // count + each) * network.price)
    return network.chance.choice((network.chance.randint(expected, move.fee_max_units), move.fee_max_units))
