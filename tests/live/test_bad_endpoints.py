"""Nodes that lag, lie, answer in part and go silent, one after another behind a quorum of two out of three."""

import asyncio
import json

import pytest
from tests.nodes.anvil import Anvil
from tests.nodes.proxy import Mode, Proxy
from tests.support.live import Devnet, Live

pytestmark = pytest.mark.timeout(400)

USDT = 10_000_000


def without_logs(method, params, result):
    """A node that answers in part: it leaves the logs out."""
    if method == "eth_getBlockReceipts" and result:
        return [{**receipt, "logs": []} for receipt in result]
    return [] if method == "eth_getLogs" else result


def with_more_money(method, params, result):
    """A node that lies: transfers are ten times as large."""
    if method != "eth_getBlockReceipts" or not result:
        return result
    altered = json.loads(json.dumps(result))
    for receipt in altered:
        for log in receipt["logs"]:
            log["data"] = f"0x{int(log['data'], 16) * 10:064x}"
    return altered


async def test_no_node_alone_moves_money_and_no_bad_node_stops_it(open_folder):
    async with Anvil.start(chain_id=31337) as node:
        token = await node.deploy("DollarToken")
        async with Proxy.start(node.url) as bad, Proxy.start(node.url) as good:
            devnet = Devnet("ethereum", 31337, node.genesis, [bad.url, good.url, node.url], token.address, quorum=2)
            async with Live.start(open_folder / "data", [devnet]) as live:
                for name, switch in (
                    ("lagging", {"lag": 20}),
                    ("lying", {"edit": with_more_money}),
                    ("partial", {"edit": without_logs}),
                    ("silent", {"mode": Mode.SILENT}),
                    ("failing", {"status": 503}),
                ):
                    for attribute, value in switch.items():
                        setattr(bad, attribute, value)
                    await paid(live, node, token, name)
                    bad.lag, bad.edit, bad.mode, bad.status = 0, None, Mode.HONEST, 200
                await nothing_moves_without_a_quorum(live, node, token, [bad, good])


async def paid(live: Live, node: Anvil, token, name: str) -> None:
    await live.order(name)
    await token.send("transfer(address,uint256)", (await live.shown(name))["address"], USDT)
    await node.mine(5)
    seen = await live.until(name, state="paid")
    assert [deposit["amount"] for deposit in seen["deposits"]] == ["10"]
    await live.books_hold()


async def nothing_moves_without_a_quorum(live: Live, node: Anvil, token, proxies: list[Proxy]) -> None:
    """Two of three are gone: the third alone is not believed. When they are back, the money is there."""
    for proxy in proxies:
        proxy.mode = Mode.RESET
    await live.order("alone")
    await token.send("transfer(address,uint256)", (await live.shown("alone"))["address"], USDT)
    await node.mine(5)
    await asyncio.sleep(6)
    assert (await live.shown("alone"))["state"] == "created"
    for proxy in proxies:
        proxy.mode = Mode.HONEST
    await live.until("alone", state="paid")
    await live.books_hold()
