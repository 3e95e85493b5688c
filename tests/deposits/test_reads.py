"""What is read of deposits: each question sees the states, the network and the heights that it names, and no others."""

import asyncio
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.deposits.rows import add_address, add_merchant, add_order, add_wallet
from tests.deposits.test_store import deposit, seen

from bitlinkpay.chains.base import Arrival
from bitlinkpay.chains.registry import load_registry
from bitlinkpay.core.ids import DepositId, MerchantId, PayinId, new_uuid7
from bitlinkpay.db.pool import Database, Tx, savepoint
from bitlinkpay.deposits import store
from bitlinkpay.deposits.changes import store as changes_store
from bitlinkpay.deposits.model import WAIT_MAX, Deposit, DepositState, Sighting, Watched

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
USDT = load_registry().assets["usdt-tron"]
S = DepositState
DEAD = {S.DROPPED, S.REVERSED}
LIVING = sorted(set(S) - DEAD)


@pytest.fixture
async def owner(database: Database) -> MerchantId:
    return await database.unit(add_merchant)


@pytest.fixture
async def order(database: Database, owner: MerchantId) -> PayinId:
    return await database.unit(lambda tx: add_order(tx, owner))


async def store_all(database: Database, *deposits: Deposit) -> None:
    """Store deposits in whatever state they are in."""
    async with database.transaction() as tx:
        await changes_store.insert(tx, deposits, [seen(one) for one in deposits], NOW)
        for one in deposits:
            await tx.execute(
                "update deposits set state = $2, label = $3 where deposit_id = $1",
                one.deposit_id,
                one.state.value,
                one.label,
            )


def in_every_state(**terms: object) -> list[Deposit]:
    return [deposit(number, state=state, **terms) for number, state in enumerate(S, start=1)]  # type: ignore[arg-type]


def in_chain_order(deposits: Iterable[Deposit]) -> list[Deposit]:
    return sorted(deposits, key=lambda one: (one.height, one.deposit_id))


def ids(deposits: Iterable[Deposit]) -> list[DepositId]:
    return [one.deposit_id for one in deposits]


def states(deposits: Iterable[Deposit]) -> set[DepositState]:
    return {one.state for one in deposits}


# --- one deposit --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", S)
async def test_a_deposit_is_read_as_it_was_written(
    database: Database, owner: MerchantId, order: PayinId, state: DepositState
) -> None:
    one = deposit(
        units=2**255,
        fee_units=2**254,
        tag="10028849",
        arrival=Arrival.INTERNAL,
        merchant_id=owner,
        payin_id=order,
        state=state,
        label="late",
        first_block_at=NOW - timedelta(days=3),
        seen_at=NOW + timedelta(microseconds=1),
    )
    await store_all(database, one)
    async with database.reader() as tx:
        assert await store.find(tx, one.deposit_id) == one
        assert await store.find(tx, DepositId(UUID(int=1))) is None


def test_a_deposit_leaves_pending_money_with_its_verdict() -> None:
    assert {one.state for one in in_every_state() if not one.is_settled} == {"seen", "final", "screened"}


# --- whose money it is --------------------------------------------------------------------------------------------------


async def test_an_address_is_ours_in_its_own_family_and_spelling_alone(
    database: Database, owner: MerchantId, order: PayinId
) -> None:
    async with database.transaction() as tx:
        await add_address(tx, "evm", "0xAb", order, owner=owner)
        ours = [Watched("0xAb", "", owner, order)]
        assert await store.match(tx, "evm", ["0xAb", "0xab", "0xAB", "other"], [""] * 4) == ours
        assert await store.match(tx, "evm", ["0xAb", "0xAb"], ["", ""]) == ours, "twice in a block, once in the answer"
        assert await store.match(tx, "tron", ["0xAb"], [""]) == []
        assert await store.match(tx, "evm", [], []) == []


async def test_a_memo_finds_its_order_and_every_other_memo_the_shared_wallet(
    database: Database, owner: MerchantId, order: PayinId
) -> None:
    async with database.transaction() as tx:
        other = await add_order(tx, owner)
        await add_wallet(tx, "ton", "EQours")
        await add_address(tx, "ton", "EQours", order, owner=owner, tag="10028849")
        await add_address(tx, "ton", "EQours", other, owner=owner, tag="10028850")
        tags = ["10028850", "", "10028849", "010028849", "10028849 ", "1002884"]
        found = {watched.tag: watched.payin_id for watched in await store.match(tx, "ton", ["EQours"] * 6, tags)}
        assert found == {**dict.fromkeys(tags, None), "10028849": order, "10028850": other}
        assert await store.match(tx, "ton", ["EQforeign"], ["10028849"]) == []


async def test_a_memo_does_not_matter_at_an_address_of_one_order(
    database: Database, owner: MerchantId, order: PayinId
) -> None:
    async with database.transaction() as tx:
        await add_address(tx, "solana", "Sol1", order, owner=owner)
        found = await store.match(tx, "solana", ["Sol1", "Sol1"], ["", "hello"])
    assert found == [Watched("Sol1", "", owner, order), Watched("Sol1", "hello", owner, order)]


# --- what is known of a transfer ----------------------------------------------------------------------------------------


async def wait(tx: Tx, one: Deposit, since: datetime) -> None:
    await tx.execute(
        """
        insert into unconfirmed (network, txid, position, target, asset, units, first_seen_at)
        values ($1, $2, $3, $4, $5, $6, $7)
        """,
        one.network, one.txid, one.position, one.target, one.asset, one.units, since,
    )  # fmt: skip


@pytest.mark.parametrize("state", S)
async def test_a_transfer_stands_while_a_row_of_it_lives(database: Database, state: DepositState) -> None:
    one = deposit(state=state)
    await store_all(database, one)
    async with database.reader() as tx:
        assert await store.sightings(tx, "tron", [one.txid]) == {
            one.key: Sighting(NOW, None, stands=state not in DEAD),
        }
        assert await store.sightings(tx, "ethereum", [one.txid]) == {}
        assert await store.sightings(tx, "tron", ["other"]) == {}


async def test_the_first_block_and_the_first_look_stick_through_every_later_row(database: Database) -> None:
    day = timedelta(days=1)
    first = deposit(state=S.DROPPED, first_block_at=NOW - day)
    again = replace(first, deposit_id=DepositId(new_uuid7()), state=S.SEEN, first_block_at=NOW)
    beside = deposit(position="log:1", first_block_at=NOW + day)
    await store_all(database, first, again, beside)
    async with database.transaction() as tx:
        await wait(tx, first, NOW - 2 * day)
        await wait(tx, deposit(target="TC"), NOW - 3 * day)
        assert await store.sightings(tx, "tron", [first.txid, "other"]) == {
            first.key: Sighting(NOW - day, NOW - 2 * day, stands=True),
            beside.key: Sighting(NOW + day, None, stands=True),
            deposit(target="TC").key: Sighting(None, NOW - 3 * day, stands=False),
        }


@given(
    block=st.integers(-400, 400), first=st.none() | st.integers(-400, 400), waited=st.none() | st.integers(-400, 400)
)
def test_a_transfer_is_never_made_later_than_its_block_nor_long_before_it(
    block: int, first: int | None, waited: int | None
) -> None:
    """A payer may keep a transaction unmined on purpose: only a short wait before a block counts for him."""

    def at(minutes: int) -> datetime:
        return NOW + timedelta(minutes=minutes)

    sighting = Sighting(None if first is None else at(first), None if waited is None else at(waited), stands=False)
    earliest = min(at(one) for one in (block, first) if one is not None)
    made = sighting.made_at(at(block))
    assert earliest - WAIT_MAX <= made <= earliest <= at(block)
    if waited is None or at(waited) < earliest - WAIT_MAX:
        assert made == earliest
    else:
        assert made == min(earliest, at(waited))


# --- in chain order -----------------------------------------------------------------------------------------------------


async def test_final_deposits_come_in_pages_without_a_gap_or_a_repetition(database: Database) -> None:
    heights = [103, 101, 102, 101, 103, 101]
    final = [deposit(number, height=height, state=S.FINAL) for number, height in enumerate(heights)]
    await store_all(
        database, *final, *(one for one in in_every_state(position="log:9") if one.state is not S.FINAL),
        deposit(50, state=S.FINAL, network="ethereum"),
    )  # fmt: skip
    pages, after = [], None
    async with database.reader() as tx:
        while page := await store.list_final(tx, "tron", after=after, limit=2):
            pages.append(page)
            after = page[-1]
    assert [len(page) for page in pages] == [2, 2, 2]
    assert [one for page in pages for one in page] == in_chain_order(final)


async def test_deposits_are_locked_in_chain_order_whatever_order_they_are_named_in(database: Database) -> None:
    low, high, same = deposit(1, height=100), deposit(2, height=102), deposit(3, height=100)
    await store_all(database, low, high, same)
    named = [high.deposit_id, same.deposit_id, DepositId(UUID(int=1)), low.deposit_id]
    async with database.transaction() as tx:
        assert await store.lock(tx, named) == [*in_chain_order([low, same]), high]


async def test_a_locked_deposit_waits_and_a_read_one_does_not(database: Database) -> None:
    one, other = deposit(1, height=100), deposit(2, height=101)
    await store_all(database, one, other)
    async with database.transaction() as first, database.transaction() as second:
        assert await store.lock_above(first, "tron", 100) == [other]
        assert await store.lock(second, ids([one])) == [one], "the block at the fork itself is not locked"
        assert await store.find(second, other.deposit_id) == other
        await second.execute("set local lock_timeout = '50ms'")
        with pytest.raises(asyncpg.LockNotAvailableError):
            async with savepoint(second):
                await store.lock(second, ids([other]))


async def test_two_that_lock_the_same_deposits_in_other_orders_do_not_deadlock(database: Database) -> None:
    many = [deposit(number, height=100 + number % 3) for number in range(12)]
    await store_all(database, *many)

    async def work(named: list[DepositId]) -> int:
        async with database.transaction() as tx:
            return len(await store.lock(tx, named))

    assert await asyncio.gather(*(work(ids(many)[:: (-1) ** turn]) for turn in range(8))) == [12] * 8


async def test_above_a_fork_every_living_deposit_and_its_order_is_found_once(
    database: Database, owner: MerchantId, order: PayinId
) -> None:
    rows = in_every_state(height=101, payin_id=order, merchant_id=owner)
    nobodys, below = deposit(90, height=102), deposit(91, height=100)
    await store_all(database, nobodys, *rows, below, deposit(92, height=500, network="ethereum"))
    async with database.transaction() as tx:
        other = await add_order(tx, owner, PayinId(UUID(int=1)))
        await tx.execute("update deposits set payin_id = $2 where deposit_id = $1", below.deposit_id, other)
        found = await store.lock_above(tx, "tron", 100)
        assert sorted(one.state for one in found[:-1]) == LIVING
        assert found[-1] == nobodys
        assert await store.payins_above(tx, "tron", 100) == [order]
        assert await store.payins_above(tx, "tron", 99) == [other, order]
        assert await store.payins_above(tx, "tron", 101) == []
        assert await store.payins_of(tx, ids([*rows, below, nobodys])) == [other, order]
        assert await store.payins_of(tx, ids([nobodys])) == []


# --- what an order was sent ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("label", ["", "short", "late"])
async def test_which_deposits_of_an_order_a_sum_may_count(
    database: Database, owner: MerchantId, order: PayinId, label: str
) -> None:
    counted = {
        "": ({S.CREDITED}, {S.CREDITED}),
        "short": ({S.UNASSIGNED}, {S.SEEN, S.FINAL, S.SCREENED, S.UNASSIGNED}),
        "late": (set(), set()),
    }
    parts, summed = counted[label]
    rows = in_every_state(payin_id=order, merchant_id=owner, label=label)
    await store_all(database, *rows)
    async with database.reader() as tx:
        assert states(await store.list_parts(tx, [order])) == parts
        found = await store.sum_parts(tx, [order])
        units = sum(one.units for one in rows if one.state in summed)
        assert found == ({(order, "usdt-tron"): units} if summed else {})
        on_their_way = await store.list_unsettled(tx, [order])
        assert {deposit_id for _, deposit_id, _ in on_their_way} == {r.deposit_id for r in rows if not r.is_settled}
        assert {(payin, said) for payin, _, said in on_their_way} == {(order, label)}
        assert await store.list_of_payins(tx, [order]) == in_chain_order(rows), "whatever became of them"


async def test_parts_are_summed_by_order_and_asset(database: Database, owner: MerchantId, order: PayinId) -> None:
    other = await database.unit(lambda tx: add_order(tx, owner))
    terms = {"merchant_id": owner, "label": "short"}
    await store_all(
        database,
        deposit(1, payin_id=order, units=2**254, **terms),
        deposit(2, payin_id=order, units=2**254, **terms),
        deposit(3, payin_id=order, units=7, asset="trx-tron", **terms),
        deposit(4, payin_id=other, units=9, **terms),
        deposit(5, units=100),
    )
    async with database.reader() as tx:
        assert await store.sum_parts(tx, [order, other]) == {
            (order, "usdt-tron"): 2**255,
            (order, "trx-tron"): 7,
            (other, "usdt-tron"): 9,
        }
        assert await store.sum_parts(tx, []) == {}


async def test_a_label_stands_as_long_as_a_living_deposit_carries_it(
    database: Database, owner: MerchantId, order: PayinId
) -> None:
    other = await database.unit(lambda tx: add_order(tx, owner))
    await store_all(
        database,
        deposit(1, payin_id=order, merchant_id=owner, state=S.UNASSIGNED, label="late"),
        deposit(2, payin_id=order, merchant_id=owner, state=S.REVERSED, label="short"),
        deposit(3, payin_id=order, merchant_id=owner, state=S.DROPPED, label="over"),
        deposit(4, payin_id=other, merchant_id=owner, state=S.QUARANTINED),
    )
    async with database.reader() as tx:
        labels = await store.standing_labels(tx, [order, other, PayinId(UUID(int=1))])
    assert {payin: said - {""} for payin, said in labels.items()} == {order: {"late"}, other: {"quarantined"}}


# --- for operators and the books ----------------------------------------------------------------------------------------


async def test_money_put_aside_is_listed_newest_first_for_one_merchant_or_for_all(
    database: Database, owner: MerchantId
) -> None:
    other = await database.unit(lambda tx: add_merchant(tx, "coffee"))
    mine = in_every_state(merchant_id=owner)
    theirs = deposit(90, state=S.UNASSIGNED, merchant_id=other)
    nobodys = deposit(91, state=S.QUARANTINED)
    await store_all(database, *mine, theirs, nobodys)
    aside = [one for one in mine if one.state in {S.UNASSIGNED, S.QUARANTINED}]
    newest, *older = sorted([nobodys, theirs, *aside], key=lambda one: one.deposit_id, reverse=True)
    async with database.reader() as tx:
        assert await store.list_put_aside(tx, None, 10) == [newest, *older]
        assert await store.list_put_aside(tx, None, 1) == [newest]
        assert await store.list_put_aside(tx, owner, 10) == [one for one in (newest, *older) if one in aside]
        assert await store.list_put_aside(tx, MerchantId(UUID(int=1)), 10) == []


async def test_units_above_a_height_are_those_of_living_deposits_in_later_blocks(database: Database) -> None:
    rows = in_every_state(height=101)
    living = sum(one.units for one in rows if one.state not in DEAD)
    await store_all(
        database,
        *rows,
        deposit(90, height=100, units=1),
        deposit(91, height=102, target="TC", units=5),
        deposit(92, height=102, target="TC", units=6, position="log:1"),
        deposit(93, height=102, target="TC", units=50, asset="trx-tron"),
        deposit(94, height=102, target="TD", units=7),
        deposit(95, height=102, target="TC", units=60, network="ethereum"),
    )
    async with database.reader() as tx:
        assert await store.units_above(tx, USDT, ["TB", "TC", "TE"], 100) == {"TB": living, "TC": 11}
        assert await store.units_above(tx, USDT, ["TB", "TC"], 101) == {"TC": 11}
        assert await store.units_above(tx, USDT, ["TB", "TC"], 102) == {}
