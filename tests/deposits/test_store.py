"""What writes deposits: a state and its event together, from where the caller believed it, or nothing."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from bitlinkpay.chains.base import Arrival
from bitlinkpay.core.ids import DepositId, new_uuid7
from bitlinkpay.db.pool import Database
from bitlinkpay.deposits.changes import store
from bitlinkpay.deposits.model import Deposit, DepositChange, DepositEvent, DepositState

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
LATER = NOW + timedelta(minutes=1)
S, E = DepositState, DepositEvent


def deposit(number: int = 1, *, height: int = 100, **changes: object) -> Deposit:
    made = Deposit(
        deposit_id=DepositId(new_uuid7()),
        network="tron",
        height=height,
        block_hash=f"b{height}",
        txid=f"{number:064x}",
        position="log:0",
        asset="usdt-tron",
        source="TA",
        target="TB",
        tag="",
        units=2**200 + number,
        arrival=Arrival.DIRECT,
        merchant_id=None,
        payin_id=None,
        state=S.SEEN,
        label="",
        fee_units=0,
        first_block_at=NOW,
        seen_at=NOW,
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def change(of: Deposit, event: E, before: S, after: S, **more: object) -> DepositChange:
    return replace(DepositChange(of.deposit_id, event, before, after), **more)  # type: ignore[arg-type]


def seen(of: Deposit) -> DepositChange:
    return change(of, E.SEEN, S.SEEN, S.SEEN, cause="block")


async def insert(database: Database, *deposits: Deposit) -> None:
    async with database.transaction() as tx:
        await store.insert(tx, deposits, [seen(one) for one in deposits], NOW)


async def save(database: Database, *changes: DepositChange) -> None:
    async with database.transaction() as tx:
        await store.save(tx, changes, LATER)


async def state_of(database: Database, of: Deposit) -> tuple[object, ...]:
    async with database.reader() as tx:
        rows = await tx.fetch("select state, label, fee_units from deposits where deposit_id = $1", of.deposit_id)
    return tuple(rows[0].values())


async def events_of(database: Database, of: Deposit) -> Sequence[tuple[object, ...]]:
    async with database.reader() as tx:
        rows = await tx.fetch(
            "select seq, event, from_state, to_state, cause from deposit_events where deposit_id = $1 order by seq",
            of.deposit_id,
        )
    return [tuple(row.values()) for row in rows]


async def test_an_arrival_is_written_whole_with_its_first_event(database: Database) -> None:
    one = deposit(tag="10028849", units=2**255)
    await insert(database, one)
    async with database.reader() as tx:
        rows = await tx.fetch("select * from deposits")
    stored = dict(rows[0])
    for name in Deposit.__slots__:
        assert stored[name] == getattr(one, name), name
    assert stored["updated_at"] == NOW
    assert await events_of(database, one) == [(1, "seen", "seen", "seen", "block")]


async def test_several_moves_at_once_are_several_events_and_one_state(database: Database) -> None:
    one, other = deposit(1), deposit(2)
    await insert(database, one, other)
    await save(
        database,
        change(one, E.FINALIZED, S.SEEN, S.FINAL, cause="final 100"),
        change(other, E.DROPPED, S.SEEN, S.DROPPED, cause="fork"),
        change(one, E.PASSED, S.FINAL, S.SCREENED),
        change(one, E.CREDITED, S.SCREENED, S.CREDITED, label="late", fee_units=7),
    )
    assert await state_of(database, one) == ("credited", "late", 7)
    assert await state_of(database, other) == ("dropped", "", 0)
    assert await events_of(database, one) == [
        (1, "seen", "seen", "seen", "block"),
        (2, "finalized", "seen", "final", "final 100"),
        (3, "passed", "final", "screened", ""),
        (4, "credited", "screened", "credited", ""),
    ]
    assert [event[:2] for event in await events_of(database, other)] == [(1, "seen"), (2, "dropped")]


async def test_a_deposit_that_is_elsewhere_undoes_the_whole_transaction(database: Database) -> None:
    one, other = deposit(1), deposit(2)
    await insert(database, one, other)
    await save(database, change(other, E.DROPPED, S.SEEN, S.DROPPED))
    with pytest.raises(AssertionError, match="moved under our lock"):
        await save(
            database,
            change(one, E.FINALIZED, S.SEEN, S.FINAL),
            change(other, E.FINALIZED, S.SEEN, S.FINAL),
        )
    assert (await state_of(database, one))[0] == "seen"
    assert len(await events_of(database, one)) == 1
    assert len(await events_of(database, other)) == 2


async def test_an_unknown_deposit_is_no_success(database: Database) -> None:
    with pytest.raises((AssertionError, asyncpg.ForeignKeyViolationError)):
        await save(database, change(deposit(), E.FINALIZED, S.SEEN, S.FINAL))


async def test_nothing_to_write_writes_nothing(database: Database) -> None:
    await insert(database)
    await save(database)
    async with database.reader() as tx:
        assert await tx.fetchval("select count(*) from deposits") == 0
        assert await store_count(database) == 0


async def store_count(database: Database) -> object:
    async with database.reader() as tx:
        return await tx.fetchval("select count(*) from deposit_events")


async def test_a_transfer_has_one_live_row_and_a_new_one_after_it_was_dropped(database: Database) -> None:
    one = deposit()
    await insert(database, one)
    again = replace(one, deposit_id=DepositId(new_uuid7()), height=101, block_hash="b101")
    with pytest.raises(asyncpg.UniqueViolationError, match="deposits_one_live"):
        await insert(database, again)
    await save(database, change(one, E.DROPPED, S.SEEN, S.DROPPED))
    await insert(database, again)
    assert (await state_of(database, again))[0] == "seen"


async def test_two_outputs_of_one_transaction_are_two_deposits(database: Database) -> None:
    one = deposit()
    other = replace(one, deposit_id=DepositId(new_uuid7()), position="log:1")
    elsewhere = replace(one, deposit_id=DepositId(new_uuid7()), target="TC")
    await insert(database, one, other, elsewhere)
    assert await store_count(database) == 3


async def test_finality_moves_what_was_seen_at_or_below_its_height_and_nothing_else(database: Database) -> None:
    below, at, above = deposit(1, height=99), deposit(2), deposit(3, height=101)
    foreign, dropped = deposit(4, network="ethereum"), deposit(5)
    await insert(database, below, at, above, foreign, dropped)
    await save(database, change(dropped, E.DROPPED, S.SEEN, S.DROPPED))
    async with database.transaction() as tx:
        assert await store.finalize(tx, "tron", 100, LATER) == 2
        assert await store.finalize(tx, "tron", 100, LATER) == 0
    states = [(await state_of(database, one))[0] for one in (below, at, above, foreign, dropped)]
    assert states == ["final", "final", "seen", "seen", "dropped"]
    assert (await events_of(database, at))[1:] == [(2, "finalized", "seen", "final", "final 100")]


@pytest.mark.parametrize("changes", [{"units": 0}, {"units": -1}, {"fee_units": -1}, {"units": 5, "fee_units": 6}])
async def test_amounts_that_cannot_be_are_refused_by_the_table(database: Database, changes: dict[str, int]) -> None:
    with pytest.raises(asyncpg.CheckViolationError):
        await insert(database, deposit(**changes))
