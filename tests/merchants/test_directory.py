"""Identity at every request: quick, bounded, and never long out of date."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest
from tests.merchants.conftest import NOW
from tests.support.clock import ManualClock
from tests.support.news import until_heard
from tests.support.sealing import SEALER

from bitlinkpay.core.errors import Unavailable
from bitlinkpay.db.pool import Database, Limits, Tx
from bitlinkpay.merchants import service
from bitlinkpay.merchants import shelf as module
from bitlinkpay.merchants.authority import Authority
from bitlinkpay.merchants.certificates import PUBLISHED
from bitlinkpay.merchants.directory import Directory
from bitlinkpay.merchants.model import Identity, MerchantState
from bitlinkpay.merchants.service import Created
from bitlinkpay.merchants.store import CHANNEL


class Seconds:
    """A monotonic clock that stands still."""

    def __init__(self) -> None:
        self.value = 1000.0

    def __call__(self) -> float:
        return self.value


@pytest.fixture
def seconds() -> Seconds:
    return Seconds()


@pytest.fixture
def directory(database: Database, seconds: Seconds) -> Directory:
    return Directory(database, monotonic_s=seconds)


@pytest.fixture
async def other_process(app_dsn: str) -> AsyncIterator[Database]:
    found = await Database.connect(app_dsn)
    yield found
    await found.close()


async def known(directory: Directory, spki: bytes) -> Identity:
    found = await directory.find_by_spki(spki)
    assert found is not None
    return found


async def eventually(check: Callable[[], Awaitable[bool]]) -> None:
    for _ in range(3000):
        if await check():
            return
        await asyncio.sleep(0.02)
    pytest.fail("it did not come to pass within a minute")


async def test_a_certificate_identifies_its_merchant(directory: Directory, created: Created) -> None:
    found = await directory.find_by_spki(created.credentials.spki)
    assert found is not None
    assert found.merchant == created.merchant
    assert not found.is_revoked
    assert await directory.find_by_broker(created.merchant.broker) == created.merchant


@pytest.mark.parametrize("spki", [b"", b"\x00" * 32, b"\x00" * 31, b"\xff" * 64])
async def test_strangers_are_nobody(directory: Directory, created: Created, spki: bytes) -> None:
    assert await directory.find_by_spki(spki) is None


@pytest.mark.parametrize("broker", ["", "nobody", "x" * 65, "a'; drop table merchants --", "\u202e"])
async def test_strange_brokers_are_nobody(directory: Directory, created: Created, broker: str) -> None:
    assert await directory.find_by_broker(broker) is None


async def test_API_02_the_certificate_decides_who_asks(
    directory: Directory, database: Database, authority: Authority, created: Created
) -> None:
    """The name in `w-broker` is compared with what this returns; it never leads to another merchant."""
    async with database.transaction() as tx:
        other = await service.create(tx, authority, SEALER, "Coffee", now=NOW)
    found = await directory.find_by_spki(created.credentials.spki)
    assert found is not None
    assert found.merchant.broker == created.merchant.broker != other.merchant.broker


@pytest.mark.parametrize("spki", sorted(PUBLISHED))
async def test_API_03_published_keys_are_nobody_even_when_the_database_knows_them(
    directory: Directory, database: Database, created: Created, spki: bytes
) -> None:
    async with database.transaction() as tx:
        await tx.execute("update merchant_certificates set spki = $1", spki)
    assert await directory.find_by_spki(spki) is None
    found = await Directory(database, denied=frozenset()).find_by_spki(spki)
    assert found is not None


async def test_answers_come_from_memory_for_a_few_seconds(
    directory: Directory, database: Database, created: Created, seconds: Seconds
) -> None:
    assert module.LIFE_S <= 5
    spki, broker = created.credentials.spki, created.merchant.broker
    await directory.find_by_spki(spki)
    await directory.find_by_broker(broker)
    async with database.transaction() as tx:
        await tx.execute("update merchants set fee_ppm = 1")
    seconds.value += module.LIFE_S - 0.01
    assert (await known(directory, spki)).merchant.fee_ppm == 3000
    assert (await directory.find_by_broker(broker)) == created.merchant
    seconds.value += 0.02
    assert (await known(directory, spki)).merchant.fee_ppm == 1
    assert (await directory.find_by_broker(broker)) == replace(created.merchant, fee_ppm=1)


async def test_API_05_a_revocation_without_notification_holds_after_five_seconds(
    directory: Directory, database: Database, created: Created, seconds: Seconds
) -> None:
    spki = created.credentials.spki
    assert not (await known(directory, spki)).is_revoked
    async with database.transaction() as tx:
        await service.revoke_certificate(tx, created.merchant.merchant_id, spki, now=datetime.now(UTC))
    seconds.value += 5
    assert (await known(directory, spki)).is_revoked


async def test_API_05_a_revocation_is_heard_at_once(
    directory: Directory, database: Database, other_process: Database, created: Created
) -> None:
    """The monotonic clock stands still, so only the notification can have done it."""
    spki = created.credentials.spki
    await directory.start()
    await until_heard(database, CHANNEL)
    assert not (await known(directory, spki)).is_revoked
    async with other_process.transaction() as tx:
        await service.revoke_certificate(tx, created.merchant.merchant_id, spki, now=datetime.now(UTC))

    async def is_revoked() -> bool:
        return (await known(directory, spki)).is_revoked

    await eventually(is_revoked)


async def test_API_05_revoking_the_merchant_ends_all_its_certificates(
    directory: Directory, database: Database, authority: Authority, created: Created
) -> None:
    async with database.transaction() as tx:
        second = await service.issue_certificate(tx, authority, created.merchant.merchant_id, now=NOW)
        await service.revoke(tx, created.merchant.merchant_id, now=datetime.now(UTC))
    for spki in (created.credentials.spki, second.spki):
        assert (await known(directory, spki)).is_revoked


async def test_API_05_an_open_connection_outlives_its_certificate_by_nothing(
    database: Database, created: Created
) -> None:
    """TLS looks at the dates once, at the handshake; a rotation's end may come later too."""
    wall = ManualClock(NOW)
    directory = Directory(database, wall=wall, monotonic_s=Seconds())
    assert not (await known(directory, created.credentials.spki)).is_revoked
    wall.advance(timedelta(days=5 * 365))
    assert (await known(directory, created.credentials.spki)).is_revoked


async def test_API_44_a_suspension_holds_from_the_next_request_on(
    directory: Directory, database: Database, created: Created
) -> None:
    spki = created.credentials.spki
    await directory.start()
    await until_heard(database, CHANNEL)
    running = await directory.find_by_spki(spki)
    async with database.transaction() as tx:
        await service.suspend(tx, created.merchant.merchant_id, now=NOW)

    async def is_suspended() -> bool:
        found = await directory.find_by_spki(spki)
        return found is not None and found.merchant.state is MerchantState.SUSPENDED

    await eventually(is_suspended)
    assert running is not None
    assert running.merchant.state is MerchantState.ACTIVE  # the request under way keeps what it was let in with


async def test_API_44_rotation_changes_who_is_let_in_only_after_the_overlap(
    database: Database, authority: Authority, created: Created
) -> None:
    wall = ManualClock(NOW)
    directory = Directory(database, wall=wall)
    async with database.transaction() as tx:
        fresh = await service.rotate_certificates(
            tx, authority, created.merchant.merchant_id, now=NOW, overlap=timedelta(hours=1)
        )
    for moment, expected in ((NOW, (False, False)), (NOW + timedelta(hours=1), (True, False))):
        wall.set(moment)
        found = [await directory.find_by_spki(spki) for spki in (created.credentials.spki, fresh.spki)]
        assert tuple(one.is_revoked for one in found if one) == expected


async def test_a_new_merchant_is_known_at_once_though_it_was_asked_for_before(
    directory: Directory, database: Database, other_process: Database, authority: Authority, created: Created
) -> None:
    await directory.start()
    await until_heard(database, CHANNEL)
    async with other_process.transaction() as tx:
        fresh = await service.issue_certificate(tx, authority, created.merchant.merchant_id, now=NOW)
        assert await directory.find_by_spki(fresh.spki) is None

    async def is_known() -> bool:
        return await directory.find_by_spki(fresh.spki) is not None

    await eventually(is_known)


async def test_absences_live_shortly(
    directory: Directory, database: Database, created: Created, seconds: Seconds
) -> None:
    stranger = b"\x07" * 32
    assert await directory.find_by_spki(stranger) is None
    async with database.transaction() as tx:
        await tx.execute("update merchant_certificates set spki = $1", stranger)
    assert await directory.find_by_spki(stranger) is None
    seconds.value += module.ABSENT_LIFE_S
    assert await directory.find_by_spki(stranger) is not None


async def test_strangers_fill_no_memory_and_push_nobody_out(
    directory: Directory, database: Database, created: Created, seconds: Seconds
) -> None:
    await directory.find_by_spki(created.credentials.spki)
    for start in range(0, module.MOST_ABSENT + 400, 400):
        await asyncio.gather(*(directory.find_by_spki(n.to_bytes(32, "big")) for n in range(start, start + 400)))
    shelf = directory._by_spki
    assert len(shelf._absent) == module.MOST_ABSENT
    assert list(shelf._known) == [created.credentials.spki]
    assert not shelf._loading


async def count_waiting_for_a_lock(tx: Tx) -> int:
    found: int = await tx.fetchval(
        "select count(*) from pg_locks where not granted"
        " and database = (select oid from pg_database where datname = current_database())"
    )
    return found


async def is_waiting_for_a_lock(tx: Tx) -> bool:
    return await count_waiting_for_a_lock(tx) > 0


async def test_many_at_once_ask_once(directory: Directory, other_process: Database, created: Created) -> None:
    async with other_process.transaction() as tx:
        await tx.execute("lock table merchant_certificates in access exclusive mode")
        waiting = [asyncio.create_task(directory.find_by_spki(created.credentials.spki)) for _ in range(50)]
        await eventually(lambda: is_waiting_for_a_lock(tx))
        blocked = await count_waiting_for_a_lock(tx)
        waiting[0].cancel()  # who gives up does not stop the others
    found = await asyncio.gather(*waiting[1:])
    assert blocked == 1
    assert {one.merchant.merchant_id for one in found if one} == {created.merchant.merchant_id}


async def test_an_answer_overtaken_by_a_change_is_not_kept(
    directory: Directory, other_process: Database, created: Created
) -> None:
    """The read began before the change and ends after its notification."""
    async with other_process.transaction() as tx:
        await tx.execute("lock table merchant_certificates in access exclusive mode")
        waiting = asyncio.create_task(directory.find_by_spki(created.credentials.spki))
        await asyncio.sleep(0.05)
        directory.forget(created.merchant.merchant_id.hex)
    assert await waiting is not None
    assert not directory._by_spki._known


async def test_one_merchants_change_leaves_the_others_in_memory(
    directory: Directory, database: Database, authority: Authority, created: Created
) -> None:
    async with database.transaction() as tx:
        other = await service.create(tx, authority, SEALER, "Coffee", now=NOW)
    for one in (created, other):
        await directory.find_by_spki(one.credentials.spki)
        await directory.find_by_broker(one.merchant.broker)
    directory.forget(other.merchant.merchant_id.hex)
    assert list(directory._by_spki._known) == [created.credentials.spki]
    assert list(directory._by_broker._known) == [created.merchant.broker]
    directory.forget()
    assert not directory._by_spki._known
    assert not directory._by_broker._known


async def test_without_a_database_nobody_is_let_in_on_an_old_entry(
    app_dsn: str, created: Created, schema_owner_dsn: str
) -> None:
    seconds = Seconds()
    short = Limits(lock=timedelta(milliseconds=100))
    database = await Database.connect(app_dsn, limits=short)
    directory = Directory(database, monotonic_s=seconds)
    spki = created.credentials.spki
    assert await directory.find_by_spki(spki) is not None
    owner = await asyncpg.connect(schema_owner_dsn)
    async with owner.transaction():
        await owner.execute("lock table merchant_certificates in access exclusive mode")
        assert await directory.find_by_spki(spki) is not None
        seconds.value += module.LIFE_S
        with pytest.raises(Unavailable):
            await directory.find_by_spki(spki)
    assert await directory.find_by_spki(spki) is not None
    await owner.close()
    await database.close()
