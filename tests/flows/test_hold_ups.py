"""What goes wrong with one address, one asset or one node holds up nothing else on its network."""

from datetime import timedelta

import pytest
from tests.flows.conftest import Start
from tests.flows.harness import ALL_STATUSES, World

from bitlinkpay.chains.base import Arrival, Chain, ChainError
from bitlinkpay.sandbox.model import Fork


class Bent:
    """A chain in front of another one: what is not bent goes through."""

    def __init__(self, chain: Chain) -> None:
        self.chain, self.network = chain, chain.network

    def __getattr__(self, name: str) -> object:
        return getattr(self.chain, name)


class Restless(Bent):
    """A new block stands there at every look, as on a network of quarter-second blocks."""

    def __init__(self, world: World, chain: Chain) -> None:
        super().__init__(chain)
        self.world = world

    async def head(self) -> object:
        self.world.clock.advance(timedelta(seconds=1))
        await self.world.mine(self.network.id)
        return await self.chain.head()


class Behind(Bent):
    """A node that knows no block above a height, and answers for it that there is none."""

    def __init__(self, chain: Chain, height: int) -> None:
        super().__init__(chain)
        self.height = height

    async def block_hash(self, height: int) -> str | None:
        return None if height > self.height else await self.chain.block_hash(height)


class Riddle(Bent):
    """Money at one address that nobody can explain."""

    def __init__(self, chain: Chain, address: str) -> None:
        super().__init__(chain)
        self.address = address

    async def locate(self, asset, address, first, last):
        if address == self.address:
            raise ChainError("the traces do not explain the balance")
        return await self.chain.locate(asset, address, first, last)


class Unreadable(Bent):
    """One asset whose balances cannot be read."""

    def __init__(self, chain: Chain, asset: str) -> None:
        super().__init__(chain)
        self.asset = asset

    async def balances(self, asset, addresses, height):
        if asset.id == self.asset:
            raise ChainError("balanceOf reverts")
        return await self.chain.balances(asset, addresses, height)


def watcher(world: World, network: str, chain: Bent):
    """A watcher on the bent chain that holds the lease of the world's own."""
    bent = world.build_watcher(chain)
    bent._token = world.watchers[network]._token
    return bent


async def test_orders_expire_on_a_network_that_never_rests(start: Start) -> None:
    world = await start(callback_statuses=ALL_STATUSES)
    await world.watch("arbitrum")
    order = await world.open_order("usdt-arbitrum")
    world.clock.set(order.expires_at + timedelta(minutes=5))
    restless = watcher(world, "arbitrum", Restless(world, world.chain("arbitrum")))
    for _ in range(20):
        await restless.step()
    assert await world.state(order) == "expired"


async def test_a_node_that_lags_does_not_undo_what_was_final(start: Start) -> None:
    world = await start(callback_statuses=ALL_STATUSES)
    await world.watch("bsc")
    order = await world.open_order("usdt-bsc")
    before = (await world.chain("bsc").head()).latest.height
    await world.pay_and_finalize(order)
    assert await world.state(order) == "paid"
    async with world.database.transaction() as tx:
        await world.sandbox.reorg(tx, "bsc", 1, Fork.KEEP, world.clock.now())
    with pytest.raises(ChainError, match="no other block stands"):
        await watcher(world, "bsc", Behind(world.chain("bsc"), before)).step()
    assert await world.labels(order) == frozenset()
    await world.settle()
    assert await world.state(order) == "paid"


async def test_money_that_cannot_be_explained_holds_up_no_other_order(start: Start) -> None:
    world = await start(callback_statuses=ALL_STATUSES)
    riddle = await world.open_order("eth-arbitrum", "0.5")
    other = await world.open_order("usdt-arbitrum", "100")
    await world.pay(riddle, "0.0001", arrival=Arrival.INTERNAL)
    bent = watcher(world, "arbitrum", Riddle(world.chain("arbitrum"), riddle.address))
    await world.mine("arbitrum", 5)
    world.clock.set(riddle.expires_at + timedelta(hours=5))
    await world.mine("arbitrum", 3)
    for _ in range(8):
        await bent.step()
    assert await world.state(other) == "expired"


async def test_an_asset_that_cannot_be_read_holds_up_no_other_asset(start: Start) -> None:
    world = await start(callback_statuses=ALL_STATUSES)
    unread, other = await world.open_order("usdt-arbitrum", "100"), await world.open_order("eth-arbitrum", "0.5")
    await world.pay(unread)
    await world.pay(other)
    await world.mine("arbitrum", 50)
    bent = watcher(world, "arbitrum", Unreadable(world.chain("arbitrum"), "usdt-arbitrum"))
    for _ in range(8):
        await bent.step()
    assert await world.state(other) == "paid"
    assert await world.state(unread) == "confirming"
    await world.settle()
    assert await world.state(unread) == "paid"
