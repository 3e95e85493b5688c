"""The steps of the demo, all through the doors that merchants and operators use: no short cut into the database."""

import asyncio
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Final

import msgspec

from bitlinkpay.client.wm import KeyFiles, WmClient
from bitlinkpay.core.errors import Unavailable
from bitlinkpay.demo.receiver import Receiver
from bitlinkpay.wm.answers import DepositCallback, OrderCreated
from bitlinkpay.wm.bodies import CreateOrder

_WAIT_S: Final = 60
_FIAT: Final = Decimal("72.00")
_EXPECTED_NET: Final = "9.97"
_PORTS: Final = (8443, 8080)


class _Merchant(msgspec.Struct):
    broker: str
    webhook_secret: str
    files: dict[str, str]


class _Balance(msgspec.Struct):
    asset: str
    available: str


class _Check(msgspec.Struct):
    name: str
    ok: bool
    detail: str


class _Books(msgspec.Struct):
    ok: bool
    checks: list[_Check]


@dataclass(slots=True)
class Demo:
    """One run in one data folder."""

    folder: Path
    started: float
    step: int = 0

    def say(self, text: str, *details: str) -> None:
        """Print a numbered step with the time since the start."""
        self.step += 1
        print(f"\n{self.step:2}. {text}   [{time.monotonic() - self.started:.1f} s]")
        for detail in details:
            print(f"      {detail}")
        sys.stdout.flush()

    def command(self, *words: str) -> bytes:
        """Run one `bitlinkpay` command and return what it printed.

        Raises:
            Unavailable: it failed; its own message stands on stderr.
        """
        print(f"      $ bitlinkpay {' '.join(words)}")
        done = subprocess.run(  # noqa: S603 - our own program
            [sys.executable, "-m", "bitlinkpay.cli.main", *words, "--data-dir", str(self.folder)],
            stdout=subprocess.PIPE,
            check=False,
        )
        if done.returncode:
            raise Unavailable(f"`bitlinkpay {words[0]}` failed")
        return done.stdout


async def show(folder: Path, *, stays: bool) -> bool:
    """Run the demo; return whether everything held.

    Args:
        folder: an empty folder for the deployment.
        stays: keep everything running until interrupted.
    """
    demo = Demo(folder, time.monotonic())
    wm_port, web_port = (_free_port(port) for port in _PORTS)
    demo.say("Starting a sandbox: PostgreSQL, signer, worker, API, eight simulated networks")
    server = _start(folder, wm_port, web_port)
    receiver = Receiver()
    try:
        urls = _await_ready(server)
        for name, url in urls.items():
            print(f"      {name:4} {url}")
        held = await _pay_an_order(demo, urls["wm"], receiver, await receiver.start())
        if stays and held:
            await _stay(demo)
        return held
    finally:
        await receiver.stop()
        server.send_signal(signal.SIGTERM)
        server.wait(_WAIT_S)


def _start(folder: Path, wm_port: int, web_port: int) -> subprocess.Popen[str]:
    words = ["serve", "--mode", "sandbox", "--wm-port", str(wm_port), "--web-port", str(web_port)]
    return subprocess.Popen(  # noqa: S603 - our own program
        [sys.executable, "-m", "bitlinkpay.cli.main", *words, "--data-dir", str(folder)],
        stdout=subprocess.PIPE,
        stderr=(folder / "serve.log").open("w"),
        text=True,
    )


def _await_ready(server: subprocess.Popen[str]) -> dict[str, str]:
    urls: dict[str, str] = {}
    assert server.stdout is not None
    for line in server.stdout:
        if line.strip() == "ready":
            return urls
        name, _, url = line.strip().partition(" ")
        urls[name] = url
    raise Unavailable("the platform did not start; see serve.log in its folder")


async def _pay_an_order(demo: Demo, wm_url: str, receiver: Receiver, callback_url: str) -> bool:
    demo.say("A merchant is made: broker id, client certificate, envelope key, webhook secret")
    printed = demo.command(
        "merchant",
        "create",
        "Corner Shop",
        "--out",
        str(demo.folder / "shop"),
        "--callback-url",
        callback_url,
        "--json",
    )
    merchant = msgspec.json.decode(printed, type=_Merchant)
    receiver.secret = merchant.webhook_secret
    print(f"      broker {merchant.broker}")
    order = await _create(demo, wm_url, merchant)
    demo.say("The payer opens the page", order.url)
    demo.say("The payer sends exactly the asked amount on the simulated TRON network; blocks come every 3 seconds")
    demo.command("sandbox", "pay", order.source_id, "--json")
    callback = await _await_callback(receiver)
    demo.say("The merchant's endpoint received the callback and its signature holds", *_lines(callback))
    return _check(demo, merchant, callback)


async def _create(demo: Demo, wm_url: str, merchant: _Merchant) -> OrderCreated:
    files = KeyFiles(**{kind: Path(path) for kind, path in merchant.files.items()})
    request = CreateOrder(
        source_id=f"order-{time.time_ns()}",
        chain_id=1,
        coin_id=1,
        fiat_amount=_FIAT,
        symbol="USDT/CNY",
        lang="en",
    )
    async with WmClient.of_files(wm_url, merchant.broker, files) as client:
        order = await client.create_order(request)
    demo.say(
        "The shop's system creates an order through mutual TLS and the encrypted envelope",
        f"{order.fiat_amount} CNY at {order.exchange_rate} → {order.amount} USDT, fee {order.service_fee}",
    )
    return order


async def _await_callback(receiver: Receiver) -> DepositCallback:
    try:
        async with asyncio.timeout(_WAIT_S):
            return await receiver.received.get()
    except TimeoutError:
        raise Unavailable(f"no callback came within {_WAIT_S} s; see serve.log") from None


def _lines(callback: DepositCallback) -> Sequence[str]:
    return [
        f"{name:12} {getattr(callback, name)}"
        for name in ("source_id", "status", "status_desc", "amount", "service_fee", "address", "hash")
    ]


def _check(demo: Demo, merchant: _Merchant, callback: DepositCallback) -> bool:
    balances = msgspec.json.decode(demo.command("balance", merchant.broker, "--json"), type=list[_Balance])
    demo.say("The merchant's balance", *(f"{balance.available} {balance.asset}" for balance in balances))
    books = msgspec.json.decode(demo.command("ledger", "check", "--json"), type=_Books)
    demo.say("The books", *(f"{'✓' if check.ok else '✗'} {check.detail}" for check in books.checks))
    is_paid = callback.status_desc == "Order Success"
    is_credited = [balance.available for balance in balances] == [_EXPECTED_NET]
    held = is_paid and is_credited and books.ok
    print(f"\n{'All of it held.' if held else 'SOMETHING DID NOT HOLD.'}")
    return held


async def _stay(demo: Demo) -> None:
    print(f"\nStill running for a look; stop with Ctrl-C. Try:  bitlinkpay chains status --data-dir {demo.folder}")
    sys.stdout.flush()
    await asyncio.Event().wait()


def _free_port(wanted: int) -> int:
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            free: int = probe.getsockname()[1]
            return free
    raise Unavailable("no free port on 127.0.0.1")
