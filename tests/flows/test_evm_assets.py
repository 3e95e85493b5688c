"""Tokens that change, lie or pause, from a real node to the books (DEP-21, DEP-22, EVM-04, EVM-06, EVM-07, EVM-22)."""

import logging
from collections.abc import AsyncIterator

import pytest
from eth_abi import encode
from eth_utils import keccak
from tests.flows.evm import ETH, TRANSFER, USDT, EvmWorld
from tests.nodes.anvil import Anvil, Contract
from tests.nodes.proxy import Proxy, RpcError

from bitlinkpay.deposits.assets.model import NotAcceptable, ReviewState
from bitlinkpay.payins.clearing import DOUBT, NOT_COVERED
from bitlinkpay.payins.model import AssetHeld

PLAIN = ("string", "string", "uint8")


@pytest.fixture
async def node(clock) -> AsyncIterator[Anvil]:
    async with Anvil.start(timestamp=int(clock.now().timestamp())) as running:
        yield running


@pytest.fixture
def on(node, database, clock, ring, tmp_path):
    return lambda token=None, **more: EvmWorld.on(node, database, clock, ring, token, folder=tmp_path, **more)


async def deploy_upgradable(node: Anvil) -> Contract:
    """Deploy a proxy of a plain token of 6 decimals whose state, the first account's fortune, stands in the proxy."""
    code = await node.deploy("PlainToken", PLAIN, ["Tether USD", "USDT", 6])
    proxy = await node.deploy("Proxy", ["address"], [code.address])
    fortune = keccak(encode(["address", "uint256"], [node.accounts[0], 3]))  # balanceOf is in slot 3, decimals in 2
    for slot, value in ((encode(["uint256"], [2]), 6), (fortune, 10**30)):
        await node.rpc(
            "anvil_setStorageAt", proxy.address, "0x" + slot.hex(), "0x" + encode(["uint256"], [value]).hex()
        )
    await node.mine(3)
    return proxy


def send_as_plain(proxy: Contract, target: str, units: int) -> object:
    plain = Contract(proxy.node, "PlainToken", proxy.address)
    return plain.send(TRANSFER, target, units)


def critical(caplog: pytest.LogCaptureFixture, text: str) -> int:
    return sum(record.levelno == logging.CRITICAL and text in record.getMessage() for record in caplog.records)


async def test_DEP_21_after_an_upgrade_money_waits_until_a_person_accepts(node, on, caplog):
    proxy = await deploy_upgradable(node)
    async with on(proxy) as world:
        before, during = await world.open_order(USDT), await world.open_order(USDT)
        coin = await world.open_order(ETH, "1")
        await send_as_plain(proxy, before.address, before.units)
        await world.finish()
        assert await world.is_paid(before)
        assert (await world.review()).state is ReviewState.ACCEPTED

        other = await node.deploy("FalseToken")
        await proxy.send("upgrade(address)", other.address)
        await node.mine(4)
        await world.guard.check()
        await send_as_plain(proxy, during.address, during.units)
        await node.transfer(coin.address, coin.units)
        for _ in range(3):
            await world.finish()
        assert await world.states(during) == [("final", "")]
        assert await world.state(during) == "confirming"
        assert world.inbox.about(during) == []
        assert await world.is_paid(coin), "other assets of the network go on"
        assert (await world.balance(USDT)).pending_units == during.units
        (refused,) = await world.open_orders(USDT, ["5"])
        assert isinstance(refused, AssetHeld)
        assert critical(caplog, "code has changed") == 1
        assert critical(caplog, "its final deposits wait") == 1

        await world.accept_contract()
        await world.finish()
        assert await world.is_paid(during)
        assert world.inbox.statuses(during) == [8]
        await world.open_order(USDT)
        rows = await world.rows("select event, from_state, to_state, actor from asset_events order by seq")
        assert rows == [
            ("cleared", "", "accepted", "watcher"),
            ("objected", "accepted", "held", "watcher"),
            ("accepted", "held", "accepted", "operator ann"),
        ]


async def test_DEP_21_a_hold_outlives_the_change_that_caused_it(node, on):
    usdt = await node.deploy("DollarToken")
    async with on(usdt) as world:
        order = await world.open_order(USDT)
        await node.mine(3)
        await world.guard.check()
        await usdt.send("setDeprecated(bool)", True)
        await node.mine(3)
        await world.guard.check()
        await usdt.send("setDeprecated(bool)", False)
        await usdt.send(TRANSFER, order.address, order.units)
        await node.mine(4)
        await world.guard.check()
        await world.finish()
        assert await world.states(order) == [("final", "")]
        await world.accept_contract()
        await world.finish()
        assert await world.is_paid(order)


async def test_DEP_22_with_other_decimals_than_the_registry_nothing_is_ever_credited(node, on):
    token = await node.deploy("PlainToken", PLAIN, ["Tether USD", "USDT", 18])
    async with on(token, decimals=6) as world:
        order = await world.open_order(USDT)
        await token.send(TRANSFER, order.address, order.units)
        await world.finish()
        assert await world.states(order) == [("final", "")]
        assert "says 18 decimals, the registry 6" in (await world.review()).reason
        with pytest.raises(NotAcceptable, match="if this is the contract; then restart"):
            await world.accept_contract()
        await world.finish()
        assert await world.states(order) == [("final", "")]
        assert (await world.balance(USDT)).available_units == 0
        assert isinstance((await world.open_orders(USDT, ["5"]))[0], AssetHeld)


async def test_DEP_21_a_contract_that_cannot_be_read_is_no_reviewed_one(node, on):
    usdt = await node.deploy("DollarToken")

    def no_code(method: str, params: list[object], result: object) -> object:
        if method == "eth_getCode":
            raise RpcError(-32603, "try again")
        return result

    async with Proxy.start(node.url, edit=no_code) as proxy, on(usdt, url=proxy.url) as world:
        order, coin = await world.open_order(USDT), await world.open_order(ETH, "1")
        await usdt.send(TRANSFER, order.address, order.units)
        await node.transfer(coin.address, coin.units)
        await world.finish()
        await world.guard.check()
        assert await world.review() is None, "no answer is no fact"
        assert await world.states(order) == [("final", "")]
        assert await world.is_paid(coin)
        proxy.edit = None
        await world.finish()
        assert await world.is_paid(order), "looked at again because its money waits"
        assert (await world.review()).accepted == await world.chains["ethereum"].probe(world.registry.assets[USDT])


async def test_EVM_04_an_event_of_a_transfer_that_moved_nothing_is_held(node, on):
    token = await node.deploy("FalseToken")
    async with on(token) as world:
        order = await world.open_order(USDT)
        await token.send("refuse(address,uint256)", order.address, order.units)
        await world.finish()
        assert await world.unpaid(order)
        await token.send("setLies(bool)", True)
        await token.send("refuse(address,uint256)", order.address, order.units)
        await world.finish()
        world.clock.advance(DOUBT)
        await world.settle()
        assert await world.states(order) == [("quarantined", "")]
        assert not await world.is_paid(order)
        ((cause,),) = await world.rows("select cause from deposit_events where event = 'held'")
        assert NOT_COVERED in cause
        assert (await world.balance(USDT)).available_units == 0


async def test_EVM_06_a_silent_fee_is_held(node, on):
    skim = await node.deploy("SkimToken")
    async with on(skim) as world:
        order = await world.open_order(USDT)
        await skim.send(TRANSFER, order.address, order.units)
        await world.finish()
        world.clock.advance(DOUBT)
        await world.settle()
        assert await world.states(order) == [("quarantined", "")]
        assert (await world.balance(USDT)).available_units == 0


async def test_EVM_06_a_declared_fee_counts_what_arrived(node, on):
    usdt = await node.deploy("DollarToken")
    async with on(usdt) as world:
        order = await world.open_order(USDT)
        await usdt.send("setFee(uint256)", 100)
        await usdt.send(TRANSFER, order.address, order.units)
        await world.finish()
        (deposit,) = await world.deposits(order)
        assert (deposit.units, deposit.label, deposit.state) == (order.units * 99 // 100, "short", "unassigned")
        assert not await world.is_paid(order)


async def test_EVM_07_a_rebase_pays_nobody_and_holds_what_comes_after_it(node, on):
    token = await node.deploy("RebasingToken")
    async with on(token) as world:
        first, second = await world.open_order(USDT), await world.open_order(USDT, "50")
        await token.send(TRANSFER, first.address, first.units)
        await token.send(TRANSFER, second.address, second.units // 2)
        await world.finish()
        assert await world.is_paid(first)
        await token.send("rebase(uint256)", 200)
        await world.finish()
        assert await token.view("balanceOf(address)", second.address) == second.units
        assert await world.states(second) == [("unassigned", "short")], "a balance without a transfer is no payment"
        await token.send("rebase(uint256)", 50)
        await token.send(TRANSFER, first.address, first.units)
        await world.finish()
        world.clock.advance(DOUBT)
        await world.settle()
        assert await world.states(first) == [("credited", ""), ("quarantined", "double")]
        assert (await world.balance(USDT)).available_units == first.units - first.units * 3 // 1000


async def test_EVM_22_money_in_a_paused_token_waits_and_may_then_be_credited(node, on):
    usdt = await node.deploy("DollarToken")
    async with on(usdt) as world:
        order, blocked = await world.open_order(USDT), await world.open_order(USDT)
        await node.mine(3)
        await world.guard.check()
        await usdt.send("setBlackListed(address,bool)", blocked.address, True)
        await usdt.send(TRANSFER, blocked.address, blocked.units)
        await world.finish()
        assert await world.is_paid(blocked), "an address that cannot send on may still have been paid"
        await usdt.send(TRANSFER, order.address, order.units)
        await usdt.send("setPaused(bool)", True)
        await node.mine(4)
        await world.guard.check()
        await world.finish()
        assert await world.states(order) == [("final", "")]
        assert "paused" in (await world.review()).reason
        await world.accept_contract()
        await world.guard.check()
        await world.finish()
        assert await world.is_paid(order), "accepted as it is, paused"
