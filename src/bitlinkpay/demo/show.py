"""The steps of the demo, all through the doors that merchants and operators use: no short cut into the database."""

import asyncio
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Final

import msgspec

from bitlinkpay.client.wm import KeyFiles, WmClient
from bitlinkpay.demo.deployment import Demo, Server
from bitlinkpay.demo.person import Person
from bitlinkpay.demo.receiver import Receiver
from bitlinkpay.wm.answers import OrderCreated
from bitlinkpay.wm.bodies import CreateOrder, Withdraw

_FIAT: Final = Decimal("72.00")
_PAID_OUT: Final = Decimal(4)
_CREDITED: Final = Decimal("9.97")
_TRON, _USDT = 1, 1
_PAID_OUT_FIELDS: Final = ("source_id", "status", "status_desc", "amount", "gas_fee", "address", "hash")
_LIQUIDITY: Final = {"usdt-tron": "100", "trx-tron": "1000"}
_RECIPIENT: Final = "TXYZopYRdj2D9XRtbG411XZZ3kM5VkAeBf"
_HOME: Final = "TNPeeaaFB7K9cmo4uQpcU32zGK8G1NYqeL"


class _Made(msgspec.Struct):
    broker: str
    webhook_secret: str
    files: dict[str, str]


class _Settlement(msgspec.Struct):
    id: str


class _Unclaimed(msgspec.Struct):
    id: str


class _Balance(msgspec.Struct):
    asset: str
    available: str
    reserved: str


class _Check(msgspec.Struct):
    name: str
    ok: bool
    detail: str


class _Books(msgspec.Struct):
    ok: bool
    checks: list[_Check]


@dataclass(slots=True)
class Shop:
    """The merchant: its system's client, its callback endpoint, its person."""

    broker: str
    person: Person
    client: WmClient
    receiver: Receiver


async def show(folder: Path, *, stays: bool) -> bool:
    """Run the demo; return whether everything held.

    Args:
        folder: an empty folder for the deployment.
        stays: keep everything running until interrupted.
    """
    demo = Demo(folder, time.monotonic())
    demo.say("Starting a sandbox: PostgreSQL, signer, worker, API, eight simulated networks")
    server, receiver = Server(folder), Receiver()
    try:
        urls = server.await_ready()
        for name, url in urls.items():
            print(f"      {name:4} {url}")
        made = await _make_merchant(demo, receiver)
        files = KeyFiles(**{kind: Path(path) for kind, path in made.files.items()})
        async with WmClient.of_files(urls["wm"], made.broker, files) as client:
            person = Person.enrol(demo, made.broker)
            held = await _follow_the_money(demo, Shop(made.broker, person, client, receiver))
        if stays and held:
            await _stay(demo)
        return held
    finally:
        await receiver.stop()
        server.stop()


async def _make_merchant(demo: Demo, receiver: Receiver) -> _Made:
    demo.say("A merchant is made: broker id, client certificate, envelope key, webhook secret")
    where = ["--out", str(demo.folder / "shop"), "--callback-url", await receiver.start()]
    made = demo.command(_Made, "merchant", "create", "Corner Shop", *where)
    receiver.secret = made.webhook_secret
    print(f"      broker {made.broker}")
    return made


async def _follow_the_money(demo: Demo, shop: Shop) -> bool:
    is_paid = await _pay_an_order(demo, shop)
    _fund_the_hot_wallet(demo)
    is_paid_out = await _pay_out(demo, shop)
    is_settled = await _settle(demo, shop)
    left = _balances(demo, shop)
    books = demo.command(_Books, "ledger", "check")
    demo.say("The books", *(f"{'✓' if check.ok else '✗'} {check.detail}" for check in books.checks))
    held = is_paid and is_paid_out and is_settled and not left and books.ok
    print(f"\n{'All of it held.' if held else 'SOMETHING DID NOT HOLD.'}")
    return held


async def _pay_an_order(demo: Demo, shop: Shop) -> bool:
    order = await _create(demo, shop)
    demo.say("The payer opens the page", order.url)
    demo.say("The payer sends exactly the asked amount on the simulated TRON network; blocks come every 3 seconds")
    demo.command(dict[str, str], "sandbox", "pay", order.source_id)
    callback = await shop.receiver.next_deposit()
    names = ("source_id", "status", "status_desc", "amount", "service_fee", "address", "hash")
    demo.say("The merchant's endpoint received the callback and its signature holds", *_lines(callback, names))
    (balance,) = _balances(demo, shop)
    return callback.status_desc == "Order Success" and Decimal(balance.available) == _CREDITED


async def _create(demo: Demo, shop: Shop) -> OrderCreated:
    request = CreateOrder(
        source_id=f"order-{time.time_ns()}",
        chain_id=_TRON,
        coin_id=_USDT,
        fiat_amount=_FIAT,
        symbol="USDT/CNY",
        lang="en",
    )
    order = await shop.client.create_order(request)
    demo.say(
        "The shop's system creates an order through mutual TLS and the encrypted envelope",
        f"{order.fiat_amount} CNY at {order.exchange_rate} → {order.amount} USDT, fee {order.service_fee}",
    )
    return order


def _fund_the_hot_wallet(demo: Demo) -> None:
    demo.say("The operator puts the company's own money into the wallet that pays on TRON: liquidity, and TRX for gas")
    for asset, amount in _LIQUIDITY.items():
        demo.command(dict[str, str], "sandbox", "fund", asset, amount)
    while len(demo.ask(list[_Unclaimed], "treasury", "unclaimed")) < len(_LIQUIDITY):
        time.sleep(1)
    for one in demo.command(list[_Unclaimed], "treasury", "unclaimed"):
        demo.command(dict[str, str], "treasury", "claim", one.id)


async def _pay_out(demo: Demo, shop: Shop) -> bool:
    request = Withdraw(f"withdraw-{time.time_ns()}", _TRON, _USDT, _RECIPIENT, _PAID_OUT)
    await shop.client.withdraw(request)
    demo.say(f"The shop's system asks for a withdrawal of {_PAID_OUT} USDT to one of its customers", _RECIPIENT)
    (before,) = _balances(demo, shop, text="It is set aside at once")
    callback = await shop.receiver.next_withdrawal()
    demo.say("It is signed, sent, final, and called back", *_lines(callback, _PAID_OUT_FIELDS))
    set_aside = Decimal(before.reserved)
    return callback.status_desc == "Withdraw Success" and callback.amount + callback.gas_fee == set_aside


async def _settle(demo: Demo, shop: Shop) -> bool:
    demo.say("The merchant takes the rest home: source network, known device, payment password, one-time code", _HOME)
    words = ["usdt-tron", "all", "--address", _HOME, "--code", shop.person.code()]
    made = demo.command(_Settlement, "settlement", "request", shop.broker, *words, environment=shop.person.environment)
    callback = await shop.receiver.next_withdrawal()
    demo.say(f"Settlement {made.id} is paid by the same machinery and called back", *_lines(callback, _PAID_OUT_FIELDS))
    return callback.status_desc == "Withdraw Success" and callback.address == _HOME


def _balances(demo: Demo, shop: Shop, text: str = "The merchant's balance") -> Sequence[_Balance]:
    balances = demo.command(list[_Balance], "balance", shop.broker)
    lines = [f"{one.available} {one.asset} available, {one.reserved} reserved" for one in balances]
    demo.say(text, *(lines or ["nothing is left"]))
    return balances


def _lines(callback: object, names: Sequence[str]) -> Sequence[str]:
    return [f"{name:12} {getattr(callback, name)}" for name in names]


async def _stay(demo: Demo) -> None:
    print(f"\nStill running for a look; stop with Ctrl-C. Try:  bitlinkpay chains status --data-dir {demo.folder}")
    sys.stdout.flush()
    await asyncio.Event().wait()
