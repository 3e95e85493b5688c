"""What the end of a payment does to the move that asked for it, to the books and to what is sent next: all or nothing."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count

import pytest
from tests.flows.harness import REGISTRY
from tests.support.clock import ManualClock
from tests.treasury.test_model import HOT, fuelled, move
from tests.treasury.test_weighing import Network, flat, parts

from bitlinkpay.chains.outgoing import KeyRole, Payment, Purpose, Wallet
from bitlinkpay.core.errors import NotFound
from bitlinkpay.core.fsm import IllegalMove
from bitlinkpay.db.pool import Database
from bitlinkpay.ledger import accounts
from bitlinkpay.ledger import service as ledger
from bitlinkpay.ledger.model import InsufficientBalance, LedgerEvent, Posting
from bitlinkpay.ledger.model import Move as Booking
from bitlinkpay.sending import service as sending
from bitlinkpay.sending.model import OwnerKind, Sending, SendingState
from bitlinkpay.sending.service import Ending, Stage
from bitlinkpay.sending.setup import ask
from bitlinkpay.sending.store import find_by_owner, list_queued, lock_by_owner
from bitlinkpay.treasury import owner, stale
from bitlinkpay.treasury.model import Method, Move, MoveKind, MoveState
from bitlinkpay.treasury.moves import store
from bitlinkpay.treasury.owner import TreasuryOwner

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
LATER = NOW + timedelta(minutes=3)
TOKEN, COIN = "usdt-ethereum", "eth-ethereum"
COLD = move(kind=MoveKind.COLD, method=Method.ALONE, source=HOT, target="0xcold")
JOINED = move(kind=MoveKind.CONSOLIDATION, method=Method.ALONE, source=HOT)
_numbers = count()


def at(number: int, planned: Move) -> Move:
    return replace(planned, source=Wallet(KeyRole.DEPOSIT, number, f"0x{number}"))


def ending(of: Sending, reason: str = "") -> Ending:
    state = SendingState.FAILED if reason else SendingState.DELIVERED
    return Ending(replace(of, state=state), "" if reason else "0xtx", None if reason else 7, reason)


def gas_of(planned: Move) -> Sending:
    return owner.gas(planned, native=COIN, hot=HOT, fee_max_units=3, now=NOW)


async def insert(database: Database, *moves: Move) -> None:
    async with database.transaction() as tx:
        await store.insert(tx, moves, NOW)


async def hold(database: Database, account: str, units: int, asset: str = TOKEN) -> None:
    moves = (Booking(account, accounts.EQUITY, units),)
    posting = Posting(f"test:{next(_numbers)}", LedgerEvent.HOT_WALLET_FUNDED, asset, moves, None, NOW)
    async with database.transaction() as tx:
        await ledger.post_all(tx, [posting])


async def end(database: Database, *endings: Ending) -> None:
    async with database.transaction() as tx:
        await TreasuryOwner(REGISTRY).ended(tx, endings, LATER)


async def balances(database: Database, asset: str, *names: str) -> list[int]:
    async with database.reader() as tx:
        return [await ledger.balance(tx, name, asset) for name in names]


async def states(database: Database) -> dict[str, tuple[MoveState, str]]:
    async with database.reader() as tx:
        return {one.source.address: (one.state, why) for one, _, why in await store.list_newest(tx, "", 100)}


async def queued(database: Database, payer: Wallet) -> Sequence[Sending]:
    async with database.reader() as tx:
        return await list_queued(tx, "ethereum", payer.address, now=LATER, limit=100)


@pytest.mark.parametrize(
    ("planned", "kind", "purpose"),
    [
        (move(), OwnerKind.SWEEP, Purpose.SWEEP),
        (COLD, OwnerKind.COLD, Purpose.COLD),
        (JOINED, OwnerKind.CONSOLIDATION, Purpose.CONSOLIDATION),
    ],
)
def test_a_moves_money_goes_from_its_source_at_its_payers_cost(
    planned: Move, kind: OwnerKind, purpose: Purpose
) -> None:
    made = owner.money(planned, NOW)
    assert (made.owner, made.owner_id, made.purpose, made.merchant_id) == (kind, planned.move_id, purpose, None)
    assert made.payment == Payment(planned.source, TOKEN, planned.target, "", planned.units)
    assert (made.payer, made.fee_max_units, made.state) == (planned.payer, planned.fee_max_units, SendingState.QUEUED)
    assert (made.queued_at, made.not_before, made.transaction_id) == (NOW, NOW, None)


def test_gas_goes_from_the_hot_wallet_to_the_moves_source_at_its_own_price() -> None:
    made = gas_of(fuelled(10))
    assert (made.owner, made.purpose, made.payer, made.fee_max_units) == (OwnerKind.GAS, Purpose.GAS, HOT, 3)
    assert made.payment == Payment(HOT, COIN, "0xaddress", "", 10)
    with pytest.raises(AssertionError, match="needs none"):
        gas_of(move())
    with pytest.raises(AssertionError, match="out of an order's address"):
        owner.gas(fuelled(), native=COIN, hot=fuelled().source, fee_max_units=3, now=NOW)


async def test_SWP_07_gas_that_arrived_is_booked_and_the_money_follows(database: Database) -> None:
    planned = replace(fuelled(10), payer=fuelled().source)
    await insert(database, planned)
    await hold(database, "custody:hot:0xhot", 25, COIN)
    await end(database, ending(gas_of(planned)))
    assert await balances(database, COIN, "custody:hot:0xhot", "custody:deposits:0xaddress") == [15, 10]
    assert await states(database) == {"0xaddress": (MoveState.MOVING, "")}
    (money,) = await queued(database, planned.payer)
    assert (money.owner, money.owner_id, money.queued_at) == (OwnerKind.SWEEP, planned.move_id, LATER)
    assert money.payment == Payment(planned.source, TOKEN, "0xhot", "", 100)


@pytest.mark.parametrize(
    ("planned", "source", "target"),
    [
        (move(), "custody:deposits:0xaddress", "custody:hot:0xhot"),
        (COLD, "custody:hot:0xhot", "custody:cold"),
    ],
)
async def test_money_that_arrived_stands_where_it_went(
    database: Database, planned: Move, source: str, target: str
) -> None:
    await insert(database, planned)
    await hold(database, source, 130)
    await end(database, ending(owner.money(planned, NOW)))
    assert await balances(database, TOKEN, source, target) == [30, 100]
    assert await states(database) == {planned.source.address: (MoveState.DONE, "")}
    assert await queued(database, HOT) == []


@pytest.mark.parametrize("reason", ["", "reverted"])
async def test_outputs_that_were_joined_are_where_they_were(database: Database, reason: str) -> None:
    await insert(database, JOINED)
    await hold(database, "custody:hot:0xhot", 130)
    await end(database, ending(owner.money(JOINED, NOW), reason))
    assert await balances(database, TOKEN, "custody:hot:0xhot", "custody:cold") == [130, 0]
    assert await states(database) == {"0xhot": ((MoveState.FAILED if reason else MoveState.DONE), reason)}
    kinds = {OwnerKind.SWEEP, OwnerKind.GAS, OwnerKind.LEND, OwnerKind.COLD, OwnerKind.CONSOLIDATION}
    assert kinds == owner.TREASURY_KINDS


@pytest.mark.parametrize("planned", [move(), fuelled(), COLD, JOINED])
async def test_SWP_07_what_did_not_arrive_moved_nothing_and_is_planned_anew(database: Database, planned: Move) -> None:
    await insert(database, planned)
    await hold(database, "custody:hot:0xhot", 130)
    payment = gas_of(planned) if planned.gas_units else owner.money(planned, NOW)
    await end(database, ending(payment, "reverted"))
    assert await states(database) == {planned.source.address: (MoveState.FAILED, "reverted")}
    assert await balances(database, TOKEN, "custody:hot:0xhot", "custody:cold") == [130, 0]
    assert await queued(database, HOT) == await queued(database, planned.payer) == []
    again = replace(planned, move_id=move().move_id)
    async with database.transaction() as tx:
        assert await store.insert(tx, [again], LATER) == {again.move_id}


async def test_one_transactions_payments_end_each_in_its_own_way(database: Database) -> None:
    first, second, third = (at(number, move()) for number in (1, 2, 3))
    await insert(database, first, second, third)
    for one in (first, third):
        await hold(database, f"custody:deposits:{one.source.address}", 100)
    await end(
        database,
        ending(owner.money(third, NOW)),
        ending(owner.money(second, NOW), "paused"),
        ending(owner.money(first, NOW)),
    )
    assert await states(database) == {
        "0x1": (MoveState.DONE, ""),
        "0x2": (MoveState.FAILED, "paused"),
        "0x3": (MoveState.DONE, ""),
    }
    assert await balances(database, TOKEN, "custody:hot:0xhot") == [200]


async def test_SWP_06_where_the_books_hold_less_nothing_of_it_happens(database: Database) -> None:
    rich, poor = at(1, move()), at(2, move())
    await insert(database, rich, poor)
    await hold(database, "custody:deposits:0x1", 100)
    await hold(database, "custody:deposits:0x2", 99)
    with pytest.raises(InsufficientBalance):
        await end(database, ending(owner.money(rich, NOW)), ending(owner.money(poor, NOW)))
    assert {state for state, _ in (await states(database)).values()} == {MoveState.MOVING}
    assert await balances(database, TOKEN, "custody:hot:0xhot", "custody:deposits:0x1") == [0, 100]


@pytest.mark.parametrize("reason", ["", "reverted"])
async def test_an_end_comes_once(database: Database, reason: str) -> None:
    planned = move()
    await insert(database, planned)
    await hold(database, "custody:deposits:0xaddress", 300)
    last = ending(owner.money(planned, NOW), reason)
    await end(database, last)
    with pytest.raises(IllegalMove):
        await end(database, last)
    assert await balances(database, TOKEN, "custody:hot:0xhot") == [0 if reason else 100]


async def test_on_its_way_a_move_stays_as_it_is(database: Database) -> None:
    planned = fuelled()
    await insert(database, planned)
    for stage in Stage:
        async with database.transaction() as tx:
            await TreasuryOwner(REGISTRY).progressed(tx, [gas_of(planned)], stage, "0xtx", LATER)
    assert await states(database) == {"0xaddress": (MoveState.FUELLING, "")}


async def withdraw(database: Database, after: timedelta) -> int:
    return await stale.withdraw(replace(parts(Network(flat(1))), database=database, clock=ManualClock(NOW + after)))


async def queue(database: Database, *payments: Sending) -> None:
    async with database.transaction() as tx:
        await sending.queue(tx, payments, NOW)


async def test_a_move_is_withdrawn_after_an_hour_in_the_queue_and_not_a_moment_before(database: Database) -> None:
    swept, fuelling = at(1, move()), at(2, fuelled())
    await insert(database, swept, fuelling, COLD)
    await queue(database, owner.money(swept, NOW), gas_of(fuelling), owner.money(COLD, NOW))
    assert await withdraw(database, stale.PATIENCE - timedelta(microseconds=1)) == 0
    assert await withdraw(database, stale.PATIENCE) == 3
    reason = "it waited in the queue for 60 minutes"
    assert await states(database) == dict.fromkeys(("0x1", "0x2", "0xhot"), (MoveState.FAILED, reason))
    async with database.reader() as tx:
        for kind, one in ((OwnerKind.SWEEP, swept), (OwnerKind.GAS, fuelling), (OwnerKind.COLD, COLD)):
            assert (await find_by_owner(tx, kind, [one.move_id]))[one.move_id].state is SendingState.CANCELLED
    assert await withdraw(database, 2 * stale.PATIENCE) == 0


@pytest.mark.parametrize("reason", ["", "reverted"])
async def test_SWP_06_a_payment_that_has_ended_is_not_called_back_and_what_waits_beside_it_is(
    database: Database, reason: str
) -> None:
    waiting, ended = at(1, move()), at(2, move())
    await insert(database, waiting, ended)
    await queue(database, owner.money(waiting, NOW), owner.money(ended, NOW))
    async with database.transaction() as tx:
        await sending.cancel(tx, OwnerKind.SWEEP, ended.move_id, NOW)  # its move is not told yet
    assert await withdraw(database, stale.PATIENCE) == 1
    found = await states(database)
    assert (found["0x1"][0], found["0x2"][0]) == (MoveState.FAILED, MoveState.MOVING)
    await hold(database, "custody:deposits:0x2", 100)
    await end(database, ending(owner.money(ended, NOW), reason))
    assert (await states(database))["0x2"] == ((MoveState.FAILED, reason) if reason else (MoveState.DONE, ""))


async def test_a_payment_that_a_person_holds_is_withdrawn_too(database: Database) -> None:
    planned = move()
    await insert(database, planned)
    await queue(database, owner.money(planned, NOW))
    async with database.transaction() as tx:
        await sending.hold(tx, OwnerKind.SWEEP, planned.move_id, reason="odd", now=NOW)
    assert await withdraw(database, stale.PATIENCE) == 1


async def test_another_networks_moves_and_other_payments_are_left_alone(database: Database) -> None:
    there = move(network="bsc", asset="usdt-bsc")
    await insert(database, there)
    async with database.transaction() as tx:
        assert await ask(tx, "ethereum", HOT, number=0, fee_max_units=5, before=NOW, now=NOW)
    assert await withdraw(database, 10 * stale.PATIENCE) == 0
    assert await states(database) == {"0xaddress": (MoveState.MOVING, "")}
    assert [one.owner for one in await queued(database, HOT)] == [OwnerKind.SETUP]


async def test_a_move_whose_payment_nobody_queued_is_a_fault_and_not_withdrawn_in_silence(database: Database) -> None:
    await insert(database, move())
    with pytest.raises(NotFound, match="was ever queued"):
        await withdraw(database, stale.PATIENCE)
    assert await states(database) == {"0xaddress": (MoveState.MOVING, "")}


async def test_it_takes_the_payment_before_the_move_as_a_lane_that_ends_it_does(database: Database) -> None:
    """The other way round the two would wait for each other, and the server would throw one of them out."""
    planned = move()
    await insert(database, planned)
    await queue(database, owner.money(planned, NOW))
    async with database.transaction() as tx:
        assert await lock_by_owner(tx, OwnerKind.SWEEP, planned.move_id)
        withdrawing = asyncio.create_task(withdraw(database, stale.PATIENCE))
        waits = "select count(*) from pg_locks where not granted and pg_backend_pid() = any(pg_blocking_pids(pid))"
        while not await tx.fetchval(waits):
            await asyncio.sleep(0.01)
        assert await tx.fetchval(
            "select count(*) from (select from treasury_moves where move_id = $1 for update skip locked) free",
            planned.move_id,
        )
    assert await withdrawing == 1
