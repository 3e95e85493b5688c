"""A process that ends between any two lines and starts again: no payment missed, none counted twice, books that hold."""

from collections.abc import Sequence

import pytest
from tests.flows.faults import AnsweringChain, Crash, Fault, FaultyChain, FaultyDatabase, Fuse
from tests.flows.harness import World, fee_of

from bitlinkpay.chains.base import (
    Arrival,
    Block,
    ChainError,
    ForkedBlock,
    GapError,
    NotEnoughAnswers,
    Transfer,
    WrongChain,
)
from bitlinkpay.core.errors import Unavailable
from bitlinkpay.db.pool import Database, Tx
from bitlinkpay.deposits.model import Deposit
from bitlinkpay.payins import arrivals
from bitlinkpay.payins.clearing import DOUBT, NOT_COVERED
from bitlinkpay.payins.model import Payin
from bitlinkpay.sandbox.model import Fork
from bitlinkpay.workers.watcher import Watcher

MOST_PLACES = 400
INTERNAL = Arrival.INTERNAL


def faulty(world: World, fuse: Fuse, network_id: str = "tron") -> Watcher:
    database: Database = FaultyDatabase(world.database, fuse)  # type: ignore[assignment]
    return world.build_watcher(FaultyChain(world.chain(network_id), fuse), database)


async def live_until_the_end(world: World, fuse: Fuse, network_id: str = "tron") -> None:
    """Follow the chain with a process that ends at the fuse, and then with its successor."""
    watcher = faulty(world, fuse, network_id)
    await free_lease(world)
    try:
        while await goes_on(watcher):
            continue
    except Crash:
        await world.check()
    await free_lease(world)
    world.watchers[network_id] = world.build_watcher(world.chain(network_id))
    await world.settle()


async def goes_on(watcher: Watcher) -> bool:
    """Do one step; a process that only lost its connection logs it and tries again."""
    try:
        return await watcher.step()
    except Unavailable:
        return True


async def free_lease(world: World) -> None:
    """Let the lease of the process that ended run out, as ten seconds of waiting would."""
    async with world.database.transaction() as tx:
        await tx.execute("update cursors set lease_until = now() - interval '1 second'")


@pytest.mark.parametrize("fault", [Fault.KILL, Fault.CUT])
@pytest.mark.parametrize("first", [1, 2, 3, 4])
async def test_DEP_07_killed_or_cut_off_at_every_step_of_a_payment(world: World, fault: Fault, first: int):
    """Pay one order after the other, each with a fault some steps later, until a fault comes too late to happen."""
    await world.watch("tron")
    orders: list[Payin] = []
    for place in range(first, MOST_PLACES, 4):
        order = await world.open_order()
        orders.append(order)
        await world.broadcast(world.payment(order), world.payment(order, "1"))
        await world.mine("tron", 5)
        fuse = Fuse(place, fault)
        await live_until_the_end(world, fuse)
        assert await world.states(order) == [("credited", ""), ("unassigned", "short")], place
        assert world.inbox.statuses(order) == [8], place
        if not fuse.has_blown:
            break
    assert 10 < len(orders) < MOST_PLACES // 4
    net = orders[0].units - fee_of(orders[0].units)
    assert (await world.balance()).available_units == len(orders) * net


@pytest.mark.parametrize("first", [1, 4])
async def test_DEP_07_killed_at_steps_of_a_deep_reorganisation(world: World, first: int):
    await world.watch("tron")
    for place in range(first, MOST_PLACES, 6):
        order, odd = await world.open_order(), await world.open_order()
        await world.broadcast(world.payment(order), world.payment(odd, "1"))
        await world.finalize("tron")
        await world.pay(odd)
        await world.mine("tron")
        await world.settle()
        await world.reorg("tron", 6, Fork.KEEP)
        fuse = Fuse(place)
        await live_until_the_end(world, fuse)
        await world.finalize("tron")
        assert await world.state(order) == "paid", place
        assert await world.labels(order) == set(), place
        assert await world.state(odd) == "paid", place
        assert (await world.events(order)).count("reversed") == 1, place
        if not fuse.has_blown:
            return
    pytest.fail("the crash never came too late")


@pytest.mark.parametrize("first", [1, 2])
async def test_DEP_07_killed_at_every_second_step_of_an_expiry(world: World, first: int):
    await world.watch("ethereum")
    for place in range(first, MOST_PLACES, 4):
        order, hidden = await world.open_order("eth-ethereum", "1"), await world.open_order("eth-ethereum", "1")
        await world.broadcast(world.payment(hidden, arrival=INTERNAL))
        await world.mine("ethereum")
        world.clock.set(order.expires_at + world.network("eth-ethereum").grace * 2)
        await world.mine("ethereum", 5)
        fuse = Fuse(place)
        await live_until_the_end(world, fuse, "ethereum")
        assert (await world.events(order)).count("expired") == 1, place
        assert (await world.state(hidden), len(await world.deposits(hidden))) == ("paid", 1), place
        if not fuse.has_blown:
            return
    pytest.fail("the crash never came too late")


@pytest.mark.parametrize(
    "failure",
    [GapError("null"), NotEnoughAnswers("429"), ForkedBlock("moved"), WrongChain("id"), ChainError("timeout")],
)
async def test_DEP_08_the_cursor_never_passes_what_could_not_be_read(world: World, failure: ChainError):
    order = await world.open_order()
    before = await world.rows("select height, hash from cursors where network = 'tron'")
    await world.pay(order)
    await world.mine("tron", 200)
    chain = AnsweringChain(world.chain("tron"))
    world.watchers["tron"] = watcher = world.build_watcher(chain)
    await free_lease(world)
    chain.scan_failures = [failure] * 5
    for _ in range(5):
        try:
            await watcher.step()
        except ChainError as error:
            assert error is failure
        assert await world.rows("select height, hash from cursors where network = 'tron'") == before
        assert await world.state(order) == "created"
    await world.settle()
    assert await world.state(order) == "paid"


async def test_DEP_08_a_gap_in_the_middle_stops_there_and_heals(world: World):
    early, late = await world.open_order(), await world.open_order()
    await world.pay(early)
    await world.mine("tron", 40)
    await world.pay(late)
    await world.mine("tron", 40)
    chain = AnsweringChain(world.chain("tron"))
    world.watchers["tron"] = watcher = world.build_watcher(chain)
    await free_lease(world)
    assert await watcher.step()
    chain.scan_failures = [GapError("null block")] * 3
    for _ in range(3):
        with pytest.raises(GapError):
            await watcher.step()
    assert [await world.state(order) for order in (early, late)] == ["paid", "created"]
    await world.settle()
    assert [await world.state(order) for order in (early, late)] == ["paid", "paid"]


async def test_no_order_expires_while_its_chain_cannot_be_asked_for_hidden_money(world: World):
    order = await world.open_order("eth-ethereum", "1")
    await world.pay(order, arrival=INTERNAL)
    await world.mine("ethereum")
    world.clock.set(order.expires_at + world.network("eth-ethereum").grace * 2)
    await world.mine("ethereum", 5)
    chain = AnsweringChain(world.chain("ethereum"))
    world.watchers["ethereum"] = watcher = world.build_watcher(chain)
    await free_lease(world)
    chain.balance_failures = [NotEnoughAnswers("silent")]
    with pytest.raises(NotEnoughAnswers):
        while await watcher.step():
            continue
    assert await world.state(order) == "created"
    await world.settle()
    assert await world.state(order) == "paid"


@pytest.mark.parametrize("asset_id", ["usdt-tron", "usdt-ton", "usdt-ethereum", "btc-bitcoin"])
async def test_a_balance_that_does_not_cover_a_deposit_holds_it(world: World, asset_id: str):
    order = await world.open_order(asset_id, "0.5")
    network = world.network(asset_id)
    world.chains[network.id] = chain = AnsweringChain(world.chain(network.id))
    world.watchers[network.id] = world.build_watcher(chain)
    await free_lease(world)
    chain.missing_units = 1
    txid = await world.pay_and_finalize(order)
    assert (await world.deposit(order, txid)).state == "final", "looked at once it may be the endpoint"
    world.clock.advance(DOUBT)
    await world.settle()
    assert (await world.state(order), await world.labels(order)) == ("created", {"quarantined"})
    deposit = await world.deposit(order, txid)
    assert deposit.state == "quarantined"
    assert (await world.balance(asset_id)).quarantined_units == order.units
    cause = "select cause from deposit_events where deposit_id = $1 and event = 'held'"
    assert await world.rows(cause, deposit.deposit_id) == [(NOT_COVERED,)]


async def test_a_balance_that_an_endpoint_told_too_low_for_a_moment_holds_nothing(
    world: World, caplog: pytest.LogCaptureFixture
):
    """One answer of an endpoint that lagged, or had no state, made money wait for a person."""
    order = await world.open_order("btc-bitcoin", "0.5")
    network = world.network("btc-bitcoin")
    world.chains[network.id] = chain = AnsweringChain(world.chain(network.id))
    world.watchers[network.id] = world.build_watcher(chain)
    await free_lease(world)
    chain.missing_units = 1
    txid = await world.pay_and_finalize(order)
    for _ in range(3):
        world.clock.advance(DOUBT / 4)
        await world.settle()
    chain.missing_units = 0
    await world.settle()
    assert ((await world.deposit(order, txid)).state, await world.state(order)) == ("credited", "paid")
    told = [r.levelname for r in caplog.records if r.name.endswith("clearing")]
    assert told == ["WARNING"], "once, and nobody is woken"


async def record(world: World, arrived: Sequence[tuple[Block, Transfer]]) -> list[Deposit]:
    """Record what a watcher of TRON was told, as its transaction does; nothing of it is final."""
    network, now = world.registry.networks["tron"], world.clock.now()

    async def work(tx: Tx) -> list[Deposit]:
        sighted = await arrivals.sight(tx, network, arrived, now)
        return await arrivals.record(tx, world.registry, sighted, cleared=(), final_height=0, now=now)

    return await world.database.unit(work)


@pytest.mark.parametrize("times", [1, 100])
async def test_DEP_06_the_same_transfer_delivered_again_counts_once(world: World, times: int):
    order = await world.open_order()
    await world.pay(order)
    await world.mine("tron", 5)
    await world.settle()
    blocks = [block for block in await world.chain("tron").scan(1, 1_000) if block.transfers]
    arrived = [(block, transfer) for block in blocks for transfer in block.transfers]
    for _ in range(times):
        await free_lease(world)
        await world.build_watcher(world.chain("tron")).step()
        assert await record(world, arrived * 3) == []
    await world.settle()
    assert await world.states(order) == [("credited", "")]
    assert world.inbox.statuses(order) == [8]


async def test_DEP_06_a_transfer_delivered_twice_in_one_answer_counts_once(world: World):
    order = await world.open_order()
    await world.pay(order)
    await world.mine("tron")
    (block,) = [block for block in await world.chain("tron").scan(1, 1_000) if block.transfers]
    arrived = [(block, transfer) for transfer in block.transfers] * 5
    assert len(await record(world, arrived)) == 1
    await world.finalize("tron")
    assert await world.states(order) == [("credited", "")]
