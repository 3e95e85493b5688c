"""A worker whose lease went to another during a slow answer of the network: what it knew of the lane is old."""

from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

from tests.flows.harness import World
from tests.flows.paying import Cashier
from tests.flows.test_payouts import earn
from tests.support.clock import ManualClock

from bitlinkpay.chains.outgoing import Lane, Wallet
from bitlinkpay.chains.simulated_sender import SimulatedSender
from bitlinkpay.core.clock import SystemClock
from bitlinkpay.db.pool import Database
from bitlinkpay.sending.lane import LaneWorker
from bitlinkpay.sending.lanes import store as lanes
from bitlinkpay.signer.keys import derive_keyring

ASSET, NETWORK = "usdt-ethereum", "ethereum"


class SlowSender(SimulatedSender):
    """A network that answers so late that another worker has sent a transaction meanwhile."""

    database: Database

    async def lane(self, payer: Wallet) -> Lane:
        found = await super().lane(payer)
        async with self.database.transaction() as tx:
            other, later = uuid4(), SystemClock().now() + timedelta(days=1)
            taken = await lanes.take(tx, NETWORK, payer.address, token=other, wall=later, life=timedelta(seconds=20))
            if taken is not None:
                assert await lanes.step(tx, NETWORK, payer.address, token=other, number=taken[0], by=1)
        return replace(found, next_number=found.next_number + 1)


async def test_PAY_10_a_number_that_another_worker_gave_out_meanwhile_freezes_no_lane(database: Database) -> None:
    ring, clock = derive_keyring(bytes(range(64))), ManualClock()
    cashier = Cashier(await World.start(database, clock, ring), ring, clock)
    await earn(cashier, ASSET, "1000")
    payout = await cashier.ask(ASSET, "20")
    payer = cashier.hot(NETWORK)
    async with database.transaction() as tx:
        await lanes.open_(tx, NETWORK, payer, 0)
    sender = SlowSender.__new__(SlowSender)
    sender.__dict__.update(cashier.sender(NETWORK).__dict__, database=database)
    worker = LaneWorker(replace(cashier.parts(NETWORK), sender=sender), payer)
    assert not await worker.step()
    rows = await cashier.world.rows("select next_number, frozen_reason from lanes where payer = $1", payer.address)
    assert rows == [(1, "")]
    assert await cashier.state(payout) == "approved"
