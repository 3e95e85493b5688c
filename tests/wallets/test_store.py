"""Sequences, blocks, pool and key ring in the database, statement by statement."""

import asyncio
from uuid import uuid4

import asyncpg
import pytest

from bitlinkpay.core.assets import Family
from bitlinkpay.db.pool import Database, Tx
from bitlinkpay.signer.keyring import HotAddress, KeyRing, PoolAddress
from bitlinkpay.signer.keys import derive_keyring
from bitlinkpay.wallets import store


def pooled(*indexes: int) -> list[PoolAddress]:
    return [PoolAddress(index, f"address-{index}") for index in indexes]


async def test_every_key_family_has_a_sequence_from_the_start(database: Database) -> None:
    async with database.reader() as tx:
        assert await store.next_indexes(tx) == dict.fromkeys(Family, 0)


async def test_blocks_follow_each_other_without_gap_or_overlap(database: Database) -> None:
    async with database.transaction() as tx:
        blocks = [await store.take_block(tx, Family.EVM, count, "me") for count in (1, 16, 7)]
        assert [list(block) for block in blocks] == [[0], list(range(1, 17)), list(range(17, 24))]
        assert (await store.next_indexes(tx))[Family.EVM] == 24
        assert (await store.next_indexes(tx))[Family.TRON] == 0


async def test_parallel_blocks_cover_the_sequence_exactly(database: Database) -> None:
    async def take(count: int) -> range:
        async with database.transaction() as tx:
            return await store.take_block(tx, Family.TON, count, "me")

    blocks = await asyncio.gather(*(take(1 + n % 7) for n in range(40)))
    taken = sorted(index for block in blocks for index in block)
    assert taken == list(range(len(taken)))


async def test_a_block_of_a_transaction_that_failed_was_never_taken(database: Database) -> None:
    with pytest.raises(RuntimeError):
        async with database.transaction() as tx:
            await store.take_block(tx, Family.EVM, 16, "me")
            raise RuntimeError
    async with database.reader() as tx:
        assert (await store.next_indexes(tx))[Family.EVM] == 0
        assert await tx.fetchval("select count(*) from address_blocks") == 0


async def test_a_block_records_who_took_it(database: Database) -> None:
    async with database.transaction() as tx:
        await store.take_block(tx, Family.BITCOIN, 16, "host:123")
        row = await tx.fetchrow("select * from address_blocks")
    assert row is not None
    assert (row["key_family"], row["first_index"], row["last_index"], row["taken_by"]) == ("bitcoin", 0, 15, "host:123")


async def test_the_last_index_of_a_family_is_handed_out_and_no_further(database: Database) -> None:
    async with database.transaction() as tx:
        await store.raise_sequences(tx, {"evm": 2**31 - 2})
        assert list(await store.take_block(tx, Family.EVM, 2, "me")) == [2**31 - 2, 2**31 - 1]
    with pytest.raises(asyncpg.CheckViolationError):
        async with database.transaction() as tx:
            await store.take_block(tx, Family.EVM, 1, "me")


async def test_floors_raise_and_never_lower(database: Database) -> None:
    async with database.transaction() as tx:
        await store.raise_sequences(tx, {"evm": 100, "tron": 5})
        await store.raise_sequences(tx, {"evm": 50, "tron": 5, "bitcoin": 0})
        assert await store.next_indexes(tx) == {
            Family.EVM: 100,
            Family.TRON: 5,
            Family.BITCOIN: 0,
            Family.SOLANA: 0,
            Family.TON: 0,
        }


async def test_floors_of_a_family_that_is_unknown_change_nothing(database: Database) -> None:
    async with database.transaction() as tx:
        await store.raise_sequences(tx, {"dogecoin": 100})
        assert set((await store.next_indexes(tx)).values()) == {0}


async def test_the_pool_grows_upwards_only(database: Database) -> None:
    async with database.transaction() as tx:
        assert await store.add_pooled(tx, pooled(0, 1, 2)) == 3
        assert await store.add_pooled(tx, pooled(1, 2, 3)) == 1
        assert await store.add_pooled(tx, pooled(0)) == 0
        assert await store.add_pooled(tx, []) == 0
        assert (await store.next_indexes(tx))[Family.SOLANA] == 4
        assert await store.add_pooled(tx, pooled(10, 11)) == 2  # a gap is harmless
        assert (await store.next_indexes(tx))[Family.SOLANA] == 12


async def test_one_address_is_never_pooled_under_two_indexes(database: Database) -> None:
    async with database.transaction() as tx:
        await store.add_pooled(tx, pooled(0, 1))
        assert await store.add_pooled(tx, [PoolAddress(5, "address-1"), PoolAddress(6, "address-6")]) == 1
        assert await store.find_pooled(tx, 5) is None
        assert await store.find_pooled(tx, 6) == "address-6"


async def test_claims_come_in_order_and_end_with_the_pool(database: Database) -> None:
    async with database.transaction() as tx:
        await store.add_pooled(tx, pooled(*range(5)))
        assert [found.index for found in await store.claim_pooled(tx, 2, "a")] == [0, 1]
        assert [found.index for found in await store.claim_pooled(tx, 10, "b")] == [2, 3, 4]
        assert await store.claim_pooled(tx, 10, "c") == []
        holders = await tx.fetch("select taken_by from solana_addresses order by key_index")
    assert [row["taken_by"] for row in holders] == ["a", "a", "b", "b", "b"]


async def test_a_claim_of_a_transaction_that_failed_is_free_again(database: Database) -> None:
    async with database.transaction() as tx:
        await store.add_pooled(tx, pooled(0, 1))
    with pytest.raises(RuntimeError):
        async with database.transaction() as tx:
            await store.claim_pooled(tx, 2, "me")
            raise RuntimeError
    async with database.transaction() as tx:
        assert len(await store.claim_pooled(tx, 2, "me")) == 2


async def test_counting_stops_where_it_was_told(database: Database) -> None:
    async with database.transaction() as tx:
        await store.add_pooled(tx, pooled(*range(20)))
        await store.claim_pooled(tx, 5, "me")
        assert await store.count_free(tx, 100) == 15
        assert await store.count_free(tx, 10) == 10
        assert await store.count_free(tx, 0) == 0


async def test_withdrawn_addresses_are_marked_and_stay_known(database: Database) -> None:
    async with database.transaction() as tx:
        await store.add_pooled(tx, pooled(*range(4)))
        await store.claim_pooled(tx, 1, "me")
        await store.raise_sequences(tx, {"solana": 3})
        rows = await tx.fetch("select taken_by from solana_addresses order by key_index")
        assert [row["taken_by"] for row in rows] == ["me", "withdrawn", "withdrawn", None]
        assert await store.find_pooled(tx, 1) == "address-1"


async def test_the_first_key_ring_stays(database: Database) -> None:
    first, second = derive_keyring(bytes(64)), derive_keyring(bytes(range(64)))
    async with database.transaction() as tx:
        assert await store.find_keyring(tx) is None
        assert await store.save_keyring(tx, first) == first.fingerprint
        assert await store.save_keyring(tx, second) == first.fingerprint
        assert await store.find_keyring(tx) == first


async def test_the_same_key_ring_may_bring_new_floors(database: Database) -> None:
    first, restored = derive_keyring(bytes(64)), derive_keyring(bytes(64), {"evm": 7})
    async with database.transaction() as tx:
        await store.save_keyring(tx, first)
        assert await store.save_keyring(tx, restored) == first.fingerprint
        found = await store.find_keyring(tx)
    assert found is not None
    assert found.floors == {"evm": 7}


async def test_two_first_starts_agree_on_one_key_ring(database: Database) -> None:
    rings = [derive_keyring(bytes([n]) * 64) for n in range(4)]

    async def save(ring: KeyRing) -> str:
        async def work(tx: Tx) -> str:
            return await store.save_keyring(tx, ring)

        return await database.unit(work)

    assert len(set(await asyncio.gather(*map(save, rings)))) == 1


async def test_samples_are_few_and_of_orders_only(database: Database) -> None:
    async with database.transaction() as tx:
        for _ in range(2):
            await store.save_wallets(tx, [HotAddress(Family.TON, False, 0, "0:wallet")])
        for n in range(20):
            await tx.execute(
                "insert into addresses (key_family, address, tag, key_index, merchant_id, payin_id, purpose)"
                " values ('ton', '0:wallet', $1, $2, $3, $3, 'deposit')",
                f"1000000{n:02}",
                n,
                uuid4(),
            )
        sample = await store.sample_handed_out(tx, Family.TON, 3)
        assert {index for index, _, _ in sample} == {0, 1, 2, 17, 18, 19}
        assert await store.sample_handed_out(tx, Family.EVM, 3) == []
        assert await tx.fetchval("select count(*) from addresses where purpose = 'wallet'") == 1


async def test_arrivals_are_matched_by_index_alone(database: Database) -> None:
    """The watcher's question must cost the same with a million addresses: the primary key answers it."""
    async with database.transaction() as tx:
        await tx.execute(
            "insert into addresses (key_family, address, tag, key_index, merchant_id, payin_id, purpose)"
            " select 'evm', md5(n::text), '', n, gen_random_uuid(), gen_random_uuid(), 'deposit'"
            " from generate_series(1, 5000) n"
        )
        plan = await tx.fetch(
            "explain select payin_id from addresses where key_family = 'evm' and address = 'x' and tag in ('', 'y')"
        )
    assert any("addresses_pkey" in row[0] for row in plan)
    assert not any("Seq Scan" in row[0] for row in plan)
