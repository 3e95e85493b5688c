"""The load generator: raw HTTP/1.1 over asyncio, so that it costs the machine as little as possible.

Usage (by `bench.orders`): python -m bench.load JSON  -> prints {"answers", "seconds", "bad", "p50_ms", "p99_ms"}
"""

import asyncio
import json
import os
import ssl
import sys
import time
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
    started = time.perf_counter()
    await asyncio.gather(*(worker(task["port"], context, queue, waits, bad) for _ in range(task["connections"])))
    seconds = time.perf_counter() - started
    waits.sort()
    return {
        "answers": len(waits),
        "seconds": seconds,
        "bad": bad[:3],
        "p50_ms": waits[len(waits) // 2] * 1000,
        "p99_ms": waits[int(len(waits) * 0.99)] * 1000,
    }


async def kept(port: int, context: ssl.SSLContext | None, queue, waits: list[float], bad: list[str]) -> None:
    reader, writer = await connect(port, context)
    for request in queue:
        await exchange(reader, writer, request, waits, bad)
    writer.close()


async def fresh(port: int, context: ssl.SSLContext | None, queue, waits: list[float], bad: list[str]) -> None:
    for request in queue:
        started = time.perf_counter()
        reader, writer = await connect(port, context)
        await exchange(reader, writer, request, [], bad)
        waits.append(time.perf_counter() - started)
        writer.close()


async def connect(port: int, context: ssl.SSLContext | None):
    return await asyncio.open_connection(
        "127.0.0.1", port, ssl=context, server_hostname="localhost" if context else None
    )


async def exchange(reader, writer, request: bytes, waits: list[float], bad: list[str]) -> None:
    started = time.perf_counter()
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
    body = await reader.readexactly(length)
    waits.append(time.perf_counter() - started)
    if b"order_id" not in body:
        bad.append(body.decode(errors="replace")[:300])


if __name__ == "__main__":
    main()
