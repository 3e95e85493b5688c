"""Hundreds of random schedules. Replay one: `BITLINKPAY_SIM_SEED=17 pytest tests/sim`; more: `BITLINKPAY_SIM_COUNT=5000`."""

import os

import pytest
from tests.flows.conftest import Start
from tests.sim.simulation import Simulation, terms_of

COUNT = int(os.environ.get("BITLINKPAY_SIM_COUNT", "220"))
ONE = os.environ.get("BITLINKPAY_SIM_SEED")
SEEDS = [int(ONE)] if ONE else list(range(COUNT))


@pytest.mark.parametrize("seed", SEEDS)
async def test_DEP_07_whatever_happens_in_whatever_order_everything_is_accounted_for(start: Start, seed: int):
    simulation = Simulation(await start(**terms_of(seed)), seed)
    try:
        await simulation.run()
    except BaseException as error:
        error.add_note(f"BITLINKPAY_SIM_SEED={seed}: {', '.join(simulation.told)}")
        raise
