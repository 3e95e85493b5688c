"""Orders on TRON from the block to the books, and every way not to pay one (THREATS TRX, DEP)."""

from collections.abc import AsyncIterator

import pytest
from tests.chains.tron.ledger import Account
from tests.chains.tron.network import TronNet
from tests.chains.tron.wallets import Payer
from tests.flows.tron import TRANSFER, TRX, USDT, TronWorld

from bitlinkpay.chains.codec.tron import to_bytes
from bitlinkpay.db.driver import Tx
from bitlinkpay.deposits.model import Deposit
from bitlinkpay.payins import arrivals
from bitlinkpay.payins.clearing import DOUBT

EVE = Payer.named("eve")


@pytest.fixture
async def net(clock) -> AsyncIterator[TronNet]:
    async with TronNet.start(nodes=3, genesis_ms=int(clock.now().timestamp()) * 1000) as running:
        yield running


@pytest.fixture
async def world(net, database, clock, ring, tmp_path) -> AsyncIterator[TronWorld]:
    token = await net.token()
    await net.finalize()
    async with TronWorld.on(net, token, database, clock, ring, folder=tmp_path) as running:
        yield running
        if not running.is_lied_to:
            await holds_what_the_chain_shows(running)


async def holds_what_the_chain_shows(world: TronWorld) -> None:
    """Compare the books' custody with the network's own state, to the unit."""
    for asset in (TRX, USDT):
        for address, units in (await world.held_units(asset)).items():
            assert await world.net.balance(world.registry.assets[asset], address) == units


async def test_orders_in_coin_and_in_tokens_are_paid_once_their_block_is_solid(world, net) -> None:
    orders = [await world.open_order(TRX, "7"), await world.open_order(USDT, "7")]
    txids = [world.pay(order) for order in orders]
    await world.finish(10)
    for order in orders:
        assert await world.states(order) == [("seen", "")]
        assert await world.state(order) == "confirming"
    assert (await world.balance(USDT)).available_units == 0
    await world.finish(10)
    for order, txid in zip(orders, txids, strict=True):
        assert await world.is_paid(order)
        assert [(d.txid, d.units) for d in await world.deposits(order)] == [(txid, order.units)]
        assert world.inbox.statuses(order) == [8]


async def test_TRX_01_failed_calls_pay_no_order(world, net) -> None:
    order, genuine = await world.open_order(USDT, "7"), await world.open_order(USDT, "8")
    net.pay(EVE.address, 10**8)
    await net.mine()
    world.token.send(TRANSFER, order.address, order.units, fee_limit=100_000)
    world.token.send(TRANSFER, order.address, order.units, payer=EVE)
    world.pay(genuine)
    await world.finish()
    assert await world.unpaid(order)
    assert await world.is_paid(genuine)


async def test_TRX_05_an_undone_inner_payment_pays_no_order_and_a_kept_one_does(world, net) -> None:
    sender = await net.deploy("InnerSender")
    undone, kept = await world.open_order(TRX, "7"), await world.open_order(TRX, "8")
    sender.send("sendUndone(address,uint256)", undone.address, undone.units, value=undone.units)
    sender.send("sendHalfUndone(address,uint256,uint256)", kept.address, kept.units, 5, value=kept.units + 5)
    await world.finish()
    assert await world.unpaid(undone)
    assert await world.is_paid(kept)
    assert [d.arrival for d in await world.deposits(kept)] == ["internal"]


async def test_TRX_05_a_payment_that_all_nodes_invent_is_not_covered_and_not_credited(world, net) -> None:
    sender = await net.deploy("InnerSender")
    order, genuine = await world.open_order(TRX, "7"), await world.open_order(TRX, "8")
    sender.send("sendUndone(address,uint256)", order.address, order.units, value=order.units)
    world.pay(genuine)

    def accepted(path: str, _body: object, answer: object) -> object:
        for info in answer if path.endswith("infobyblocknum") else ():
            for inner in info.get("internal_transactions", ()):
                inner.pop("rejected", None)
        return answer

    for server in net.servers:
        server.edit = accepted
    await world.finish()
    world.clock.advance(DOUBT)
    await world.settle()
    assert await world.states(order) == [("quarantined", "")]
    assert await world.state(order) != "paid"
    assert (await world.balance(TRX)).available_units < genuine.units, "only the genuine one, less the fee"
    assert await world.is_paid(genuine)
    world.is_lied_to = True


async def test_TRX_11_a_deposit_under_foreign_keys_is_quarantined(world, net) -> None:
    order, genuine = await world.open_order(USDT, "7"), await world.open_order(USDT, "8")
    account = Payer.named("thief")
    held = to_bytes(order.address)[1:]
    net.grant(lambda state: state.accounts.setdefault(held, Account()).owners.append(account.account))
    world.pay(order)
    world.pay(genuine)
    await world.finish()
    world.clock.advance(DOUBT)
    await world.settle()
    assert await world.states(order) == [("quarantined", "")]
    assert await world.is_paid(genuine)


async def test_DEP_03_a_fork_takes_back_what_was_not_solid_and_another_payment_counts_once(world, net) -> None:
    lost, moved = await world.open_order(USDT, "7"), await world.open_order(TRX, "8")
    world.pay(lost)
    kept = world.pay(moved)
    await world.finish(3)
    assert await world.state(lost) == await world.state(moved) == "confirming"
    await net.reorg(3, again=[kept])
    await world.finish(1)
    assert await world.state(lost) == "created"
    assert (await world.balance(USDT)).pending_units == 0
    await world.finish(25)
    assert await world.is_paid(moved)
    assert world.inbox.statuses(moved) == [8]
    world.pay(lost)
    await world.finish()
    assert await world.is_paid(lost)


async def test_DEP_06_the_same_blocks_read_again_by_another_watcher_credit_nothing_twice(world, net) -> None:
    order = await world.open_order(USDT, "7")
    world.pay(order)
    await world.finish()
    held, chain = (await world.balance(USDT)).available_units, world.chain("tron")
    height, arrived = 1, []
    while height <= net.height:
        blocks = await chain.scan(height, net.height)
        arrived += [(block, transfer) for block in blocks for transfer in block.transfers]
        height += len(blocks)
    network, now = world.registry.networks["tron"], world.clock.now()

    async def again(tx: Tx) -> list[Deposit]:
        sighted = await arrivals.sight(tx, network, arrived * 2, now)
        return await arrivals.record(tx, world.registry, sighted, cleared=(), final_height=0, now=now)

    assert await world.database.unit(again) == []
    await world.finish(5)
    assert (await world.balance(USDT)).available_units == held
    assert len(await world.deposits(order)) == 1


async def test_DEP_09_DEP_10_DEP_11_short_over_and_double_payments_wait_for_a_person(world, net) -> None:
    short, over, double = [await world.open_order(USDT, amount) for amount in ("7", "8", "9")]
    world.pay(short, short.units - 1)
    world.pay(over, over.units + 1)
    world.pay(double)
    world.pay(double)
    await world.finish()
    assert await world.states(short) == [("unassigned", "short")]
    assert await world.states(over) == [("unassigned", "over")]
    assert sorted(await world.states(double)) == [("credited", ""), ("unassigned", "double")]


async def test_DEP_15_the_other_asset_at_an_orders_address_is_labelled(world, net) -> None:
    order = await world.open_order(USDT, "7")
    net.pay(order.address, 5_000_000)
    await world.finish()
    assert await world.states(order) == [("unassigned", "wrong_asset")]
    assert await world.state(order) == "created"
    world.pay(order)
    await world.finish()
    assert await world.is_paid(order)
