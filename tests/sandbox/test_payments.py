"""What a test payer may broadcast, and what the simulated networks refuse."""

from dataclasses import replace

import pytest
from tests.sandbox.world import World, transfers_of
from tests.support.clock import ManualClock

from bitlinkpay.chains.base import Arrival
from bitlinkpay.core.errors import Invalid
from bitlinkpay.core.money import MAX_UNITS
from bitlinkpay.db.pool import Database


@pytest.fixture
async def world(database: Database, clock: ManualClock) -> World:
    return await World.start(database, clock)


@pytest.mark.parametrize(
    ("asset_id", "change", "param"),
    [
        ("usdt-tron", {"units": 0}, "units"),
        ("usdt-tron", {"units": -1}, "units"),
        ("usdt-tron", {"units": MAX_UNITS + 1}, "units"),
        ("usdt-tron", {"target": ""}, "address"),
        ("usdt-tron", {"target": "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"}, "address"),
        ("usdt-tron", {"source": "nobody"}, "address"),
        ("usdt-tron", {"tag": "10028849"}, "tag"),
        ("usdt-ethereum", {"target": "0x5aaeb6053f3e94c9b9a09f33669435e7ef1beaed"}, "target"),
        ("usdt-ethereum", {"source": "0x5aaeb6053f3e94c9b9a09f33669435e7ef1beaed"}, "source"),
        ("usdt-ethereum", {"arrival": Arrival.INTERNAL}, "arrival"),
        ("usdt-ton", {"tag": "x" * 501}, "tag"),
        ("usdt-ton", {"tag": "1\0"}, "tag"),
    ],
)
async def test_what_a_network_cannot_carry_is_refused(world: World, asset_id: str, change: dict, param: str) -> None:
    with pytest.raises(Invalid) as caught:
        await world.pay(replace(world.payment(asset_id, 1, 5), **change))
    assert caught.value.param == param
    assert await world.rows("sim_transfers") == 0


async def test_payments_of_one_call_share_a_network(world: World) -> None:
    with pytest.raises(Invalid):
        await world.pay(world.payment("usdt-tron", 1, 5), world.payment("usdt-ton", 1, 5))
    with pytest.raises(Invalid):
        await world.pay()
    with pytest.raises(Invalid):
        await world.pay(*[world.payment("usdt-tron", 1, 5)] * 5001)


@pytest.mark.parametrize("tag", ["10028849", " 10028849 ", "１００２８８４９", "", "a\nb", "мемо", "\u200b1"])
async def test_TON_07_a_tag_arrives_as_it_was_written(world: World, tag: str) -> None:
    await world.pay(world.payment("usdt-ton", 1, 5, tag=tag))
    await world.mine("ton")
    (transfer,) = transfers_of(await world.all_blocks("ton"))
    assert transfer.tag == tag


async def test_payers_are_strangers_unless_named(world: World) -> None:
    named = world.payment("usdt-tron", 99, 1).target
    await world.pay(
        world.payment("usdt-tron", 1, 5),
        world.payment("usdt-tron", 1, 5),
        world.payment("usdt-tron", 1, 5, source=named),
    )
    await world.mine("tron")
    sources = [t.source for t in transfers_of(await world.all_blocks("tron"))]
    assert sources[2] == named
    assert len(set(sources)) == 3


async def test_one_transaction_carries_what_its_network_allows(world: World) -> None:
    with pytest.raises(Invalid, match="one direct ETH transfer"):
        await world.pay_together(world.payment("eth-ethereum", 1, 5), world.payment("eth-ethereum", 2, 5))
    with pytest.raises(Invalid, match="as a whole"):
        await world.pay_together(
            world.payment("usdt-bsc", 1, 5), replace(world.payment("usdt-bsc", 2, 5), has_failed=True)
        )
    await world.pay_together(
        world.payment("eth-ethereum", 1, 5),
        replace(world.payment("eth-ethereum", 2, 6), arrival=Arrival.INTERNAL),
        world.payment("usdt-ethereum", 3, 7),
    )
    await world.mine("ethereum")
    transfers = transfers_of(await world.all_blocks("ethereum"))
    assert [(t.position, t.units) for t in transfers] == [("value", 5), ("log:2", 7)]


async def test_twenty_thousand_transactions_have_twenty_thousand_ids(world: World) -> None:
    txids: set[str] = set()
    for _ in range(4):
        txids |= set(await world.pay(*[world.payment("usdt-tron", 1, 5)] * 5000))
    assert len(txids) == 20_000
    await world.mine("tron")
    assert len(transfers_of((await world.all_blocks("tron"))[-1:])) == 20_000
