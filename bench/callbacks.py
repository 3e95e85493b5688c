"""Signed deliveries per minute, one in a hundred to a dead endpoint, against bare POSTs to the same sink in the same run.

Run: `.venv/bin/python bench/callbacks.py`. Each delivery is claimed, signed, sent, and recorded with its answer; the
sink, the relay and PostgreSQL share the machine. Also printed: a burst of 100, from commit to the receiver, while the
dead endpoint has a backlog.
"""

import asyncio
import multiprocessing
import socket
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from ctypes import c_int64
from datetime import UTC, datetime
from multiprocessing.sharedctypes import Synchronized, SynchronizedArray
from pathlib import Path

import aiohttp
import uvloop

from bitlinkpay.core.clock import SystemClock
from bitlinkpay.core.ids import DeliveryId, MerchantId, new_uuid7
from bitlinkpay.db.embedded import APP_ROLE, OWNER_ROLE, EmbeddedPostgres
from bitlinkpay.db.migrate import migrate
from bitlinkpay.db.pool import Database, Tx
from bitlinkpay.webhooks import service
from bitlinkpay.webhooks.model import NewDelivery
from bitlinkpay.webhooks.policy import sandbox_policy
from bitlinkpay.webhooks.relay import Relay
from bitlinkpay.webhooks.sender import Sender
from bitlinkpay.webhooks.signature import new_secret

DELIVERIES = 20_000
WARMING = 12_000
ENDPOINTS = 99
BURSTS = 20
BURST = 100
CONCURRENT = 64
BODY = b'{"source_id":"A-1","chain_id":1,"coin_id":1,"amount":"12.5","service_fee":"0.0375","status":8,"tag":""}'
ANSWER = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 28\r\n\r\n{"code":0,"msg":"success"}  '


class _Sink(asyncio.Protocol):
    """The cheapest merchant: it counts requests, notes when each came and says yes."""

    def __init__(self, count: "Synchronized[int]", times: "SynchronizedArray[int]") -> None:
        self._count = count
        self._times = times
        self._rest = b""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._rest += data
        while True:
            head, separator, rest = self._rest.partition(b"\r\n\r\n")
            length = _length(head)
            if not separator or len(rest) < length:
                return
            self._rest = rest[length:]
            number = self._count.value
            self._times[number % len(self._times)] = time.monotonic_ns()
            self._count.value = number + 1
            self._transport.write(ANSWER)


def _length(head: bytes) -> int:
    lower = head.lower()
    start = lower.find(b"content-length:")
    return int(lower[start + 15 :].split(b"\r\n", 1)[0]) if start >= 0 else 0


def _serve(count: "Synchronized[int]", times: "SynchronizedArray[int]", port: "Synchronized[int]") -> None:
    async def serve() -> None:
        server = await asyncio.get_running_loop().create_server(lambda: _Sink(count, times), "0.0.0.0", 0)
        port.value = server.sockets[0].getsockname()[1]
        await server.serve_forever()

    with suppress(KeyboardInterrupt), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve())


class Bench:
    """One sink process and what is measured against it."""

    def __init__(self) -> None:
        spawn = multiprocessing.get_context("spawn")
        self._count = spawn.Value(c_int64, 0)
        self._times = spawn.Array(c_int64, 1_000_000)
        self._port = spawn.Value(c_int64, 0)
        self._sink = spawn.Process(target=_serve, args=(self._count, self._times, self._port), daemon=True)
        self._sink.start()
        while not self._port.value:
            time.sleep(0.01)
        self._dead = socket.socket()
        self._dead.bind(("127.0.0.1", 0))
        self._dead.listen(4096)  # the kernel accepts, nobody ever answers
        self.merchant = MerchantId(new_uuid7())
        self._secret = new_secret()

    @property
    def urls(self) -> list[str]:
        return [f"http://127.0.1.{number + 1}:{self._port.value}/callback" for number in range(ENDPOINTS)]

    @property
    def dead(self) -> str:
        return f"http://127.0.0.1:{self._dead.getsockname()[1]}/callback"

    @property
    def received(self) -> int:
        return int(self._count.value)

    def times(self, first: int, last: int) -> list[int]:
        return [self._times[number % len(self._times)] for number in range(first, last)]

    def close(self) -> None:
        self._sink.terminate()
        self._sink.join()
        self._dead.close()

    async def until(self, count: int) -> None:
        while self.received < count:
            await asyncio.sleep(0.002)

    async def secrets(self, tx: Tx, merchants: Sequence[MerchantId]) -> Mapping[MerchantId, Sequence[str]]:
        del tx
        return dict.fromkeys(merchants, (self._secret,))

    def new(self, url: str) -> NewDelivery:
        made = DeliveryId(new_uuid7())
        return NewDelivery(made, self.merchant, new_uuid7(), "payin.paid", url, BODY, datetime.now(UTC))

    async def bare(self) -> float:
        """Posts per second of a loop that signs, stores and records nothing."""
        numbers = iter(range(DELIVERIES))
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:

            async def post() -> None:
                for number in numbers:
                    async with http.post(self.urls[number % ENDPOINTS], data=BODY) as response:
                        await response.read()

            started = time.perf_counter()
            await asyncio.gather(*(post() for _ in range(CONCURRENT)))
            return DELIVERIES / (time.perf_counter() - started)

    async def owe(self, database: Database, count: int) -> int:
        """Owe deliveries, a hundredth of them to the dead endpoint; returns how many a living one will get."""
        urls = [*self.urls, self.dead]
        owed = [self.new(urls[number % len(urls)]) for number in range(count)]
        for start in range(0, len(owed), 1000):
            batch = owed[start : start + 1000]
            await database.unit(lambda tx, batch=batch: service.enqueue(tx, batch))  # type: ignore[misc]
        return count - count // len(urls)

    async def relayed(self, database: Database, relay: Relay) -> float:
        """Deliveries per second to healthy endpoints, once every endpoint has its connections."""
        target = self.received + await self.owe(database, WARMING)
        await relay.run_once()
        assert self.received == target
        target += await self.owe(database, DELIVERIES)
        healthy, started = target - self.received, time.perf_counter()
        self._running = asyncio.create_task(relay.run())
        await self.until(target)
        return healthy / (time.perf_counter() - started)

    async def bursts(self, database: Database) -> list[float]:
        """Milliseconds from the commit of 100 deliveries to each receiver."""
        waits: list[float] = []
        for _ in range(BURSTS):
            before = self.received
            owed = [self.new(self.urls[number % ENDPOINTS]) for number in range(BURST)]
            await database.unit(lambda tx, owed=owed: service.enqueue(tx, owed))  # type: ignore[misc]
            committed = time.monotonic_ns()
            await self.until(before + BURST)
            waits += [(at - committed) / 1e6 for at in self.times(before, before + BURST)]
            await asyncio.sleep(0.1)
        self._running.cancel()
        await asyncio.gather(self._running, return_exceptions=True)
        return sorted(waits)


async def measure(database: Database, bench: Bench) -> None:
    """Print the table."""
    sender = Sender(sandbox_policy(), total_s=5)
    relay = Relay(database, sender, bench.secrets, clock=SystemClock())
    try:
        before = await bench.bare()
        rate = await bench.relayed(database, relay)
        waits = await bench.bursts(database)
        after = await bench.bare()
    finally:
        await sender.aclose()
    bare = max(before, after)
    print(f"bare aiohttp POSTs       {bare * 60:>10,.0f} a minute")
    print(f"signed deliveries        {rate * 60:>10,.0f} a minute, 1 % owed to a dead endpoint")
    print(f"ratio                    {rate / bare:>10.2f}")
    p50, p99 = waits[len(waits) // 2], waits[len(waits) * 99 // 100]
    print(f"burst of {BURST}, commit -> receiver: p50 {p50:.0f} ms, p99 {p99:.0f} ms")


def main() -> None:
    """Run on a throw-away server."""
    with (
        tempfile.TemporaryDirectory(prefix="blp-bench-") as folder,
        EmbeddedPostgres(Path(folder) / "data") as postgres,
    ):
        bench = Bench()

        async def run() -> None:
            await migrate(postgres.dsn(OWNER_ROLE))
            database = await Database.connect(postgres.dsn(APP_ROLE))
            try:
                await measure(database, bench)
            finally:
                await database.close()

        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(run())
        finally:
            bench.close()


if __name__ == "__main__":
    main()
