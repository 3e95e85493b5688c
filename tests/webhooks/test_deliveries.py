"""Deliveries in the database: owed once, leased to one, recorded for ever."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from tests.webhooks.conftest import Desk

from bitlinkpay.core.ids import DeliveryId, MerchantId, new_uuid7
from bitlinkpay.db import outbox
from bitlinkpay.webhooks import service
from bitlinkpay.webhooks.model import (
    Answer,
    Claimed,
    DeliveryState,
    Judgement,
    NewDelivery,
    Outcome,
    Result,
    UnknownDelivery,
)

A, B = "https://a.example/cb", "https://b.example/cb"
A_END, B_END = "https://a.example:443", "https://b.example:443"
WALL = datetime(2026, 3, 1, tzinfo=UTC)


def _result(claimed: Claimed, state: DeliveryState, next_at: datetime, **answer: object) -> Result:
    outcome = {
        DeliveryState.DELIVERED: Outcome.DELIVERED,
        DeliveryState.ENDED: Outcome.ENDED,
    }.get(state, Outcome.RETRY)
    given = Answer(**({"status": 200, "headers": {}, "body": b"ok"} | answer))  # type: ignore[arg-type]
    return Result(claimed, WALL, WALL, {"webhook-id": "x"}, given, Judgement(outcome, "why"), state, 3, next_at)


async def _claim(desk: Desk, limit: int = 100, **rooms: object) -> list[Claimed]:
    async with desk.database.transaction() as tx:
        return await service.claim_due(tx, now=desk.clock.now(), limit=limit, **rooms)  # type: ignore[arg-type]


async def _record(desk: Desk, *results: Result) -> None:
    async with desk.database.transaction() as tx:
        await service.record(tx, results, now=desk.clock.now())


async def test_a_delivery_is_owed_once(desk: Desk):
    delivery = desk.new(A)
    await desk.enqueue(delivery)
    await desk.enqueue(delivery, desk.new(B))
    await desk.enqueue()
    assert len(await _claim(desk)) == 2
    shown, attempts = await desk.show(delivery)
    assert (shown.state, shown.attempts, shown.url, shown.body) == (DeliveryState.PENDING, 1, A, delivery.body)
    assert attempts == []


async def test_enqueue_belongs_to_its_transaction(desk: Desk):
    with pytest.raises(RuntimeError):
        async with desk.database.transaction() as tx:
            await service.enqueue(tx, [desk.new(A)])
            raise RuntimeError
    assert await _claim(desk) == []


async def test_enqueue_wakes_listeners_once_per_transaction(desk: Desk):
    heard: list[str] = []
    woken = asyncio.Event()
    await desk.database.listen(service.CHANNEL, lambda text: (heard.append(text), woken.set())[1])
    await asyncio.wait_for(woken.wait(), 60)
    heard.clear()
    woken.clear()
    await desk.enqueue(*(desk.new(A) for _ in range(50)))
    await asyncio.wait_for(woken.wait(), 60)
    assert len(heard) == 1


async def test_what_is_leased_is_nobody_elses(desk: Desk):
    await desk.enqueue(*(desk.new(A) for _ in range(20)))
    claims = await asyncio.gather(*(_claim(desk, 20, room_else=5) for _ in range(4)))
    taken = [claimed.delivery_id for batch in claims for claimed in batch]
    assert len(taken) == len(set(taken)) == 20
    assert await _claim(desk) == []


async def test_a_lease_runs_out_on_the_wall_clock_not_on_business_time(desk: Desk):
    await desk.owe(A)
    (first,) = await _claim(desk)
    desk.clock.advance(timedelta(days=1))
    assert await _claim(desk) == []
    await desk.expire_leases()
    (second,) = await _claim(desk)
    assert (first.attempt, second.attempt) == (1, 2)
    assert first.delivery_id == second.delivery_id


async def test_only_what_is_due_is_claimed_longest_waiting_first(desk: Desk):
    now = desk.clock.now()
    later = desk.new(A, at=now + timedelta(seconds=10))
    old = desk.new(A, at=now - timedelta(hours=1))
    await desk.enqueue(later, desk.new(A), old)
    first, second = await _claim(desk)
    assert first.delivery_id == old.delivery_id
    desk.clock.advance(timedelta(seconds=10))
    (third,) = await _claim(desk)
    assert third.delivery_id == later.delivery_id != second.delivery_id


async def test_WHK_08_each_endpoint_gets_its_room_and_no_more(desk: Desk):
    await desk.enqueue(*(desk.new(A) for _ in range(30)), *(desk.new(B) for _ in range(3)))
    claims = await _claim(desk, rooms={A_END: 2, B_END: 0})
    assert [claimed.endpoint for claimed in claims] == [A_END, A_END]
    claims = await _claim(desk, rooms={A_END: 0})
    assert [claimed.endpoint for claimed in claims] == [B_END] * 3
    assert len(await _claim(desk, room_else=7)) == 7
    assert len(await _claim(desk, limit=4, room_else=7)) == 4


async def test_WHK_08_a_backlog_of_one_endpoint_costs_a_claim_nothing(desk: Desk):
    await desk.enqueue(*(desk.new(A, at=desk.clock.now() - timedelta(days=1)) for _ in range(5_000)))
    await desk.owe(B)
    async with desk.database.transaction() as tx:
        await tx.execute("set local enable_seqscan = off")
        (claimed,) = await service.claim_due(tx, now=desk.clock.now(), limit=10, rooms={A_END: 0})
        blocks = await tx.fetchval("select pg_stat_get_xact_tuples_fetched('deliveries'::regclass)")
    assert claimed.endpoint == B_END
    assert blocks < 50


async def test_results_are_recorded_in_one_batch_each_its_own_way(desk: Desk):
    made = [desk.new(A) for _ in range(4)]
    await desk.enqueue(*made)
    claims = {claimed.delivery_id: claimed for claimed in await _claim(desk)}
    later = desk.clock.now() + timedelta(minutes=5)
    states = [DeliveryState.DELIVERED, DeliveryState.PENDING, DeliveryState.PARKED, DeliveryState.ENDED]
    await _record(
        desk,
        *(_result(claims[d.delivery_id], state, later) for d, state in zip(made, states, strict=True)),
    )
    assert [await desk.state(delivery) for delivery in made] == [state.value for state in states]
    shown, (attempt,) = await desk.show(made[0])
    assert shown.delivered_at == later
    assert (attempt.attempt, attempt.response_status, attempt.response_body) == (1, 200, "ok")
    assert (attempt.outcome, attempt.error, attempt.request_headers) == (Outcome.DELIVERED, "why", {"webhook-id": "x"})
    assert await _claim(desk) == []
    desk.clock.advance(timedelta(minutes=5))
    (again,) = await _claim(desk)
    assert (again.delivery_id, again.step, again.attempt) == (made[1].delivery_id, 3, 2)


async def test_a_late_failure_changes_nothing_a_late_success_counts(desk: Desk):
    now = desk.clock.now()
    delivery = await desk.owe(A)
    claims = []
    for _ in range(3):
        claims += await _claim(desk)
        await desk.expire_leases()
    await _record(desk, _result(claims[0], DeliveryState.PARKED, now))
    assert await desk.state(delivery) == "pending"
    await _record(desk, _result(claims[2], DeliveryState.PARKED, now))
    assert await desk.state(delivery) == "parked"
    await _record(desk, _result(claims[1], DeliveryState.DELIVERED, now))
    assert await desk.state(delivery) == "delivered"
    await _record(desk, _result(claims[2], DeliveryState.PARKED, now))
    assert await desk.state(delivery) == "delivered"
    _, attempts = await desk.show(delivery)
    assert [attempt.attempt for attempt in attempts] == [1, 2, 3]


async def test_hostile_answers_are_kept_as_text(desk: Desk):
    delivery = await desk.owe(A)
    (claimed,) = await _claim(desk)
    headers = {"X-Nul": "a\x00b", "X-Raw": "\udcff\udcfe", **{f"X-{n}": "v" * 9_000 for n in range(50)}}
    body = b"\x00\xff" + "é".encode() * 5_000
    await _record(desk, _result(claimed, DeliveryState.PENDING, WALL, headers=headers, body=body))
    _, (attempt,) = await desk.show(delivery)
    assert attempt.response_headers["X-Nul"] == "a\ufffdb"
    assert attempt.response_headers["X-Raw"] == "??"
    assert len(attempt.response_headers) == 32
    assert max(map(len, attempt.response_headers.values())) == 500
    assert attempt.response_body.startswith("\ufffd\ufffdé")
    assert len(attempt.response_body) <= 4_096


async def test_attempts_cannot_be_changed_by_the_application(desk: Desk):
    await desk.owe(A)
    await _record(desk, _result((await _claim(desk))[0], DeliveryState.PENDING, WALL))
    for statement in ("update delivery_attempts set error = ''", "delete from delivery_attempts"):
        with pytest.raises(Exception, match="permission denied"):
            async with desk.database.transaction() as tx:
                await tx.execute(statement)


async def test_WHK_06_a_410_ends_the_deliveries_of_that_order_only(desk: Desk):
    order, now = new_uuid7(), desk.clock.now()
    gone = await desk.owe(A, subject=order)
    waiting = desk.new(A, subject=order, at=now + timedelta(hours=1))
    elsewhere = desk.new(B, subject=order, at=now + timedelta(hours=1))
    other_order = desk.new(A, at=now + timedelta(hours=1))
    other_merchant = desk.new(A, subject=order, merchant=MerchantId(new_uuid7()), at=now + timedelta(hours=1))
    await desk.enqueue(waiting, elsewhere, other_order, other_merchant)
    (claimed,) = await _claim(desk)
    await _record(desk, _result(claimed, DeliveryState.ENDED, now, status=410))
    assert [await desk.state(d) for d in (gone, waiting)] == ["ended", "ended"]
    assert [await desk.state(d) for d in (elsewhere, other_order, other_merchant)] == ["pending"] * 3
    after = await desk.owe(A, subject=order)
    assert await desk.state(after) == "ended"
    assert await desk.state(await desk.owe(B, subject=order)) == "pending"


async def test_WHK_07_a_parked_delivery_is_told_of_by_the_outbox(desk: Desk):
    async with desk.database.transaction() as tx:
        await outbox.subscribe(tx, "notices")
    delivery = await desk.owe(A)
    (claimed,) = await _claim(desk)
    await _record(desk, _result(claimed, DeliveryState.PARKED, desk.clock.now()))
    async with desk.database.transaction() as tx:
        (event,) = await outbox.claim(tx, "notices", 10)
    assert (event.kind, event.merchant_id, event.subject_id) == ("delivery.parked", desk.merchant, delivery.delivery_id)
    assert event.payload["subject_id"] == delivery.subject_id.hex
    assert event.payload["url"] == A


@pytest.mark.parametrize("state", [DeliveryState.DELIVERED, DeliveryState.PARKED, DeliveryState.ENDED])
async def test_WHK_07_resend_starts_the_whole_schedule_again(desk: Desk, state: DeliveryState):
    delivery = await desk.owe(A)
    await _record(desk, _result((await _claim(desk))[0], state, desk.clock.now()))
    assert await _claim(desk) == []
    desk.clock.advance(timedelta(days=4))
    await _resend(desk, delivery)
    (claimed,) = await _claim(desk)
    assert (claimed.delivery_id, claimed.body) == (delivery.delivery_id, delivery.body)
    assert (claimed.attempt, claimed.step) == (2, 0)
    async with desk.database.reader() as tx:
        row = await tx.fetchrow("select event, from_state, to_state, cause from delivery_events")
    assert row is not None
    assert tuple(row) == ("resent", state.value, "pending", "asked by a test")  # type: ignore[arg-type]


async def _resend(desk: Desk, delivery: NewDelivery) -> None:
    async with desk.database.transaction() as tx:
        await service.resend(tx, delivery.delivery_id, now=desk.clock.now(), cause="asked by a test")


async def test_resend_does_not_send_twice_at_once(desk: Desk):
    delivery = await desk.owe(A)
    assert len(await _claim(desk)) == 1
    await _resend(desk, delivery)
    assert await _claim(desk) == []


async def test_resend_of_nothing_is_refused(desk: Desk):
    async with desk.database.transaction() as tx:
        with pytest.raises(UnknownDelivery):
            await service.resend(tx, DeliveryId(new_uuid7()), now=WALL, cause="")
        with pytest.raises(UnknownDelivery):
            await service.get_delivery(tx, DeliveryId(new_uuid7()))


async def test_lists_page_filter_and_belong_to_their_merchant(desk: Desk):
    order, other = new_uuid7(), MerchantId(new_uuid7())
    mine = [desk.new(A, subject=order) for _ in range(3)]
    await desk.enqueue(*mine, desk.new(A, subject=order, merchant=other), desk.new(B))
    await _record(desk, _result((await _claim(desk, limit=1))[0], DeliveryState.PARKED, WALL))
    async with desk.database.reader() as tx:
        about = await service.list_about(tx, desk.merchant, order)
        page = await service.list_deliveries(tx, merchant_id=desk.merchant, limit=2)
        rest = await service.list_deliveries(tx, merchant_id=desk.merchant, before=page[-1].sequence)
        parked = await service.list_deliveries(tx, state=DeliveryState.PARKED)
        everything = await service.list_deliveries(tx)
    assert [delivery.delivery_id for delivery, _ in about] == [delivery.delivery_id for delivery in mine]
    assert [len(attempts) for _, attempts in about] == [1, 0, 0]
    assert (len(page), len(rest), len(parked), len(everything)) == (2, 2, 1, 5)
    assert {delivery.delivery_id for delivery in (*page, *rest)}.isdisjoint({d.delivery_id for d in everything[1:2]})
    sequences = [delivery.sequence for delivery in everything]
    assert sequences == sorted(sequences, reverse=True)
