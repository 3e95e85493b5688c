"""One person of one merchant per test, and an office where that person works."""

from collections.abc import AsyncIterator
from uuid import UUID

import pytest
from tests.authorizations.people import Person, stored_merchant
from tests.flows.harness import World
from tests.flows.paying import Cashier
from tests.flows.settling import Office
from tests.support.clock import ManualClock

from bitlinkpay.db.pool import Database
from bitlinkpay.signer.keyring import KeyRing
from bitlinkpay.signer.keys import derive_keyring


@pytest.fixture
async def person(database: Database) -> Person:
    return await Person.of(database, await stored_merchant(database), ManualClock())


@pytest.fixture
async def authorization_id(person: Person) -> UUID:
    return (await person.authorize("anything")).authorization_id


@pytest.fixture(scope="session")
def ring() -> KeyRing:
    return derive_keyring(bytes(range(64)))


@pytest.fixture
async def office(database: Database, clock: ManualClock, ring: KeyRing) -> AsyncIterator[Office]:
    """With 10,000 USDT of liquidity and a merchant who earned 100; whatever was done, the books hold at the end."""
    found = await Office.open(Cashier(await World.start(database, clock, ring), ring, ManualClock()))
    await found.fund()
    await found.earn("100")
    yield found
    await found.world.check()
