"""Orders made through the encrypted API are paid on real nodes; every odd turn of a payment on the same node."""

import asyncio
from decimal import Decimal

import pytest
import pytest_asyncio
from tests.nodes.anvil import Anvil, Contract
from tests.support.live import Devnet, Live

from bitlinkpay.client.wm import WmRefused

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(400)]

USDT = 10_000_000  # 72 CNY at 7.2, base units
ETH = 2_500_000_000_000_000  # 72 CNY at 28,800


class World:
    def __init__(self, live: Live, node: Anvil, token: Contract, other: Anvil, other_token: Contract) -> None:
        self.live, self.node, self.token, self.other, self.other_token = live, node, token, other, other_token

    async def pay(self, address: str, units: int) -> str:
        txid = await self.token.send("transfer(address,uint256)", address, units)
        await self.node.mine()
        return txid

    async def finish(self) -> None:
        await self.node.mine(4)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(open_module_folder):
    async with Anvil.start(chain_id=31337) as node, Anvil.start(chain_id=31338) as other:
        token, other_token = await node.deploy("DollarToken"), await other.deploy("DollarToken")
        devnets = [
            Devnet("ethereum", 31337, node.genesis, [node.url], token.address),
            Devnet("polygon", 31338, other.genesis, [other.url], other_token.address),
        ]
        async with Live.start(open_module_folder / "data", devnets) as live:
            yield World(live, node, token, other, other_token)


async def test_a_token_without_a_return_value_pays_an_order(world):
    live = world.live
    order = await live.order("usdt-1")
    assert order.amount == Decimal(10)
    assert (await live.shown("usdt-1"))["state"] == "created"
    txid = await world.pay((await live.detail("usdt-1"))["address"], USDT)
    await live.until("usdt-1", state="confirming")
    assert (await live.detail("usdt-1"))["status"] == 0
    await world.finish()
    await live.until("usdt-1", state="paid")
    (callback,) = await live.callback("usdt-1")
    assert callback["status"] == 8
    assert callback["hash"] == txid
    assert Decimal(callback["amount"]) == 10
    assert Decimal(callback["service_fee"]) == Decimal("0.03")
    assert (await live.balances())["usdt-ethereum"]["available"] == "9.97"
    await live.books_hold()


async def test_the_native_coin_pays_an_order(world):
    live = world.live
    await live.order("eth-1", coin="ETH", chain_id=3)
    await world.node.transfer((await live.detail("eth-1"))["address"], ETH)
    await world.node.mine()
    await live.until("eth-1", state="confirming")
    await world.finish()
    (callback,) = await live.callback("eth-1")
    assert Decimal(callback["amount"]) == Decimal("0.0025")
    assert (await live.balances())["eth-ethereum"]["available"] == "0.0024925"
    await live.books_hold()


async def test_short_then_exact(world):
    live = world.live
    await live.order("short-1")
    address = (await live.detail("short-1"))["address"]
    await world.pay(address, USDT - 1)
    await world.finish()
    seen = await live.until("short-1", labels=["short"])
    assert seen["state"] == "created"
    await world.pay(address, USDT)
    await world.finish()
    await live.until("short-1", state="paid")
    await live.callback("short-1")
    states = {d["label"]: d["state"] for d in (await live.shown("short-1"))["deposits"]}
    assert states == {"short": "unassigned", "": "credited"}
    await live.books_hold()


async def test_over_is_put_aside_and_may_be_accepted(world):
    live = world.live
    await live.order("over-1")
    await world.pay((await live.detail("over-1"))["address"], USDT + 1)
    await world.finish()
    await live.until("over-1", labels=["over"], state="created")
    waiting = [row for row in await live.command("unassigned", "list") if row["label"] == "over"]
    await live.command("unassigned", "accept", waiting[0]["id"])
    await live.until("over-1", state="paid")
    (callback,) = await live.callback("over-1")
    assert Decimal(callback["amount"]) == Decimal("10.000001")
    await live.books_hold()


async def test_a_second_payment_is_put_aside(world):
    live = world.live
    await live.order("double-1")
    address = (await live.detail("double-1"))["address"]
    await world.pay(address, USDT)
    await world.pay(address, USDT)
    await world.finish()
    seen = await live.until("double-1", state="paid", labels=["double"])
    assert sorted(d["state"] for d in seen["deposits"]) == ["credited", "unassigned"]
    await live.callback("double-1")
    await live.books_hold()


async def test_money_on_the_wrong_evm_network_is_seen_there(world):
    live = world.live
    await live.order("astray-1")
    address = (await live.detail("astray-1"))["address"]
    await world.other_token.send("transfer(address,uint256)", address, USDT)
    await world.other.mine(5)
    seen = await live.until("astray-1", labels=["wrong_network"])
    assert seen["state"] == "created"
    assert seen["deposits"][0]["asset"] == "usdt-polygon"
    await live.books_hold()


async def test_cancel_racing_with_the_payment_has_one_winner(world):
    live = world.live
    for n in range(3):
        source_id = f"race-{n}"
        await live.order(source_id)
        address = (await live.detail(source_id))["address"]

        async def cancel(source_id: str = source_id) -> bool:
            async with live.client() as client:
                try:
                    await client.cancel(source_id)
                except WmRefused:
                    return False
                return True

        _, is_cancelled = await asyncio.gather(world.pay(address, USDT), cancel())
        await world.finish()
        wanted = {"state": "cancelled", "labels": ["after_cancel"]} if is_cancelled else {"state": "paid", "labels": []}
        await live.until(source_id, **wanted)
    await live.books_hold()


async def test_a_reorganisation_takes_the_payment_back_and_another_one_pays(world):
    live = world.live
    await live.order("reorg-1")
    address = (await live.detail("reorg-1"))["address"]
    await world.pay(address, USDT)
    await live.until("reorg-1", state="confirming")
    await world.node.reorg(1)
    await world.node.mine()
    await live.until("reorg-1", state="created", deposits=[])
    assert Decimal((await live.balances())["usdt-ethereum"]["pending"]) == 0
    await live.books_hold()
    await world.pay(address, USDT)
    await world.finish()
    await live.until("reorg-1", state="paid")
    await live.callback("reorg-1")
    await live.books_hold()


async def test_an_endpoint_that_is_down_hears_of_it_later(world):
    live = world.live
    live.receiver.status = 500
    tries = live.receiver.tries
    await live.order("down-1")
    await world.pay((await live.detail("down-1"))["address"], USDT)
    await world.finish()
    await live.until("down-1", state="paid")
    for _ in range(200):
        if live.receiver.tries > tries:
            break
        await asyncio.sleep(0.1)
    live.receiver.status = 200
    (callback,) = await live.callback("down-1")
    assert callback["status"] == 8
    assert (await live.shown("down-1"))["callbacks"][0]["attempts"] >= 2


async def test_books_and_chain_agree_to_the_unit_in_the_end(world) -> None:
    await world.live.chain_agrees()
