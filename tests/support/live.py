"""A live deployment on local nodes, driven like an operator and a merchant would: `bitlinkpay serve` and its doors only."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

from aiohttp import web
from eth_utils import to_checksum_address
from standardwebhooks import Webhook
from tests.support.office import open_office, run_command
from tests.support.server import free_port

from bitlinkpay.cli.console import find_deployment
from bitlinkpay.client.wm import KeyFiles, WmClient
from bitlinkpay.connection import connect
from bitlinkpay.wm.answers import OrderCreated
from bitlinkpay.wm.bodies import CreateOrder

NETWORK = """
[networks.{name}]
chain_id = {chain_id}
genesis = "{genesis}"
final_after_s = 4
endpoints = {endpoints}
quorum = {quorum}

[assets.usdt-{name}]
symbol = "USDT"
network = "{name}"
standard = "ERC20"
contract = "{contract}"
decimals = 6
payable_decimals = 6
wm_coin_id = 1
minimum = "0.01"
sanity = "10000000"
payable = true
"""

CONFIG = """
mode = "live"
registry_files = ["devnet.toml"]

[rates]
is_static = true

[callbacks]
allowed_networks = ["127.0.0.0/8"]
allowed_ports = [{port}]
is_http_allowed = true
"""


@dataclass(frozen=True)
class Devnet:
    """A local node under a registry name: its own chain id, endpoints and token."""

    name: str
    chain_id: int
    genesis: str
    endpoints: Sequence[str]
    contract: str
    quorum: int = 1

    def row(self) -> str:
        return NETWORK.format(
            name=self.name,
            chain_id=self.chain_id,
            genesis=self.genesis,
            endpoints=json.dumps(list(self.endpoints)),
            quorum=self.quorum,
            contract=to_checksum_address(self.contract),
        )


@dataclass
class Receiver:
    """The merchant's endpoint. `status` other than 200 plays one that is down; every arrival is kept with its headers."""

    secret: str = ""
    status: int = 200
    got: list[dict] = field(default_factory=list)
    tries: int = 0
    port: int = 0
    _runner: web.AppRunner | None = None

    async def start(self) -> None:
        app = web.Application()
        app.router.add_post("/callback", self._answer)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.Response:
        self.tries += 1
        body = await request.read()
        if self.status != 200:
            return web.Response(status=self.status)
        self.got.append(Webhook(self.secret).verify(body.decode(), dict(request.headers)))
        return web.json_response({"code": 0, "msg": "success"})


@dataclass
class Live:
    """One running deployment with one merchant."""

    folder: Path
    ports: tuple[int, int]
    receiver: Receiver
    server: "subprocess.Popen[str]"
    merchant: dict = field(default_factory=dict)

    @classmethod
    @asynccontextmanager
    async def start(
        cls, folder: Path, devnets: Sequence[Devnet], *, policy: str = "", config: str = ""
    ) -> AsyncIterator["Live"]:
        """Run a deployment for the length of a `with` block.

        Args:
            folder: its data folder.
            devnets: its networks.
            policy: what its signer may sign, "" for nothing.
            config: what its configuration says besides.
        """
        receiver = Receiver()
        await receiver.start()
        folder.mkdir(exist_ok=True)
        (folder / "devnet.toml").write_text("".join(devnet.row() for devnet in devnets))
        (folder / "bitlinkpay.toml").write_text(CONFIG.format(port=receiver.port) + config)
        if policy:
            (folder / "signer").mkdir(mode=0o700)
            (folder / "signer" / "policy.toml").write_text(
                policy.format(registry=json.dumps(str(folder / "devnet.toml")))
            )
            (folder / "signer" / "policy.toml").chmod(0o600)
        live = cls(folder, (free_port(), free_port()), receiver, None)
        await live.serve()
        try:
            url = f"http://127.0.0.1:{receiver.port}/callback"
            live.merchant = await live.command(
                "merchant", "create", "Shop", "--out", str(folder / "shop"), "--callback-url", url
            )
            receiver.secret = live.merchant["webhook_secret"]
            yield live
        finally:
            live.server.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                await asyncio.to_thread(live.server.wait, 30)
            if live.server.poll() is None:
                live.server.kill()
            await receiver.stop()

    async def serve(self) -> None:
        """Start the whole platform and wait until it says that it is ready."""
        words = ["serve", "--mode", "live", "--wm-port", str(self.ports[0]), "--web-port", str(self.ports[1])]
        open_office()
        self.server = subprocess.Popen(
            [sys.executable, "-m", "bitlinkpay.cli.main", *words, "--data-dir", str(self.folder)],
            stdout=subprocess.PIPE,
            stderr=(self.folder / "serve.log").open("a"),
            text=True,
        )
        ready = await asyncio.to_thread(lambda: any(line.strip() == "ready" for line in self.server.stdout))
        assert ready, (self.folder / "serve.log").read_text()[-3000:]

    async def command(self, *words: str, code: int = 0, environment: Mapping[str, str] | None = None) -> object:
        """Run a `bitlinkpay` command with --json, which must end with `code`, and return what it printed."""
        ended = await run_command(*words, "--json", "--data-dir", str(self.folder), environment=environment)
        assert ended.code == code, f"bitlinkpay {' '.join(words)}: {ended.err}{ended.out}"
        return json.loads(ended.out)

    def client(self) -> WmClient:
        files = KeyFiles(**{kind: Path(path) for kind, path in self.merchant["files"].items()})
        return WmClient.of_files(f"https://127.0.0.1:{self.ports[0]}", self.merchant["broker"], files)

    async def order(self, source_id: str, *, coin: str = "USDT", fiat: str = "72", chain_id: int = 3) -> OrderCreated:
        """Create an order through mutual TLS and the encrypted envelope, again and again while the API is away."""
        coin_id = {"USDT": 1, "TRX": 2, "TON": 3, "ETH": 4, "BTC": 6, "SOL": 7}[coin]
        request = CreateOrder(source_id, chain_id, coin_id, Decimal(fiat), f"{coin}/CNY")
        deadline = time.monotonic() + 120
        while True:
            try:
                async with self.client() as client:
                    return await client.create_order(request)
            except Exception:
                if time.monotonic() > deadline:
                    raise
                await asyncio.sleep(0.3)

    async def detail(self, source_id: str) -> dict:
        async with self.client() as client:
            found = await client.detail(source_id)
        return {name: getattr(found, name) for name in ("status", "hash", "amount", "service_fee", "address")}

    async def shown(self, source_id: str) -> dict:
        return await self.command("order", "show", source_id)

    async def until(self, source_id: str, **wanted: object) -> dict:
        """Wait until `order show` has these values; return it."""
        return await eventually(lambda: self.shown(source_id), lambda seen: {k: seen[k] for k in wanted} == wanted)

    async def callback(self, source_id: str, *, count: int = 1) -> list[dict]:
        """Wait until the merchant has had `count` verified callbacks for an order."""

        async def mine() -> list[dict]:
            return [got for got in self.receiver.got if got["source_id"] == source_id]

        return await eventually(mine, lambda got: len(got) >= count)

    async def rows(self, query: str) -> list[tuple]:
        """Ask the deployment's own database what none of its doors tells."""
        database = await connect(find_deployment(self.folder))
        try:
            async with database.reader() as tx:
                return [tuple(row) for row in await tx.fetch(query)]
        finally:
            await database.close()

    async def balances(self) -> dict[str, dict]:
        return {row["asset"]: row for row in await self.command("balance", self.merchant["broker"])}

    async def books_hold(self) -> None:
        books = await self.command("ledger", "check")
        assert books["ok"], [check for check in books["checks"] if not check["ok"]]

    async def chain_agrees(self) -> None:
        """Wait until reconciliation finds every place of ours on every network as the books have it, to the unit."""

        async def compare() -> object:
            return await self.command("reconcile", "run")  # exit code 1 where anything differs or cannot be read

        await eventually(compare, lambda rows: rows and not any(row["moving"] for row in rows))
        assert await self.command("payout", "stops") == []

    def pids(self) -> Mapping[str, int]:
        """Pids of the deployment's processes by name."""
        found = {"supervisor": self.server.pid}
        for child in children(self.server.pid):
            words = Path(f"/proc/{child}/cmdline").read_bytes().replace(b"\0", b" ").decode()
            for name, mark in (
                ("signer", "signer.server"),
                ("worker", " worker "),
                ("api", " api "),
                ("postgres", "bin/postgres"),
            ):
                if mark in words:
                    found[name] = child
        return found


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


async def eventually(ask: Callable, good: Callable[[object], bool], *, seconds: float = 120) -> object:
    """Ask until the answer is good; fail with the last answer. A question that fails is asked again, too."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            answer = await ask()
            if good(answer):
                return answer
        except AssertionError as error:
            answer = error
        assert time.monotonic() < deadline, f"never came: {answer}"
        await asyncio.sleep(0.25)


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
