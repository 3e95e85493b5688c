"""What the books hold at an address as of a block."""

import pytest
from tests.flows.harness import World

from bitlinkpay.payins import books


@pytest.mark.parametrize("asset_id", ["usdt-tron", "usdt-ton"])
async def test_what_arrived_in_later_blocks_is_left_out(world: World, asset_id: str):
    order, other = await world.open_order(asset_id, "5"), await world.open_order(asset_id, "7")
    network, asset = world.network(asset_id).id, world.registry.assets[asset_id]
    heights = []
    for payment in (world.payment(order), world.payment(other), world.payment(order, "1")):
        await world.broadcast(payment)
        await world.mine(network, 3)
        await world.settle()
        heights.append((await world.chain(network).head()).latest.height)

    async def held(height: int) -> int:
        async with world.database.reader() as tx:
            found = await books.held_at(tx, asset, [order.address, "nobody's"], height)
        assert found["nobody's"] == 0
        return found[order.address]

    five, seven, one = 5 * 10**6, 7 * 10**6, 10**6
    shared = seven if order.address == other.address else 0
    assert [await held(height) for height in heights] == [five, five + shared, five + shared + one]
    assert await held(0) == 0
