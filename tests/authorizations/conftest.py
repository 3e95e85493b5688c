"""One person of one merchant per test."""

import pytest
from tests.authorizations.people import Person, stored_merchant
from tests.support.clock import ManualClock

from bitlinkpay.db.pool import Database


@pytest.fixture
def wall() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def person(database: Database, wall: ManualClock) -> Person:
    return await Person.of(database, await stored_merchant(database), wall)
