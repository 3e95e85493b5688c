"""SET-07: whoever settles by rules dies at every single step, or loses the database there; each run is one payout."""

import pytest
from tests.flows.conftest import Start
from tests.flows.faults import Crash, Fault, FaultyDatabase, Fuse
from tests.flows.paying import Cashier
from tests.flows.settling import USDT, Office, units
from tests.support.clock import ManualClock

from bitlinkpay.core.errors import Unavailable
from bitlinkpay.settlements.automatic import PAUSE, REST
from bitlinkpay.settlements.model import SettlementId
from bitlinkpay.settlements.rules.model import Terms
from bitlinkpay.signer.keyring import KeyRing

MOST_STEPS = 200


@pytest.fixture
async def office(start: Start, ring: KeyRing) -> Office:
    found = await Office.open(Cashier(await start(), ring, ManualClock()))
    await found.fund()
    await found.earn("300")
    await found.bind_and_rest()
    return found


async def settle_and_die(office: Office, fuse: Fuse) -> None:
    """Trigger and carry out on a database that fails at the fuse's step."""
    automatic = office.build_automatic(FaultyDatabase(office.world.database, fuse))  # type: ignore[arg-type]
    try:
        await automatic.trigger()
        await automatic.carry_out()
    except (Crash, Unavailable):
        return


async def recover(office: Office) -> None:
    """Let a fresh worker go on, as long as there is anything to do."""
    for _ in range(3):
        await office.step()
        await office.cashier.pass_time(PAUSE)


@pytest.mark.parametrize("fault", list(Fault))
async def test_SET_07_a_run_goes_on_after_a_death_at_any_step_and_pays_once(office: Office, fault: Fault) -> None:
    rule = await office.rule(Terms(threshold_units=units("100")))
    before, blown = await office.available(), 0
    for at in range(1, MOST_STEPS):
        fuse = Fuse(at, fault)
        await settle_and_die(office, fuse)
        await recover(office)
        runs = await office.listed(rule)
        assert len(runs) == at, f"one run each time, at step {at}"
        assert runs[-1].outcome is not None, f"at step {at}: {runs[-1].settlement.reason}"
        assert await office.available() == 0
        await cancel(office, runs[-1].settlement.settlement_id)
        assert await office.available() == before
        await office.cashier.pass_time(REST)
        if not fuse.has_blown:
            break
        blown += 1
    assert blown >= 30, "the fuse reached every step"
    assert await office.payouts_count() == blown + 1
    await office.world.check()


async def cancel(office: Office, settlement_id: SettlementId) -> None:
    merchant_id = office.world.merchant.merchant_id
    await office.world.database.unit(lambda tx: office.settlements.cancel(tx, merchant_id, settlement_id))


async def test_SET_07_a_death_before_the_payment_leaves_the_rest_to_the_lane(office: Office) -> None:
    """The run is decided and its worker dies: reserve, payment, callback and books follow without it."""
    rule = await office.rule(Terms(threshold_units=units("100")))
    fuse = Fuse()
    await settle_and_die(office, fuse)
    steps = fuse.ticks
    await cancel(office, (await office.listed(rule))[0].settlement.settlement_id)
    await office.cashier.pass_time(REST)
    await settle_and_die(office, Fuse(steps))  # after the last COMMIT
    await office.finish()
    run = (await office.listed(rule))[-1]
    assert run.outcome is not None
    assert run.outcome.state == "completed"
    assert office.callbacks(run.settlement) == [4]
    assert await office.cashier.received(run.outcome.target, USDT) == run.outcome.units
