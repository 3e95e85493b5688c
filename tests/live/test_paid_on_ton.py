"""TON switched on by configuration alone, orders paid on the real virtual machine, the worker killed in the middle."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal

import pytest
import pytest_asyncio
from pytoniq_core import Address, begin_cell
from tests.chains.ton.network import GENESIS, PAYER, TON, Jetton, TonNetwork, coin, jetton, text
from tests.support.live import Live, eventually, kill

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(400)]

ROW = """
[networks.ton]
genesis = "{genesis}"
final_after_s = 2
endpoints = ["{url}"]

[assets.usdt-ton]
symbol = "USDT"
network = "ton"
standard = "jetton"
contract = "{master}"
wallet = "{wallet}"
decimals = 6
payable_decimals = 6
wm_coin_id = 1
minimum = "0.01"
sanity = "10000000"
"""
CHAIN_ID = 2
USDT = 10_000_000  # 72 CNY at 7.2, base units


@dataclass(frozen=True)
class TonDevnet:
    url: str
    master: str
    wallet: str = ""

    def row(self) -> str:
        return ROW.format(genesis=GENESIS, url=self.url, master=self.master, wallet=self.wallet)


@dataclass
class World:
    live: Live
    network: TonNetwork
    usdt: Jetton
    wallet: str = ""

    async def place(self, source_id: str) -> tuple[str, str]:
        """Return the wallet and the tag of an order, as the merchant's API tells them."""
        async with self.live.client() as client:
            found = await client.detail(source_id)
        address = Address(found.address)
        return f"{address.wc}:{address.hash_part.hex()}", found.tag

    async def pay(self, source_id: str, units: int, **how: object) -> None:
        address, tag = await self.place(source_id)
        await self.network.pay_jettons(self.usdt.master, address, units, tag, **how)


@asynccontextmanager
async def living(network: TonNetwork) -> AsyncIterator[None]:
    """Let blocks come by themselves, as on a chain that lives."""

    async def mine() -> None:
        while True:
            await network.mine()
            await asyncio.sleep(0.5)

    task = asyncio.create_task(mine())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def restart(live: Live) -> None:
    live.server.send_signal(signal.SIGTERM)
    await asyncio.to_thread(live.server.wait, 30)
    await live.serve()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(open_module_folder):
    async with TonNetwork.start() as network:
        usdt = await network.jetton()
        payers = jetton(usdt.master, "")
        await network.fund(PAYER, payers, 10**13)
        async with (
            living(network),
            Live.start(open_module_folder / "data", [TonDevnet(network.url, usdt.master)]) as live,
        ):
            yield World(live, network, usdt)


async def test_an_operator_is_told_which_jetton_wallet_to_pin_and_pins_it(world):
    """Until then no order in the jetton is taken: its money could not be told from a forger's."""

    async def held() -> list[str]:
        (status,) = await world.live.command("chains", "status")
        return status["on_hold"]

    (reason,) = await eventually(held, bool)
    assert "write it as `wallet` into the row" in reason
    wallet = reason.partition("the master names ")[2].partition(" ")[0]
    (world.live.folder / "devnet.toml").write_text(TonDevnet(world.network.url, world.usdt.master, wallet).row())
    await restart(world.live)
    assert await eventually(held, lambda found: not found) == []
    order = await world.live.order("pinned", chain_id=CHAIN_ID)
    assert order.amount == Decimal(10)
    address, tag = await world.place("pinned")
    assert wallet == await world.usdt.wallet_of(address)
    assert tag.isdigit()


async def test_a_notice_of_one_nanoton_pays_an_order_once_and_for_good(world):
    live = world.live
    await world.pay("pinned", USDT)
    await live.until("pinned", state="paid")
    (callback,) = await live.callback("pinned")
    assert Decimal(callback["amount"]) == 10
    assert len(callback["hash"]) == 44  # Base64, as the protocol spells it
    assert (await live.balances())["usdt-ton"]["available"] == "9.97"
    await restart(live)  # reads on from the cursor: nothing is found twice
    await live.books_hold()
    assert [d["state"] for d in (await live.shown("pinned"))["deposits"]] == ["credited"]


async def test_coins_pay_an_order_before_the_wallet_stands_on_the_chain(world):
    live = world.live
    await live.order("coins", coin="TON", fiat="72", chain_id=CHAIN_ID)
    address, tag = await world.place("coins")
    due = int(Decimal((await live.detail("coins"))["amount"]) * TON)
    await world.network.pay(address, due, f" {tag}\n")
    await live.until("coins", state="paid")
    (callback,) = await live.callback("coins")
    assert Decimal(callback["amount"]) * TON == due
    assert await world.network.balance(coin(), address) >= due
    await live.books_hold()


async def test_TON_08_money_for_a_closed_order_or_nobodys_is_kept_and_pays_nothing(world):
    live = world.live
    await live.order("closed", chain_id=CHAIN_ID)
    await world.pay("closed", USDT)
    await live.until("closed", state="paid")
    await world.pay("closed", USDT)
    seen = await live.until("closed", state="paid", labels=["double"])
    assert sorted(d["state"] for d in seen["deposits"]) == ["credited", "unassigned"]
    address, _ = await world.place("closed")
    await world.network.pay_jettons(world.usdt.master, address, 3_000_000, "no tag of ours")
    await world.network.pay_jettons(world.usdt.master, address, 4_000_000, forward=0)

    async def waiting() -> list[str]:
        return sorted(row["amount"] for row in await live.command("unassigned", "list"))

    await eventually(waiting, lambda amounts: {"3", "4", "10"} <= set(amounts))
    await live.books_hold()


async def test_TON_03_a_forged_notice_pays_nothing_and_the_genuine_one_beside_it_does(world):
    live, network = world.live, world.network
    await live.order("forged", chain_id=CHAIN_ID)
    address, tag = await world.place("forged")
    notice = begin_cell().store_uint(0x7362D09C, 32).store_uint(0, 64).store_coins(USDT).store_address(Address(PAYER))
    await network.send("0:" + "cc" * 32, address, 1, notice.store_bit(1).store_ref(text(tag)).end_cell())
    fake = await network.jetton(issuer="0:" + "cc" * 32)
    await network.mint(fake.master, "0:" + "cc" * 32, 10**12, issuer="0:" + "cc" * 32)
    await network.mine()
    await network.pay_jettons(fake.master, address, USDT, tag, source="0:" + "cc" * 32)
    for _ in range(3):
        await network.mine()
    await asyncio.sleep(3)
    assert (await live.shown("forged"))["deposits"] == []
    await world.pay("forged", USDT)
    await live.until("forged", state="paid")
    await live.books_hold()


async def test_a_worker_that_is_killed_again_and_again_finds_each_payment_once(world):
    live = world.live
    names = [f"killed-{n}" for n in range(6)]
    for name in names:
        await live.order(name, chain_id=CHAIN_ID)
        await world.pay(name, USDT)
        with contextlib.suppress(KeyError):
            kill(live.pids()["worker"])
        await asyncio.sleep(0.7)
    for name in names:
        seen = await live.until(name, state="paid")
        assert [d["state"] for d in seen["deposits"]] == ["credited"]
    await live.books_hold()


async def test_books_and_chain_agree_to_the_unit_in_the_end(world) -> None:
    await world.live.chain_agrees()
