"""The journal of blocks: it grows by linked blocks alone, under one lease, and forgets only what a branch left behind."""

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import UUID

import asyncpg
import pytest

from bitlinkpay.chains.base import Block, BlockRef
from bitlinkpay.db.pool import Database
from bitlinkpay.deposits.journal import store
from bitlinkpay.deposits.model import Cursor, Lease, LostLease

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
LIFE = timedelta(seconds=30)
MINE, THEIRS = UUID(int=1), UUID(int=2)


def time_of(height: int) -> datetime:
    return NOW + timedelta(seconds=height)


def ref(height: int, branch: str = "a") -> BlockRef:
    return BlockRef(height, f"{branch}{height}", time_of(height))


def chain(*heights: int, branch: str = "a", parent: str = "") -> list[Block]:
    """Return linked blocks of these heights; `parent` is by default the same branch's block before the first."""
    hashes = [parent or f"{branch}{heights[0] - 1}", *(f"{branch}{height}" for height in heights)]
    return [
        Block(height, own, before, time_of(height))
        for height, before, own in zip(heights, hashes, hashes[1:], strict=False)
    ]


@pytest.fixture
async def lease(database: Database) -> Lease:
    """The lease of `tron`, whose journal begins at block 100."""
    async with database.transaction() as tx:
        await store.begin(tx, "tron", ref(100), NOW)
        await store.begin(tx, "ton", ref(7, "t"), NOW)
    return await take(database)


async def take(database: Database, token: UUID = MINE, now: datetime = NOW) -> Lease:
    taken = await try_take(database, token, now)
    assert taken is not None
    return taken


async def try_take(database: Database, token: UUID, now: datetime, network: str = "tron") -> Lease | None:
    return await database.unit(lambda tx: store.take_lease(tx, network=network, token=token, now=now, life=LIFE))


async def advance(database: Database, lease: Lease, blocks: list[Block], final_height: int = 100) -> None:
    async with database.transaction() as tx:
        await store.advance(tx, lease, blocks=blocks, final_height=final_height, now=NOW)


async def rewind(database: Database, lease: Lease, to: BlockRef) -> None:
    async with database.transaction() as tx:
        await store.rewind(tx, lease, to, NOW)


async def cursor(database: Database, network: str = "tron") -> Cursor | None:
    async with database.reader() as tx:
        return await store.find_cursor(tx, network)


async def journal(database: Database, network: str = "tron") -> list[tuple[int, str, str]]:
    async with database.reader() as tx:
        rows = await tx.fetch("select height, hash, parent from blocks where network = $1 order by height", network)
    return [(row["height"], row["hash"], row["parent"]) for row in rows]


# --- the first start ----------------------------------------------------------------------------------------------------


async def test_a_network_that_was_never_read_has_no_cursor_and_no_lease(database: Database) -> None:
    assert await cursor(database) is None
    assert await try_take(database, MINE, NOW) is None
    async with database.reader() as tx:
        assert await store.list_cursors(tx) == []
        assert await store.journal_block(tx, "tron", 10**9) is None
        assert await store.height_at(tx, "tron", NOW) == 0
        with pytest.raises(AssertionError, match="a cursor without a journal"):
            await store.oldest_block(tx, "tron")


async def test_the_first_start_takes_its_block_for_final_and_a_later_one_changes_nothing(database: Database) -> None:
    begun = Cursor("tron", 100, "a100", time_of(100), 100)
    for start in (ref(100), ref(50, "b"), ref(900)):
        async with database.transaction() as tx:
            await store.begin(tx, "tron", start, NOW)
        assert await cursor(database) == begun
        assert await journal(database) == [(100, "a100", "")]


async def test_of_several_first_starts_at_once_one_counts(database: Database) -> None:
    async def begin(height: int) -> None:
        async with database.transaction() as tx:
            await store.begin(tx, "tron", ref(height), NOW)

    await asyncio.gather(*(begin(height) for height in (100, 101, 102, 103)))
    begun = await cursor(database)
    assert begun is not None
    assert await journal(database) == [(begun.height, begun.hash, "")]


async def test_cursors_are_listed_by_network(database: Database, lease: Lease) -> None:
    async with database.reader() as tx:
        assert await store.list_cursors(tx) == [
            Cursor("ton", 7, "t7", time_of(7), 7),
            Cursor("tron", 100, "a100", time_of(100), 100),
        ]


# --- the lease ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("token", "after", "is_taken"),
    [
        (MINE, timedelta(0), True),
        (MINE, LIFE / 2, True),
        (MINE, 2 * LIFE, True),
        (THEIRS, timedelta(0), False),
        (THEIRS, LIFE - timedelta(microseconds=1), False),
        (THEIRS, LIFE, False),  # it lives through its last moment
        (THEIRS, LIFE + timedelta(microseconds=1), True),
    ],
)
async def test_a_lease_is_renewed_by_its_holder_and_taken_by_others_when_it_has_ended(
    database: Database, lease: Lease, token: UUID, after: timedelta, is_taken: bool
) -> None:
    taken = await try_take(database, token, NOW + after)
    assert taken == (Lease("tron", token, NOW + after + LIFE) if is_taken else None)


async def test_a_refused_attempt_takes_nothing_from_the_holder(database: Database, lease: Lease) -> None:
    assert await try_take(database, THEIRS, NOW) is None
    await advance(database, lease, chain(101))
    assert (await cursor(database)) == Cursor("tron", 101, "a101", time_of(101), 100)


async def test_each_network_has_a_lease_of_its_own(database: Database, lease: Lease) -> None:
    assert await try_take(database, THEIRS, NOW, "ton") == Lease("ton", THEIRS, NOW + LIFE)
    assert await try_take(database, THEIRS, NOW) is None


async def test_of_many_watchers_that_come_at_once_one_gets_the_lease(database: Database, lease: Lease) -> None:
    late = NOW + 2 * LIFE
    found = await asyncio.gather(*(try_take(database, UUID(int=n), late) for n in range(10, 18)))
    (won,) = [one for one in found if one is not None]
    assert won.until == late + LIFE
    await advance(database, won, chain(101))


@pytest.mark.parametrize("work", ["advance", "hold", "rewind"])
async def test_who_lost_the_lease_writes_nothing(database: Database, lease: Lease, work: str) -> None:
    new = await take(database, THEIRS, NOW + 2 * LIFE)
    await advance(database, new, chain(101, 102))
    before = (await cursor(database), await journal(database))
    with pytest.raises(LostLease, match=r"^tron$"):
        async with database.transaction() as tx:
            if work == "advance":
                await store.advance(tx, lease, blocks=chain(103), final_height=103, now=NOW)
            elif work == "hold":
                await store.hold_lease(tx, lease, final_height=102)
            else:
                await store.rewind(tx, lease, ref(100), NOW)
    assert (await cursor(database), await journal(database)) == before


# --- growing ------------------------------------------------------------------------------------------------------------


async def test_blocks_are_kept_with_their_parents_and_the_cursor_stands_at_the_last(
    database: Database, lease: Lease
) -> None:
    await advance(database, lease, chain(101, 102, 105), final_height=101)  # Solana skips slots
    assert await cursor(database) == Cursor("tron", 105, "a105", time_of(105), 101)
    assert await journal(database) == [
        (100, "a100", ""),
        (101, "a101", "a100"),
        (102, "a102", "a101"),
        (105, "a105", "a102"),
    ]
    assert await journal(database, "ton") == [(7, "t7", "")]


@pytest.mark.parametrize("parent", ["b100", "a99", "a101", "A100"])
async def test_blocks_that_do_not_link_to_the_cursor_are_thrown_away(
    database: Database, lease: Lease, parent: str
) -> None:
    with pytest.raises(LostLease):
        await advance(database, lease, chain(101, 102, parent=parent), final_height=102)
    assert await cursor(database) == Cursor("tron", 100, "a100", time_of(100), 100)
    assert await journal(database) == [(100, "a100", "")]


async def test_the_same_blocks_a_second_time_are_refused(database: Database, lease: Lease) -> None:
    await advance(database, lease, chain(101, 102))
    with pytest.raises(LostLease):
        await advance(database, lease, chain(101, 102))
    assert len(await journal(database)) == 3


async def test_a_height_that_the_journal_holds_already_undoes_the_whole_step(database: Database, lease: Lease) -> None:
    await advance(database, lease, chain(101))
    with pytest.raises(asyncpg.UniqueViolationError):
        await advance(database, lease, [*chain(102, 103), Block(101, "b101", "a103", time_of(104))])
    assert await cursor(database) == Cursor("tron", 101, "a101", time_of(101), 100)
    assert [height for height, *_ in await journal(database)] == [100, 101]


async def test_of_two_steps_at_once_by_one_lease_one_counts(database: Database, lease: Lease) -> None:
    steps = [chain(101, 102), chain(101, 102, 103, branch="b", parent="a100")]
    found = await asyncio.gather(*(advance(database, lease, step) for step in steps), return_exceptions=True)
    assert sorted(type(one) for one in found if one is not None) == [LostLease]
    won = steps[found.index(None)]
    assert [own for _, own, _ in await journal(database)] == ["a100", *(block.hash for block in won)]


async def test_the_final_height_never_falls_while_the_chain_grows(database: Database, lease: Lease) -> None:
    await advance(database, lease, chain(101, 102, 103), final_height=102)
    await advance(database, lease, chain(104), final_height=99)
    async with database.transaction() as tx:
        await store.hold_lease(tx, lease, final_height=98)
    assert (await cursor(database)) == Cursor("tron", 104, "a104", time_of(104), 102)
    async with database.transaction() as tx:
        await store.hold_lease(tx, lease, final_height=104)
    assert (await cursor(database)) == Cursor("tron", 104, "a104", time_of(104), 104)


# --- going back ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("to", "final"), [(104, 103), (103, 103), (102, 102), (100, 100)])
async def test_going_back_forgets_what_stands_above_and_what_was_final_there(
    database: Database, lease: Lease, to: int, final: int
) -> None:
    await advance(database, lease, chain(101, 102, 103, 104), final_height=103)
    await rewind(database, lease, ref(to))
    assert await cursor(database) == Cursor("tron", to, f"a{to}", time_of(to), final)
    assert [height for height, *_ in await journal(database)] == list(range(100, to + 1))
    await advance(database, lease, chain(to + 1, to + 2, branch="b", parent=f"a{to}"))
    assert (await journal(database))[-2:] == [(to + 1, f"b{to + 1}", f"a{to}"), (to + 2, f"b{to + 2}", f"b{to + 1}")]


async def test_going_back_leaves_other_networks_alone(database: Database, lease: Lease) -> None:
    await advance(database, lease, chain(101, 102))
    await rewind(database, lease, BlockRef(1, "a1", time_of(1)))
    assert await journal(database) == []
    assert await journal(database, "ton") == [(7, "t7", "")]
    assert await cursor(database, "ton") == Cursor("ton", 7, "t7", time_of(7), 7)


# --- reading back -------------------------------------------------------------------------------------------------------


async def test_a_block_is_found_at_its_height_or_as_the_next_one_below(database: Database, lease: Lease) -> None:
    await advance(database, lease, chain(101, 105, 106))
    async with database.reader() as tx:
        found = {height: await store.journal_block(tx, "tron", height) for height in (99, 100, 101, 104, 105, 999)}
        assert found == {99: None, 100: ref(100), 101: ref(101), 104: ref(101), 105: ref(105), 999: ref(106)}
        assert await store.oldest_block(tx, "tron") == ref(100)
        assert await store.oldest_block(tx, "ton") == ref(7, "t")


async def test_pruning_keeps_the_block_at_its_limit_and_other_networks(database: Database, lease: Lease) -> None:
    await advance(database, lease, chain(101, 102, 103))
    async with database.transaction() as tx:
        await store.prune_journal(tx, "tron", 102)
        assert await store.oldest_block(tx, "tron") == ref(102)
        assert await store.oldest_block(tx, "ton") == ref(7, "t")
    assert [height for height, *_ in await journal(database)] == [102, 103]


@pytest.mark.parametrize(
    ("seconds", "height"),
    [(0, 100), (100, 100), (101, 100), (101.5, 101), (102, 101), (106, 105), (107, 106), (10**6, 106)],
)
async def test_the_height_at_a_time_is_the_last_block_before_it_or_the_oldest_one(
    database: Database, lease: Lease, seconds: float, height: int
) -> None:
    """A deposit may stand in the block of that very second: reading on from it must not miss it."""
    await advance(database, lease, chain(101, 102, 105, 106))
    async with database.reader() as tx:
        assert await store.height_at(tx, "tron", NOW + timedelta(seconds=seconds)) == height


async def test_a_block_stands_by_its_height_and_hash_together(database: Database, lease: Lease) -> None:
    await advance(database, lease, chain(101, 102))
    asked = [*chain(101), *chain(102, branch="b"), *chain(103)]
    async with database.reader() as tx:
        assert await store.standing(tx, "tron", asked) == {"a101"}
        assert await store.standing(tx, "tron", [Block(500, "a102", "", NOW)]) == set()
        assert await store.standing(tx, "ton", asked) == set()
        assert await store.standing(tx, "tron", []) == set()
