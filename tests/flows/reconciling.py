"""Reconciliation of a world: whole rounds of looks, what they found, and what they stopped."""

from dataclasses import dataclass

from tests.flows.harness import World
from tests.flows.paying import STRANGERS, Cashier

from bitlinkpay.chains.base import ChainError
from bitlinkpay.reconciliation.differences import store as differences
from bitlinkpay.reconciliation.model import Difference
from bitlinkpay.reconciliation.service import Parts, Reconciler, Report
from bitlinkpay.sandbox.model import Payment
from bitlinkpay.sending.stops import store as stops

ASSET, NETWORK, GAS = "usdt-ethereum", "ethereum", "eth-ethereum"
UNIT = 10**6


@dataclass
class Auditor:
    """Reconciliation beside a cashier."""

    cashier: Cashier

    @property
    def world(self) -> World:
        return self.cashier.world

    def reconciler(self, network_id: str = NETWORK, **more: int) -> Reconciler:
        return Reconciler(
            Parts(
                database=self.world.database,
                chain=self.world.chain(network_id),
                assets=self.world.registry.assets_of(network_id),
                hot=[self.cashier.hot(network_id).address],
                clock=self.world.clock,
                **more,
            )
        )

    async def run(self, network_id: str = NETWORK) -> list[Report]:
        return await self.reconciler(network_id).run_all()

    async def look_twice(self, network_id: str = NETWORK) -> None:
        """Look, let the chain go on, look again."""
        await self.run(network_id)
        await self.world.mine(network_id)
        await self.world.run(network_id)
        await self.run(network_id)

    async def found(self) -> list[Difference]:
        async with self.world.database.reader() as tx:
            return await differences.list_newest(tx, 100)

    async def stopped(self) -> list[str]:
        async with self.world.database.reader() as tx:
            return [stop.subject for stop in await stops.list_all(tx)]

    async def nothing_was_ever_suspected(self) -> None:
        assert await self.world.rows("select * from differences") == []
        assert await self.stopped() == []

    async def rob(self, asset_id: str, source: str, units: int) -> str:
        """Let money leave a place of ours by a transaction that nobody here made."""
        self.world.is_simulated = False  # the world's own comparison would rightly fail at the end of the test
        asset = self.world.registry.assets[asset_id]
        network = self.world.registry.networks[asset.network]
        (txid,) = await self.world.broadcast(Payment(asset, STRANGERS[network.family], units, source=source))
        await self.world.mine(asset.network, network.sandbox_lag + 1)
        await self.world.run(asset.network)
        return txid


class Counting:
    """A chain that counts what it is asked, and may fail to answer about one asset."""

    def __init__(self, chain: object, *, deaf_to: str = "") -> None:
        self._chain = chain
        self.deaf_to = deaf_to
        self.asked: dict[str, int] = {}

    def __getattr__(self, name: str) -> object:
        return getattr(self._chain, name)

    async def balances(self, asset, addresses, height):
        if asset.id == self.deaf_to:
            raise ChainError("silent")
        self.asked[asset.id] = self.asked.get(asset.id, 0) + len(addresses)
        return await self._chain.balances(asset, addresses, height)  # type: ignore[attr-defined]
