"""One suite over every network row: an order's address, its payment, finality, a fork, a second reading, a restart, a stranger's token."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.chains.conformance.places import NETWORKS, Place, open_place
from tests.flows.conftest import ring  # noqa: F401 - a fixture of the flows serves here too
from tests.flows.harness import World
from tests.support.clock import ManualClock

from bitlinkpay.chains.address import parse_address, show_address
from bitlinkpay.chains.base import Chain
from bitlinkpay.chains.token import TokenProbe
from bitlinkpay.core.assets import Asset
from bitlinkpay.core.money import format_units
from bitlinkpay.db.pool import Database
from bitlinkpay.deposits.assets.service import AssetGuard
from bitlinkpay.payins import arrivals
from bitlinkpay.payins.model import Payin
from bitlinkpay.signer.keyring import KeyRing

AMOUNT = 12_345_670  # hundred-millionths: digits to the last that every asset takes


@dataclass
class Till:
    """The platform on one row's network."""

    world: World
    place: Place
    folder: Path
    ring: KeyRing

    async def order(self, asset: Asset) -> Payin:
        units = AMOUNT * 10**asset.decimals // 10**8
        return await self.world.open_order(asset.id, format_units(units, asset.decimals))

    async def pay(self, order: Payin, asset_id: str | None = None) -> None:
        """Let a stranger pay an order; his transaction waits for the next block."""
        await self.place.pays[order.asset if asset_id is None else asset_id](order.address, order.tag, order.units)

    async def mine(self) -> None:
        await self.place.mine()
        await self.world.settle()

    async def finalize(self) -> None:
        await self.place.finalize()
        await self.world.settle()

    async def restart(self) -> None:
        """Begin again with a fresh adapter and a fresh watcher on the same database."""
        name = self.place.network_id
        await self.world.chains[name].aclose()
        self.follow(self.place.chain(self.folder, self.world.database, self.ring))
        self.world.watchers[name] = self.world.build_watcher(self.world.chains[name])
        async with self.world.database.transaction() as tx:  # the lease of the process that ended runs out
            await tx.execute("update cursors set lease_until = now() - interval '1 second'")

    def follow(self, chain: Chain) -> None:
        world = self.world
        world.chains[chain.network.id] = chain
        assets = world.registry.assets_of(chain.network.id)
        if isinstance(chain, TokenProbe):
            world.guard = AssetGuard(database=world.database, chain=chain, assets=assets, clock=world.clock)

    async def read_again(self) -> None:
        """Record everything that the chain shows once more, as a second watcher or a rescan would."""
        world, chain = self.world, self.world.chains[self.place.network_id]
        final = (await chain.head()).final.height
        ((first,),) = await world.rows("select min(height) from blocks where network = $1", chain.network.id)
        height, found = int(str(first)), []
        while height <= final:
            blocks = await chain.scan(height, min(final, height + 31))
            found += [(block, transfer) for block in blocks for transfer in block.transfers]
            height = blocks[-1].height + 1 if blocks else final + 1
        now = world.clock.now()
        async with world.database.transaction() as tx:
            sighted = await arrivals.sight(tx, chain.network, found, now)
            assert sighted, "what was paid is seen again"
            fresh = await arrivals.record(tx, world.registry, sighted, cleared=(), final_height=final, now=now)
        assert fresh == []

    async def is_paid_once(self, order: Payin) -> bool:
        told = self.world.inbox.statuses(order)
        return await self.world.is_paid(order) and told == [8] and await self.world.states(order) == [("credited", "")]


@pytest.fixture(params=NETWORKS)
async def till(
    request: pytest.FixtureRequest,
    database: Database,
    clock: ManualClock,
    ring: KeyRing,  # noqa: F811
    tmp_path: Path,
) -> AsyncIterator[Till]:
    clock.set(datetime.now(UTC))
    async with open_place(request.param, ring, lambda: clock.now().timestamp()) as place:
        world = await World.start(database, clock, ring)
        world.registry = place.registry(tmp_path)
        till = Till(world, place, tmp_path, ring)
        chain = place.chain(tmp_path, database, ring)
        till.follow(chain)
        async with world.following(chain, ring):
            yield till


async def test_an_order_is_paid_once_in_each_coin_and_by_no_token_that_nobody_listed(till: Till) -> None:
    world, place = till.world, till.place
    assets = place.payable(world.registry)
    assert {asset.id for asset in assets} <= place.pays.keys()
    for asset in assets:
        order, other = await till.order(asset), await till.order(asset)
        network = world.network(asset.id)
        assert parse_address(network, show_address(network, order.address)) == order.address
        assert (order.address, order.tag) != (other.address, other.tag), "an order's place is its own"
        if "" in place.pays:
            await till.pay(order, "")
            await till.finalize()
            assert await world.unpaid(order), "a token of the same name is no money"
        await till.pay(order)
        await till.finalize()
        assert await till.is_paid_once(order)
        assert await world.unpaid(other)
        fee = order.units * 3_000 // 1_000_000
        assert (await world.balance(asset.id)).available_units == order.units - fee
    await till.read_again()
    await world.settle()
    assert len(await world.rows("select * from deposits")) == len(assets)


async def test_what_is_not_final_is_no_credit_and_a_restart_in_the_middle_loses_and_doubles_nothing(till: Till) -> None:
    world, place = till.world, till.place
    asset = place.payable(world.registry)[0]
    lost, kept = await till.order(asset), await till.order(asset)
    if place.reorg is not None:
        await till.pay(lost)
        await till.mine()
        assert await world.state(lost) == "confirming"
        assert (await world.balance(asset.id)).available_units == 0
        await place.reorg()
        await world.settle()
        await till.mine()
    await till.pay(kept)
    await place.mine()
    await till.restart()
    await world.settle()
    await till.restart()
    await till.finalize()
    assert await till.is_paid_once(kept)
    assert not place.reorg or ("dropped", "") in await world.states(lost)
