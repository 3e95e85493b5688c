"""Orders in USDT and TRX, made through the encrypted API, are paid on the TRON test network through a running deployment."""

import time
from dataclasses import dataclass
from decimal import Decimal

import pytest
import pytest_asyncio
from tests.chains.tron.network import TronContract, TronNet
from tests.flows.tron import ROWS, TRANSFER
from tests.support.live import Live, kill

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(400)]

USDT = 10_000_000  # 72 CNY at 7.2, base units


@dataclass
class TronDevnet:
    """The test network under the registry's own name."""

    net: TronNet
    token: TronContract

    def row(self) -> str:
        urls = str(self.net.urls).replace("'", '"')
        return ROWS.format(genesis=self.net.genesis, urls=urls, quorum=2, contract=self.token.address)


@dataclass
class World:
    live: Live
    net: TronNet
    token: TronContract

    async def pay(self, source_id: str, units: int) -> str:
        address = (await self.live.detail(source_id))["address"]
        txid = self.token.send(TRANSFER, address, units)
        await self.net.mine()
        return txid


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(open_module_folder):
    start = int(time.time() * 1000) - 3_600_000  # blocks are mined ahead of the clock, and end before now
    async with TronNet.start(nodes=3, genesis_ms=start) as net:
        token = await net.token()
        await net.finalize()
        async with Live.start(open_module_folder / "data", [TronDevnet(net, token)]) as live:
            yield World(live, net, token)


async def test_a_token_pays_an_order_once_its_block_is_solid(world) -> None:
    live = world.live
    order = await live.order("usdt-1", chain_id=1)
    assert order.amount == Decimal(10)
    txid = await world.pay("usdt-1", USDT)
    await live.until("usdt-1", state="confirming")
    await world.net.mine(15)
    assert (await live.shown("usdt-1"))["state"] == "confirming"
    await world.net.mine(5)
    await live.until("usdt-1", state="paid")
    (callback,) = await live.callback("usdt-1")
    assert (callback["status"], callback["hash"]) == (8, txid)
    assert Decimal(callback["amount"]) == 10
    await live.books_hold()


async def test_the_native_coin_pays_an_order(world) -> None:
    live = world.live
    order = await live.order("trx-1", coin="TRX", chain_id=1)
    units = int(order.amount * 10**6)
    world.net.pay((await live.detail("trx-1"))["address"], units)
    await world.net.mine(20)
    (callback,) = await live.callback("trx-1")
    assert Decimal(callback["amount"]) == order.amount
    await live.books_hold()


async def test_a_fork_takes_the_payment_back_and_another_one_pays(world) -> None:
    live = world.live
    await live.order("fork-1", chain_id=1)
    await world.pay("fork-1", USDT)
    await live.until("fork-1", state="confirming")
    await world.net.reorg(1)
    await world.net.mine()
    await live.until("fork-1", state="created", deposits=[])
    await world.pay("fork-1", USDT)
    await world.net.mine(20)
    await live.until("fork-1", state="paid")
    await live.callback("fork-1")
    await live.books_hold()


async def test_killed_between_block_and_finality_it_credits_once_after_the_restart(world) -> None:
    live = world.live
    await live.order("restart-1", chain_id=1)
    await world.pay("restart-1", USDT)
    await live.until("restart-1", state="confirming")
    held = Decimal((await live.balances())["usdt-tron"]["available"])
    kill(live.pids()["worker"])
    await world.net.mine(20)
    await live.until("restart-1", state="paid")
    assert len((await live.shown("restart-1"))["deposits"]) == 1
    (callback,) = await live.callback("restart-1")
    assert callback["status"] == 8
    assert Decimal((await live.balances())["usdt-tron"]["available"]) == held + Decimal("9.97")
    await live.books_hold()


async def test_an_operator_sees_each_endpoint(world) -> None:
    statuses = await world.live.command("chains", "status")
    shown = str(statuses)
    assert all(url in shown for url in world.net.urls)


async def test_books_and_chain_agree_to_the_unit_in_the_end(world) -> None:
    await world.live.chain_agrees()
