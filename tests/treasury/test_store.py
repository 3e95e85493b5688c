"""What a paying wallet has left: less what waits for it, or less only what transactions take already."""

import pytest
from tests.sending.test_queue import sending
from tests.sending.test_stores import queue
from tests.sending.test_waits import carry, force
from tests.treasury.test_owner import hold
from tests.treasury.test_weighing import NATIVE, TOKEN

from bitlinkpay.core.assets import Asset
from bitlinkpay.core.ids import TransactionId, new_uuid7
from bitlinkpay.db.pool import Database
from bitlinkpay.sending.model import SendingState
from bitlinkpay.sending.outputs import store as outputs
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


async def test_what_has_ended_is_not_read_again(database: Database) -> None:
    """A treasury looks every few seconds: what that costs must not grow with the payments of years."""
    async with database.transaction() as tx:
        await tx.execute("set local enable_seqscan = off")
        await store.free_units(tx, ACCOUNT, WALLET, NATIVE)
        await store.idle_units(tx, ACCOUNT, WALLET, NATIVE)
        await store.joining_units(tx, NATIVE.network, WALLET)
        await outputs.list_spent(tx, [TransactionId(new_uuid7())])
        rows = await tx.fetch("select relname, seq_scan, idx_scan from pg_stat_xact_user_tables where idx_scan > 0")
    found = {row["relname"]: (row["seq_scan"], row["idx_scan"]) for row in rows}
    assert found["sendings"] == (0, 3)
    assert found["unspents"] == (0, 1)
