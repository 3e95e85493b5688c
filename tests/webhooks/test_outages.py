"""What breaks around the relay: processes, connections, name servers, endpoints. Nothing is lost, nobody waits."""

import asyncio
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from aiohttp import web
from standardwebhooks.webhooks import Webhook, WebhookVerificationError
from tests.support.clock import ManualClock
from tests.support.sealing import SEALER
from tests.webhooks.conftest import Desk
from tests.webhooks.receiver import SUCCESS, Hit, open_raw, open_receiver, status

from bitlinkpay.core.ids import DeliveryId, EventId, MerchantId, new_uuid7
from bitlinkpay.db import outbox
from bitlinkpay.db.outbox import Event
from bitlinkpay.db.pool import Database, Tx
from bitlinkpay.merchants import service as merchants
from bitlinkpay.merchants.authority import Authority
from bitlinkpay.webhooks import service
from bitlinkpay.webhooks.model import NewDelivery, Outcome
from bitlinkpay.webhooks.policy import live_policy, sandbox_policy
from bitlinkpay.webhooks.relay import Relay
from bitlinkpay.webhooks.sender import Sender
from bitlinkpay.webhooks.subscriber import FanOut

ROOT = Path(__file__).resolve().parents[2]


async def _cancel(*tasks: "asyncio.Task[None]") -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _until(desk: Desk, query: str, expected: object, *, within_s: float = 60) -> None:
    async with asyncio.timeout(within_s):
        while True:
            async with desk.database.reader() as tx:
                if await tx.fetchval(query) == expected:
                    return
            await asyncio.sleep(0.05)


async def test_WHK_09_kill_9_of_the_worker_while_the_merchant_thinks(desk: Desk, app_dsn: str):
    reached = asyncio.Event()

    async def think(_: Hit) -> web.Response:
        reached.set()
        await asyncio.sleep(600)
        return web.Response(body=SUCCESS)

    receiver = await desk.receiver(think)
    desk.clock.set(datetime.now(UTC))
    delivery = await desk.owe(receiver.url)
    worker = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.webhooks.worker_process", app_dsn, desk.secret),
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"},
    )
    try:
        await asyncio.wait_for(reached.wait(), 60)
    finally:
        worker.send_signal(signal.SIGKILL)
        await worker.wait()
    assert await desk.state(delivery) == "pending"
    receiver.script = status(200, SUCCESS)
    await desk.expire_leases()
    assert await desk.relay().run_once() == 1
    assert await desk.state(delivery) == "delivered"
    first, second = receiver.hits
    assert first.headers["webhook-id"] == second.headers["webhook-id"] == f"evt_{delivery.delivery_id.hex}"
    assert first.body == second.body == delivery.body


async def _let_leases_run_out(tx: Tx) -> bool:
    """Return whether anything is still to be sent."""
    lost = "update deliveries set lease_until = now() - interval '1 s' where state = 'pending' returning true"
    return bool(await tx.fetch(lost))


async def test_lost_database_connections_lose_no_callback(desk: Desk, schema_owner_dsn: str):
    """Every connection of the application is cut again and again while callbacks go out."""
    owner = await Database.connect(schema_owner_dsn, size=1)
    receiver = await desk.receiver()
    relay = desk.relay()
    task = asyncio.create_task(relay.run())
    try:
        for _ in range(5):
            async with asyncio.timeout(60):
                await desk.database.unit(lambda tx: service.enqueue(tx, [desk.new(receiver.url) for _ in range(40)]))
            async with owner.transaction() as tx:
                await tx.execute(
                    "select pg_terminate_backend(pid) from pg_stat_activity "
                    "where datname = current_database() and usename = 'bitlinkpay_app'"
                )
            await asyncio.sleep(0.2)
        async with asyncio.timeout(60):
            while await desk.database.unit(_let_leases_run_out):
                relay.wake()
                await asyncio.sleep(0.3)
        await _until(desk, "select count(*) from deliveries where state = 'delivered'", 200)
    finally:
        await _cancel(task)
        await owner.close()
    assert len({hit.headers["webhook-id"] for hit in receiver.hits}) == 200


async def test_from_event_to_receiver_in_one_process(desk: Desk):
    receiver = await desk.receiver()

    def make(event: Event) -> NewDelivery:
        return NewDelivery(
            DeliveryId(event.event_id),
            desk.merchant,
            event.subject_id,
            event.kind,
            receiver.url,
            json.dumps(event.payload).encode(),
            event.happened_at,
        )

    relay = desk.relay()
    tasks = [
        asyncio.create_task(relay.run()),
        asyncio.create_task(FanOut(desk.database, {"payin.paid": make}, relay.wake).run()),
    ]
    number, took_s = 0, 1.0
    while took_s >= 0.9:  # on a slow machine one of many is quick; who polls, polls in a second
        assert number < 20, "somebody polled instead of listening"
        events = [
            Event(EventId(new_uuid7()), "payin.paid", desk.merchant, new_uuid7(), {"n": number}, desk.clock.now())
            for _ in range(20)
        ]
        async with desk.database.transaction() as tx:
            await outbox.append(tx, events)
        started = time.monotonic()
        number += 1
        await receiver.wait_for(20 * number)
        took_s = time.monotonic() - started
    await _cancel(*tasks)
    assert sorted(json.loads(hit.body)["n"] for hit in receiver.hits) == sorted(list(range(number)) * 20)


# --- what is kept of failures


async def _attempt_at(desk: Desk, url: str, relay: Relay | None = None):
    delivery = await desk.owe(url)
    await (relay or desk.relay()).run_once()
    _, (attempt,) = await desk.show(delivery)
    assert attempt.outcome is Outcome.RETRY
    assert await desk.state(delivery) == "pending"
    return attempt


async def test_every_kind_of_failure_is_kept_in_words(desk: Desk):
    async def silent(_: asyncio.StreamReader, __: asyncio.StreamWriter) -> None:
        await asyncio.sleep(60)

    async def shut(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async def babble(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello\r\n\r\n")
        await writer.drain()

    async with open_raw(silent) as slow, open_raw(shut) as closing, open_raw(babble) as strange:
        assert (await _attempt_at(desk, slow, desk.relay(total_s=1))).error == "no complete answer within 1 s"
        assert (await _attempt_at(desk, closing)).error == "the server closed the connection without an answer"
        assert (await _attempt_at(desk, strange)).error == "the answer is not valid HTTP"
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}/"
        assert (await _attempt_at(desk, url)).error == "the connection was refused or never made"


async def test_what_a_server_refused_is_kept_with_its_answer(desk: Desk):
    receiver = await desk.receiver(status(500, b"<h1>Traceback</h1>", X_Trace="abc"))
    attempt = await _attempt_at(desk, receiver.url)
    assert (attempt.response_status, attempt.response_body) == (500, "<h1>Traceback</h1>")
    assert attempt.response_headers["X-Trace"] == "abc"
    assert attempt.error == "HTTP 500 is not an acknowledgement"
    assert attempt.url == receiver.url
    assert set(attempt.request_headers) >= {"webhook-id", "webhook-timestamp", "webhook-signature", "User-Agent"}


async def test_an_answer_of_100_kb_is_a_failure_that_keeps_its_status(desk: Desk):
    receiver = await desk.receiver(status(200, SUCCESS + b" " * 100_000))
    attempt = await _attempt_at(desk, receiver.url)
    assert (attempt.response_status, attempt.response_body) == (200, "")
    assert attempt.error == "the answer is longer than 64 kB"


# --- name servers


async def test_WHK_08_a_name_that_never_resolves_holds_up_no_other(desk: Desk):
    asked: list[str] = []
    gone = asyncio.Event()

    async def names(host: str, port: int) -> Sequence[str]:
        asked.append(host)
        if host.startswith("slow"):
            await gone.wait()
        return ["127.0.0.1"]

    receiver = await desk.receiver()
    port = receiver.url.split(":")[2]
    sender = Sender(sandbox_policy(), lookup=names, total_s=60)
    desk.stack.push_async_callback(sender.aclose)
    relay = Relay(desk.database, sender, desk.secrets_of, clock=desk.clock)
    await desk.enqueue(*(desk.new(f"http://slow{number}.example.com:{port}") for number in range(30)))
    task = asyncio.create_task(relay.run())
    while len(asked) < 30:
        await asyncio.sleep(0.01)
    await desk.owe(f"http://quick.example.com:{port}")
    (hit,) = await receiver.wait_for(1, within_s=30)
    assert hit.headers["host"].startswith("quick")
    gone.set()  # or stopping would wait for them
    await _cancel(task)
    assert len(asked) == 31


async def test_many_names_that_never_resolve_use_their_own_threads():
    """The system resolver blocks a thread per name; the loop's own threads stay free."""
    sender = Sender(live_policy())
    gate = asyncio.Event()
    loop = asyncio.get_running_loop()

    def block() -> None:
        asyncio.run_coroutine_threadsafe(gate.wait(), loop).result()

    stuck = [loop.run_in_executor(sender._threads, block) for _ in range(64)]
    async with asyncio.timeout(60):
        await asyncio.to_thread(lambda: None)
    gate.set()
    await asyncio.gather(*stuck)
    await sender.aclose()


@pytest.mark.skipif(not Path("/proc/net/if_inet6").exists(), reason="no IPv6 here")
async def test_ipv6_loopback_is_reached_where_it_is_listed(desk: Desk):
    try:
        runner = open_receiver(host="::1")
        receiver = await desk.stack.enter_async_context(runner)
    except OSError:
        pytest.skip("no IPv6 loopback here")
    port = receiver.url.rpartition(":")[2].partition("/")[0]
    delivery = await desk.owe(f"http://[::1]:{port}/callback")
    await desk.relay().run_once()
    assert await desk.state(delivery) == "delivered"
    assert receiver.hits[0].headers["host"] == f"[::1]:{port}"


# --- rotation with the merchants' own secrets


async def test_WHK_12_a_rotation_by_the_merchants_service_loses_no_callback(
    database: Database, tmp_path: Path, desk: Desk
):
    now = datetime.now(UTC)
    authority = Authority.open(tmp_path / "keys", ["localhost"], now=now)
    async with database.transaction() as tx:
        created = await merchants.create(tx, authority, SEALER, "Tea House", now=now)
    merchant = MerchantId(created.merchant.merchant_id)
    receiver = await desk.receiver()
    sender = Sender(sandbox_policy())
    desk.stack.push_async_callback(sender.aclose)

    async def send() -> Hit:
        await desk.enqueue(desk.new(receiver.url, merchant=merchant, at=now))
        before = len(receiver.hits)
        relay = Relay(database, sender, partial(merchants.webhook_secrets, sealer=SEALER), clock=ManualClock(now))
        assert await relay.run_once() == 1
        assert len(receiver.hits) == before + 1
        return receiver.hits[-1]

    first = await send()
    assert Webhook(created.webhook_secret).verify(first.body, first.headers)
    async with database.transaction() as tx:
        fresh = await merchants.rotate_webhook_secret(tx, SEALER, merchant, now=now, overlap=timedelta(hours=1))
    during = await send()
    assert Webhook(created.webhook_secret).verify(during.body, during.headers)
    assert Webhook(fresh).verify(during.body, during.headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(fresh).verify(first.body, first.headers)
