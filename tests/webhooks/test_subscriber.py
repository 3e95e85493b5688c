"""From events to deliveries."""

import asyncio
from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.webhooks.conftest import Desk

from bitlinkpay.core.ids import DeliveryId, EventId, MerchantId, new_uuid7
from bitlinkpay.db import outbox
from bitlinkpay.db.outbox import Event
from bitlinkpay.webhooks import service
from bitlinkpay.webhooks.model import NewDelivery
from bitlinkpay.webhooks.subscriber import SUBSCRIBER, FanOut, fan_out, tell

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def _event(merchant: UUID | None, kind: str = "payin.paid", **payload: object) -> Event:
    return Event(EventId(new_uuid7()), kind, merchant, new_uuid7(), {"url": "https://a.example/", **payload}, NOW)


def _make(event: Event) -> NewDelivery | None:
    assert event.merchant_id is not None
    url = str(event.payload["url"])
    if not url:
        return None
    return NewDelivery(
        DeliveryId(event.event_id),
        MerchantId(event.merchant_id),
        event.subject_id,
        event.kind,
        url,
        str(event.payload.get("body", "{}")).encode(),
        event.happened_at,
    )


MAKERS = {"payin.paid": _make}


async def _append(desk: Desk, *events: Event) -> None:
    async with desk.database.transaction() as tx:
        await outbox.append(tx, events)


async def _deliveries(desk: Desk):
    async with desk.database.reader() as tx:
        return await service.list_deliveries(tx, limit=200)


async def test_an_event_becomes_one_delivery_under_its_own_id(desk: Desk):
    await fan_out(desk.database, MAKERS)
    event = _event(desk.merchant)
    await _append(desk, event)
    assert await fan_out(desk.database, MAKERS) == 1
    assert await fan_out(desk.database, MAKERS) == 0
    (delivery,) = await _deliveries(desk)
    assert (delivery.delivery_id, delivery.subject_id) == (event.event_id, event.subject_id)


async def test_events_without_a_callback_are_done_with(desk: Desk):
    await _append(
        desk, _event(desk.merchant, "payin.expired"), _event(desk.merchant, url=""), _event(None, "day.closed")
    )
    assert await fan_out(desk.database, MAKERS) == 3
    assert await fan_out(desk.database, MAKERS) == 0
    assert await _deliveries(desk) == []


async def test_what_is_told_is_owed_by_the_same_commit_and_never_fanned_out(desk: Desk):
    await fan_out(desk.database, MAKERS)
    event, silent = _event(desk.merchant), _event(desk.merchant, url="")
    async with desk.database.transaction() as tx:
        await tell(tx, [event, silent], _make)
    assert [delivery.delivery_id for delivery in await _deliveries(desk)] == [event.event_id]
    assert await fan_out(desk.database, MAKERS) == 0
    async with desk.database.transaction() as tx:
        await outbox.subscribe(tx, "another")
        assert [found.event_id for found in await outbox.claim(tx, "another", 9)] == [event.event_id, silent.event_id]


async def test_what_is_told_and_undone_is_owed_to_nobody(desk: Desk):
    await fan_out(desk.database, MAKERS)
    with pytest.raises(ZeroDivisionError):
        async with desk.database.transaction() as tx:
            await tell(tx, [_event(desk.merchant)], _make)
            raise ZeroDivisionError
    assert await _deliveries(desk) == []
    assert await fan_out(desk.database, MAKERS) == 0


@pytest.mark.parametrize("flaw", [{"url": "gopher://a.example/"}, {"body": None}])
async def test_what_cannot_be_told_is_left_to_the_fan_out(
    desk: Desk, caplog: pytest.LogCaptureFixture, flaw: dict[str, object]
):
    """Neither the transaction that made it true nor the other callbacks wait for it."""
    await fan_out(desk.database, MAKERS)
    broken, good = _event(desk.merchant, **flaw), _event(desk.merchant)

    def make(event: Event) -> NewDelivery | None:
        assert event.payload.get("body", "") is not None
        return _make(event)

    async with desk.database.transaction() as tx:
        await tell(tx, [broken, good], make)
    assert "cannot be told to its merchant" in caplog.text
    assert [delivery.delivery_id for delivery in await _deliveries(desk)] == [good.event_id]
    async with desk.database.transaction() as tx:
        assert [event.event_id for event in await outbox.claim(tx, SUBSCRIBER, 9)] == [broken.event_id]


async def test_a_broken_event_holds_up_nobody_and_is_not_lost(desk: Desk, caplog: pytest.LogCaptureFixture):
    broken, good = _event(None), _event(desk.merchant)
    await _append(desk, broken, good)
    assert await fan_out(desk.database, MAKERS) == 1
    assert "cannot be told to its merchant" in caplog.text
    assert [delivery.delivery_id for delivery in await _deliveries(desk)] == [good.event_id]
    async with desk.database.transaction() as tx:
        assert [event.event_id for event in await outbox.claim(tx, SUBSCRIBER, 10)] == [broken.event_id]


async def test_WHK_09_dead_before_commit_nothing_is_lost_or_doubled(desk: Desk):
    await _append(desk, *(_event(desk.merchant) for _ in range(5)))
    with pytest.raises(asyncio.CancelledError):
        async with desk.database.transaction() as tx:
            events = await outbox.claim(tx, SUBSCRIBER, 10)
            await service.enqueue(tx, [made for event in events if (made := _make(event))])
            raise asyncio.CancelledError
    assert await _deliveries(desk) == []
    assert await fan_out(desk.database, MAKERS) == 5
    assert len(await _deliveries(desk)) == 5


async def test_parallel_fan_outs_owe_each_event_once(desk: Desk):
    await fan_out(desk.database, MAKERS)
    await _append(desk, *(_event(desk.merchant) for _ in range(60)))
    counts = await asyncio.gather(*(fan_out(desk.database, MAKERS, limit=20) for _ in range(4)))
    while done := await fan_out(desk.database, MAKERS):
        counts.append(done)
    assert sum(counts) == 60
    assert len(await _deliveries(desk)) == 60


@pytest.mark.parametrize("wrong", ["merchant_id", "delivery_id"])
async def test_WHK_15_a_delivery_of_another_merchant_or_event_is_not_owed(desk: Desk, wrong: str):
    def misdirect(event: Event) -> NewDelivery | None:
        right = _make(event)
        assert right is not None
        fields = {name: getattr(right, name) for name in NewDelivery.__slots__}
        return NewDelivery(**fields | {wrong: new_uuid7()})

    await _append(desk, _event(desk.merchant))
    assert await fan_out(desk.database, {"payin.paid": misdirect}) == 0
    assert await _deliveries(desk) == []


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(owners=st.lists(st.integers(0, 4), min_size=1, max_size=20))
async def test_WHK_15_what_a_merchant_gets_is_its_own(desk: Desk, owners: list[int]):
    merchants = [MerchantId(new_uuid7()) for _ in range(5)]
    await _append(
        desk,
        *(_event(merchants[owner], url=f"https://m{owner}.example/", body=f"for {owner}") for owner in owners),
    )
    while await fan_out(desk.database, MAKERS, limit=7):
        pass
    async with desk.database.reader() as tx:
        for owner, merchant in enumerate(merchants):
            mine = await service.list_deliveries(tx, merchant_id=merchant, limit=200)
            assert len(mine) == owners.count(owner)
            assert {(delivery.url, delivery.body) for delivery in mine} <= {
                (f"https://m{owner}.example/", f"for {owner}".encode())
            }


async def test_WHK_10_deliveries_of_one_order_carry_rising_numbers(desk: Desk):
    order = new_uuid7()
    events = [
        Event(EventId(new_uuid7()), "payin.paid", desk.merchant, order, {"url": "https://a.example/"}, NOW)
        for _ in range(6)
    ]
    await _append(desk, *events[:3])
    await fan_out(desk.database, MAKERS)
    await _append(desk, *events[3:])
    await fan_out(desk.database, MAKERS)
    async with desk.database.reader() as tx:
        about = await service.list_about(tx, desk.merchant, order)
    assert [delivery.delivery_id for delivery, _ in about] == [event.event_id for event in events]
    sequences = [delivery.sequence for delivery, _ in about]
    assert sequences == sorted(set(sequences))


async def test_the_loop_hears_of_events_and_wakes_the_relay(desk: Desk):
    woken = asyncio.Event()
    task = asyncio.create_task(FanOut(desk.database, MAKERS, woken.set).run())
    try:
        await asyncio.sleep(0.2)
        await _append(desk, _event(desk.merchant))
        await asyncio.wait_for(woken.wait(), 60)
        assert len(await _deliveries(desk)) == 1
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
