"""Addresses handed out once, whoever asks, whatever stops."""

import asyncio
import time
from collections import Counter
from dataclasses import replace
from uuid import uuid4

import asyncpg
import pytest
from tests.wallets.conftest import SEED

from bitlinkpay.chains.address import parse_address
from bitlinkpay.core.assets import Family, Network
from bitlinkpay.db.pool import Database
from bitlinkpay.signer.keyring import FIRST_POOL, KeyRing, PoolAddress
from bitlinkpay.signer.keys import SolanaBranch, derive_keyring
from bitlinkpay.wallets import service, store
from bitlinkpay.wallets.derivation import Derivation
from bitlinkpay.wallets.model import Allotted, KeyRingDiffers, KeyRingMissing, NoAddressLeft, PoolGap
from bitlinkpay.wallets.service import Allocator
from bitlinkpay.wallets.tags import is_tag

EVM = ("ethereum", "bsc", "polygon", "arbitrum")


async def insert_deposit(database: Database, allotted: Allotted) -> None:
    async with database.transaction() as tx:
        await tx.execute(
            """insert into addresses (key_family, address, tag, merchant_id, payin_id, key_index, purpose)
               values ($1, $2, $3, $4, $5, $6, 'deposit')""",
            allotted.key_family.value,
            allotted.address,
            allotted.tag,
            uuid4(),
            uuid4(),
            allotted.key_index,
        )


async def test_every_network_gets_a_genuine_address(allocator: Allocator, networks: dict[str, Network]) -> None:
    assert len(networks) >= 8
    for network in networks.values():
        allotted = await allocator.take(network)
        assert parse_address(network, allotted.address) == allotted.address
        assert allotted.key_family is network.family
        assert bool(allotted.tag) == (network.family is Family.TON)


async def test_DEP_14_parallel_allotments_never_share_an_address(
    allocator: Allocator, second: Database, ring: KeyRing, networks: dict[str, Network]
) -> None:
    """200 orders at once over three processes' worth of allocators, on every network."""
    async with second.transaction() as tx:
        await service.extend_pool(tx, SolanaBranch.of(SEED).pool(FIRST_POOL, 300))
    allocators = [allocator, Allocator(second, ring), Allocator(second, ring)]
    for network in networks.values():
        taken = await asyncio.gather(*(allocators[n % 3].take(network) for n in range(200)))
        assert len({(allotted.address, allotted.tag) for allotted in taken}) == 200
        assert len({allotted.key_index for allotted in taken}) == 200


async def test_DEP_14_all_evm_networks_share_one_sequence(allocator: Allocator, networks: dict[str, Network]) -> None:
    taken = await asyncio.gather(*(allocator.take(networks[EVM[n % 4]]) for n in range(200)))
    assert len({allotted.address for allotted in taken}) == 200
    assert {allotted.key_family for allotted in taken} == {Family.EVM}


async def test_DEP_14_the_database_refuses_a_second_order_on_an_address(
    allocator: Allocator, database: Database, networks: dict[str, Network]
) -> None:
    allotted = await allocator.take(networks["tron"])
    await insert_deposit(database, allotted)
    with pytest.raises(asyncpg.UniqueViolationError):
        await insert_deposit(database, allotted)


async def test_ton_shares_one_wallet_and_tells_orders_by_tag(
    allocator: Allocator, database: Database, ring: KeyRing, networks: dict[str, Network]
) -> None:
    taken = await asyncio.gather(*(allocator.take(networks["ton"]) for _ in range(100)))
    assert {allotted.address for allotted in taken} == {ring.ton_wallet}
    assert len({allotted.tag for allotted in taken}) == 100
    assert all(is_tag(allotted.tag) for allotted in taken)
    await insert_deposit(database, taken[0])
    with pytest.raises(asyncpg.UniqueViolationError):
        await insert_deposit(database, taken[0])


async def test_bitcoin_testnet_uses_its_own_account_and_the_shared_sequence(
    allocator: Allocator, networks: dict[str, Network]
) -> None:
    main = networks["bitcoin"]
    test = replace(main, id="bitcoin-testnet", testnet=True)
    first, second = await allocator.take(main), await allocator.take(test)
    assert first.address.startswith("bc1q")
    assert second.address.startswith("tb1q")
    assert second.key_index == first.key_index + 1


async def test_addresses_are_those_of_the_ring(
    allocator: Allocator, ring: KeyRing, networks: dict[str, Network]
) -> None:
    taken = await allocator.take(networks["solana"])
    assert PoolAddress(taken.key_index, taken.address) in ring.solana


async def test_a_restarted_process_leaves_a_recorded_gap(
    allocator: Allocator, database: Database, ring: KeyRing, networks: dict[str, Network]
) -> None:
    first = await allocator.take(networks["tron"])
    again = await Allocator(database, ring).take(networks["tron"])
    assert again.key_index > first.key_index
    async with database.reader() as tx:
        blocks = await tx.fetch(
            "select first_index, last_index from address_blocks where key_family = 'tron' order by 1"
        )
    assert [(row["first_index"], row["last_index"]) for row in blocks] == [(0, 15), (16, 31)]


async def test_blocks_grow_while_orders_are_many(
    allocator: Allocator, database: Database, networks: dict[str, Network]
) -> None:
    await asyncio.gather(*(allocator.take(networks["bitcoin"]) for _ in range(3000)))
    async with database.reader() as tx:
        blocks = await tx.fetch("select last_index - first_index + 1 as size from address_blocks order by first_index")
    sizes = [row["size"] for row in blocks]
    assert sizes[0] == 16
    assert max(sizes) <= 1024
    assert len(sizes) < 20


async def test_a_cancelled_request_loses_nothing_but_an_index(
    allocator: Allocator, networks: dict[str, Network]
) -> None:
    tasks = [asyncio.create_task(allocator.take(networks["tron"])) for _ in range(50)]
    await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()
    done = await asyncio.gather(*tasks, return_exceptions=True)
    kept = [allotted.address for allotted in done if isinstance(allotted, Allotted)]
    assert len(kept) == len(set(kept)) >= 25
    assert (await allocator.take(networks["tron"])).address not in kept


async def test_sequences_never_fall(database: Database) -> None:
    async with database.transaction() as tx:
        await store.take_block(tx, Family.EVM, 10, "test")
    with pytest.raises(asyncpg.CheckViolationError, match="may not fall"):
        async with database.transaction() as tx:
            await tx.execute("update address_sequences set next_index = 3 where key_family = 'evm'")
    with pytest.raises(asyncpg.CheckViolationError):
        async with database.transaction() as tx:
            await tx.execute("update address_sequences set next_index = 2147483649 where key_family = 'evm'")


async def test_addresses_are_never_changed_or_removed(allocator: Allocator, database: Database) -> None:
    for statement in ("delete from addresses", "update addresses set payin_id = null", "delete from address_blocks"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with database.transaction() as tx:
                await tx.execute(statement)


@pytest.mark.parametrize(
    ("family", "tag", "purpose", "has_owner"),
    [
        ("ton", "", "deposit", True),
        ("evm", "123456789", "deposit", True),
        ("evm", "", "deposit", False),
        ("ton", "123456789", "wallet", False),
        ("evm", "", "wallet", True),
        ("evm", "", "other", True),
        ("doge", "", "deposit", True),
    ],
)
async def test_rows_that_make_no_sense_are_refused(
    database: Database, family: str, tag: str, purpose: str, has_owner: bool
) -> None:
    owner = uuid4() if has_owner else None
    with pytest.raises(asyncpg.CheckViolationError):
        async with database.transaction() as tx:
            await tx.execute(
                "insert into addresses (key_family, address, tag, key_index, merchant_id, payin_id, purpose)"
                " values ($1, 'x', $2, 0, $3, $3, $4)",
                family,
                tag,
                owner,
                purpose,
            )


async def test_importing_twice_changes_nothing(allocator: Allocator, database: Database, ring: KeyRing) -> None:
    async with database.transaction() as tx:
        before = await service.highest_indexes(tx)
        await service.import_keyring(tx, ring)
        assert await service.highest_indexes(tx) == before
        assert await service.get_keyring(tx) == ring
        rows = await tx.fetch("select key_family, address, tag, key_index, purpose from addresses")
    found = {(row["key_family"], row["address"], row["key_index"]) for row in rows}
    assert found == {(hot.family.value, hot.address, hot.index) for hot in ring.hot}
    assert len(rows) == len(ring.hot) == 41
    assert {(row["tag"], row["purpose"]) for row in rows} == {("", "wallet")}


async def test_a_ring_of_an_earlier_release_brings_the_ton_wallet_and_the_next_start_the_rest(
    database: Database, ring: KeyRing
) -> None:
    async def wallets(imported: KeyRing) -> int:
        async with database.transaction() as tx:
            await service.import_keyring(tx, imported)
            assert await service.get_keyring(tx) == imported
            return int(await tx.fetchval("select count(*) from addresses where purpose = 'wallet'"))

    assert await wallets(replace(ring, hot=())) == 1
    assert await wallets(ring) == 41


async def test_without_a_keyring_there_are_no_addresses(database: Database) -> None:
    async with database.reader() as tx:
        with pytest.raises(KeyRingMissing, match="signer init"):
            await service.get_keyring(tx)


async def test_PAY_41_another_seed_is_refused(allocator: Allocator, database: Database, ring: KeyRing) -> None:
    with pytest.raises(KeyRingDiffers, match="restore the right backup"):
        async with database.transaction() as tx:
            await service.import_keyring(tx, derive_keyring(bytes(64)))
    async with database.reader() as tx:
        assert await service.get_keyring(tx) == ring


@pytest.mark.parametrize("name", ["ethereum", "tron", "bitcoin", "ton", "solana"])
async def test_PAY_41_addresses_that_the_keys_do_not_give_are_refused(
    allocator: Allocator, database: Database, ring: KeyRing, networks: dict[str, Network], name: str
) -> None:
    """As after a restore with another derivation path: the row was handed out as another index's address."""
    good = [await allocator.take(networks[name]) for _ in range(2)]
    await insert_deposit(database, good[0])
    async with database.transaction() as tx:
        await service.import_keyring(tx, ring)
    await insert_deposit(database, replace(good[1], key_index=good[1].key_index + 1))
    with pytest.raises(KeyRingDiffers, match="do not give"):
        async with database.transaction() as tx:
            await service.import_keyring(tx, ring)


async def test_PAY_41_a_stored_ring_that_was_altered_is_noticed(allocator: Allocator, database: Database) -> None:
    async with database.transaction() as tx:
        await tx.execute("update keyrings set document = jsonb_set(document, '{evm}', document->'tron')")
    async with database.reader() as tx:
        with pytest.raises(Exception, match="not those of its fingerprint"):
            await service.get_keyring(tx)


async def test_highest_indexes_cover_everything_handed_out(
    allocator: Allocator, database: Database, networks: dict[str, Network]
) -> None:
    async with database.reader() as tx:
        assert await service.highest_indexes(tx) == {
            "evm": -1,
            "tron": -1,
            "bitcoin": -1,
            "solana": FIRST_POOL - 1,
            "ton": -1,
        }
    taken = [await allocator.take(network) for network in networks.values() for _ in range(20)]
    async with database.reader() as tx:
        highest = await service.highest_indexes(tx)
    assert all(highest[allotted.key_family] >= allotted.key_index for allotted in taken)


async def test_OPS_14_after_a_restore_nothing_is_handed_out_again(
    allocator: Allocator, database: Database, networks: dict[str, Network]
) -> None:
    """The backup is older than the database: its floors are lower or higher, both must be safe."""
    before = {name: [await allocator.take(network) for _ in range(40)] for name, network in networks.items()}
    for floors in ({}, {family.value: 10 for family in Family}, {family.value: 1_000_000 for family in Family}):
        restored = derive_keyring(SEED, floors)
        async with database.transaction() as tx:
            await service.import_keyring(tx, restored)
        after = Allocator(database, restored)
        for name, network in networks.items():
            fresh = [await after.take(network) for _ in range(20)]
            assert not {(a.address, a.tag) for a in fresh} & {(a.address, a.tag) for a in before[name]}
            assert all(a.key_index >= floors.get(a.key_family, 0) for a in fresh)
            before[name] += fresh


async def test_OPS_14_a_restore_into_an_empty_database_starts_above_the_floors(
    database: Database, networks: dict[str, Network]
) -> None:
    restored = derive_keyring(SEED, {family.value: 5000 for family in Family})
    async with database.transaction() as tx:
        await service.import_keyring(tx, restored)
    allocator = Allocator(database, restored)
    assert all([(await allocator.take(network)).key_index >= 5000 for network in networks.values()])


async def test_a_pool_filled_before_the_floor_is_withdrawn(
    allocator: Allocator, database: Database, networks: dict[str, Network]
) -> None:
    await allocator.take(networks["solana"])
    restored = derive_keyring(SEED, {"solana": 9000})
    async with database.transaction() as tx:
        await service.import_keyring(tx, restored)
        assert await store.count_free(tx, 10_000) == FIRST_POOL
    assert (await Allocator(database, restored).take(networks["solana"])).key_index >= 9000


async def test_the_pool_says_what_it_lacks(allocator: Allocator, database: Database) -> None:
    branch = SolanaBranch.of(SEED)
    async with database.transaction() as tx:
        assert await service.find_pool_gap(tx, low=FIRST_POOL, full=500) is None
        gap = await service.find_pool_gap(tx, low=FIRST_POOL + 1, full=500)
        assert gap == PoolGap(FIRST_POOL, 500 - FIRST_POOL)
        assert await service.extend_pool(tx, branch.pool(gap.first, gap.count)) == gap.count
        assert await service.extend_pool(tx, branch.pool(gap.first, gap.count)) == 0
        assert await service.find_pool_gap(tx, low=500, full=1000) is None
        assert (await service.highest_indexes(tx))["solana"] == 499


async def test_a_pool_gap_is_asked_in_steps_that_the_signer_answers(allocator: Allocator, database: Database) -> None:
    async with database.transaction() as tx:
        assert await service.find_pool_gap(tx) == PoolGap(FIRST_POOL, service.POOL_STEP)


async def test_two_workers_filling_the_pool_do_no_harm(
    allocator: Allocator, database: Database, second: Database
) -> None:
    batch = SolanaBranch.of(SEED).pool(FIRST_POOL, 200)

    async def fill(db: Database) -> int:
        async with db.transaction() as tx:
            return await service.extend_pool(tx, batch)

    assert sorted(await asyncio.gather(fill(database), fill(second), fill(database))) == [0, 0, 200]
    async with database.reader() as tx:
        assert await store.count_free(tx, 10_000) == FIRST_POOL + 200


async def test_an_empty_pool_is_said_and_recovers(
    allocator: Allocator, database: Database, networks: dict[str, Network]
) -> None:
    taken = [await allocator.take(networks["solana"]) for _ in range(FIRST_POOL)]
    assert len({allotted.address for allotted in taken}) == FIRST_POOL
    with pytest.raises(NoAddressLeft, match="try again"):
        await allocator.take(networks["solana"])
    async with database.transaction() as tx:
        await service.extend_pool(tx, SolanaBranch.of(SEED).pool(FIRST_POOL, 5))
    assert (await allocator.take(networks["solana"])).address not in {allotted.address for allotted in taken}


async def test_claims_skip_what_another_transaction_holds(
    allocator: Allocator, database: Database, second: Database
) -> None:
    async with database.transaction() as tx:
        mine = await store.claim_pooled(tx, 10, "first")
        async with asyncio.timeout(20), second.transaction() as other:
            theirs = await store.claim_pooled(other, 10, "second")
    indexes = Counter(pooled.index for pooled in [*mine, *theirs])
    assert len(indexes) == 20


def test_deriving_is_fast_enough_for_the_hot_path(ring: KeyRing) -> None:
    """A guard against losing the kept parent node (a factor of ten), in CPU time; not a benchmark."""
    derivation = Derivation(ring)
    started = time.process_time()
    addresses = {derivation.address(Family.EVM, index, testnet=False) for index in range(500)}
    assert len(addresses) == 500
    assert time.process_time() - started < 0.25
