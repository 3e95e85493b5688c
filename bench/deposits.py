"""From the block to the callback: 100 deposits in a block of 500 transfers, a million other addresses watched."""

import asyncio
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from decimal import Decimal
from uuid import UUID

import base58
import uvloop

from bench.deployment import Deployment, deployment, proportional_mb, resident_mb
from bench.table import Row, show
from bitlinkpay.app.platform import open_platform
from bitlinkpay.client.wm import WmClient
from bitlinkpay.core.ids import PayinId
from bitlinkpay.payins import store
from bitlinkpay.sandbox.model import Payment
from bitlinkpay.sandbox.service import Sandbox
from bitlinkpay.settings import load_running
from bitlinkpay.wm.bodies import CreateOrder

HITS, OTHERS, BLOCKS, WARM = 100, 400, 20, 4
ADDRESSES = 1_000_000
CONFIG = 'registry_files = ["bench.toml"]\n[sandbox]\nblock_s = 0\n'
REGISTRY = (
    "[networks.tron]\nsandbox_lag = 0\n"  # a block is final when it is seen: what is measured is us, not the wait
)
LOAD_ORDERS = 60_000


@dataclass
class Sink:
    """The merchant's endpoint: notes when each order's callback came, acknowledges."""

    came: dict[str, float] = field(default_factory=dict)
    woken: asyncio.Event = field(default_factory=asyncio.Event)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
                body = json.loads(await reader.readexactly(length))
                self.came[body["order_id"]] = time.perf_counter()
                self.woken.set()
                writer.write(b'HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n{"code":0}')
        except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
            writer.close()


def main() -> list[Row]:
    with deployment(CONFIG, {"bench.toml": REGISTRY}) as platform:
        time.sleep(3)
        rows = idle_memory(platform)
        return rows + uvloop.run(measure(platform))


def idle_memory(platform: Deployment) -> list[Row]:
    processes = platform.processes()
    python = {name: resident_mb(pid) for pid, name in processes.items() if name != "postgres"}
    whole = sum(proportional_mb(pid) for pid in processes)
    detail = ", ".join(f"{name} {size:.0f}" for name, size in sorted(python.items()))
    return [
        Row("largest idle Python process, MB resident", max(python.values()), 90, detail, at_least=False),
        Row("whole platform idle, MB (shared pages once)", whole, 300, f"{len(processes)} processes", at_least=False),
    ]


async def measure(platform: Deployment) -> list[Row]:
    sink = Sink()
    server = await asyncio.start_server(sink.serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/callback"
    merchant = platform.merchant("bench", "--callback-url", url)
    worker = next(pid for pid, name in platform.processes().items() if name == "worker")
    async with open_platform(load_running(platform.folder)) as inside:
        before = resident_mb(worker)
        await watch_a_million(inside)
        quiet = await blocks(platform, inside, merchant, sink, "quiet")
        grown = resident_mb(worker) - before
        load = saturate(platform, merchant)
        busy = await blocks(platform, inside, merchant, sink, "busy")
        load.kill()
        load.wait()
    server.close()
    return [
        row("block → callback, p50 ms", quiet, 0.5, 60),
        row("block → callback, p99 ms", quiet, 0.99, 120),
        row("the same while orders saturate the machine, p99 ms", busy, 0.99, 250),
        Row("worker memory grown over a million addresses, MB", grown, 20, f"{before:.0f} MB before", at_least=False),
    ]


def row(name: str, waits: list[float], share: float, target: float) -> Row:
    waits.sort()
    value = waits[int(len(waits) * share)] * 1000
    return Row(name, value, target, f"{len(waits)} deposits in blocks of {HITS} of {HITS + OTHERS}", at_least=False)


async def watch_a_million(inside) -> None:
    async with inside.database.transaction() as tx:
        await tx.execute("set local statement_timeout = '10min'")
        await tx.execute(
            """
            insert into addresses (key_family, address, tag, merchant_id, payin_id, key_index, purpose, created_at)
            select 'tron', 'T' || md5(n::text) || 'x', '', (select merchant_id from merchants limit 1),
                gen_random_uuid(), 1000000000 + n, 'deposit', now()
            from generate_series(1, $1::int) n
            """,
            ADDRESSES,
        )


async def blocks(platform: Deployment, inside, merchant: dict, sink: Sink, prefix: str) -> list[float]:
    waits: list[float] = []
    async with WmClient.plain(f"http://127.0.0.1:{platform.web_port}", merchant["broker"]) as client:
        for number in range(BLOCKS + WARM):
            orders = await asyncio.gather(*(client.create_order(order(f"{prefix}-{number}-{n}")) for n in range(HITS)))
            took = await one_block(inside, [PayinId(UUID(o.order_id)) for o in orders], sink)
            waits += took if number >= WARM else []
    return waits


def order(source_id: str) -> CreateOrder:
    return CreateOrder(source_id, 1, 1, Decimal(72), "USDT/CNY")


async def one_block(inside, payin_ids: list[PayinId], sink: Sink) -> list[float]:
    asset = inside.registry.assets["usdt-tron"]
    sandbox = Sandbox(inside.registry)
    async with inside.database.transaction() as tx:
        payins = await store.lock(tx, payin_ids)
    payments = [Payment(asset, payin.address, payin.units) for payin in payins.values()]
    others = [Payment(asset, stranger(), 5_000_000) for _ in range(OTHERS)]
    async with inside.database.transaction() as tx:
        await sandbox.pay(tx, payments + others, inside.clock.now())
    async with inside.database.transaction() as tx:
        await sandbox.mine(tx, "tron", 1, inside.clock.now())
    visible = time.perf_counter()
    wanted = {payin_id.hex for payin_id in payin_ids}
    async with asyncio.timeout(60):
        while not wanted <= sink.came.keys():
            sink.woken.clear()
            await sink.woken.wait()
    return [sink.came[order_id] - visible for order_id in wanted]


def stranger() -> str:
    return base58.b58encode_check(b"\x41" + os.urandom(20)).decode()


def saturate(platform: Deployment, merchant: dict) -> subprocess.Popen:
    task = {
        "prefix": f"load-{time.time_ns()}",
        "count": LOAD_ORDERS,
        "connections": 32,
        "port": platform.wm_port,
        "tls": True,
        "fresh": False,
        "broker": merchant["broker"],
        "files": merchant["files"],
        "chain_id": 3,
        "coin_id": 4,
        "symbol": "ETH/CNY",
    }
    load = subprocess.Popen(
        [sys.executable, "-m", "bench.load", json.dumps(task)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert load.stdout.readline() == "prepared\n"
    load.stdin.write("go\n")
    load.stdin.flush()
    return load


if __name__ == "__main__":
    show(main())
