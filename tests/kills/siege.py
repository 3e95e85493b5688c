"""One deployment on one test network, its processes killed again and again, and everything counted at the end."""

import asyncio
import contextlib
import signal
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import TypeVar

from tests.kills.towns import TOWNS, Town
from tests.kills.weather import Weather, blowing
from tests.support.live import Live, eventually, kill
from tests.support.person import NO_REST, Person

from bitlinkpay.chains.address import parse_address
from bitlinkpay.chains.registry import Registry, load_registry
from bitlinkpay.client.wm import WmRefused, WmTurnedAway, WmUnreachable
from bitlinkpay.core.assets import Asset
from bitlinkpay.core.money import format_units, to_units
from bitlinkpay.wm.bodies import CreateOrder, Withdraw

T = TypeVar("T")
VICTIMS = ("worker", "worker", "signer", "postgres", "api", "supervisor")
PATIENCE_S = 240.0
SUCCESS = 4
HOME = 1_000_000
"""The number of the stranger whose address is the merchant's own."""
ENDED = {"completed", "skipped", "failed"}


@dataclass
class Toll:
    """What a siege cost, and what it did not."""

    family: str
    kills: Counter[str] = field(default_factory=Counter)
    orders: int = 0
    withdrawals: int = 0
    doubled: int = 0
    lost: int = 0
    callbacks: int = 0
    sweeps: int = 0
    settlements: int = 0
    blows: int = 0

    def __str__(self) -> str:
        killed = ", ".join(f"{count} {name}" for name, count in sorted(self.kills.items()))
        return (
            f"{self.family:8} {self.kills.total():3} kills ({killed}): {self.orders} orders,"
            f" {self.withdrawals} withdrawals, {self.settlements} settlements, {self.sweeps} sweeps,"
            f" {self.callbacks} callbacks, {self.blows} answers spoilt;"
            f" {self.doubled} doubled, {self.lost} lost"
        )


@dataclass
class Siege:
    """A running deployment, its town, and the dice."""

    town: Town
    live: Live
    registry: Registry
    dice: Random
    toll: Toll

    async def fund(self) -> None:
        """Give the company's hot wallet money of its own, and the merchant a balance."""
        town = self.town
        rows = await self.live.command("treasury", "status")
        for row in rows:
            asset = self.registry.assets[row["asset"]]
            coins = dict(zip((town.asset, town.gas), town.liquidity, strict=True)).get(asset.id)
            if coins:
                units = to_units(Decimal(coins), asset.decimals)
                await self._pay(self._canonical(row["wallet"]), asset, units)

        async def unclaimed() -> list[dict]:
            return await self.live.command("treasury", "unclaimed")

        for row in await eventually(unclaimed, lambda found: len(found) == (2 if town.gas else 1), seconds=PATIENCE_S):
            await self.live.command("treasury", "claim", row["id"], "--sender", row["sender"])
        await self.pay_in("first", fiat=str(int(town.fiat) * 10))
        await self.live.until("first", state="paid")

    async def go_home(self) -> None:
        """Let a rule send what the merchant has beyond a threshold to the bound address, again and again."""
        person, (threshold, reserve) = await Person.enrol(self.live), self.town.threshold
        _, shown = self.town.stranger(self.registry.networks[self.town.network], HOME)
        await person.prove("bind", self.town.network, shown)
        await person.prove("add-rule", self.town.asset, "--threshold", threshold, "--reserve", reserve)

    async def strike(self, number: int) -> None:
        """Let money come and go, and kill somebody meanwhile."""
        await asyncio.gather(self.pay_in(f"in-{number}"), self.pay_out(number), self._kill_somebody())

    async def pay_in(self, source_id: str, *, fiat: str = "") -> None:
        """Open an order and pay it exactly."""
        town = self.town
        wanted = CreateOrder(source_id, town.chain_id, town.coin_id, Decimal(fiat or town.fiat), f"{town.coin}/CNY")
        order = await self._again(lambda client: client.create_order(wanted))
        asset = self.registry.assets[town.asset]
        units = to_units(order.amount, asset.decimals)
        found = await self._again(lambda client: client.detail(source_id))
        await self._pay(self._canonical(found.address), asset, units, found.tag)
        self.toll.orders += 1

    async def pay_out(self, number: int) -> None:
        """Ask for a withdrawal, again and again until there is an answer."""
        town = self.town
        _, shown = town.stranger(self.registry.networks[town.network], number)
        asked = Withdraw(f"out-{number}", town.chain_id, town.coin_id, shown, Decimal(town.payment))
        await self._again(lambda client: client.withdraw(asked))
        self.toll.withdrawals += 1

    async def count(self, strikes: int) -> None:
        """Wait until everything has its end, and hold it against chain, books and callbacks."""
        for number in range(strikes):
            seen = await eventually(lambda n=number: self.live.shown(f"in-{n}"), _is_paid, seconds=PATIENCE_S)
            credited = [deposit for deposit in seen["deposits"] if deposit["state"] == "credited"]
            self._note("order", number, len(credited), 1)
        for number in range(strikes):
            await eventually(lambda n=number: self._settled(n), lambda status: status == SUCCESS, seconds=PATIENCE_S)
        asset, network = self.registry.assets[self.town.asset], self.registry.networks[self.town.network]
        due = to_units(Decimal(self.town.payment), asset.decimals)
        await asyncio.sleep(8 * self.town.pause_s)  # whatever else might still arrive
        for number in range(strikes):
            canonical, _ = self.town.stranger(network, number)
            self._note("withdrawal", number, await self.town.net.balance(asset, canonical), due)
        settled = await self._settled_by_rule(asset)
        await self._told(strikes, settled)
        moves = await eventually(self._collected, lambda rows: rows is not None, seconds=PATIENCE_S)
        self.toll.sweeps = len(moves)
        await self.live.books_hold()
        await self.live.chain_agrees()  # which also books what TON's messages brought and took
        rows = await self.live.command("treasury", "status")
        assert all(row["books"] == row["chain"] for row in rows), rows

    # --- parts -------------------------------------------------------------------------------------------------------

    async def _pay(self, address: str, asset: Asset, units: int, tag: str = "") -> None:
        if self.town.pay_tagged and not asset.is_native:
            await self.town.pay_tagged(address, units, tag)
        else:
            await self.town.net.fund(address, asset, units)

    async def _kill_somebody(self) -> None:
        await asyncio.sleep(self.dice.uniform(0, 3))
        victim = self.dice.choice(VICTIMS)

        async def there() -> int:
            return self.live.pids().get(victim, 0)

        kill(await eventually(there, bool))
        self.toll.kills[victim] += 1
        if victim == "supervisor":
            await asyncio.to_thread(self.live.server.wait)
            await self.live.serve()

    async def _again(self, ask: Callable[..., Awaitable[T]]) -> T:
        """Ask the API until it answers: it may have been killed just now."""

        async def once() -> T:
            try:
                async with self.live.client() as client:
                    return await ask(client)
            except (WmRefused, WmTurnedAway, WmUnreachable, OSError) as failed:
                raise AssertionError(repr(failed)) from failed

        return await eventually(once, lambda _: True, seconds=PATIENCE_S)  # type: ignore[return-value]

    async def _settled(self, number: int) -> int:
        found = await self._again(lambda client: client.withdraw_detail(f"out-{number}"))
        return int(found.status)

    async def _settled_by_rule(self, asset: Asset) -> set[str]:
        """End the rule, wait for the end of its runs, and hold them against the chain; return their ids in callbacks."""
        for rule in await self.live.command("settlement", "rules", "Shop"):
            await self.live.command("settlement", "remove-rule", "Shop", rule["id"])

        async def runs() -> list[dict]:
            return await self.live.command("settlement", "list", "--merchant", "Shop")

        ended = await eventually(runs, lambda rows: all(row["state"] in ENDED for row in rows), seconds=PATIENCE_S)
        paid = [row for row in ended if row["state"] == "completed"]
        canonical, _ = self.town.stranger(self.registry.networks[self.town.network], HOME)
        due = sum(to_units(Decimal(row["amount"]), asset.decimals) for row in paid)
        self._note("settlements", len(paid), await self.town.net.balance(asset, canonical), due)
        self.toll.settlements = len(paid)
        return {row["id"].removeprefix("set_") for row in paid}

    async def _told(self, strikes: int, settled: set[str]) -> None:
        wanted = {f"{kind}-{number}" for kind in ("in", "out") for number in range(strikes)} | settled

        async def told() -> set[str]:
            return {got["source_id"] for got in self.live.receiver.got}

        await eventually(told, lambda found: wanted <= found, seconds=PATIENCE_S)
        stories = {(got["source_id"], got["status"]) for got in self.live.receiver.got}
        assert len([one for one in stories if one[0] in wanted]) == len(wanted), "two stories of one thing"
        self.toll.callbacks = len(wanted)

    async def _collected(self) -> list[dict] | None:
        """Return what was collected once nothing more pays; whoever planned when it died leaves that for a minute."""
        plan = await self.live.command("treasury", "plan")
        moves = await self.live.command("treasury", "moves")
        is_over = all(row["decision"] == "wait" for row in plan) and all(move["state"] == "done" for move in moves)
        return moves if is_over else None

    def _note(self, kind: str, number: int, found: int, due: int) -> None:
        self.toll.doubled += found > due
        self.toll.lost += found < due
        assert found == due, f"{kind} {number}: {found} instead of {format_units(due, 0)}"

    def _canonical(self, shown: str) -> str:
        return parse_address(self.registry.networks[self.town.network], shown)


def _is_paid(seen: dict) -> bool:
    return seen["state"] == "paid"


@asynccontextmanager
async def _living(town: Town) -> AsyncIterator[None]:
    """Let blocks come by themselves."""

    async def mine() -> None:
        while True:
            await town.net.mine()
            await asyncio.sleep(town.pause_s)

    task = asyncio.create_task(mine())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def besiege(family: str, kills: int, seed: int, folder: Path, endpoints: int = 0) -> Toll:
    """Run a deployment on a family's network, kill its processes so often, and return what that cost.

    Args:
        family: whose network.
        kills: how often.
        seed: of the dice.
        folder: the deployment's data folder.
        endpoints: how many the deployment has, all of them in bad weather until everything is counted; 0 for the
            network's own, which are good.

    Raises:
        AssertionError: money was lost or doubled, or something never came to its end.
    """
    toll, dice = Toll(family), Random(seed)
    async with AsyncExitStack() as stack:
        town = await stack.enter_async_context(TOWNS[family]())
        weather = await stack.enter_async_context(Weather.start(town.net.urls, dice, endpoints=endpoints))
        if endpoints:
            town.go_behind(weather.urls)
        await stack.enter_async_context(_living(town))
        live = await stack.enter_async_context(Live.start(folder, [town], policy=town.policy, config=NO_REST))
        await live.command("merchant", "set-policy", "Shop", "--payout-networks", "127.0.0.0/8")
        if town.pin:
            await _pin(town, live)
        siege = Siege(town, live, load_registry(folder / "devnet.toml"), dice, toll)
        await siege.fund()
        await siege.go_home()
        async with blowing(weather):
            for number in range(kills):
                await siege.strike(number)
        await siege.count(kills)
        toll.blows = weather.sky.struck.total()
    return toll


async def _pin(town: Town, live: Live) -> None:
    """Complete the registry by what follows from the platform's own wallet, and start anew."""
    (wallet, *_) = {row["wallet"] for row in await live.command("treasury", "status")}
    registry = load_registry(live.folder / "devnet.toml")
    assert town.pin is not None
    town.text = await town.pin(parse_address(registry.networks[town.network], wallet))
    (live.folder / "devnet.toml").write_text(town.row())
    live.server.send_signal(signal.SIGTERM)
    await asyncio.to_thread(live.server.wait, 30)
    await live.serve()
