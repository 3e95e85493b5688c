"""Late because we were down counts as in time; truly late does not."""

import asyncio
import os
import signal
import time
from datetime import datetime

import pytest
from tests.nodes.anvil import Anvil
from tests.support.live import Devnet, Live

pytestmark = pytest.mark.timeout(400)

USDT = 10_000_000
GRACE_S = 30  # of the registry's Ethereum row


async def test_the_block_decides_what_is_late_and_not_our_own_outage(open_folder):
    async with Anvil.start(chain_id=31337) as node:
        token = await node.deploy("DollarToken")
        devnet = Devnet("ethereum", 31337, node.genesis, [node.url], token.address)
        async with Live.start(open_folder / "data", [devnet]) as live:
            await live.command("merchant", "set-policy", "Shop", "--order-life", "1", "--callback-statuses", "8,16,20")
            await asyncio.sleep(6)  # the API asks for a merchant's terms every few seconds
            for source_id in ("outage", "late", "short"):
                await live.order(source_id)
            orders = {name: await live.shown(name) for name in ("outage", "late", "short")}
            os.kill(live.pids()["worker"], signal.SIGSTOP)
            await token.send("transfer(address,uint256)", orders["outage"]["address"], USDT)
            await token.send("transfer(address,uint256)", orders["short"]["address"], USDT - 1)
            await node.mine()
            ends = max(datetime.fromisoformat(order["expires_at"]).timestamp() for order in orders.values())
            await asyncio.sleep(max(0, ends - time.time()) + 1)
            await node.rpc("evm_setNextBlockTimestamp", int(ends) + GRACE_S + 5)
            await token.send("transfer(address,uint256)", orders["late"]["address"], USDT)
            await node.mine(5)
            os.kill(live.pids()["worker"], signal.SIGCONT)
            await live.until("outage", state="paid")
            seen = await live.until("late", state="expired", labels=["late"])
            assert seen["deposits"][0]["state"] == "unassigned"
            await live.until("short", state="expired", labels=["short"])
            assert (await live.callback("outage"))[0]["status"] == 8
            assert (await live.callback("late"))[0]["status"] == 16
            assert (await live.callback("short"))[0]["status"] == 20
            waiting = [row for row in await live.command("unassigned", "list") if row["label"] == "late"]
            await live.command("unassigned", "accept", waiting[0]["id"])
            assert [got["status"] for got in await live.callback("late", count=2)] == [16, 8]
            await live.books_hold()
