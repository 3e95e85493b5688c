"""A platform per test."""

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from tests.flows.harness import Pace, World
from tests.support.clock import ManualClock

from bitlinkpay.db.pool import Database
from bitlinkpay.signer.keyring import KeyRing
from bitlinkpay.signer.keys import derive_keyring

Start = Callable[..., Awaitable[World]]


@pytest.fixture(scope="session")
def ring() -> KeyRing:
    return derive_keyring(bytes(range(64)))


@pytest.fixture
def pace() -> Pace:
    """How blocks are followed; modules whose cases must end alike either way override it with both."""
    return Pace.AT_SIGHT


@pytest.fixture
async def start(database: Database, clock: ManualClock, ring: KeyRing, pace: Pace) -> AsyncIterator[Start]:
    """Start the platform with a merchant on given terms."""
    started: list[World] = []

    async def make(**terms: object) -> World:
        started.append(await World.start(database, clock, ring, pace=pace, **terms))
        return started[-1]

    yield make
    for world in started:
        await world.settle()


@pytest.fixture
async def world(start: Start) -> World:
    return await start()
