"""Deep forks and stalled finality on a real node, with money on the way (EVM-19, EVM-20)."""

from tests.flows.evm import ETH, TRANSFER, USDT, EvmWorld
from tests.nodes.anvil import Anvil
from tests.nodes.proxy import Proxy


async def test_EVM_19_a_fork_of_160_blocks_before_finality_takes_back_what_was_never_credited(
    database, clock, ring, tmp_path
):
    async with Anvil.start(slots=100, timestamp=int(clock.now().timestamp())) as node:
        usdt = await node.deploy("DollarToken")
        await node.mine(220)  # the contract itself is final
        async with EvmWorld.on(node, database, clock, ring, usdt, folder=tmp_path) as world:
            lost, kept = await world.open_order(USDT), await world.open_order(ETH, "1")
            payer = node.accounts[1]
            await usdt.send(TRANSFER, lost.address, lost.units)
            await node.transfer(kept.address, kept.units, sender=payer)
            await world.finish(157)
            assert await world.state(lost) == await world.state(kept) == "confirming", "157 blocks deep and not final"
            assert (await world.balance(USDT)).available_units == 0
            again = {"from": payer, "to": kept.address, "value": hex(kept.units), "gas": hex(21_000)}
            await node.reorg(158, [(again, 3)])
            await world.finish(2)
            assert await world.state(lost) == "created"
            assert (await world.balance(USDT)).pending_units == 0
            assert await world.state(kept) == "confirming", "its money stands in another block now"
            assert [state for state, _ in await world.states(kept)].count("seen") == 1
            await world.finish(200)
            assert await world.is_paid(kept)
            assert world.inbox.statuses(kept) == [8]
            assert [s for s in await world.states(kept) if s[0] == "credited"] == [("credited", "")]
            assert await world.state(lost) == "created"
            assert (await world.balance(USDT)).available_units == 0


async def test_EVM_20_while_finality_stalls_nothing_is_credited_however_deep_it_lies(database, clock, ring, tmp_path):
    async with Anvil.start(timestamp=int(clock.now().timestamp())) as node, Proxy.start(node.url) as proxy:
        usdt = await node.deploy("DollarToken")
        await node.mine(3)
        async with EvmWorld.on(node, database, clock, ring, usdt, folder=tmp_path, url=proxy.url) as world:
            before, during = await world.open_order(USDT), await world.open_order(USDT)
            await usdt.send(TRANSFER, before.address, before.units)
            await world.finish()
            assert await world.is_paid(before)
            stalled = await node.block("finalized")

            def stall(method: str, params: list[object], result: object) -> object:
                return stalled if method == "eth_getBlockByNumber" and params[0] == "finalized" else result

            proxy.edit = stall
            await usdt.send(TRANSFER, during.address, during.units)
            for _ in range(3):
                await world.finish(100)
                assert await world.states(during) == [("seen", "")]
                assert await world.state(during) == "confirming"
            assert (await world.balance(USDT)).pending_units == during.units
            ((cursor, final),) = await world.rows("select height, final_height from cursors where network = 'ethereum'")
            assert cursor - final >= 300
            proxy.edit = None
            await world.finish()
            assert await world.is_paid(during)
