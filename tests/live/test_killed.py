"""`kill -9` of each process in the middle of a payment, then the same again: nothing lost, nothing doubled."""

from decimal import Decimal

import pytest
from tests.nodes.anvil import Anvil
from tests.support.live import Devnet, Live, eventually, kill

pytestmark = pytest.mark.timeout(400)

USDT = 10_000_000
VICTIMS = ("worker", "api", "signer", "postgres")


async def test_a_payment_survives_the_death_of_every_process(open_folder):
    async with Anvil.start(chain_id=31337) as node:
        token = await node.deploy("DollarToken")
        devnet = Devnet("ethereum", 31337, node.genesis, [node.url], token.address)
        async with Live.start(open_folder / "data", [devnet]) as live:
            for victim in VICTIMS:
                await pay_while_dying(live, node, token, victim)
            await die_entirely(live, node, token)
            assert Decimal((await live.balances())["usdt-ethereum"]["available"]) == Decimal("9.97") * 10
            assert Decimal((await live.balances())["usdt-ethereum"]["pending"]) == 0
            callbacks = [got["source_id"] for got in live.receiver.got]
            assert sorted(set(callbacks)) == sorted(f"{v}-{n}" for v in (*VICTIMS, "supervisor") for n in (1, 2))


async def pay_while_dying(live: Live, node: Anvil, token, victim: str) -> None:
    """One order is seen and then a process dies; another is paid right while it is away."""
    for n in (1, 2):
        await live.order(f"{victim}-{n}")
    addresses = [(await live.detail(f"{victim}-{n}"))["address"] for n in (1, 2)]
    await token.send("transfer(address,uint256)", addresses[0], USDT)
    await node.mine()
    await live.until(f"{victim}-1", state="confirming")
    kill(live.pids()[victim])
    await token.send("transfer(address,uint256)", addresses[1], USDT)
    await node.mine(5)
    await back(live, victim)
    for n in (1, 2):
        await live.until(f"{victim}-{n}", state="paid")
        await live.callback(f"{victim}-{n}")
    await live.books_hold()


async def back(live: Live, victim: str) -> None:
    async def there() -> bool:
        return victim in live.pids()

    await eventually(there, bool)


async def die_entirely(live: Live, node: Anvil, token) -> None:
    """The supervisor dies and takes everything along; money comes meanwhile; a new start finds it."""
    for n in (1, 2):
        await live.order(f"supervisor-{n}")
    addresses = [(await live.shown(f"supervisor-{n}"))["address"] for n in (1, 2)]
    await token.send("transfer(address,uint256)", addresses[0], USDT)
    await node.mine()
    await live.until("supervisor-1", state="confirming")
    kill(live.server.pid)
    live.server.wait()
    await token.send("transfer(address,uint256)", addresses[1], USDT)
    await node.mine(5)
    await live.serve()
    for n in (1, 2):
        await live.until(f"supervisor-{n}", state="paid")
        await live.callback(f"supervisor-{n}")
    await live.books_hold()
