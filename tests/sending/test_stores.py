"""Queues, lanes and outputs in the database: what is unique, what is fenced, and what is never taken twice."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import asyncpg
import pytest
from tests.sending.test_queue import HOT, NATIVE, sending

from bitlinkpay.chains.outgoing import Purpose, Slot, Unspent
from bitlinkpay.core.errors import NotFound
from bitlinkpay.core.ids import SendingId, TransactionId, new_uuid7
from bitlinkpay.db.pool import Database
from bitlinkpay.sending import service, store
from bitlinkpay.sending.lanes import store as lanes
from bitlinkpay.sending.model import (
    Attempt,
    OwnerKind,
    PaymentMoved,
    Sending,
    SendingEvent,
    SendingExists,
    SendingState,
    TooLate,
    Transaction,
    TransactionEvent,
    TransactionState,
)
from bitlinkpay.sending.outputs import store as outputs
from bitlinkpay.sending.queue import choose
from bitlinkpay.sending.stops import store as stops
from bitlinkpay.sending.stops.store import Scope, Stop
from bitlinkpay.sending.store import SendingChange
from bitlinkpay.sending.transactions import store as transactions

NETWORK = "ethereum"
NOW = datetime(2026, 3, 1, tzinfo=UTC)
LIFE = timedelta(seconds=20)


async def queue(database: Database, *queued: Sending) -> None:
    async with database.transaction() as tx:
        await service.queue(tx, queued, NOW)


async def waiting(database: Database, now: datetime = NOW) -> list[Sending]:
    async with database.reader() as tx:
        return await store.list_queued(tx, NETWORK, HOT.address, now=now, limit=100)


async def open_lane(database: Database, token: UUID, number: int = 0) -> None:
    async with database.transaction() as tx:
        await lanes.open_(tx, NETWORK, HOT, number)
        assert await lanes.take(tx, NETWORK, HOT.address, token=token, wall=NOW, life=LIFE) == (number, "")


def transaction(*carried: Sending, number: int = 0) -> Transaction:
    from_slot = Attempt(1, b"{}", "", b"", None, None)
    return Transaction(
        transaction_id=TransactionId(new_uuid7()),
        network=NETWORK,
        purpose=carried[0].purpose,
        payer=HOT,
        slot=Slot(number),
        state=TransactionState.ALLOTTED,
        fee_max_units=5,
        expires_at=NOW + timedelta(hours=1),
        allotted_at=NOW,
        sendings=carried,
        attempts=(from_slot,),
    )


async def test_PAY_04_the_same_payment_again_is_one_and_another_under_its_name_is_refused(database: Database) -> None:
    first = sending(10)
    await queue(database, first, first)
    await queue(database, first)
    assert [one.sending_id for one in await waiting(database)] == [first.sending_id]
    other = sending(11)
    async with database.transaction() as tx:
        with pytest.raises(SendingExists):
            await service.queue(tx, [replace(other, owner_id=first.owner_id)], NOW)


async def test_a_payment_comes_back_from_the_database_as_it_was(database: Database) -> None:
    asked = sending(2**200)
    await queue(database, asked)
    (found,) = await waiting(database)
    assert (found.payment, found.payer, found.owner_id, found.merchant_id) == (
        asked.payment,
        asked.payer,
        asked.owner_id,
        asked.merchant_id,
    )
    assert (found.state, found.fee_max_units, found.reason) == (SendingState.QUEUED, asked.fee_max_units, "")


async def test_stake_that_is_lent_comes_back_as_it_was_and_counts_as_no_money(database: Database) -> None:
    loan = replace(sending(2**70, asset=NATIVE, fee=3, purpose=Purpose.LEND), owner=OwnerKind.LEND)
    covered = replace(sending(10, fee=8, purpose=Purpose.SWEEP), owner=OwnerKind.SWEEP, covered_units=7)
    await queue(database, loan, covered)
    assert {s.sending_id: s for s in await waiting(database)} == {s.sending_id: s for s in (loan, covered)}
    async with database.transaction() as tx:
        rows = await tx.fetch("select units, stake_units from sendings order by owner")
        assert [(int(row["units"]), int(row["stake_units"])) for row in rows] == [(0, 2**70), (10, 0)]
    other = replace(loan, sending_id=SendingId(new_uuid7()), payment=replace(loan.payment, units=5))
    with pytest.raises(SendingExists):
        await queue(database, other)


@pytest.mark.parametrize(
    "row",
    [
        {"purpose": Purpose.PAYOUT, "stake": 1, "units": 0},
        {"purpose": Purpose.LEND, "stake": 0, "units": 1},
        {"purpose": Purpose.RECALL, "stake": 1, "units": 1},
        {"purpose": Purpose.SWEEP, "stake": 0, "units": 1, "covered": 2},
    ],
)
async def test_no_row_mixes_stake_and_money(database: Database, row: dict[str, object]) -> None:
    sound = sending(10, fee=1)
    await queue(database, sound)
    with pytest.raises(asyncpg.CheckViolationError):
        async with database.transaction() as tx:
            await tx.execute(
                "update sendings set purpose = $2, stake_units = $3, units = $4, covered_units = $5"
                " where sending_id = $1",
                sound.sending_id, str(row["purpose"]), row["stake"], row["units"], row.get("covered", 0),
            )  # fmt: skip


async def test_the_queue_keeps_its_order_and_leaves_out_what_rests(database: Database) -> None:
    old, young, resting = sending(1), sending(2), sending(3)
    for number, one in enumerate((old, young, resting)):
        async with database.transaction() as tx:
            await store.insert(tx, [one], NOW + timedelta(seconds=number))
    async with database.transaction() as tx:
        await store.postpone(tx, [resting.sending_id], reason="no gas", until=NOW + timedelta(minutes=5))
    soon = NOW + timedelta(minutes=1)
    assert [one.sending_id for one in await waiting(database, soon)] == [old.sending_id, young.sending_id]
    later = await waiting(database, NOW + timedelta(minutes=6))
    assert [one.sending_id for one in later] == [old.sending_id, young.sending_id, resting.sending_id]
    assert later[-1].reason == "no gas"


async def test_PAY_31_nobodys_long_queue_hides_another_merchants_payment(database: Database) -> None:
    async with database.transaction() as tx:
        await store.insert(tx, [sending(1) for _ in range(300)], NOW)
        late = [sending(2, 1), sending(3, 1)]
        await store.insert(tx, late, NOW + timedelta(seconds=1))
    seen = await waiting(database, NOW + timedelta(minutes=1))
    assert len(seen) == 100
    assert {one.sending_id for one in seen[-2:]} == {one.sending_id for one in late}
    chosen = choose(
        seen, {(HOT.address, "usdt-ethereum"): 10**6, (HOT.address, NATIVE): 10**6}, native=NATIVE, most=2, now=NOW
    )
    assert {one.merchant_id for one in chosen.taken} == {seen[0].merchant_id, late[0].merchant_id}


async def test_what_is_held_is_no_part_of_the_queue_until_it_is_resumed(database: Database) -> None:
    asked, other = sending(1), sending(2)
    await queue(database, asked)
    async with database.transaction() as tx:
        await store.insert(tx, [other], NOW + timedelta(seconds=1))
        await service.hold(tx, OwnerKind.PAYOUT, asked.owner_id, reason="a person has to look", now=NOW)
        with pytest.raises(TooLate):
            await service.hold(tx, OwnerKind.PAYOUT, asked.owner_id, reason="again", now=NOW)
        with pytest.raises(TooLate):
            await service.resume(tx, OwnerKind.PAYOUT, other.owner_id, NOW)
        with pytest.raises(NotFound):
            await service.resume(tx, OwnerKind.PAYOUT, new_uuid7(), NOW)
    soon = NOW + timedelta(minutes=1)
    assert [one.sending_id for one in await waiting(database, soon)] == [other.sending_id]
    async with database.transaction() as tx:
        await service.resume(tx, OwnerKind.PAYOUT, asked.owner_id, NOW)
    assert [one.sending_id for one in await waiting(database, soon)] == [asked.sending_id, other.sending_id]


@pytest.mark.parametrize(
    ("scope", "subject"),
    [
        (Scope.ALL, ""),
        (Scope.NETWORK, NETWORK),
        (Scope.ASSET, "usdt-ethereum"),
        (Scope.MERCHANT, None),
    ],
)
async def test_OPS_17_a_kill_switch_holds_from_the_next_look_on(
    database: Database, scope: Scope, subject: str | None
) -> None:
    asked = sending(1)
    await queue(database, asked)
    stop = Stop(scope, str(asked.merchant_id) if subject is None else subject, "trouble", NOW)
    async with database.transaction() as tx:
        await stops.add(tx, stop)
        await stops.add(tx, stop)
    assert await waiting(database) == []
    async with database.transaction() as tx:
        assert await stops.list_all(tx) == [stop]
        assert await stops.remove(tx, stop.scope, stop.subject)
        assert not await stops.remove(tx, stop.scope, stop.subject)
    assert len(await waiting(database)) == 1


async def test_a_kill_switch_of_another_stops_nothing(database: Database) -> None:
    await queue(database, sending(1))
    async with database.transaction() as tx:
        await stops.add(tx, Stop(Scope.NETWORK, "tron", "trouble", NOW))
        await stops.add(tx, Stop(Scope.ASSET, "usdt-tron", "trouble", NOW))
        await stops.add(tx, Stop(Scope.MERCHANT, str(uuid4()), "trouble", NOW))
    assert len(await waiting(database)) == 1


async def test_PAY_44_only_what_waits_can_be_called_back(database: Database) -> None:
    asked = sending(1)
    await queue(database, asked)
    async with database.transaction() as tx:
        await service.cancel(tx, OwnerKind.PAYOUT, asked.owner_id, NOW)
    async with database.transaction() as tx:
        with pytest.raises(TooLate):
            await service.cancel(tx, OwnerKind.PAYOUT, asked.owner_id, NOW)
        with pytest.raises(NotFound):
            await service.cancel(tx, OwnerKind.PAYOUT, new_uuid7(), NOW)


async def test_a_lease_is_one_workers_until_it_runs_out(database: Database) -> None:
    mine, other = uuid4(), uuid4()
    await open_lane(database, mine, 7)
    async with database.transaction() as tx:
        assert await lanes.take(tx, NETWORK, HOT.address, token=other, wall=NOW, life=LIFE) is None
        assert await lanes.hold(tx, NETWORK, HOT.address, mine)
        assert not await lanes.hold(tx, NETWORK, HOT.address, other)
        assert not await lanes.step(tx, NETWORK, HOT.address, token=other, number=7, by=1)
        late = NOW + LIFE + timedelta(seconds=1)
        assert await lanes.take(tx, NETWORK, HOT.address, token=other, wall=late, life=LIFE) == (7, "")
        assert not await lanes.step(tx, NETWORK, HOT.address, token=mine, number=7, by=1)


async def test_a_number_is_given_out_once_and_taken_back_only_as_the_last(database: Database) -> None:
    token = uuid4()
    await open_lane(database, token)
    async with database.transaction() as tx:
        step = {"token": token}
        assert await lanes.step(tx, NETWORK, HOT.address, number=0, by=1, **step)
        assert not await lanes.step(tx, NETWORK, HOT.address, number=0, by=1, **step)
        assert await lanes.step(tx, NETWORK, HOT.address, number=1, by=2, **step)
        assert not await lanes.step(tx, NETWORK, HOT.address, number=1, by=-1, **step)
        assert await lanes.step(tx, NETWORK, HOT.address, number=3, by=-2, **step)


async def test_a_frozen_lane_says_why_until_it_is_let_go(database: Database) -> None:
    token = uuid4()
    await open_lane(database, token)
    async with database.transaction() as tx:
        await lanes.freeze(tx, NETWORK, HOT.address, "used elsewhere", NOW)
        assert await lanes.take(tx, NETWORK, HOT.address, token=token, wall=NOW, life=LIFE) == (0, "used elsewhere")
        await lanes.thaw(tx, NETWORK, HOT.address, number=3, cause="operator", now=NOW)
        assert await lanes.take(tx, NETWORK, HOT.address, token=token, wall=NOW, life=LIFE) == (3, "")
        await lanes.thaw(tx, NETWORK, HOT.address, number=1, cause="operator", now=NOW)
        assert await lanes.take(tx, NETWORK, HOT.address, token=token, wall=NOW, life=LIFE) == (3, "")
        events = await tx.fetch("select seq, event from lane_events order by seq")
    assert [tuple(row) for row in events] == [(1, "frozen"), (2, "thawed"), (3, "thawed")]


async def test_PAY_13_an_output_is_spent_by_one_transaction_only(database: Database) -> None:
    coin = Unspent("ab" * 32, 0, 5000, HOT)
    await open_lane(database, uuid4())
    first, second = sending(1), sending(2)
    await queue(database, first, second)
    one, other = transaction(first), transaction(second, number=1)
    async with database.transaction() as tx:
        await outputs.add(tx, NETWORK, [coin], NOW)
        await outputs.add(tx, NETWORK, [coin], NOW)
        assert await outputs.list_free(tx, NETWORK, [HOT.address]) == [coin]
        for made in (one, other):
            await transactions.allot(tx, made, NOW)
        await outputs.spend(tx, NETWORK, one.transaction_id, [coin])
        assert await outputs.list_free(tx, NETWORK, [HOT.address]) == []
        assert await outputs.list_spent(tx, [one.transaction_id, other.transaction_id]) == {
            one.transaction_id: [coin],
            other.transaction_id: [],
        }
    with pytest.raises(AssertionError, match="spent by another"):
        async with database.transaction() as tx:
            await outputs.spend(tx, NETWORK, other.transaction_id, [coin])
    async with database.transaction() as tx:
        await outputs.free(tx, one.transaction_id)
        await outputs.spend(tx, NETWORK, other.transaction_id, [coin])


async def test_PAY_13_of_two_at_once_one_gets_the_output(database: Database) -> None:
    coin = Unspent("cd" * 32, 1, 5000, HOT)
    await open_lane(database, uuid4())
    carried = [sending(n + 1) for n in range(2)]
    await queue(database, *carried)
    made = [transaction(one, number=n) for n, one in enumerate(carried)]
    async with database.transaction() as tx:
        await outputs.add(tx, NETWORK, [coin], NOW)
        for one in made:
            await transactions.allot(tx, one, NOW)

    async def spend(one: Transaction) -> bool:
        try:
            async with database.transaction() as tx:
                await outputs.spend(tx, NETWORK, one.transaction_id, [coin])
        except AssertionError:
            return False
        return True

    assert sorted(await asyncio.gather(*(spend(one) for one in made))) == [False, True]


async def test_PAY_05_other_bytes_never_replace_stored_ones(database: Database) -> None:
    await open_lane(database, uuid4())
    asked = sending(1)
    await queue(database, asked)
    made = transaction(asked)
    async with database.transaction() as tx:
        await transactions.allot(tx, made, NOW)
        await transactions.store_signed(tx, made, txid="t1", raw=b"bytes", wall=NOW)
        await transactions.store_signed(tx, made, txid="t1", raw=b"bytes", wall=NOW + LIFE)
    for txid, raw in (("t1", b"other"), ("t2", b"bytes")):
        with pytest.raises(AssertionError, match="other bytes"):
            async with database.transaction() as tx:
                await transactions.store_signed(tx, made, txid=txid, raw=raw, wall=NOW)
    async with database.reader() as tx:
        found = await transactions.find(tx, made.transaction_id)
    assert found is not None
    assert (found.latest.txid, found.latest.raw, found.latest.signed_at) == ("t1", b"bytes", NOW)


async def test_a_transaction_moves_along_its_table_with_an_event_each(database: Database) -> None:
    await open_lane(database, uuid4())
    asked = sending(1)
    await queue(database, asked)
    made = transaction(asked)
    async with database.transaction() as tx:
        await transactions.allot(tx, made, NOW)
        assert await transactions.move(tx, made, TransactionEvent.SIGNED, cause="t1", now=NOW) == "signed"
    with pytest.raises(AssertionError, match="not allotted any more"):
        async with database.transaction() as tx:
            await transactions.move(tx, made, TransactionEvent.REFUSED, cause="no", now=NOW)
    async with database.reader() as tx:
        rows = await tx.fetch("select seq, event, from_state, to_state from transaction_events order by seq")
    assert [tuple(row) for row in rows] == [(1, "allotted", "", "allotted"), (2, "signed", "allotted", "signed")]


async def test_a_payment_moves_only_from_where_it_is(database: Database) -> None:
    await open_lane(database, uuid4())
    asked = sending(1)
    await queue(database, asked)
    made = transaction(asked)
    taken = SendingChange(asked, SendingEvent.TAKEN, SendingState.SENDING, made.transaction_id)
    async with database.transaction() as tx:
        await transactions.allot(tx, made, NOW)
        await store.save(tx, [taken], NOW)
    with pytest.raises(PaymentMoved):  # it left the queue: nobody's mistake
        async with database.transaction() as tx:
            await store.save(tx, [taken], NOW)
    mined = replace(asked, state=SendingState.CONFIRMING, transaction_id=made.transaction_id)
    delivered = SendingChange(mined, SendingEvent.DELIVERED, SendingState.DELIVERED, made.transaction_id)
    with pytest.raises(AssertionError, match="moved under our lease"):
        async with database.transaction() as tx:
            await store.save(tx, [delivered], NOW)
    async with database.reader() as tx:
        assert await store.promised_units(tx, NETWORK, [HOT.address]) == {(HOT.address, "usdt-ethereum"): 1}
        assert [wallet.address for wallet in await transactions.busy_payers(tx, NETWORK)] == [HOT.address]
        (running,) = await transactions.list_open(tx, NETWORK, HOT.address, 10)
    assert [one.sending_id for one in running.sendings] == [asked.sending_id]
    assert (running.slot.number, running.latest.plan, running.payer) == (0, b"{}", HOT)
