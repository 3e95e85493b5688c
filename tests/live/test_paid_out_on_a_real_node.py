"""Withdrawals through the encrypted API leave a live deployment on a real node: signed by its signer, settled by its books."""

import os
import signal
from decimal import Decimal

import pytest
import pytest_asyncio
from tests.nodes.anvil import Anvil, Contract
from tests.support.live import Devnet, Live, eventually

from bitlinkpay.client.wm import WmRefused, WmTurnedAway, WmUnreachable
from bitlinkpay.wm.bodies import Withdraw

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(400)]

POLICY = """
mode = "live"
registry_files = [{registry}]
purposes = ["payout", "setup", "cancel", "sweep", "gas"]

[caps]
usdt-ethereum = {{ payment = "100", hour = "1000", day = "5000" }}
eth-ethereum = {{ payment = "1", hour = "10", day = "50" }}

[fees]
ethereum = {{ most = "0.5", day = "50" }}
"""
STRANGERS = [f"0x{number:040x}" for number in range(0xABC000, 0xABC010)]


class World:
    def __init__(self, live: Live, node: Anvil, token: Contract) -> None:
        self.live, self.node, self.token = live, node, token

    async def fund(self) -> None:
        """Put the company's money into the hot wallet and claim it."""
        hot = next(row for row in await self.live.command("treasury", "status") if row["asset"] == "usdt-ethereum")
        await self.node.transfer(hot["wallet"], 2 * 10**18)  # more of it would want a second endpoint
        await self.token.send("transfer(address,uint256)", hot["wallet"], 500_000_000)
        await self.node.mine(5)

        async def unclaimed() -> list[dict]:
            return await self.live.command("treasury", "unclaimed")

        for row in await eventually(unclaimed, lambda rows: len(rows) == 2):
            await self.live.command("treasury", "claim", row["id"])

    async def withdraw(self, source_id: str, target: str, amount: str) -> str:
        async with self.live.client() as client:
            made = await client.withdraw(Withdraw(source_id, 3, 1, target, Decimal(amount)))
        return made.order_id

    async def settled(self, source_id: str) -> object:
        """Mine until the withdrawal has its end."""

        async def look() -> object:
            await self.node.mine()
            async with self.live.client() as client:
                try:
                    return await client.withdraw_detail(source_id)
                except (WmRefused, WmTurnedAway, WmUnreachable) as failed:  # "send it again": something was just killed
                    raise AssertionError(str(failed)) from failed

        return await eventually(look, lambda seen: seen.status != 0, seconds=90)

    async def moved(self, count: int) -> list[dict]:
        """Mine until so many sweeps are done; return all moves, the oldest first."""

        async def look() -> list[dict]:
            await self.node.mine()
            return (await self.live.command("treasury", "moves"))[::-1]

        return await eventually(look, lambda moves: [move["state"] for move in moves] == ["done"] * count, seconds=150)

    async def in_balance(self) -> None:
        """Every wallet's books say what the chain says."""
        for row in await self.live.command("treasury", "status"):
            assert row["books"] == row["chain"], row

    async def rested(self) -> list[tuple]:
        """Return the payouts that did not leave as soon as they could."""
        return await self.live.rows(
            "select p.source_id, s.reason from payouts p join sendings s on s.owner_id = p.payout_id"
            " where s.not_before > s.queued_at"
        )

    async def held(self, address: str) -> int:
        return int(await self.token.view("balanceOf(address)", address))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(open_module_folder):
    async with Anvil.start(chain_id=31337) as node:
        token = await node.deploy("DollarToken")
        devnet = Devnet("ethereum", 31337, node.genesis, [node.url], token.address)
        async with Live.start(open_module_folder / "data", [devnet], policy=POLICY) as live:
            world = World(live, node, token)
            await live.command("merchant", "set-policy", "Shop", "--payout-networks", "127.0.0.0/8")
            await world.fund()
            order = await live.order("in-1", fiat="7200")
            await token.send(
                "transfer(address,uint256)", (await live.detail("in-1"))["address"], int(order.amount * 10**6)
            )
            await node.mine(5)
            await live.until("in-1", state="paid")
            yield world


async def test_what_was_paid_is_swept_into_the_hot_wallet_by_one_batch(world: World) -> None:
    order = (await world.live.detail("in-1"))["address"]
    (move,) = await world.moved(1)
    assert (move["kind"], move["method"], move["asset"], move["amount"]) == (
        "sweep",
        "together",
        "usdt-ethereum",
        "1000",
    )
    assert move["from"].lower() == order.lower()
    assert await world.held(order) == 0
    hot = next(row for row in await world.live.command("treasury", "status") if row["asset"] == "usdt-ethereum")
    assert (hot["books"], await world.held(hot["wallet"])) == ("1500", 1_500_000_000)
    await world.in_balance()
    await world.live.books_hold()


async def test_an_address_pays_for_the_sweep_of_native_coin_itself(world: World) -> None:
    order = await world.live.order("native-1", coin="ETH", fiat="25000")
    address = (await world.live.detail("native-1"))["address"]
    await world.node.transfer(address, int(order.amount * 10**18))
    await world.node.mine(5)
    await world.live.until("native-1", state="paid")
    _, move = await world.moved(2)
    assert (move["method"], move["asset"]) == ("alone", "eth-ethereum")
    left = int(str(await world.node.rpc("eth_getBalance", address, "latest")), 16)
    assert 0 < left < 10**15  # what the fee might have been and was not
    await world.in_balance()
    await world.live.books_hold()


async def test_SWP_07_killed_in_the_middle_of_a_sweep_it_is_still_one_sweep(world: World) -> None:
    order = await world.live.order("killed-1", fiat="720")
    address = (await world.live.detail("killed-1"))["address"]
    await world.token.send("transfer(address,uint256)", address, int(order.amount * 10**6))
    await world.node.mine(5)
    await world.live.until("killed-1", state="paid")
    await eventually(lambda: world.live.command("treasury", "moves"), lambda moves: len(moves) == 3)
    os.kill(world.live.pids()["worker"], signal.SIGKILL)
    assert (await world.moved(3))[-1]["method"] == "together"
    assert await world.held(address) == 0
    hot = next(row for row in await world.live.command("treasury", "status") if row["asset"] == "usdt-ethereum")
    assert await world.held(hot["wallet"]) == 1_600_000_000
    await world.in_balance()
    await world.live.books_hold()


async def test_a_withdrawal_arrives_once_and_the_books_follow_the_chain(world: World) -> None:
    before = Decimal((await world.live.balances())["usdt-ethereum"]["available"])
    await world.withdraw("out-1", STRANGERS[0], "20")
    done = await world.settled("out-1")
    assert (done.status, done.amount) == (4, Decimal(20))
    receipt = await world.node.receipt(done.hash)
    assert receipt["status"] == "0x1"
    assert await world.held(STRANGERS[0]) == 20_000_000
    (callback,) = await world.live.callback("out-1")
    assert (callback["status"], callback["hash"], callback["amount"]) == (4, done.hash, "20")
    after = Decimal((await world.live.balances())["usdt-ethereum"]["available"])
    assert before - after == Decimal(20) + done.gas_fee
    await world.live.books_hold()
    await world.in_balance()


async def test_several_withdrawals_share_a_transaction_and_none_of_them_rests(world: World) -> None:
    """The first leaves alone, the others wait for its block and go together, or alone where a batch may not cost it."""
    count = 9
    for number in range(count):
        await world.withdraw(f"many-{number}", STRANGERS[0], "1.5")
    done = [await world.settled(f"many-{number}") for number in range(count)]
    assert [seen.status for seen in done] == [4] * count
    assert len({seen.hash for seen in done}) < count
    assert await world.rested() == []
    assert await world.held(STRANGERS[0]) == 20_000_000 + count * 1_500_000
    await world.live.books_hold()


async def test_a_few_withdrawals_at_once_leave_at_once(world: World) -> None:
    """Too few to hold what a batch may cost at most: that rested a minute, and another one."""
    for number in range(3):
        await world.withdraw(f"few-{number}", STRANGERS[number + 1], "1.5")
    assert [(await world.settled(f"few-{number}")).status for number in range(3)] == [4] * 3
    assert await world.rested() == []
    assert [await world.held(address) for address in STRANGERS[1:4]] == [1_500_000] * 3
    await world.live.books_hold()


async def test_above_the_signers_cap_nothing_leaves_and_nothing_else_waits(world: World) -> None:
    await world.withdraw("big-1", STRANGERS[8], "150")
    await world.withdraw("small-1", STRANGERS[9], "2")
    assert (await world.settled("small-1")).status == 4
    async with world.live.client() as client:
        assert (await client.withdraw_detail("big-1")).status == 0
    assert await world.held(STRANGERS[8]) == 0
    await world.live.books_hold()


async def test_what_cannot_be_paid_is_told_before_anything_is_reserved(world: World) -> None:
    with pytest.raises(WmRefused, match="burn"):
        await world.withdraw("bad-1", "0x000000000000000000000000000000000000dEaD", "1")
    with pytest.raises(WmRefused, match="contract"):
        await world.withdraw("bad-2", world.token.address, "1")


@pytest.mark.parametrize("name", ["worker", "signer", "postgres", "supervisor"])
async def test_PAY_01_killed_in_the_middle_of_a_send_it_is_still_one_payment(world: World, name: str) -> None:
    target = STRANGERS[{"worker": 10, "signer": 11, "postgres": 12, "supervisor": 13}[name]]
    await world.withdraw(f"kill-{name}", target, "3")
    os.kill(world.live.pids()[name], signal.SIGKILL)
    if name == "supervisor":
        await world.live.serve()
    assert (await world.settled(f"kill-{name}")).status == 4
    await world.node.mine(5)
    assert await world.held(target) == 3_000_000
    await world.live.books_hold()


async def test_books_and_chain_agree_to_the_unit_in_the_end(world) -> None:
    await world.live.chain_agrees()
