"""The loop that pays on a network goes on with its own lease, however often its lanes fall idle."""

import pytest
from tests.flows.conftest import Start, pace, ring, start  # noqa: F401 - fixtures of the flows serve here too
from tests.flows.paying import Cashier
from tests.flows.test_payouts import earn
from tests.support.clock import ManualClock

from bitlinkpay.signer.keyring import KeyRing
from bitlinkpay.workers.payer import Payer

NETWORK, ASSET, GAS = "ethereum", "usdt-ethereum", "eth-ethereum"


@pytest.fixture
async def cashier(start: Start, ring: KeyRing) -> Cashier:  # noqa: F811
    cashier = Cashier(await start(), ring, ManualClock())
    await earn(cashier, ASSET, "100")
    await cashier.fund(ASSET, "100")
    await cashier.fund(GAS, "5")
    return cashier


async def test_an_idle_lane_goes_on_at_once_when_it_is_wanted_again(cashier: Cashier) -> None:
    payer = Payer(cashier.parts(NETWORK))
    for _ in range(3):
        payout = await cashier.ask(ASSET, "1")
        while await payer.step():
            continue
        await cashier.world.mine(NETWORK, 10)
        while await payer.step():
            continue
        assert await cashier.state(payout) == "completed"
        assert not await payer.step()  # nothing is left to do: the lane is forgotten, its lease is not
