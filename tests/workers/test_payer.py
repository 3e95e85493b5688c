"""The loop that pays on a network goes on with its own lease, however often its lanes fall idle."""

from dataclasses import dataclass, replace

import pytest
from tests.flows.conftest import Start, pace, ring, start  # noqa: F401 - fixtures of the flows serve here too
from tests.flows.harness import REGISTRY
from tests.flows.paying import Cashier
from tests.flows.test_payouts import earn
from tests.support.clock import ManualClock

from bitlinkpay.chains.base import EndpointFailed, Head
from bitlinkpay.chains.simulated_sender import SimulatedSender
from bitlinkpay.core.assets import Network
from bitlinkpay.sandbox.mempool.store import Mempool
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


@dataclass
class Away:
    """Nodes that do not answer."""

    network: Network = REGISTRY.networks[NETWORK]

    async def head(self) -> Head:
        raise EndpointFailed("nobody tells where the chain stands")


async def test_a_network_that_is_away_is_told_to_the_loop_which_rests_longer_and_longer(cashier: Cashier) -> None:
    """Each lane's own line at every look filled the log: several a second on a fast chain, for hours."""
    parts = cashier.parts(NETWORK)
    payout = await cashier.ask(ASSET, "1")
    away = Payer(replace(parts, sender=SimulatedSender(Away(), Mempool(cashier.world.database, REGISTRY))))
    with pytest.raises(EndpointFailed, match="nobody tells"):
        await away.step()
    payer = Payer(parts)
    while await payer.step():
        continue
    await cashier.world.mine(NETWORK, 10)
    while await payer.step():
        continue
    assert await cashier.state(payout) == "completed"
