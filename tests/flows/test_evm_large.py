"""Large money on a real node: more endpoints must agree on it, or the stronger tag must have reached it."""

from tests.flows.evm import TRANSFER, USDT, EvmWorld
from tests.nodes.anvil import Anvil
from tests.nodes.proxy import Proxy, RpcError

QUORUMS = 'quorums = [{ amount = "1000", quorum = 2 }]\n'
DEPTHS = 'depths = [{ amount = "1000", finality = "finalized" }]\n'


def refuse(method: str, params: list[object], result: object) -> object:
    raise RpcError(-32000, "the node is starting")


async def test_NODE_03_large_money_is_credited_only_once_a_second_endpoint_shows_it_and_small_money_by_one(
    database, clock, ring, tmp_path
):
    async with (
        Anvil.start(timestamp=int(clock.now().timestamp())) as node,
        Proxy.start(node.url) as one,
        Proxy.start(node.url) as other,
    ):
        usdt = await node.deploy("DollarToken")
        await node.mine(3)
        async with EvmWorld.on(
            node, database, clock, ring, usdt, folder=tmp_path, url=one.url, witnesses=[other.url], rows=QUORUMS
        ) as world:
            large, small = await world.open_order(USDT, "1000"), await world.open_order(USDT, "999.999999")
            other.edit = refuse
            for order in (large, small):
                await usdt.send(TRANSFER, order.address, order.units)
            await world.finish()
            assert await world.is_paid(small)
            assert await world.states(large) == [("final", "")], "one endpoint's word is not enough for it"
            block = await node.block(int((await world.rows("select height from deposits"))[0][0]))

            def fork(method: str, params: list[object], result: object) -> object:
                is_it = method == "eth_getBlockByNumber" and params[0] == block["number"]
                return {**result, "hash": "0x" + "ee" * 32} if is_it else result

            other.edit = fork
            await world.finish()
            assert await world.states(large) == [("final", "")], "the second one knows another block there"
            assert (await world.balance(USDT)).pending_units == large.units
            other.edit = None
            await world.finish()
            assert await world.is_paid(large)
            assert world.inbox.statuses(large) == [8]


async def test_with_the_faster_tag_large_money_still_waits_for_the_stronger_one(database, clock, ring, tmp_path):
    async with Anvil.start(slots=20, timestamp=int(clock.now().timestamp())) as node, Proxy.start(node.url) as proxy:
        usdt = await node.deploy("DollarToken")
        await node.mine(45)
        async with EvmWorld.on(
            node,
            database,
            clock,
            ring,
            usdt,
            folder=tmp_path,
            finality="safe",
            url=proxy.url,
            witnesses=[node.url],
            rows=DEPTHS,
        ) as world:
            large, small = await world.open_order(USDT, "1000"), await world.open_order(USDT, "999")
            for order in (large, small):
                await usdt.send(TRANSFER, order.address, order.units)
            await world.finish(21)  # `safe` is 20 blocks behind, `finalized` 40
            assert await world.is_paid(small)
            assert await world.states(large) == [("final", "")]
            await world.finish(19)
            assert await world.states(large) == [("final", "")]
            await world.finish(1)
            assert await world.is_paid(large)
