"""The relay end to end: real database, real sockets on loopback, a clock set by hand."""

import asyncio
import json
import time
from collections.abc import Mapping
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest
from aiohttp import web
from standardwebhooks.webhooks import Webhook
from tests.webhooks.conftest import Desk
from tests.webhooks.receiver import SUCCESS, Hit, open_raw, status

from bitlinkpay.core.ids import MerchantId, new_uuid7
from bitlinkpay.db import outbox
from bitlinkpay.webhooks import service
from bitlinkpay.webhooks.model import Answer, Outcome
from bitlinkpay.webhooks.relay import POLL_S, Relay
from bitlinkpay.webhooks.schedule import OFFSETS
from bitlinkpay.webhooks.signature import new_secret


@asynccontextmanager
async def _running(relay: Relay):
    task = asyncio.create_task(relay.run())
    try:
        yield relay
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def _verified(hit: Hit, secret: str) -> object:
    return Webhook(secret).verify(hit.body, hit.headers)


async def test_an_owed_callback_is_sent_signed_and_recorded(desk: Desk):
    receiver = await desk.receiver()
    body = json.dumps({"source_id": "A-1", "status": 8, "amount": "12.5"}).encode()
    delivery = await desk.owe(receiver.url, body)
    assert await desk.relay().run_once() == 1
    (hit,) = receiver.hits
    assert _verified(hit, desk.secret) == json.loads(body)
    assert hit.headers["webhook-id"] == f"evt_{delivery.delivery_id.hex}"
    assert hit.headers["content-type"] == "application/json"
    shown, (attempt,) = await desk.show(delivery)
    assert (shown.state.value, shown.attempts) == ("delivered", 1)
    assert attempt.request_headers["webhook-signature"] == hit.headers["webhook-signature"]
    assert (attempt.response_status, attempt.response_body) == (200, SUCCESS.decode())
    assert attempt.outcome is Outcome.DELIVERED
    assert attempt.started_at <= attempt.finished_at


@pytest.mark.parametrize(
    ("script", "state"),
    [
        (status(200, b'{"code":1,"msg":"fail"}'), "pending"),
        (status(200, b"<html>ok</html>"), "pending"),
        (status(204), "pending"),
        (status(500), "pending"),
        (status(302, Location="http://127.0.0.1:9/"), "pending"),
        (status(410), "ended"),
        (status(200, SUCCESS), "delivered"),
    ],
)
async def test_WHK_06_the_answer_decides(desk: Desk, script, state: str):
    receiver = await desk.receiver(script)
    delivery = await desk.owe(receiver.url)
    await desk.relay().run_once()
    assert await desk.state(delivery) == state
    assert len(receiver.hits) == 1


async def test_WHK_06_retry_after_delays_the_next_attempt(desk: Desk):
    receiver = await desk.receiver(status(429, Retry_After="3600"))
    delivery = await desk.owe(receiver.url)
    await desk.relay().run_once()
    shown, _ = await desk.show(delivery)
    assert shown.next_at == desk.clock.now() + timedelta(hours=1)


async def test_WHK_07_three_days_down_then_parked_then_replayed(desk: Desk):
    async with desk.database.transaction() as tx:
        await outbox.subscribe(tx, "notices")
    receiver = await desk.receiver(status(503))
    delivery = await desk.owe(receiver.url)
    relay, started = desk.relay(), desk.clock.now()
    for attempt in range(1, len(OFFSETS) + 1):
        assert await relay.run_once() == 1
        assert await relay.run_once() == 0
        shown, attempts = await desk.show(delivery)
        assert len(attempts) == len(receiver.hits) == attempt
        desk.clock.set(max(shown.next_at, desk.clock.now()))
    assert desk.clock.now() - started == timedelta(hours=72)
    assert await desk.state(delivery) == "parked"
    desk.clock.advance(timedelta(days=30))
    assert await relay.run_once() == 0
    async with desk.database.transaction() as tx:
        (event,) = await outbox.claim(tx, "notices", 10)
        assert event.kind == service.PARKED
        await service.resend(tx, delivery.delivery_id, now=desk.clock.now(), cause="operator")
    receiver.script = status(200, SUCCESS)
    assert await relay.run_once() == 1
    assert await desk.state(delivery) == "delivered"
    assert {hit.headers["webhook-id"] for hit in receiver.hits} == {f"evt_{delivery.delivery_id.hex}"}
    assert _verified(receiver.hits[-1], desk.secret) == {"status": 8}


async def test_WHK_08_a_dead_endpoint_never_delays_another(desk: Desk):
    gone = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await gone.wait()

    alive = await desk.receiver()
    async with open_raw(silent) as dead:
        await desk.enqueue(*(desk.new(dead) for _ in range(400)))
        async with _running(desk.relay(total_s=60, window=64)):
            await asyncio.sleep(0.2)
            for batch in range(1, 4):
                started = time.monotonic()
                await desk.enqueue(*(desk.new(alive.url) for _ in range(20)))
                await alive.wait_for(20 * batch)
                assert time.monotonic() - started < 30, "waited for the dead endpoint"
                await asyncio.sleep(0.3)
            gone.set()  # or stopping would wait for it
    assert len(alive.hits) == 60


async def test_WHK_08_many_dead_endpoints_leave_room_in_the_window(desk: Desk):
    asked = 0

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        asked += 1
        await asyncio.sleep(600)

    alive = await desk.receiver()
    async with open_raw(silent) as dead:
        port = dead.rpartition(":")[2].partition("/")[0]
        ends = [f"http://127.0.0.1:{port}/callback", f"http://localhost:{port}/callback"]
        await desk.enqueue(*(desk.new(end) for end in ends for _ in range(50)))
        relay = desk.relay(total_s=1, window=8, monotonic_s=time.monotonic)
        async with _running(relay):
            async with asyncio.timeout(120):
                while not (rooms := relay._lanes.rooms(time.monotonic())) or sum(rooms.values()) or relay._tasks:
                    await asyncio.sleep(0.1)
            assert len(rooms) == 2, "both rest"
            before = asked
            await desk.owe(alive.url)
            await alive.wait_for(1)
            assert asked == before, "it waited until the dead ones were asked again"


class _Stopped:
    """A transport that delivers and then never returns, as a process killed after the send."""

    def __init__(self, inner) -> None:
        self.inner = inner
        self.sent = asyncio.Event()

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        await self.inner.post(url, headers, body)
        self.sent.set()
        await asyncio.sleep(600)
        raise AssertionError


async def test_WHK_09_killed_after_send_before_mark_it_is_sent_again_with_the_same_id(desk: Desk):
    receiver = await desk.receiver()
    delivery = await desk.owe(receiver.url)
    killed = desk.relay()
    stopped = _Stopped(killed._transport)
    killed._transport = stopped
    await killed._fill()
    await asyncio.wait_for(stopped.sent.wait(), 60)
    for task in killed._tasks:
        task.cancel()
    assert await desk.relay().run_once() == 0, "the lease of the dead worker still holds"
    await desk.expire_leases()
    assert await desk.relay().run_once() == 1
    first, second = receiver.hits
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert first.body == second.body
    shown, attempts = await desk.show(delivery)
    assert shown.state.value == "delivered"
    assert [attempt.attempt for attempt in attempts] == [2], "the number of the lost attempt stays free"


async def test_WHK_11_every_attempt_carries_a_fresh_timestamp(desk: Desk):
    receiver = await desk.receiver(status(500))
    await desk.owe(receiver.url)
    relay = desk.relay()
    await relay.run_once()
    desk.clock.advance(timedelta(days=2))
    await relay.run_once()
    assert len(receiver.hits) == 2
    for hit in receiver.hits:
        assert _verified(hit, desk.secret) == {"status": 8}
        assert abs(int(hit.headers["webhook-timestamp"]) - time.time()) < 30


async def test_WHK_12_rotation_signs_with_both_and_loses_none(desk: Desk):
    old, new = desk.secret, new_secret()
    receiver = await desk.receiver()
    desk.secrets[desk.merchant] = [new, old]
    for _ in range(5):
        await desk.owe(receiver.url)
    await desk.relay().run_once()
    assert len(receiver.hits) == 5
    for hit in receiver.hits:
        assert len(hit.headers["webhook-signature"].split()) == 2
        assert _verified(hit, old) == _verified(hit, new)


async def test_a_merchant_without_a_secret_gets_nothing_unsigned(desk: Desk):
    receiver = await desk.receiver()
    delivery = await desk.owe(receiver.url)
    desk.secrets.clear()
    await desk.relay().run_once()
    assert receiver.hits == []
    _, (attempt,) = await desk.show(delivery)
    assert attempt.error == "the merchant has no webhook secret"
    assert await desk.state(delivery) == "pending"


@pytest.mark.parametrize(
    "source_id",
    [
        "A\r\nX-Evil: 1",
        "A\nwebhook-id: x",
        "\u202eA",
        "{{7*7}}",
        "'; drop table deliveries;--",
        "é支付",
        '"},"status":8',
    ],
)
async def test_WHK_14_a_source_id_injects_neither_headers_nor_body(desk: Desk, source_id: str):
    receiver = await desk.receiver()
    body = json.dumps({"source_id": source_id}).encode()
    await desk.owe(receiver.url, body)
    await desk.relay().run_once()
    (hit,) = receiver.hits
    assert hit.body == body
    assert _verified(hit, desk.secret) == {"source_id": source_id}
    assert set(hit.headers) == {
        "host",
        "content-type",
        "accept",
        "accept-encoding",
        "user-agent",
        "webhook-id",
        "webhook-timestamp",
        "webhook-signature",
        "content-length",
    }


@pytest.mark.parametrize(
    "body", [b'{"a" : 1.0e2,\t"b":"\\/"}', '{"b":"é","a":"\\u00e9"}'.encode(), b"{}\n", b'{"z":1,"a":2}']
)
async def test_WHK_16_the_signed_bytes_are_the_sent_bytes(desk: Desk, body: bytes):
    receiver = await desk.receiver()
    await desk.owe(receiver.url, body)
    await desk.relay().run_once()
    assert receiver.hits[0].body == body
    _verified(receiver.hits[0], desk.secret)


async def test_API_35_is_asked_again_at_send(desk: Desk):
    """What the operator no longer lists is not sent to, even though the order was created when it was."""
    delivery = await desk.owe("http://10.0.0.1:9000/callback")
    await desk.relay().run_once()
    _, (attempt,) = await desk.show(delivery)
    assert attempt.response_status is None
    assert "not sent to this address" in attempt.error


async def test_it_wakes_at_once(desk: Desk):
    receiver = await desk.receiver()
    async with _running(desk.relay()):
        await desk.owe(receiver.url)
        await receiver.wait_for(1)
        for count in range(2, 22):  # after each it would poll in a second; on a slow machine one of many is quick
            started = time.monotonic()
            await desk.owe(receiver.url)
            await receiver.wait_for(count)
            if time.monotonic() - started < 0.8 * POLL_S:
                return
    pytest.fail("it polled instead of listening")


async def test_it_sends_what_is_due_later_without_a_wake(desk: Desk):
    receiver = await desk.receiver(status(500))
    delivery = await desk.owe(receiver.url)
    async with _running(desk.relay()):
        await receiver.wait_for(1)
        while not (await desk.show(delivery))[1]:  # the failure is recorded, and with it when it is due again
            await asyncio.sleep(0.02)
        desk.clock.advance(timedelta(seconds=10))
        await receiver.wait_for(2)


async def test_a_full_lane_is_refilled_until_all_is_sent(desk: Desk):
    receiver = await desk.receiver()
    made = [desk.new(receiver.url) for _ in range(500)]
    await desk.enqueue(*made)
    async with _running(desk.relay(window=32)):
        await receiver.wait_for(500)
    assert len({hit.headers["webhook-id"] for hit in receiver.hits}) == 500
    async with desk.database.reader() as tx:
        assert await tx.fetchval("select count(*) from deliveries where state = 'delivered'") == 500
        assert await tx.fetchval("select count(*) from delivery_attempts") == 500


async def test_two_relays_send_each_delivery_once(desk: Desk):
    receiver = await desk.receiver()
    await desk.enqueue(*(desk.new(receiver.url) for _ in range(200)))
    async with _running(desk.relay()), _running(desk.relay()):
        await receiver.wait_for(200)
    assert len(receiver.hits) == 200
    assert len({hit.headers["webhook-id"] for hit in receiver.hits}) == 200


async def test_stopping_finishes_what_is_under_way(desk: Desk):
    reached, go_on = asyncio.Event(), asyncio.Event()

    async def slow(_: Hit) -> web.Response:
        reached.set()
        await go_on.wait()
        return web.Response(body=SUCCESS)

    receiver = await desk.receiver(slow)
    delivery = await desk.owe(receiver.url)
    task = asyncio.create_task(desk.relay().run())
    await asyncio.wait_for(reached.wait(), 60)
    task.cancel()
    await asyncio.sleep(0.1)
    assert not task.done()
    go_on.set()
    await asyncio.gather(task, return_exceptions=True)
    assert await desk.state(delivery) == "delivered"


async def test_WHK_15_each_merchants_secret_signs_its_own(desk: Desk):
    receiver = await desk.receiver()
    merchants = [MerchantId(new_uuid7()) for _ in range(8)]
    desk.secrets = {merchant: [new_secret()] for merchant in merchants}
    for merchant in merchants:
        await desk.enqueue(
            *(desk.new(receiver.url, json.dumps(merchant.hex).encode(), merchant=merchant) for _ in range(3))
        )
    await desk.relay().run_once()
    assert len(receiver.hits) == 24
    for hit in receiver.hits:
        owner = next(merchant for merchant in merchants if merchant.hex == json.loads(hit.body))
        _verified(hit, desk.secrets[owner][0])


async def test_a_wake_at_the_moment_of_stopping_does_not_keep_it_running(desk: Desk):
    for _ in range(3):
        relay = desk.relay()
        task = asyncio.create_task(relay.run())
        await asyncio.sleep(0.3)
        relay.wake()
        await asyncio.sleep(0)  # the waiter has its result now, and the task has not seen it
        task.cancel()
        _, running = await asyncio.wait([task], timeout=60)
        assert not running
