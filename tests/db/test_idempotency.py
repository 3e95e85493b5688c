"""Kept answers: one a key and merchant, for 24 hours, in the transaction of the work."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from bitlinkpay.core.ids import new_uuid7
from bitlinkpay.db import idempotency
from bitlinkpay.db.idempotency import KEPT, Key, Stored
from bitlinkpay.db.pool import Database

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
async def key(database: Database) -> Key:
    """A key of a merchant that there is."""
    merchant_id = new_uuid7()
    async with database.transaction() as tx:
        await tx.execute(
            """insert into merchants (merchant_id, broker, name, state, pricing_currency, callback_url,
               callback_statuses, fee_ppm, policy, order_life, return_hosts, lang, support, accent, allowed_assets,
               rate_per_minute, created_at)
               values ($1, 'teahouse', 'Tea', 'active', 'CNY', '', '{8}', 0, '{}', interval '1 hour', '{}', '', '', '',
               '{}', 60, now())""",
            merchant_id,
        )
    return Key(merchant_id, "key-1", b"h" * 32)


async def keep(database: Database, key: Key, body: bytes = b"{}", *, at: datetime = NOW, status: int = 201) -> None:
    await database.unit(lambda tx: idempotency.keep(tx, key, status, body, now=at))


async def find(database: Database, key: Key, *, at: datetime = NOW) -> Stored | None:
    return await database.unit(lambda tx: idempotency.find(tx, key, now=at))


async def test_an_answer_is_found_as_it_was_kept(database: Database, key: Key) -> None:
    assert await find(database, key) is None
    await keep(database, key, b'{"a":1}')
    assert await find(database, key) == Stored(b"h" * 32, 201, b'{"a":1}')
    assert await find(database, replace(key, request_hash=b"x" * 32)) == Stored(b"h" * 32, 201, b'{"a":1}')
    assert await find(database, replace(key, text="key-2")) is None
    assert await find(database, replace(key, merchant_id=UUID(int=7))) is None


async def test_the_first_answer_stays(database: Database, key: Key) -> None:
    await keep(database, key, b"first")
    await keep(database, key, b"second", status=409)
    found = await find(database, key)
    assert found is not None
    assert (found.status, found.body) == (201, b"first")


async def test_after_24_hours_a_key_is_new(database: Database, key: Key) -> None:
    await keep(database, key, b"first")
    assert await find(database, key, at=NOW + KEPT - timedelta(seconds=1)) is not None
    later = NOW + KEPT
    assert await find(database, key, at=later) is None
    await keep(database, replace(key, request_hash=b"x" * 32), b"second", at=later)
    assert await find(database, key, at=later) == Stored(b"x" * 32, 201, b"second")


async def test_what_is_old_is_forgotten_and_nothing_else(database: Database, key: Key) -> None:
    for n in range(5):
        await keep(database, replace(key, text=f"key-{n}"), at=NOW + timedelta(hours=n))
    assert await database.unit(lambda tx: idempotency.purge(tx, NOW + KEPT + timedelta(hours=2))) == 3
    assert await database.unit(lambda tx: idempotency.purge(tx, NOW + KEPT + timedelta(hours=2))) == 0
    assert await find(database, replace(key, text="key-3"), at=NOW + timedelta(hours=4)) is not None


async def test_a_key_is_taken_by_one_transaction_at_a_time_and_nobody_waits(database: Database, key: Key) -> None:
    async with database.transaction() as one:
        assert await idempotency.take(one, key)
        assert await idempotency.take(one, key)  # by itself again
        async with database.transaction() as two:
            assert not await idempotency.take(two, key)
            assert await idempotency.take(two, replace(key, text="key-2"))
            assert await idempotency.take(two, replace(key, merchant_id=UUID(int=7)))
    async with database.transaction() as three:
        assert await idempotency.take(three, key)


@pytest.mark.parametrize("is_committed", [True, False])
async def test_a_key_is_free_when_its_transaction_ends_however_it_ends(
    database: Database, key: Key, is_committed: bool
) -> None:
    try:
        async with database.transaction() as tx:
            assert await idempotency.take(tx, key)
            await idempotency.keep(tx, key, 201, b"{}", now=NOW)
            if not is_committed:
                raise ZeroDivisionError
    except ZeroDivisionError:
        pass
    async with database.transaction() as tx:
        assert await idempotency.take(tx, key)
        assert (await idempotency.find(tx, key, now=NOW) is not None) == is_committed
