"""Blocks of indexes while connections break and processes are killed."""

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.support.server import TestServer
from tests.support.wire import Fault, Wire, listening

import bitlinkpay
from bitlinkpay.core.assets import Network
from bitlinkpay.core.errors import Unavailable
from bitlinkpay.db.cluster import APP_ROLE
from bitlinkpay.db.pool import Database
from bitlinkpay.signer.keyring import KeyRing
from bitlinkpay.wallets.service import Allocator, import_keyring

SOURCE = Path(bitlinkpay.__file__).parents[1]
TAKER = """
import asyncio, sys
from bitlinkpay.chains.registry import load_registry
from bitlinkpay.db.pool import Database
from bitlinkpay.wallets.service import Allocator, get_keyring

async def main():
    database = await Database.connect(sys.argv[1], size=2)
    async with database.reader() as tx:
        ring = await get_keyring(tx)
    allocator = Allocator(database, ring)
    networks = list(load_registry().networks.values())
    while True:
        for network in networks:
            if network.id != "solana":
                taken = await allocator.take(network)
                sys.stdout.write(f"{taken.address}/{taken.tag}\\n")
        sys.stdout.flush()

asyncio.run(main())
"""


@pytest.fixture
async def wire(server: TestServer) -> Wire:
    return Wire(Path(server.host) / f".s.PGSQL.{server.port}")


@pytest.fixture
async def wired(wire: Wire, database_name: str) -> AsyncIterator[Database]:
    """The test's database, through a wire that can be cut."""
    with tempfile.TemporaryDirectory(prefix="blp-", dir="/tmp") as folder:
        async with listening(wire, Path(folder)) as host:
            found = await Database.connect(f"postgresql://{APP_ROLE}@/{database_name}?host={host}", size=2)
            yield found
            await found.close()


@pytest.fixture
def shaky(allocator: Allocator, wired: Database, ring: KeyRing) -> Allocator:
    """Another process's allocator, behind the wire."""
    return Allocator(wired, ring)


@pytest.mark.parametrize("fault", [Fault.CUT_BEFORE, Fault.CUT_AFTER])
async def test_LED_08_a_block_lost_at_commit_is_a_gap_and_never_a_repeat(
    allocator: Allocator, shaky: Allocator, wire: Wire, networks: dict[str, Network], fault: Fault
) -> None:
    """Whether the server committed cannot be known: the next block is taken, either way nothing is doubled."""
    before = [(await allocator.take(networks["tron"])).address for _ in range(5)]
    wire.arm(lambda _number, request: fault if b"COMMIT" in request and wire.fired == 0 else None)
    taken = [(await shaky.take(networks["tron"])).address for _ in range(40)]
    assert wire.fired == 1
    assert len({*before, *taken}) == 45


@pytest.mark.parametrize("fault", [Fault.SERIALIZATION, Fault.DEADLOCK, Fault.CUT_BEFORE, Fault.CUT_AFTER])
async def test_LED_07_a_fault_at_any_request_costs_at_most_indexes(
    wired: Database, wire: Wire, ring: KeyRing, networks: dict[str, Network], fault: Fault
) -> None:
    async with wired.transaction() as tx:
        await import_keyring(tx, ring)
    for name in ("ethereum", "solana", "ton"):
        places = []
        for at in range(1, 5):
            wire.arm(lambda number, _request, at=at: fault if number == at and wire.fired == 0 else None)
            places.append(await Allocator(wired, ring).take(networks[name]))
        assert len({(place.address, place.tag) for place in places}) == 4


async def test_a_database_that_stays_away_is_said_and_forgotten_when_it_returns(
    shaky: Allocator, wire: Wire, networks: dict[str, Network]
) -> None:
    wire.arm(lambda _number, _request: Fault.SERIALIZATION)
    waiting = await asyncio.gather(*(shaky.take(networks["bitcoin"]) for _ in range(3)), return_exceptions=True)
    assert all(isinstance(outcome, Unavailable) for outcome in waiting)
    wire.arm(lambda _number, _request: None)
    assert (await shaky.take(networks["bitcoin"])).address.startswith("bc1q")


def launch(dsn: str) -> "subprocess.Popen[str]":
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(SOURCE)}
    return subprocess.Popen([sys.executable, "-c", TAKER, dsn], env=environment, stdout=subprocess.PIPE, text=True)


def kill_in_the_middle(process: "subprocess.Popen[str]") -> list[str]:
    """Return the whole lines that the process managed to print: a hundred, and what else it does meanwhile."""
    assert process.stdout is not None
    first = [process.stdout.readline() for _ in range(100)]
    process.send_signal(signal.SIGKILL)
    rest, _ = process.communicate()
    return [line for line in [*first, *rest.splitlines(keepends=True)] if line.endswith("\n")]


def test_DEP_14_processes_killed_in_the_middle_of_it_never_share_an_address(app_dsn: str, ring: KeyRing) -> None:
    """Real processes, SIGKILL while they take, others beside and after them."""
    asyncio.run(prepare(app_dsn, ring))
    places: list[str] = []
    for _ in range(2):
        for process in [launch(app_dsn), launch(app_dsn)]:
            places += kill_in_the_middle(process)
    assert len(places) >= 400
    assert len(places) == len(set(places))


async def prepare(dsn: str, ring: KeyRing) -> None:
    database = await Database.connect(dsn)
    async with database.transaction() as tx:
        await import_keyring(tx, ring)
    await database.close()
