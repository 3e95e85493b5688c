"""Loans of stake in the database: one a borrower, each step with its event, what is due, and what their ends do."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import asyncpg
import pytest
from tests.flows.harness import REGISTRY
from tests.treasury.test_model import ADDRESS, HOT, lent, move
from tests.treasury.test_owner import ending

from bitlinkpay.chains.outgoing import KeyRole, Payment, Purpose, Wallet
from bitlinkpay.core.fsm import IllegalMove
from bitlinkpay.db.pool import Database
from bitlinkpay.sending.model import OwnerKind
from bitlinkpay.sending.service import Ending, Stage
from bitlinkpay.sending.store import find_by_owner
from bitlinkpay.treasury import owner
from bitlinkpay.treasury.loans import service, store
from bitlinkpay.treasury.loans.model import LOAN, LoanEvent, LoanState, StakeLoan, event_of
from bitlinkpay.treasury.loans.service import LoanOwner, change_of
from bitlinkpay.treasury.loans.store import LoanChange
from bitlinkpay.treasury.model import MOVE, Move, MoveEvent, MoveState
from bitlinkpay.treasury.moves import store as moves
from bitlinkpay.treasury.moves.store import MoveChange
from bitlinkpay.treasury.owner import TreasuryOwner

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
MOMENT, LATER = timedelta(microseconds=1), NOW + timedelta(minutes=3)
NETWORK, COIN = "ethereum", "eth-ethereum"
S, E = LoanState, LoanEvent
TABLE = {
    (S.ASKED, E.LENT): S.LENT,
    (S.ASKED, E.FAILED): S.FAILED,
    (S.LENT, E.RECALLED): S.RETURNING,
    (S.LENT, E.GONE): S.RETURNED,
    (S.RETURNING, E.RETURNED): S.RETURNED,
    (S.RETURNING, E.FAILED): S.LENT,
}


def at(number: int, planned: Move | None = None) -> Move:
    return replace(planned or lent(), move_id=uuid4(), source=Wallet(KeyRole.DEPOSIT, number, f"0x{number}"))


async def ask(database: Database, *planned: Move, now: datetime = NOW) -> None:
    async with database.transaction() as tx:
        await moves.insert(tx, planned, now)
        await service.ask(tx, planned, HOT, now)


async def loan(database: Database, of: Move) -> StakeLoan:
    async with database.transaction() as tx:
        return (await store.lock(tx, [of.move_id]))[of.move_id]


async def step(database: Database, of: Move, event: LoanEvent, *, now: datetime = LATER, **more: UUID) -> StakeLoan:
    found = await loan(database, of)
    change = LoanChange(found, event, LOAN.next(found.state, event), "why", **more)
    async with database.transaction() as tx:
        await store.save(tx, [change], now)
    return await loan(database, of)


async def end(database: Database, of: Move, event: MoveEvent) -> Move:
    change = MoveChange(of, event, MOVE.next(of.state, event), "cause")
    async with database.transaction() as tx:
        await moves.save(tx, [change], LATER)
        await service.follow(tx, [change], LATER)
    return replace(of, state=change.after)


@pytest.mark.parametrize("state", LoanState)
@pytest.mark.parametrize("event", LoanEvent)
def test_a_loan_goes_along_its_table_only(state: LoanState, event: LoanEvent) -> None:
    if (state, event) in TABLE:
        assert LOAN.next(state, event) is TABLE[state, event]
    else:
        with pytest.raises(IllegalMove):
            LOAN.next(state, event)


@pytest.mark.parametrize(
    ("state", "event", "expected"),
    [
        (MoveState.FUELLING, MoveEvent.OPENED, None),
        (MoveState.FUELLING, MoveEvent.FAILED, E.FAILED),
        (MoveState.LENDING, MoveEvent.LENT, E.LENT),
        (MoveState.LENDING, MoveEvent.FAILED, E.FAILED),
        (MoveState.MOVING, MoveEvent.ARRIVED, None),
        (MoveState.MOVING, MoveEvent.FAILED, None),
    ],
)
def test_a_loan_follows_its_sweep_until_it_is_made_and_then_waits_to_be_taken_back(
    state: MoveState, event: MoveEvent, expected: LoanEvent | None
) -> None:
    assert event_of(lent(gas_units=1, state=state), event) is expected
    assert event_of(move(), MoveEvent.FAILED) is None


def test_a_loan_is_of_something_and_comes_back_by_a_payment() -> None:
    with pytest.raises(AssertionError, match="of nothing"):
        StakeLoan(uuid4(), NETWORK, HOT, ADDRESS, 0)
    with pytest.raises(AssertionError, match="that nothing carries"):
        StakeLoan(uuid4(), NETWORK, HOT, ADDRESS, 1, state=LoanState.RETURNING)


async def test_a_lent_move_and_its_loan_come_back_from_the_database_as_they_were(database: Database) -> None:
    planned = lent(gas_units=2, state=MoveState.FUELLING, stake_units=2**200)
    await ask(database, planned, at(2, move()))
    async with database.reader() as tx:
        assert planned in [one for one, _ in await moves.list_open(tx, NETWORK, 9)]
        assert await store.states(tx, [planned.move_id]) == {planned.move_id: S.ASKED}, "the other asked for none"
        events = await tx.fetch("select seq, event, from_state, to_state, cause, at from treasury_loan_events")
    assert await loan(database, planned) == StakeLoan(planned.move_id, NETWORK, HOT, ADDRESS, 2**200)
    assert [tuple(row.values()) for row in events] == [(1, "asked", "", "asked", "plan", NOW)]


async def test_an_address_has_one_loan_until_it_is_back_or_was_never_made(database: Database) -> None:
    first, second = at(1), at(1)
    await ask(database, first)
    await end(database, first, MoveEvent.FAILED)
    await ask(database, second)
    moving = await end(database, second, MoveEvent.LENT)
    await end(database, moving, MoveEvent.ARRIVED)
    for event in (E.RECALLED, E.FAILED):
        with pytest.raises(asyncpg.UniqueViolationError):
            await ask(database, at(1))
        await step(database, second, event, recall_id=uuid4())
    await step(database, second, E.RECALLED, recall_id=uuid4())
    await step(database, second, E.RETURNED)
    await ask(database, at(1))


async def test_what_the_code_does_not_write_is_no_row(database: Database) -> None:
    await ask(database, planned := at(1))
    for change in ("stake_units = 0", "state = 'returning'", "state = 'odd'"):
        with pytest.raises(asyncpg.CheckViolationError):
            async with database.transaction() as tx:
                await tx.execute(f"update treasury_loans set {change} where move_id = $1", planned.move_id)


async def test_a_loan_is_due_once_its_sweep_has_ended_however_it_did(database: Database) -> None:
    planned = [at(number) for number in range(4)]
    await ask(database, *planned)
    moving = [await end(database, one, MoveEvent.LENT) for one in planned[:3]]
    await end(database, moving[0], MoveEvent.ARRIVED)
    await end(database, moving[1], MoveEvent.FAILED)
    async with database.reader() as tx:
        due = await store.list_due(tx, NETWORK, 9)
        assert await store.list_due(tx, "bsc", 9) == []
        assert len(await store.list_due(tx, NETWORK, 1)) == 1
    assert {(one.move_id, at_) for one, at_ in due} == {(one.move_id, LATER) for one in planned[:2]}


async def test_stake_is_promised_until_it_is_lent_and_out_until_it_is_back(database: Database) -> None:
    first, second = at(1), at(2)
    await ask(database, first)
    await ask(database, second, now=LATER)

    async def outstanding() -> tuple[int, bool]:
        async with database.reader() as tx:
            assert await store.find_outstanding(tx, "bsc") == (0, False)
            return await store.find_outstanding(tx, NETWORK)

    assert await outstanding() == (140, True)
    await end(database, second, MoveEvent.FAILED)
    assert await outstanding() == (70, True)
    await end(database, first, MoveEvent.LENT)
    assert await outstanding() == (0, True)
    async with database.reader() as tx:
        assert await store.lent_units(tx) == {NETWORK: 70}
    await step(database, first, E.GONE)
    assert await outstanding() == (0, False)
    async with database.reader() as tx:
        assert await store.lent_units(tx) == {}


async def test_a_step_of_a_loan_that_moved_meanwhile_is_thrown_away(database: Database) -> None:
    await ask(database, planned := at(1))
    stale = await loan(database, planned)
    await step(database, planned, E.LENT)
    with pytest.raises(AssertionError, match="moved under our lock"):
        async with database.transaction() as tx:
            await store.save(tx, [change_of(stale, E.FAILED, "late")], LATER)
    assert (await loan(database, planned)).state is S.LENT


async def test_a_return_that_was_asked_for_long_ago_is_listed(database: Database) -> None:
    await ask(database, planned := at(1))
    await step(database, planned, E.LENT)
    recall = uuid4()
    returning = await step(database, planned, E.RECALLED, recall_id=recall)
    async with database.transaction() as tx:
        assert await store.list_returning(tx, NETWORK, before=LATER, limit=9) == [returning]
        assert await store.list_returning(tx, NETWORK, before=LATER - MOMENT, limit=9) == []
        assert await store.lock_recalled(tx, [recall, uuid4()]) == {recall: returning}


@pytest.mark.parametrize(("reason", "state"), [("", S.RETURNED), ("it was refused", S.LENT)])
async def test_a_loan_ends_with_the_payment_that_takes_it_back(
    database: Database, reason: str, state: LoanState
) -> None:
    await ask(database, planned := at(1))
    await step(database, planned, E.LENT)
    recall = uuid4()
    await step(database, planned, E.RECALLED, recall_id=recall)
    payment = replace(owner.stake(planned, native=COIN, hot=HOT, now=NOW), owner=OwnerKind.RECALL, owner_id=recall)
    async with database.transaction() as tx:
        await LoanOwner().progressed(tx, [payment], Stage.SIGNED, "0xtx", NOW)
        await LoanOwner().ended(tx, [ending(payment, reason)], LATER)
        rows = await tx.fetch("select reason from treasury_loans")
    assert (await loan(database, planned)).state is state
    assert [row["reason"] for row in rows] == [reason]


# --- how sweeps on a loan go on ------------------------------------------------------------------------------------------


async def ended(database: Database, *endings: Ending) -> None:
    async with database.transaction() as tx:
        await TreasuryOwner(REGISTRY).ended(tx, endings, LATER)


def test_stake_is_lent_by_the_hot_wallet_and_covers_the_sweeps_fee() -> None:
    planned = lent()
    made = owner.stake(planned, native=COIN, hot=HOT, now=NOW)
    assert (made.owner, made.purpose, made.payer, made.fee_max_units) == (OwnerKind.LEND, Purpose.LEND, HOT, 2)
    assert (made.payment, made.spends) == (Payment(HOT, COIN, ADDRESS.address, "", 70), None)
    assert (made.covered_units, owner.money(planned, NOW).covered_units) == (0, 5)
    with pytest.raises(AssertionError, match="needs none"):
        owner.stake(move(), native=COIN, hot=HOT, now=NOW)
    with pytest.raises(AssertionError, match="out of an order's address"):
        owner.stake(planned, native=COIN, hot=ADDRESS, now=NOW)


@pytest.mark.parametrize(
    ("planned", "first"),
    [
        (lent(gas_units=1, state=MoveState.FUELLING), OwnerKind.GAS),
        (lent(), OwnerKind.LEND),
        (move(), OwnerKind.SWEEP),
    ],
)
def test_a_move_begins_with_what_goes_ahead_of_it(planned: Move, first: OwnerKind) -> None:
    assert owner.first(planned, native=COIN, hot=HOT, gas_fee_units=3, now=NOW).owner is first


async def test_after_the_stake_the_money_and_after_a_failure_nothing(database: Database) -> None:
    good, bad = at(1), at(2)
    await ask(database, good, bad)
    lend = [owner.stake(one, native=COIN, hot=HOT, now=NOW) for one in (good, bad)]
    await ended(database, ending(lend[0]), ending(lend[1], "no stake left"))
    assert (await loan(database, good)).state is S.LENT
    assert (await loan(database, bad)).state is S.FAILED
    async with database.reader() as tx:
        queued = await find_by_owner(tx, OwnerKind.SWEEP, [good.move_id, bad.move_id])
        assert [(one.state, why) for one, _, why in await moves.list_newest(tx, "", 9) if why] == [
            (MoveState.FAILED, "no stake left")
        ]
        entries = await tx.fetchval("select count(*) from ledger_entries")
    assert list(queued) == [good.move_id]
    assert entries == 0, "stake is no money: nothing is booked"
    with pytest.raises(IllegalMove):
        await ended(database, ending(lend[1]))
