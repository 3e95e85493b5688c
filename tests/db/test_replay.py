"""Seals of envelopes: each is fresh once."""

import asyncio
from datetime import UTC, datetime, timedelta
from hashlib import sha256

import pytest
from asyncpg.exceptions import CheckViolationError

from bitlinkpay.db import replay
from bitlinkpay.db.pool import Database, Tx
from bitlinkpay.db.replay import Seal

AT = datetime(2026, 3, 1, tzinfo=UTC)


def seal(name: str, at: datetime = AT) -> Seal:
    return Seal(sha256(name.encode()).digest(), at)


async def claim(database: Database, *seals: Seal) -> set[bytes]:
    async def work(tx: Tx) -> set[bytes]:
        return await replay.claim(tx, seals)

    return await database.unit(work)


async def test_a_seal_is_fresh_once(database: Database):
    first, second, third = seal("1"), seal("2"), seal("3")
    assert await claim(database, first, second) == {first.digest, second.digest}
    assert await claim(database, second, third) == {third.digest}
    assert await claim(database, first, second, third) == set()


async def test_the_time_does_not_make_an_old_seal_fresh(database: Database):
    await claim(database, seal("1"))
    assert await claim(database, seal("1", AT + timedelta(days=1))) == set()


async def test_a_digest_twice_in_one_call_is_one_seal(database: Database):
    assert await claim(database, seal("1"), seal("1", AT + timedelta(seconds=1))) == {seal("1").digest}
    async with database.reader() as tx:
        assert await tx.fetchval("SELECT seen_at FROM envelope_seals") == AT


async def test_nothing_asked_nothing_answered(database: Database):
    assert await claim(database) == set()


async def test_parallel_nodes_share_each_seal_out_once(database: Database):
    seals = [seal(str(number)) for number in range(50)]
    orders = [seals[shift:] + seals[:shift] for shift in range(0, 50, 5)]

    async def claim_once(order: list[Seal]) -> set[bytes]:
        async with database.transaction() as tx:  # no retry: two nodes must never wait for each other
            return await replay.claim(tx, order)

    found = await asyncio.gather(*(claim_once(order) for order in orders))
    fresh = [digest for batch in found for digest in batch]
    assert len(fresh) == 50
    assert set(fresh) == {one.digest for one in seals}


async def test_two_batches_in_opposite_orders_never_wait_for_each_other(database: Database):
    """While a third holds the middle seal, each would take its own end first and then want the other's."""
    low, middle, high = sorted((seal(str(number)) for number in range(3)), key=lambda one: one.digest)

    async def claim_once(*seals: Seal) -> set[bytes]:
        async with database.transaction() as tx:
            return await replay.claim(tx, seals)

    async with database.transaction() as holder:
        await replay.claim(holder, [middle])
        down = asyncio.create_task(claim_once(high, middle, low))
        up = asyncio.create_task(claim_once(low, middle, high))
        await asyncio.sleep(0.2)
    found = await asyncio.gather(down, up)
    assert sorted(found[0] | found[1]) == [low.digest, high.digest]
    assert found[0].isdisjoint(found[1])


async def test_a_rolled_back_claim_leaves_the_seal_fresh(database: Database):
    with pytest.raises(ValueError, match="undone"):
        async with database.transaction() as tx:
            assert await replay.claim(tx, [seal("1")])
            raise ValueError("undone")
    assert await claim(database, seal("1")) == {seal("1").digest}


async def test_a_running_claim_is_waited_for(database: Database):
    async with database.transaction() as tx:
        await replay.claim(tx, [seal("1")])
        other = asyncio.create_task(claim(database, seal("1")))
        await asyncio.sleep(0.1)
        assert not other.done()
    assert await other == set()


async def test_purge_forgets_only_the_old(database: Database):
    await claim(
        database, seal("old", AT), seal("older", AT - timedelta(days=1)), seal("new", AT + timedelta(minutes=1))
    )
    async with database.transaction() as tx:
        assert await replay.purge(tx, AT + timedelta(seconds=1)) == 2
        assert await replay.purge(tx, AT + timedelta(seconds=1)) == 0
    assert await claim(database, seal("old"), seal("new")) == {seal("old").digest}


async def test_purge_is_bounded_per_call(database: Database):
    seals = [seal(str(number)) for number in range(10_050)]
    await claim(database, *seals)
    async with database.transaction() as tx:
        assert await replay.purge(tx, AT + timedelta(days=1)) == 10_000
        assert await replay.purge(tx, AT + timedelta(days=1)) == 50


@pytest.mark.parametrize("digest", [b"", b"short", b"x" * 65])
async def test_a_digest_of_another_length_is_a_broken_belief(database: Database, digest: bytes):
    with pytest.raises(CheckViolationError):
        await claim(database, Seal(digest, AT))
