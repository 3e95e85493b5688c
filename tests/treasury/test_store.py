"""What a paying wallet has left: less what waits for it, or less only what transactions take already."""

import pytest
from tests.sending.test_queue import sending
from tests.sending.test_stores import queue
from tests.sending.test_waits import carry, force
from tests.treasury.test_owner import hold
from tests.treasury.test_weighing import NATIVE, TOKEN

from bitlinkpay.core.assets import Asset
from bitlinkpay.db.pool import Database
from bitlinkpay.sending.model import SendingState
from bitlinkpay.treasury import store

ACCOUNT, WALLET = "custody:hot:hot", "hot"


async def left(database: Database, asset: Asset) -> tuple[int, int]:
    async with database.reader() as tx:
        free = await store.free_units(tx, ACCOUNT, WALLET, asset)
        return free, await store.idle_units(tx, ACCOUNT, WALLET, asset)


async def test_what_waits_in_the_queue_is_not_free_and_idle_all_the_same(database: Database) -> None:
    assert await left(database, NATIVE) == (0, 0)
    await hold(database, ACCOUNT, 100, NATIVE.id)
    await hold(database, ACCOUNT, 100, TOKEN.id)
    await queue(database, sending(130, fee=7), sending(20, asset=NATIVE.id, fee=7))
    assert await left(database, NATIVE) == (100 - 20 - 14, 100)
    assert await left(database, TOKEN) == (-30, 100)


@pytest.mark.parametrize("state", [SendingState.SENDING, SendingState.UNCERTAIN, SendingState.CONFIRMING])
async def test_what_a_transaction_takes_is_neither(database: Database, state: SendingState) -> None:
    await hold(database, ACCOUNT, 100, NATIVE.id)
    await carry(database, sending(20, asset=NATIVE.id, fee=7))
    await force(database, state)
    assert await left(database, NATIVE) == (73, 73)
    await force(database, SendingState.DELIVERED)
    assert await left(database, NATIVE) == (100, 100)
