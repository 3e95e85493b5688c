"""Moves in the database: one open move a source, whoever plans; a state and its event together; who may plan."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import asyncpg
import pytest
from tests.treasury.test_model import ADDRESS, HOT, fuelled, move

from bitlinkpay.chains.outgoing import KeyRole, Wallet
from bitlinkpay.core.errors import Unavailable
from bitlinkpay.db.pool import Database
from bitlinkpay.treasury.model import MOVE, Method, Move, MoveEvent, MoveKind, MoveState
from bitlinkpay.treasury.moves import store
from bitlinkpay.treasury.moves.store import MoveChange

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
MOMENT = timedelta(microseconds=1)
LIFE = timedelta(minutes=1)
NETWORK = "ethereum"


def at(number: int) -> Wallet:
    return Wallet(KeyRole.DEPOSIT, number, f"0x{number}")


async def insert(database: Database, *moves: Move, now: datetime = NOW) -> set[UUID]:
    async with database.transaction() as tx:
        return await store.insert(tx, moves, now)


async def save(database: Database, *changes: MoveChange, now: datetime = NOW) -> None:
    async with database.transaction() as tx:
        await store.save(tx, changes, now)


async def end(database: Database, of: Move, event: MoveEvent = MoveEvent.ARRIVED, cause: str = "0xtx") -> Move:
    after = MOVE.next(of.state, event)
    await save(database, MoveChange(of, event, after, cause), now=NOW + LIFE)
    return replace(of, state=after)


async def events_of(database: Database, of: Move) -> Sequence[tuple[object, ...]]:
    async with database.reader() as tx:
        rows = await tx.fetch(
            "select seq, event, from_state, to_state, cause, at from treasury_move_events where move_id = $1"
            " order by seq",
            of.move_id,
        )
    return [tuple(row.values()) for row in rows]


async def open_moves(database: Database, network: str = NETWORK, limit: int = 100) -> list[tuple[Move, datetime]]:
    async with database.reader() as tx:
        return await store.list_open(tx, network, limit)


async def gas_since(database: Database, since: datetime, network: str = NETWORK) -> int:
    async with database.reader() as tx:
        return await store.gas_since(tx, network, since)


@pytest.mark.parametrize(
    "planned",
    [
        move(units=2**255, fee_max_units=2**200),
        move(method=Method.ALONE, payer=ADDRESS, fee_max_units=0),
        replace(fuelled(2**190), payer=ADDRESS),
        move(kind=MoveKind.COLD, method=Method.ALONE, source=HOT, target="0xcold"),
        move(kind=MoveKind.CONSOLIDATION, method=Method.ALONE, source=HOT),
        move(source=Wallet(KeyRole.DEPOSIT, 2**40, "0xfar")),
    ],
)
async def test_a_move_comes_back_as_it_was_planned(database: Database, planned: Move) -> None:
    assert await insert(database, planned) == {planned.move_id}
    assert await open_moves(database) == [(planned, NOW)]
    assert await events_of(database, planned) == [(1, "planned", "", planned.state, "plan", NOW)]
    async with database.transaction() as tx:
        assert await store.lock(tx, [planned.move_id, uuid4()]) == {planned.move_id: planned}
        assert await store.lock(tx, []) == {}


@pytest.mark.parametrize("running", [move(), fuelled()])
async def test_SWP_06_a_source_has_one_move_open_whatever_it_carries(database: Database, running: Move) -> None:
    assert await insert(database, running) == {running.move_id}
    other, coin = move(), move(asset="eth-ethereum", method=Method.ALONE, payer=ADDRESS)
    free = move(source=at(8))
    assert await insert(database, other, coin, free) == {free.move_id}
    assert await events_of(database, other) == await events_of(database, coin) == []
    assert {one for one, _ in await open_moves(database)} == {running, free}


@pytest.mark.parametrize(("event", "ended"), [(MoveEvent.ARRIVED, "done"), (MoveEvent.FAILED, "failed")])
async def test_the_next_move_of_a_source_may_open_when_the_one_before_has_ended(
    database: Database, event: MoveEvent, ended: str
) -> None:
    first, second = move(), move()
    await insert(database, first)
    assert (await end(database, first, event)).state == ended
    assert await insert(database, second) == {second.move_id}
    assert [one for one, _ in await open_moves(database)] == [second]


async def test_a_wallet_is_moving_until_its_move_has_ended(database: Database) -> None:
    running = move(kind=MoveKind.CONSOLIDATION, method=Method.ALONE, source=HOT)

    async def moving(address: str, network: str = NETWORK) -> bool:
        async with database.reader() as tx:
            return await store.is_moving(tx, network, address)

    await insert(database, running, fuelled())
    assert [await moving(one) for one in ("0xhot", "0xaddress", "0xother")] == [True, True, False]
    assert not await moving("0xhot", "bsc")
    await end(database, running)
    assert not await moving("0xhot")


async def test_a_wallet_that_waits_for_stake_is_moving(database: Database) -> None:
    lent = move(method=Method.LENT, state=MoveState.LENDING, stake_units=5, payer=ADDRESS)
    await insert(database, lent)
    async with database.reader() as tx:
        assert await store.is_moving(tx, NETWORK, lent.source.address)


async def test_one_address_moves_on_each_network_by_itself(database: Database) -> None:
    here, there = move(), move(network="bsc", asset="usdt-bsc")
    assert await insert(database, here, there) == {here.move_id, there.move_id}
    assert [one for one, _ in await open_moves(database, "bsc")] == [there]


async def test_the_same_plan_twice_and_a_plan_with_one_source_twice_open_one_move(database: Database) -> None:
    first, twin = move(), move()
    assert len(await insert(database, first, twin)) == 1
    ((opened, _),) = await open_moves(database)
    assert await insert(database, opened) == set()
    assert len(await events_of(database, opened)) == 1


async def test_SWP_06_of_many_who_plan_at_once_each_source_goes_to_one(database: Database) -> None:
    plans = [[move(source=at(number)) for number in range(10)] for _ in range(4)]
    opened = await asyncio.gather(*(insert(database, *plan) for plan in plans))
    assert sum(map(len, opened)) == 10
    assert {one.move_id for one, _ in await open_moves(database)} == set().union(*opened)
    assert {one.source for one, _ in await open_moves(database)} == {at(number) for number in range(10)}


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"units": 0}, "treasury_moves_units"),
        ({"units": -1}, "treasury_moves_units"),
        ({"fee_max_units": -1}, "treasury_moves_fee"),
        ({"gas_units": -1}, "treasury_moves_(gas|fuelled)"),
    ],
)
async def test_no_move_of_nothing_is_stored_nor_what_is_planned_beside_it(
    database: Database, changes: dict[str, object], rule: str
) -> None:
    sound = move(source=at(1))
    with pytest.raises(asyncpg.CheckViolationError, match=rule):
        await insert(database, sound, move(**changes))
    assert await open_moves(database) == []
    assert await events_of(database, sound) == []


async def test_SWP_07_a_move_goes_from_gas_to_money_to_its_end_and_every_step_is_noted(database: Database) -> None:
    planned = fuelled()
    await insert(database, planned)
    moving = await end(database, planned, MoveEvent.FUELLED, "0xgas")
    done = await end(database, moving, MoveEvent.ARRIVED, "0xmoney")
    later = NOW + LIFE
    assert await events_of(database, planned) == [
        (1, "planned", "", "fuelling", "plan", NOW),
        (2, "fuelled", "fuelling", "moving", "0xgas", later),
        (3, "arrived", "moving", "done", "0xmoney", later),
    ]
    async with database.reader() as tx:
        assert await store.list_newest(tx, "", 9) == [(done, NOW, "")]


async def test_why_a_move_failed_stands_beside_it_and_what_arrived_has_no_reason(database: Database) -> None:
    failed, done = move(source=at(1)), move(source=at(2))
    await insert(database, failed, done)
    await save(
        database,
        MoveChange(failed, MoveEvent.FAILED, MoveState.FAILED, "token paused"),
        MoveChange(done, MoveEvent.ARRIVED, MoveState.DONE, "0xtx"),
    )
    async with database.reader() as tx:
        assert {one.source.index: why for one, _, why in await store.list_newest(tx, NETWORK, 9)} == {
            1: "token paused",
            2: "",
        }


@pytest.mark.parametrize("believed", [MoveState.FUELLING, MoveState.DONE, MoveState.FAILED])
async def test_a_move_that_is_elsewhere_undoes_every_change_beside_it(database: Database, believed: MoveState) -> None:
    sound, elsewhere = move(source=at(1)), move(source=at(2))
    await insert(database, sound, elsewhere)
    with pytest.raises(AssertionError, match="under our lock"):
        await save(
            database,
            MoveChange(sound, MoveEvent.ARRIVED, MoveState.DONE, "0xtx"),
            MoveChange(replace(elsewhere, state=believed), MoveEvent.FAILED, MoveState.FAILED, "late"),
        )
    assert {one for one, _ in await open_moves(database)} == {sound, elsewhere}
    assert len(await events_of(database, sound)) == len(await events_of(database, elsewhere)) == 1


async def test_no_change_of_a_move_that_never_was_and_none_at_all(database: Database) -> None:
    await save(database)
    with pytest.raises(AssertionError, match="under our lock"):
        await save(database, MoveChange(move(), MoveEvent.ARRIVED, MoveState.DONE, "0xtx"))


async def test_open_moves_are_listed_the_oldest_first_and_all_the_newest_first(database: Database) -> None:
    made = [replace(move(source=at(number)), move_id=UUID(int=number)) for number in range(4)]
    await insert(database, made[2], now=NOW - LIFE)
    await insert(database, made[0], made[1])
    await insert(database, replace(made[3], network="bsc"), now=NOW + LIFE)
    assert [one.source.index for one, _ in await open_moves(database)] == [2, 0, 1]
    assert [one.source.index for one, _ in await open_moves(database, limit=2)] == [2, 0]
    await end(database, made[2])
    assert [one.source.index for one, _ in await open_moves(database)] == [0, 1]
    async with database.reader() as tx:
        newest = {network: await store.list_newest(tx, network, 9) for network in ("", NETWORK, "bsc", "tron")}
        assert [one.source.index for one, _, _ in await store.list_newest(tx, "", 2)] == [3, 1]
    indices = {network: [one.source.index for one, _, _ in found] for network, found in newest.items()}
    assert indices == {"": [3, 1, 0, 2], NETWORK: [1, 0, 2], "bsc": [3], "tron": []}


async def test_SWP_05_the_gas_of_a_day_counts_whatever_became_of_it(database: Database) -> None:
    on_its_way, failed = replace(fuelled(7), source=at(1)), replace(fuelled(20), source=at(2))
    await insert(database, on_its_way, failed, move(source=at(3)))
    await insert(database, replace(fuelled(400), source=at(4), network="bsc"))
    assert await gas_since(database, NOW - MOMENT) == 27
    await end(database, failed, MoveEvent.FAILED)
    assert await gas_since(database, NOW - MOMENT) == 27
    assert await gas_since(database, NOW) == 0  # what was planned exactly a day ago is a day old
    assert await gas_since(database, NOW - LIFE, "bsc") == 400
    assert await gas_since(database, NOW - LIFE, "tron") == 0


async def take(database: Database, token: UUID, wall: datetime, network: str = NETWORK) -> bool:
    async with database.transaction() as tx:
        return await store.take_lease(tx, network, token=token, wall=wall, life=LIFE)


async def test_who_holds_a_networks_lease_renews_it_and_nobody_else_gets_it_in_time(database: Database) -> None:
    mine, other = uuid4(), uuid4()
    assert await take(database, mine, NOW)
    assert not await take(database, other, NOW)
    assert await take(database, other, NOW, "bsc")
    assert await take(database, mine, NOW + LIFE / 2)
    assert not await take(database, other, NOW + LIFE)
    assert not await take(database, other, NOW + LIFE * 3 / 2)  # at its last moment it is still held
    assert await take(database, other, NOW + LIFE * 3 / 2 + MOMENT)
    assert not await take(database, mine, NOW + LIFE * 2)
    assert not await take(database, mine, NOW), "who lost it does not get it back by a clock that is behind"


async def test_of_many_who_ask_for_an_expired_lease_one_gets_it(database: Database) -> None:
    assert await take(database, uuid4(), NOW)
    answers = await asyncio.gather(*(take(database, uuid4(), NOW + 2 * LIFE) for _ in range(6)))
    assert sorted(answers) == [False] * 5 + [True]


async def test_a_lease_is_locked_until_its_transaction_ends_so_that_no_second_plan_slips_in(database: Database) -> None:
    async with database.transaction() as tx:
        assert await store.take_lease(tx, NETWORK, token=uuid4(), wall=NOW, life=LIFE)
        with pytest.raises(Unavailable, match="lock timeout"):
            async with database.transaction() as second:
                await second.execute("set local lock_timeout = '20ms'")
                await store.take_lease(second, NETWORK, token=uuid4(), wall=NOW, life=LIFE)
    assert not await take(database, uuid4(), NOW)
