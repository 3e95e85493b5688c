"""Many workers and many payouts on one hot wallet: each payout once, numbers without a gap or a duplicate (THREATS, PAY-03)."""

from dataclasses import replace
from random import Random

from tests.flows.conftest import Start
from tests.flows.paying import STRANGERS, Cashier
from tests.flows.test_payouts import earn
from tests.support.clock import ManualClock
from tests.support.crowd import WrongClock, crowd

from bitlinkpay.chains.outgoing import Purpose
from bitlinkpay.chains.simulated_plan import SimulatedPlan
from bitlinkpay.chains.simulated_sender import SimulatedSender
from bitlinkpay.core.assets import Asset
from bitlinkpay.sending.lane import LaneWorker
from bitlinkpay.signer.keyring import KeyRing

ASSET, NETWORK, GAS = "usdt-ethereum", "ethereum", "eth-ethereum"
STRANGER = STRANGERS["evm"]
WORKERS, PAYOUTS, EACH = 8, 200, 5


class SmallBatches(SimulatedSender):
    """A network that carries few payments a transaction, so that there are many numbers to give out."""

    most: int

    def payments_max(self, asset: Asset, purpose: Purpose) -> int:
        return min(self.most, super().payments_max(asset, purpose))

    @classmethod
    def of(cls, cashier: Cashier, most: int) -> "SmallBatches":
        made = cls.__new__(cls)
        made.__dict__.update(cashier.sender(NETWORK).__dict__, most=most)
        return made


def lanes_of(cashier: Cashier, count: int, *, most: int, seed: int) -> list[LaneWorker[SimulatedPlan]]:
    """Return workers of their own on the same lane, as in so many processes."""
    parts, payer = cashier.parts(NETWORK), cashier.hot(NETWORK)
    clocks = [WrongClock(cashier.wall, Random(f"{seed} {number}")) for number in range(count)]
    return [LaneWorker(replace(parts, sender=SmallBatches.of(cashier, most), wall=clock), payer) for clock in clocks]


async def left(cashier: Cashier) -> int:
    rows = await cashier.world.rows("select count(*) from sendings where state <> 'delivered'")
    return int(str(rows[0][0]))


async def check_sent(cashier: Cashier, payouts: int, units: int) -> None:
    """Hold books, lane and chain against each other, and each against what was asked for."""
    world = cashier.world
    assert await world.rows("select state, count(*) from payouts group by state") == [("completed", payouts)]
    assert await cashier.received(STRANGER, ASSET) == units
    assert await world.rows("select count(*) from sim_transfers where target = $1", STRANGER) == [(payouts,)]
    numbers = [number for number, state in await cashier.transactions(NETWORK) if state != "released"]
    assert numbers == list(range(len(numbers)))  # no gap, no duplicate
    on_chain = await world.rows(
        "select number from sim_slots where payer = $1 order by 1", cashier.hot(NETWORK).address
    )
    assert [number for (number,) in on_chain] == numbers
    unsent = "select count(*) from transaction_attempts where txid <> '' and sent_at is null"
    assert await world.rows(unsent) == [(0,)]
    await world.settle()


async def test_PAY_03_workers_that_take_each_others_lease_send_each_payout_once(start: Start, ring: KeyRing) -> None:
    cashier = Cashier(await start(), ring, ManualClock())
    await earn(cashier, ASSET, "5000")
    await cashier.fund(ASSET, "5000")
    await cashier.fund(GAS, "50")
    for number in range(PAYOUTS):
        await cashier.ask(ASSET, str(1 + number % 7))
    await crowd(
        lanes_of(cashier, WORKERS, most=EACH, seed=3),
        mine=lambda: cashier.world.mine(NETWORK, 1),
        left=lambda: left(cashier),
    )
    await check_sent(cashier, PAYOUTS, sum(1 + number % 7 for number in range(PAYOUTS)) * 10**6)
    holders = await cashier.world.rows("select count(*) from lanes where lease_token is not null")
    assert holders == [(1,)]
