"""What the tables of the queue answer: why payments wait, what is promised, who is busy, and how a lane stands."""

from dataclasses import replace
from datetime import timedelta
from itertools import product
from uuid import uuid4

import pytest
from tests.flows.harness import make_merchant
from tests.sending.test_queue import HOT, sending
from tests.sending.test_stores import NETWORK, NOW, open_lane, queue, transaction, waiting
from tests.support.clock import ManualClock

from bitlinkpay.chains.outgoing import KeyRole, Payment, Purpose, Wallet
from bitlinkpay.core.errors import NotFound
from bitlinkpay.core.ids import new_uuid7
from bitlinkpay.db.pool import Database
from bitlinkpay.merchants import service as merchants
from bitlinkpay.merchants import store as merchants_store
from bitlinkpay.sending import service, setup, store
from bitlinkpay.sending.lanes import store as lanes
from bitlinkpay.sending.model import (
    OPEN,
    SENDING,
    OwnerKind,
    Sending,
    SendingEvent,
    SendingExists,
    SendingState,
    TooLate,
    TransactionState,
)
from bitlinkpay.sending.stops import store as stops
from bitlinkpay.sending.stops.store import Scope, Stop
from bitlinkpay.sending.store import SendingChange
from bitlinkpay.sending.transactions import store as transactions

OTHER_HOT = Wallet(KeyRole.HOT, 1, "hot-1")
STOPPED = "payments are stopped: trouble"
MINUTE = timedelta(minutes=1)


async def waits_of(database: Database, *asked: Sending, owners: tuple[OwnerKind, ...] = (OwnerKind.PAYOUT,)) -> object:
    async with database.reader() as tx:
        return await service.waits(tx, owners, [one.owner_id for one in asked])


async def carry(database: Database, *asked: Sending) -> None:
    """Queue payments beside the transaction that carries them."""
    await open_lane(database, uuid4())
    await queue(database, *asked)
    made = transaction(*asked)
    async with database.transaction() as tx:
        await transactions.allot(tx, made, NOW)
        await tx.execute("update sendings set transaction_id = $1", made.transaction_id)


async def force(database: Database, state: SendingState | TransactionState) -> None:
    """Set a state that a test needs without the way that leads there."""
    table = "sendings" if isinstance(state, SendingState) else "transactions"
    async with database.transaction() as tx:
        await tx.execute(f"update {table} set state = $1", state.value)


async def test_who_waits_for_nothing_but_a_turn_is_not_said_to_wait(database: Database) -> None:
    plain, resting = sending(1), sending(2)
    await queue(database, plain, resting)
    async with database.transaction() as tx:
        await store.postpone(tx, [resting.sending_id], reason="no gas", until=NOW + MINUTE)
    assert await waits_of(database, plain, resting) == {resting.owner_id: "no gas"}
    assert await waits_of(database, plain, resting, owners=(OwnerKind.REFUND,)) == {}
    assert await waits_of(database) == {}


async def test_a_kill_switch_is_told_before_what_the_payment_waited_for_besides(database: Database) -> None:
    resting = sending(2)
    await queue(database, resting)
    async with database.transaction() as tx:
        await store.postpone(tx, [resting.sending_id], reason="no gas", until=NOW + MINUTE)
        await stops.add(tx, Stop(Scope.ALL, "", "trouble", NOW))
    assert await waits_of(database, resting) == {resting.owner_id: STOPPED}
    async with database.transaction() as tx:
        await stops.remove(tx, Scope.ALL, "")
    assert await waits_of(database, resting) == {resting.owner_id: "no gas"}


async def test_of_several_kill_switches_one_is_named_and_always_the_same(database: Database) -> None:
    asked = sending(1)
    await queue(database, asked)
    async with database.transaction() as tx:
        await stops.add(tx, Stop(Scope.NETWORK, NETWORK, "b", NOW))
        await stops.add(tx, Stop(Scope.ALL, "", "c", NOW))
        await stops.add(tx, Stop(Scope.ASSET, "usdt-ethereum", "a", NOW))
        assert await store.obstacles(tx, [asked.sending_id]) == {asked.sending_id: "payments are stopped: a"}
        assert [stop.reason for stop in await stops.list_all(tx)] == ["c", "a", "b"]


async def test_a_kill_switch_keeps_the_reason_and_the_time_of_who_threw_it_first(database: Database) -> None:
    async with database.transaction() as tx:
        await stops.add(tx, Stop(Scope.NETWORK, NETWORK, "first", NOW))
        await stops.add(tx, Stop(Scope.NETWORK, NETWORK, "second", NOW + MINUTE))
        await stops.add(tx, Stop(Scope.NETWORK, "tron", "third", NOW - MINUTE))
        assert await stops.list_all(tx) == [
            Stop(Scope.NETWORK, "tron", "third", NOW - MINUTE),
            Stop(Scope.NETWORK, NETWORK, "first", NOW),
        ]
        assert not await stops.remove(tx, Scope.ASSET, NETWORK), "another scope's switch of this name"
        assert len(await stops.list_all(tx)) == 2


async def test_OPS_17_the_platforms_own_payments_stop_with_everything_and_with_no_merchant(database: Database) -> None:
    own = replace(sending(1, purpose=Purpose.SWEEP), merchant_id=None, owner=OwnerKind.SWEEP)
    await queue(database, own)
    async with database.transaction() as tx:
        await stops.add(tx, Stop(Scope.MERCHANT, "", "trouble", NOW))
        assert await store.obstacles(tx, [own.sending_id]) == {}
        await stops.add(tx, Stop(Scope.ALL, "", "trouble", NOW))
        assert await store.obstacles(tx, [own.sending_id]) == {own.sending_id: STOPPED}
    assert await waiting(database) == []


@pytest.mark.parametrize("state", ["suspended", "revoked"])
async def test_PAY_34_a_merchant_that_may_not_work_is_left_out_of_the_queue(database: Database, state: str) -> None:
    merchant = make_merchant(ManualClock())
    async with database.transaction() as tx:
        await merchants_store.insert(tx, merchant)
    asked, other = replace(sending(1), merchant_id=merchant.merchant_id), sending(2, 1)
    await queue(database, asked, other)
    assert len(await waiting(database)) == 2
    async with database.transaction() as tx:
        await (merchants.suspend if state == "suspended" else merchants.revoke)(tx, merchant.merchant_id, now=NOW)
    assert [one.sending_id for one in await waiting(database)] == [other.sending_id]
    assert await waits_of(database, asked, other) == {asked.owner_id: f"the merchant is {state}"}


async def test_only_what_waits_has_a_reason_to_wait(database: Database) -> None:
    await carry(database, asked := sending(1))
    async with database.transaction() as tx:
        await tx.execute("update sendings set reason = 'why'")
    for state in SendingState:
        await force(database, state)
        is_waiting = state in {SendingState.QUEUED, SendingState.HELD}
        assert await waits_of(database, asked) == ({asked.owner_id: "why"} if is_waiting else {}), state


async def test_PAY_30_what_is_promised_is_what_may_still_leave(database: Database) -> None:
    """Neither what still waits nor what has ended: the first takes nothing yet, the second stands in the books."""
    await carry(database, sending(5), sending(7))
    for state in SendingState:
        await force(database, state)
        is_promised = state in {SendingState.SENDING, SendingState.UNCERTAIN, SendingState.CONFIRMING}
        async with database.reader() as tx:
            promised = await store.promised_units(tx, NETWORK, [HOT.address, "another"])
            assert promised == ({(HOT.address, "usdt-ethereum"): 12} if is_promised else {}), state
            assert await store.promised_units(tx, NETWORK, ["another"]) == {}
            assert await store.promised_units(tx, "tron", [HOT.address]) == {}


async def test_a_wallet_is_busy_while_a_transaction_of_it_has_not_ended(database: Database) -> None:
    asked = sending(1)
    await open_lane(database, uuid4())
    await queue(database, asked)
    made = transaction(asked)
    async with database.transaction() as tx:
        await transactions.allot(tx, made, NOW)
        await store.save(tx, [SendingChange(asked, SendingEvent.CANCELLED, SendingState.CANCELLED, None)], NOW)
    for state in TransactionState:
        await force(database, state)
        is_open = state in OPEN
        async with database.reader() as tx:
            assert await transactions.busy_payers(tx, NETWORK) == ([HOT] if is_open else []), state
            assert len(await transactions.list_open(tx, NETWORK, HOT.address, 10)) == is_open
            (lane,) = await lanes.list_all(tx)
        assert (lane.waiting, lane.running, lane.payer, lane.next_number) == (0, int(is_open), HOT, 0)


async def test_a_wallet_with_something_queued_is_busy_once_and_before_its_lane_is_open(database: Database) -> None:
    await queue(database, sending(1), sending(2), replace(sending(3), payer=OTHER_HOT))
    held = replace(sending(4), payer=Wallet(KeyRole.HOT, 2, "hot-2"))
    await queue(database, held)
    async with database.transaction() as tx:
        await service.hold(tx, OwnerKind.PAYOUT, held.owner_id, reason="look", now=NOW)
        assert await transactions.busy_payers(tx, NETWORK) == [HOT, OTHER_HOT]
        assert await transactions.busy_payers(tx, "tron") == []
        assert await lanes.list_all(tx) == []


async def test_a_lane_is_opened_once_and_keeps_its_number(database: Database) -> None:
    async with database.transaction() as tx:
        assert not await lanes.is_open(tx, NETWORK, HOT.address)
        assert not await lanes.lock(tx, NETWORK, HOT.address)
        assert await lanes.take(tx, NETWORK, HOT.address, token=uuid4(), wall=NOW, life=MINUTE) is None
        await lanes.open_(tx, NETWORK, HOT, 7)
        await lanes.open_(tx, NETWORK, HOT, 99)
        assert await lanes.is_open(tx, NETWORK, HOT.address)
        assert await lanes.lock(tx, NETWORK, HOT.address)
        assert [row.next_number for row in await lanes.list_all(tx)] == [7]


async def test_a_lease_is_still_its_holders_in_the_very_moment_that_it_ends(database: Database) -> None:
    mine, other = uuid4(), uuid4()
    async with database.transaction() as tx:
        await lanes.open_(tx, NETWORK, HOT, 0)
        assert await lanes.take(tx, NETWORK, HOT.address, token=mine, wall=NOW, life=MINUTE)
        end = NOW + MINUTE
        assert await lanes.take(tx, NETWORK, HOT.address, token=other, wall=end, life=MINUTE) is None
        moment = end + timedelta(microseconds=1)
        assert await lanes.take(tx, NETWORK, HOT.address, token=other, wall=moment, life=MINUTE) == (0, "")


async def test_open_transactions_come_in_the_order_of_their_slots_and_not_more_than_asked(database: Database) -> None:
    asked = [sending(n + 1) for n in range(3)]
    await open_lane(database, uuid4())
    await queue(database, *asked)
    async with database.transaction() as tx:
        for number in (2, 0, 1):
            await transactions.allot(tx, transaction(asked[number], number=number), NOW)
        assert [t.slot.number for t in await transactions.list_open(tx, NETWORK, HOT.address, 10)] == [0, 1, 2]
        assert [t.slot.number for t in await transactions.list_open(tx, NETWORK, HOT.address, 2)] == [0, 1]
        assert await transactions.list_open(tx, NETWORK, "another", 10) == []


@pytest.mark.parametrize(
    "other",
    [
        {"network": "tron"},
        {"purpose": Purpose.SWEEP},
        {"payer": OTHER_HOT},
        {"merchant_id": None},
        {"payment": None},
        {"payment": Payment(HOT, "usdt-ethereum", "elsewhere", "", 10)},
        {"payment": Payment(HOT, "usdt-ethereum", "target", "memo", 10)},
        {"payment": Payment(OTHER_HOT, "usdt-ethereum", "target", "", 10)},
        {"payment": Payment(HOT, "dai-ethereum", "target", "", 10)},
    ],
)
async def test_PAY_04_whatever_differs_in_a_repeated_request_is_refused_and_changes_nothing(
    database: Database, other: dict[str, object]
) -> None:
    first = sending(10)
    await queue(database, first)
    again = replace(sending(10), owner_id=first.owner_id, **other)  # type: ignore[arg-type]
    fresh = sending(11)
    with pytest.raises(SendingExists, match="was asked for with other content"):
        await queue(database, again, fresh)
    assert [one.sending_id for one in await waiting(database)] == [first.sending_id]


async def test_a_repeated_request_may_name_another_fee_and_keeps_the_first(database: Database) -> None:
    first = sending(10, fee=3)
    await queue(database, first)
    await queue(database, replace(sending(10, fee=9), owner_id=first.owner_id))
    (stored,) = await waiting(database)
    assert (stored.sending_id, stored.fee_max_units) == (first.sending_id, 3)


async def test_the_same_object_of_two_owners_is_two_payments(database: Database) -> None:
    payout = sending(1)
    refund = replace(sending(2), owner=OwnerKind.REFUND, owner_id=payout.owner_id)
    await queue(database, payout, refund)
    async with database.transaction() as tx:
        await service.cancel(tx, OwnerKind.REFUND, payout.owner_id, NOW)
        found = await store.find_by_owner(tx, OwnerKind.PAYOUT, [payout.owner_id, uuid4()])
    assert {one: found[one].state for one in found} == {payout.owner_id: SendingState.QUEUED}


async def test_PAY_44_each_request_of_a_person_fits_its_states_or_is_too_late(database: Database) -> None:
    await carry(database, asked := sending(1))
    requests = {
        SendingEvent.CANCELLED: lambda tx: service.cancel(tx, OwnerKind.PAYOUT, asked.owner_id, NOW),
        SendingEvent.HELD: lambda tx: service.hold(tx, OwnerKind.PAYOUT, asked.owner_id, reason="look", now=NOW),
        SendingEvent.RESUMED: lambda tx: service.resume(tx, OwnerKind.PAYOUT, asked.owner_id, NOW),
    }
    for state, event in product(SendingState, requests):
        if SENDING.allows(state, event):
            continue
        await force(database, state)
        with pytest.raises(TooLate, match=f"is {state} already"):
            async with database.transaction() as tx:
                await requests[event](tx)
        async with database.reader() as tx:
            assert await tx.fetchval("select state from sendings") == state.value
            assert await tx.fetchval("select count(*) from sending_events") == 1


async def test_nobody_moves_what_was_never_queued(database: Database) -> None:
    unknown = new_uuid7()
    async with database.transaction() as tx:
        for request in (
            service.cancel(tx, OwnerKind.PAYOUT, unknown, NOW),
            service.hold(tx, OwnerKind.PAYOUT, unknown, reason="look", now=NOW),
            service.resume(tx, OwnerKind.PAYOUT, unknown, NOW),
        ):
            with pytest.raises(NotFound, match=f"no payout {unknown.hex} was ever queued"):
                await request


async def test_only_what_is_queued_is_postponed(database: Database) -> None:
    asked = sending(1)
    await queue(database, asked)
    async with database.transaction() as tx:
        await service.hold(tx, OwnerKind.PAYOUT, asked.owner_id, reason="a person has to look", now=NOW)
        await store.postpone(tx, [asked.sending_id], reason="no gas", until=NOW + MINUTE)
        row = await tx.fetchrow("select reason, not_before from sendings")
    assert tuple(row or ()) == ("a person has to look", NOW)


async def test_a_wallet_is_made_ready_once_a_number_and_before_the_payment_that_needs_it(database: Database) -> None:
    asked = sending(1)
    await queue(database, asked)

    async def ask(number: int) -> bool:
        async with database.transaction() as tx:
            return await setup.ask(tx, NETWORK, HOT, number=number, fee_max_units=5, before=NOW, now=NOW)

    assert [await ask(0), await ask(0), await ask(1)] == [True, False, True]
    queued = await waiting(database)
    assert [one.purpose for one in queued] == [Purpose.SETUP, Purpose.SETUP, Purpose.PAYOUT]
    first = queued[0]
    assert (first.payment, first.merchant_id, first.owner, first.fee_max_units) == (None, None, OwnerKind.SETUP, 5)
    assert first.queued_at == NOW - timedelta(seconds=1)


JOINING = replace(
    sending(9, purpose=Purpose.CONSOLIDATION, asset="eth-ethereum"), owner=OwnerKind.CONSOLIDATION, merchant_id=None
)


async def has_waiting(database: Database, payer: Wallet = HOT, network: str = NETWORK) -> bool:
    async with database.reader() as tx:
        return await service.has_waiting(tx, network, payer.address)


@pytest.mark.parametrize("purpose", [Purpose.PAYOUT, Purpose.SWEEP, Purpose.COLD])
async def test_PAY_31_the_joining_of_outputs_is_not_seen_while_anything_else_waits_even_for_its_time(
    database: Database, purpose: Purpose
) -> None:
    asked = sending(1, purpose=purpose)
    await queue(database, JOINING)
    assert [one.owner for one in await waiting(database)] == [OwnerKind.CONSOLIDATION]
    assert not await has_waiting(database), "it does not stand in its own way"
    await queue(database, asked)
    assert await waiting(database) == [asked]
    assert await has_waiting(database)
    async with database.transaction() as tx:
        await store.postpone(tx, [asked.sending_id], reason="too little", until=NOW + MINUTE)
    assert await waiting(database) == [], "what rests may need the same money in a minute"
    assert await has_waiting(database)
    async with database.transaction() as tx:
        await service.cancel(tx, asked.owner, asked.owner_id, NOW)
    assert [one.owner for one in await waiting(database)] == [OwnerKind.CONSOLIDATION]
    assert not await has_waiting(database)


async def test_what_may_not_leave_and_what_waits_elsewhere_keeps_no_outputs_apart(database: Database) -> None:
    stopped, elsewhere = sending(1), replace(sending(1), payer=OTHER_HOT)
    await queue(database, JOINING, stopped, elsewhere, replace(sending(1), network="bsc"))
    async with database.transaction() as tx:
        await stops.add(tx, Stop(Scope.MERCHANT, str(stopped.merchant_id), "trouble", NOW))
    assert [one.owner for one in await waiting(database)] == [OwnerKind.CONSOLIDATION]
    assert not await has_waiting(database)
    async with database.transaction() as tx:
        await stops.remove(tx, Scope.MERCHANT, str(stopped.merchant_id))
    assert [one.owner for one in await waiting(database)] == [OwnerKind.PAYOUT]
    assert await has_waiting(database)
    assert await has_waiting(database, OTHER_HOT)
    assert not await has_waiting(database, OTHER_HOT, "bsc")
