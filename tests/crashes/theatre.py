"""Where schedules are played one after the other: a world funded once, and a copy of it for every fifty."""

import itertools
import os
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from decimal import Decimal
from hashlib import sha256
from pathlib import Path

import asyncpg
from tests.authorizations.people import Person
from tests.crashes import schedule
from tests.crashes.keeper import RING, VAULT, Keeper
from tests.crashes.line import WarmDatabase
from tests.crashes.schedule import CASTS, Script, draw, play, shorten
from tests.crashes.stage import SECRETS, Post, Stage
from tests.flows.harness import REGISTRY, World, market
from tests.flows.paying import Cashier
from tests.flows.test_payouts import GAS, earn
from tests.support.clock import ManualClock
from tests.support.memory import roomy_memory
from tests.support.server import TestServer

from bitlinkpay.chains.address import show_address
from bitlinkpay.chains.simulated_format import address_from
from bitlinkpay.core.money import to_units
from bitlinkpay.db.cluster import APP_ROLE, OWNER_ROLE
from bitlinkpay.db.pool import Database
from bitlinkpay.payins.service import Payins
from bitlinkpay.payouts import store as payouts
from bitlinkpay.payouts.model import PayoutKind, Terms
from bitlinkpay.settlements.addresses.model import BOUND
from bitlinkpay.settlements.addresses.service import HOLD, Homes, NewHome
from bitlinkpay.wallets.service import Allocator
from bitlinkpay.webhooks.relay import Relay

_SIGNED = "select a.txid from transaction_attempts a join transactions t using (transaction_id) where a.txid <> '' and t.number > 0"
REVIEW_ABOVE = Decimal(1)
FUNDS = 4
"""How often the company pays into the hot wallet: what fifty schedules settle may wait at addresses that none sweeps. Once for
all would be so much that a person has to look."""
BOOKS_EVERY = 10
"""After how many schedules the books are held against everything: a sixth of what a schedule costs would be this."""
_numbers = itertools.count()


@dataclass
class Theatre:
    """A funded world as a template, and copies of it to play in."""

    server: TestServer
    template: str
    world: World
    person: Person
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
            for _ in range(FUNDS):
                await cashier.fund(asset, "95")
            if GAS[network] != asset:
                await cashier.fund(GAS[network], "50")
            await cashier.ask(asset, "1")
            await cashier.finish(network)
            units = to_units(REVIEW_ABOVE, REGISTRY.assets[asset].decimals)
            terms = Terms(fee_ppm=2_000, fee_flat_units=10, review_above_units=units)
            async with database.transaction() as tx:
                for kind in (PayoutKind.PAYOUT, PayoutKind.SETTLEMENT):
                    await payouts.save_terms(tx, world.merchant.merchant_id, kind, asset, terms)
        person = await _let_home(cashier)
        await database.close()
        return cls(server, name, world, person)

    async def play_all(self, seeds: Iterable[int]) -> list[list[str]]:
        """Play schedules one after the other in one copy; where one fails, tell the shortest that fails alone.

        What is wrong in the books stays wrong: they are held against everything after some schedules, and where they
        do not hold each of those is played alone.
        """
        scripts = [draw(seed) for seed in seeds]
        traces: list[list[str]] = []
        async with self._copy() as (database, keeper):
            for first in range(0, len(scripts), BOOKS_EVERY):
                batch = scripts[first : first + BOOKS_EVERY]
                try:
                    for script in batch:
                        traces.append(await self._play(script, database, keeper))
                    await self._check(database)
                except Exception as error:
                    await self._tell_shortest(batch[: len(traces) - first + 1], error)
                    raise
            async with database.reader() as tx:
                signed = {row["txid"] for row in await tx.fetch(_SIGNED)}
            assert signed <= keeper.issued(), "signed, and not in the signer's audit"
        return traces

    async def _tell_shortest(self, played: Sequence[Script], error: Exception) -> None:
        for script in reversed(played):
            if await self._fails(script):
                break
        else:
            error.add_note("alone it does not fail: play it with those before it")
            return
        shortest = await shorten(script, self._fails)
        acts = "\n  ".join(str(act) for act in (*shortest.acts, *shortest.strikes))
        error.add_note(f"make sim N=1 SEED={script.seed}; the shortest that still fails:\n  {acts}")

    async def _fails(self, script: Script) -> bool:
        async with self._copy() as (database, keeper):
            try:
                await self._play(script, database, keeper)
                await self._check(database)
            except Exception:
                return True
            return False

    async def _play(self, script: Script, database: Database, keeper: Keeper) -> list[str]:
        stage = self._stage(script, database, keeper)
        try:
            return await play(stage, script)
        finally:
            self.struck.update(stage.struck)

    async def _check(self, database: Database) -> None:
        """Hold the books against themselves, and against the chains to the unit."""
        world = replace(self.world, database=database)
        await world.check()
        await world.check_custody()

    def _stage(self, script: Script, database: Database, keeper: Keeper) -> Stage:
        clock, inbox = self.world.clock, Post()
        world = replace(
            self.world,
            database=database,
            wall=clock,
            payins=Payins(registry=REGISTRY, allocator=Allocator(database, RING), market=market, clock=clock),
            inbox=inbox,
            relay=Relay(database, inbox, SECRETS, clock=clock, jitter=lambda: 0),
            watchers={},
            chains={},
        )
        return Stage(
            world=world,
            cashier=Cashier(world, RING, clock, vault=VAULT),
            person=replace(self.person, database=database),
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
        database = await WarmDatabase.open(self.server.dsn(APP_ROLE, name))
        with tempfile.TemporaryDirectory(prefix="blp-", dir=roomy_memory() or "/tmp") as folder:
            keeper = Keeper(Path(folder) / "signer", self.world.clock, {asset: _pinned(asset) for _, asset in CASTS})
            try:
                yield database, keeper
            finally:
                keeper.die()
                await database.close()
                await _drop(self.server, name)


async def _let_home(cashier: Cashier) -> Person:
    """Set up a person of the merchant, who binds an address on every network; the addresses have rested."""
    world = cashier.world
    person = await Person.of(world.database, world.merchant, cashier.wall)
    homes = Homes(world.database, REGISTRY, person.checks, world.clock)
    for network_id, _ in CASTS:
        network = REGISTRY.networks[network_id]
        target = show_address(network, address_from(network, sha256(b"home").digest()))
        cashier.wall.advance(timedelta(seconds=30))
        await homes.bind(NewHome(world.merchant, network, BOUND, target, ""), person.shown())
    await cashier.pass_time(HOLD)
    return person


def _pinned(asset: str) -> str:
    return address_from(REGISTRY.networks[REGISTRY.assets[asset].network], sha256(b"cold").digest())


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
