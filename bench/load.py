"""The load generator: raw HTTP/1.1 over asyncio, so that it costs the machine as little as possible.

Usage (by `bench.orders`): python -m bench.load JSON  -> prints {"answers", "cpu_us", "seconds", "bad", "p50_ms", "p99_ms"}
"""

import asyncio
import json
import os
import ssl
import sys
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import uvloop

from bitlinkpay.client.wm import KeyFiles
from bitlinkpay.wm.bodies import CreateOrder, write_request
from bitlinkpay.wm.envelope import load_public_key, seal_envelope
from bitlinkpay.wm.ids import Route


def main() -> None:
    task = json.loads(sys.argv[1])
    requests = prepare(task)
    context = tls(task) if task["tls"] else None
    print("prepared", flush=True)
    sys.stdin.readline()
    print(json.dumps(uvloop.run(fire(task, requests, context))))


def prepare(task: dict) -> list[bytes]:
    """Whole requests, ready to be written: sealing is the merchant's cost and not the platform's."""
    orders = [
        write_request(
            CreateOrder(f"{task['prefix']}-{n}", task["chain_id"], task["coin_id"], Decimal(72), task["symbol"])
        )
        for n in range(task["count"])
    ]
    head = f"POST {Route.CREATE.value} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    if not task["tls"]:
        head += f"w-test: 1\r\nw-broker: {task['broker']}\r\n"
        return [f"{head}content-length: {len(body)}\r\n\r\n".encode() + body for body in orders]
    key = load_public_key(Path(task["files"]["public_key"]).read_bytes())
    made = []
    for order in orders:
        now_ms, nonce = time.time_ns() // 1_000_000, f"{len(made) % 1_000_000:06}"
        sealed = seal_envelope(
            key, task["broker"], order, ts_ms=now_ms, nonce=nonce, secret=os.urandom(8).hex().encode()
        )
        lines = "".join(f"{name}: {value}\r\n" for name, value in sealed.headers.items())
        made.append(f"{head}{lines}content-length: {len(sealed.body)}\r\n\r\n".encode() + sealed.body)
    return made


def tls(task: dict) -> ssl.SSLContext:
    files = KeyFiles(**{kind: Path(path) for kind, path in task["files"].items()})
    context = ssl.create_default_context(cafile=str(files.ca))
    context.load_cert_chain(files.cert, files.key)
    return context


async def fire(task: dict, requests: list[bytes], context: ssl.SSLContext | None) -> dict:
    waits: list[float] = []
    bad: list[str] = []
    queue = iter(requests)
    worker = fresh if task["fresh"] else kept
    started, spent = time.perf_counter(), time.process_time()
    await asyncio.gather(*(worker(task["port"], context, queue, waits, bad) for _ in range(task["connections"])))
    seconds = time.perf_counter() - started
    spent = time.process_time() - spent
    waits.sort()
    return {
        "answers": len(waits),
        "cpu_us": spent / len(waits) * 1_000_000,
        "seconds": seconds,
        "bad": bad[:3],
        "p50_ms": waits[len(waits) // 2] * 1000,
        "p99_ms": waits[int(len(waits) * 0.99)] * 1000,
    }


class Kept(asyncio.Protocol):
    """One keep-alive connection: writes the next request once an answer is whole."""

    def __init__(self, queue: Iterator[bytes], waits: list[float], bad: list[str]) -> None:
        self.queue, self.waits, self.bad = queue, waits, bad
        self.ended = asyncio.get_running_loop().create_future()
        self.came = b""

    def connection_made(self, transport: asyncio.Transport) -> None:
        self.transport = transport
        self.ask()

    def data_received(self, data: bytes) -> None:
        self.came += data
        head, end, body = self.came.partition(b"\r\n\r\n")
        if end and len(body) == length_of(head):
            self.waits.append(time.perf_counter() - self.started)
            check(body, self.bad)
            self.came = b""
            self.ask()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.ended.done():
            self.ended.set_exception(exc or ConnectionError("the server hung up"))

    def ask(self) -> None:
        request = next(self.queue, None)
        if request is None:
            self.ended.set_result(None)
            self.transport.close()
            return
        self.started = time.perf_counter()
        self.transport.write(request)


async def kept(port: int, context: ssl.SSLContext | None, queue, waits: list[float], bad: list[str]) -> None:
    name = "localhost" if context else None
    loop = asyncio.get_running_loop()
    _, connection = await loop.create_connection(
        lambda: Kept(queue, waits, bad), "127.0.0.1", port, ssl=context, server_hostname=name
    )
    await connection.ended


async def fresh(port: int, context: ssl.SSLContext | None, queue, waits: list[float], bad: list[str]) -> None:
    for request in queue:
        started = time.perf_counter()
        name = "localhost" if context else None
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname=name)
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        check(await reader.readexactly(length_of(head)), bad)
        waits.append(time.perf_counter() - started)
        writer.close()


def length_of(head: bytes) -> int:
    return int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])


def check(body: bytes, bad: list[str]) -> None:
    if b"order_id" not in body:
        bad.append(body.decode(errors="replace")[:300])


if __name__ == "__main__":
    main()
