"""Where schedules are played one after the other: a world funded once, and a copy of it for every hundred schedules."""

import itertools
import os
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path

import asyncpg
from tests.crashes import schedule
from tests.crashes.keeper import RING, VAULT, Keeper
from tests.crashes.schedule import CASTS, Script, draw, play, shorten
from tests.crashes.stage import SECRETS, Post, Stage
from tests.flows.harness import REGISTRY, World, market
from tests.flows.paying import Cashier
from tests.flows.test_payouts import GAS, earn
from tests.support.clock import ManualClock
from tests.support.memory import roomy_memory
from tests.support.server import TestServer

from bitlinkpay.core.money import to_units
from bitlinkpay.db.cluster import APP_ROLE, OWNER_ROLE
from bitlinkpay.db.pool import Database
from bitlinkpay.payins.service import Payins
from bitlinkpay.payouts import store as payouts
from bitlinkpay.payouts.model import PayoutKind, Terms
from bitlinkpay.wallets.service import Allocator
from bitlinkpay.webhooks.relay import Relay

_SIGNED = "select a.txid from transaction_attempts a join transactions t using (transaction_id) where a.txid <> '' and t.number > 0"
REVIEW_ABOVE = Decimal(1)
_numbers = itertools.count()


@dataclass
class Theatre:
    """A funded world as a template, and copies of it to play in."""

    server: TestServer
    template: str
    world: World
    struck: Counter[str] = field(default_factory=Counter)

    @classmethod
    async def build(cls, server: TestServer, migrated: str) -> "Theatre":
        """Fund a merchant and the hot wallet of every cast, and pay one payout of each."""
        name = await _copy(server, migrated)
        database = await Database.connect(server.dsn(APP_ROLE, name), size=2)
        clock = ManualClock()
        world = await World.start(database, clock, RING)
        cashier = Cashier(world, RING, clock, vault=VAULT)
        for network, asset in CASTS:
            await earn(cashier, asset, "95")
            await cashier.fund(asset, "95")
            if GAS[network] != asset:
                await cashier.fund(GAS[network], "50")
            await cashier.ask(asset, "1")
            await cashier.finish(network)
            units = to_units(REVIEW_ABOVE, REGISTRY.assets[asset].decimals)
            terms = Terms(fee_ppm=2_000, fee_flat_units=10, review_above_units=units)
            async with database.transaction() as tx:
                await payouts.save_terms(tx, world.merchant.merchant_id, PayoutKind.PAYOUT, asset, terms)
        await database.close()
        return cls(server, name, world)

    async def play_all(self, seeds: Iterable[int]) -> list[list[str]]:
        """Play schedules one after the other in one copy; where one fails, tell the shortest that fails alone."""
        async with self._copy() as (database, keeper):
            traces = []
            for seed in seeds:
                script = draw(seed)
                try:
                    traces.append(await self._play(script, database, keeper))
                except Exception as error:
                    await self._tell_shortest(script, error)
                    raise
            async with database.reader() as tx:
                signed = {row["txid"] for row in await tx.fetch(_SIGNED)}
            assert signed <= keeper.issued(), "signed, and not in the signer's audit"
            return traces

    async def _tell_shortest(self, script: Script, error: Exception) -> None:
        if not await self._fails(script):
            error.add_note("alone it does not fail: play it with those before it")
            return
        shortest = await shorten(script, self._fails)
        acts = "\n  ".join(str(act) for act in (*shortest.acts, *shortest.strikes))
        error.add_note(f"make sim N=1 SEED={script.seed}; the shortest that still fails:\n  {acts}")

    async def _fails(self, script: Script) -> bool:
        async with self._copy() as (database, keeper):
            try:
                await self._play(script, database, keeper)
            except Exception:
                return True
            return False

    async def _play(self, script: Script, database: Database, keeper: Keeper) -> list[str]:
        stage = self._stage(script, database, keeper)
        try:
            return await play(stage, script)
        finally:
            self.struck.update(stage.struck)

    def _stage(self, script: Script, database: Database, keeper: Keeper) -> Stage:
        clock, inbox = self.world.clock, Post()
        world = replace(
            self.world,
            database=database,
            payins=Payins(registry=REGISTRY, allocator=Allocator(database, RING), market=market, clock=clock),
            inbox=inbox,
            relay=Relay(database, inbox, SECRETS, clock=clock, jitter=lambda: 0),
            watchers={},
            chains={},
        )
        return Stage(
            world=world,
            cashier=Cashier(world, RING, clock, vault=VAULT),
            keeper=keeper,
            seed=script.seed,
            network=script.network,
            asset=script.asset,
            inbox=inbox,
            casts=schedule.FLOWS,
        )

    @asynccontextmanager
    async def _copy(self) -> AsyncIterator[tuple[Database, Keeper]]:
        name = await _copy(self.server, self.template)
        database = await Database.connect(self.server.dsn(APP_ROLE, name), size=1)
        with tempfile.TemporaryDirectory(prefix="blp-", dir=roomy_memory() or "/tmp") as folder:
            keeper = Keeper(Path(folder) / "signer", self.world.clock)
            try:
                yield database, keeper
            finally:
                keeper.die()
                await database.close()
                await _drop(self.server, name)


async def _copy(server: TestServer, template: str) -> str:
    name = f"crashes_{os.getpid()}_{next(_numbers)}"
    connection = await asyncpg.connect(server.dsn(OWNER_ROLE, "bitlinkpay"))
    try:
        await connection.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")
        await connection.execute(f"ALTER DATABASE {name} SET plan_cache_mode = force_generic_plan")  # plans are costly
    finally:
        await connection.close()
    return name


async def _drop(server: TestServer, name: str) -> None:
    connection = await asyncpg.connect(server.dsn(OWNER_ROLE, "bitlinkpay"))
    try:
        await connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
    finally:
        await connection.close()
