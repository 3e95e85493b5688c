"""A lane's lease: renewed while its holder works, lost without harm."""

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from tests.flows.harness import World
from tests.flows.paying import SEED, Cashier
from tests.flows.test_payouts import earn
from tests.support.clock import ManualClock

from bitlinkpay.chains.outgoing import CannotPlan, Intent, Outcome, Signed
from bitlinkpay.chains.simulated_plan import SimulatedPlan
from bitlinkpay.chains.simulated_sender import SimulatedSender
from bitlinkpay.db.pool import Database
from bitlinkpay.payouts.model import Payout
from bitlinkpay.sending.lane import LaneWorker
from bitlinkpay.sending.lanes import store as lanes
from bitlinkpay.sending.lease import LEASE_LIFE, Lease
from bitlinkpay.sending.model import LaneLost
from bitlinkpay.sending.parts import LaneParts, Limits
from bitlinkpay.signer.keys import derive_keyring

ASSET, NETWORK, GAS = "usdt-ethereum", "ethereum", "eth-ethereum"


@pytest.fixture
async def cashier(database: Database) -> Cashier:
    ring, clock = derive_keyring(SEED), ManualClock()
    made = Cashier(await World.start(database, clock, ring), ring, ManualClock(), limits=Limits(unmined=3))
    await earn(made, ASSET, "100")
    await made.fund(ASSET, "100")
    await made.fund(GAS, "5")
    return made


async def opened(cashier: Cashier, token: UUID) -> Lease[SimulatedPlan]:
    async with cashier.world.database.transaction() as tx:
        await lanes.open_(tx, NETWORK, cashier.hot(NETWORK), 0)
    return Lease(cashier.parts(NETWORK), cashier.hot(NETWORK), token)


async def test_it_is_renewed_only_once_a_quarter_of_its_life_is_over(cashier: Cashier) -> None:
    lease = await opened(cashier, uuid4())
    assert await lease.take() == (0, "")
    until = await cashier.world.rows("select lease_until from lanes")
    await cashier.pass_time(LEASE_LIFE / 5)
    await lease.keep()
    assert await cashier.world.rows("select lease_until from lanes") == until
    await cashier.pass_time(LEASE_LIFE / 5)
    await lease.keep()
    assert await cashier.world.rows("select lease_until from lanes") == [(cashier.wall.now() + LEASE_LIFE,)]


async def test_who_kept_it_too_late_has_lost_it_and_writes_nothing(cashier: Cashier) -> None:
    mine, other = await opened(cashier, uuid4()), await opened(cashier, uuid4())
    assert await mine.take() == (0, "")
    assert await other.take() is None
    with pytest.raises(LaneLost):
        await other.keep()
    await cashier.pass_time(LEASE_LIFE * 2)
    assert await other.take() == (0, "")
    with pytest.raises(LaneLost):
        await mine.keep()
    for write in (mine.hold, lambda tx: mine.step(tx, number=0, by=1)):
        with pytest.raises(LaneLost):
            async with cashier.world.database.transaction() as tx:
                await write(tx)
    assert await cashier.world.rows("select next_number from lanes") == [(0,)]


class SlowNetwork(SimulatedSender):
    """A network whose every answer about a transaction takes most of a lease's life, and that may not know some at all."""

    wall: ManualClock
    rival: Lease[SimulatedPlan]
    rival_got: list[object]
    unreadable: Sequence[str] = ()

    @classmethod
    def on(cls, cashier: Cashier) -> "SlowNetwork":
        made = cls.__new__(cls)
        made.__dict__.update(cashier.sender(NETWORK).__dict__, wall=cashier.wall)
        made.rival = Lease(cashier.parts(NETWORK), cashier.hot(NETWORK), uuid4())
        made.rival_got = []
        return made

    async def outcome(self, intent: Intent, plan: SimulatedPlan, signed: Signed) -> Outcome:
        self.wall.advance(LEASE_LIFE * 3 / 4)
        self.rival_got.append(await self.rival.take())
        if signed.txid in self.unreadable:
            raise CannotPlan("no asset usdt-ethereum is listed")
        return await super().outcome(intent, plan, signed)


def slow_lane(cashier: Cashier) -> tuple[SlowNetwork, LaneWorker[SimulatedPlan]]:
    network = SlowNetwork.on(cashier)
    parts: LaneParts[SimulatedPlan] = cashier.parts(NETWORK)
    changed = LaneParts(
        **{name: getattr(parts, name) for name in parts.__slots__} | {"sender": network},  # type: ignore[arg-type]
    )
    return network, LaneWorker(changed, cashier.hot(NETWORK))


async def sent(cashier: Cashier, count: int) -> list[Payout]:
    """Return payouts that travel in a transaction each."""
    made = []
    for _ in range(count):
        made.append(await cashier.ask(ASSET, "1"))
        await cashier.run(NETWORK)
    assert len(await cashier.transactions(NETWORK)) == count
    return made


async def test_a_step_longer_than_a_lease_keeps_it(cashier: Cashier) -> None:
    payouts = await sent(cashier, 3)
    await cashier.world.mine(NETWORK, cashier.world.registry.networks[NETWORK].sandbox_lag + 1)
    cashier.wall.advance(timedelta(minutes=1))  # the first worker's lease is over
    network, worker = slow_lane(cashier)
    assert await worker.step()  # three answers of three quarters of a lease's life each
    assert network.rival_got == [None] * 3  # though another worker tries to take it after each
    assert [await cashier.state(payout) for payout in payouts] == ["completed"] * 3


async def test_a_transaction_that_nobody_understands_holds_up_no_other(cashier: Cashier) -> None:
    payouts = await sent(cashier, 3)
    network, worker = slow_lane(cashier)
    network.unreadable = [(await cashier.show(payouts[0])).txid]
    await cashier.world.mine(NETWORK, cashier.world.registry.networks[NETWORK].sandbox_lag + 1)
    cashier.wall.advance(timedelta(minutes=1))
    assert await worker.step()
    assert [await cashier.state(payout) for payout in payouts] == ["broadcast", "completed", "completed"]
    network.unreadable = ()
    assert await worker.step()
    assert await cashier.state(payouts[0]) == "completed"
