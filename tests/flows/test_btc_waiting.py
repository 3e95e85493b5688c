"""Payments that wait in the mempool of a real node: shown, proof of being in time, and nothing else."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from tests.chains.bitcoin.keys import Lock, TestKey
from tests.chains.bitcoin.network import BitcoinNetwork, refuse
from tests.chains.bitcoin.serialize import Tx, TxOut
from tests.flows.bitcoin import BTC, BitcoinWorld

from bitlinkpay.deposits.model import WAIT_MAX, Sighting, Unconfirmed
from bitlinkpay.deposits.unconfirmed import store as unconfirmed
from bitlinkpay.deposits.unconfirmed.store import KEPT
from bitlinkpay.payins.model import Payin
from bitlinkpay.payins.sightings import CADENCE
from bitlinkpay.payins.view import find_view
from bitlinkpay.web.checkout.status import Situation, situation_of

OTHER = TestKey.of("somebody else")
LIFE = timedelta(minutes=30)
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
async def world(database, clock, ring, tmp_path) -> AsyncIterator[BitcoinWorld]:
    clock.set(datetime.now(UTC) - timedelta(hours=8))  # a node refuses blocks that are of tomorrow
    async with (
        BitcoinNetwork.start("kernel", clock=lambda: clock.now().timestamp()) as node,
        BitcoinWorld.on(node, database, clock, ring, folder=tmp_path) as running,
    ):
        yield running


async def waiting(world: BitcoinWorld, order: Payin) -> tuple[Unconfirmed, ...]:
    async with world.database.reader() as tx:
        return (await find_view(tx, world.registry, order.payin_id)).waiting


async def situation(world: BitcoinWorld, order: Payin) -> Situation:
    async with world.database.reader() as tx:
        return situation_of(await find_view(tx, world.registry, order.payin_id), world.clock.now())


async def look(world: BitcoinWorld, after: timedelta = CADENCE) -> None:
    world.clock.advance(after)
    await world.settle()


async def test_DEP_01_a_payment_that_waits_is_shown_as_seen_and_is_no_money(world):
    paid, other = await world.open_order(BTC, "0.01"), await world.open_order(BTC, "0.02")
    assert await waiting(world, paid) == ()
    txid = await world.send(paid)
    await look(world)
    (seen,) = await waiting(world, paid)
    assert (seen.txid, seen.units, seen.asset) == (txid, paid.units, BTC)
    assert await situation(world, paid) is Situation.SIGHTED
    assert await situation(world, other) is Situation.WAITING
    assert await world.unpaid(paid)
    assert await world.state(paid) == "created"
    await world.mine_blocks()
    assert await waiting(world, paid) == (), "it stands in a block now"
    assert await world.states(paid) == [("seen", "")]
    await world.mine_blocks(2)
    assert await world.is_paid(paid)
    assert world.inbox.statuses(paid) == [8]


async def test_BTC_01_a_payment_that_is_replaced_goes_away_from_the_page_again(world):
    cheated = await world.open_order(BTC, "0.01")
    first = await world.node.build_payment(world.out(cheated))
    await world.node.send(first)
    await look(world)
    assert await situation(world, cheated) is Situation.SIGHTED
    spent = TxOut(sum(out.units for out in first.outputs) + 10_000, world.node.faucet.script())
    bumped = Tx(first.inputs, (TxOut(spent.units - 40_000, OTHER.script()),))
    await world.node.send(world.node.faucet.sign(bumped, 0, [spent], Lock.P2WPKH))
    await look(world)
    assert await waiting(world, cheated) == ()
    assert await situation(world, cheated) is Situation.WAITING
    await world.mine_blocks(3)
    assert await world.unpaid(cheated)


async def test_seen_in_time_it_is_paid_by_a_block_that_comes_late_and_the_order_waits_for_it(world):
    punctual, absent = await world.open_order(BTC, "0.01"), await world.open_order(BTC, "0.02")
    short = await world.open_order(BTC, "0.03")
    await look(world, LIFE - timedelta(minutes=1))
    await world.send(punctual)
    await world.send(short, short.units - 1)
    await look(world)
    late = timedelta(minutes=45)  # well beyond the grace of 20 minutes
    await look(world, LIFE + late)
    await world.mine_blocks(txs=[])
    await look(world, timedelta(minutes=30))
    await world.mine_blocks(txs=[])
    assert await world.state(absent) == await world.state(short) == "expired", "no payment may still complete them"
    assert await world.state(punctual) == "created", "its payment may still come in time"
    assert await situation(world, punctual) is Situation.SIGHTED
    await world.mine_blocks(3)
    assert await world.is_paid(punctual)
    assert world.inbox.statuses(punctual) == [8], "never told that it has expired"
    assert await world.states(short) == [("unassigned", "short")], "it was in time all the same"


async def test_a_payment_that_nobody_mines_for_hours_is_no_option_on_the_rate(world):
    order = await world.open_order(BTC, "0.01")
    await world.send(order)
    await look(world)
    await look(world, WAIT_MAX + timedelta(minutes=1))
    await world.mine_blocks(txs=[])
    await look(world, timedelta(minutes=10))
    await world.mine_blocks(txs=[])
    assert await world.state(order) == "expired"
    await world.mine_blocks(3)
    assert await world.states(order) == [("unassigned", "late")]


async def test_a_node_that_hides_what_waits_stops_nothing(world):
    order = await world.open_order(BTC, "0.01")
    await world.send(order)
    world.node.edit = refuse("getrawmempool", -32601, "Method not found")
    await look(world)
    assert await waiting(world, order) == ()
    await world.mine_blocks(3)
    assert await world.is_paid(order)


async def test_what_went_away_long_ago_is_forgotten(world):
    order = await world.open_order(BTC, "0.01")
    await world.send(order)
    await look(world)
    await world.node.drop_pending()
    await look(world)
    assert await world.rows("select gone_at is null from unconfirmed") == [(False,)]
    async with world.database.transaction() as tx:
        await unconfirmed.mark_gone(tx, "bitcoin", [], world.clock.now() + KEPT + timedelta(seconds=1))
    assert await world.rows("select * from unconfirmed") == []


@pytest.mark.parametrize(
    ("first_block", "waited", "made"),
    [
        (None, None, 0),
        (None, -60, -60),
        (None, -180, -180),
        (None, -181, 0),
        (None, 5, 0),
        (-30, None, -30),
        (-30, -60, -60),
        (-30, -210, -210),
        (-30, -211, -30),
        (10, -20, -20),
    ],
)
def test_when_a_payment_counts_as_made(first_block: int | None, waited: int | None, made: int) -> None:
    first, since = (NOON + timedelta(minutes=n) if n is not None else None for n in (first_block, waited))
    assert Sighting(first, since, stands=False).made_at(NOON) == NOON + timedelta(minutes=made)
