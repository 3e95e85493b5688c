"""The sandbox's clock: moves forward only, for every process, and survives restarts."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from tests.sandbox.world import minutes

from bitlinkpay.core.clock import Clock
from bitlinkpay.core.errors import Invalid
from bitlinkpay.db.pool import Database
from bitlinkpay.sandbox.clock import SandboxClock
from bitlinkpay.sandbox.service import advance


async def move(database: Database, by: timedelta) -> timedelta:
    return await database.unit(lambda tx: advance(tx, by))


def test_business_time_is_wall_time_plus_offset() -> None:
    clock: Clock = SandboxClock(minutes(30))
    before = datetime.now(UTC)
    assert before <= clock.now() - minutes(30) <= datetime.now(UTC)
    assert clock.now().tzinfo is UTC


async def test_offsets_add_up_and_outlive_the_process(database: Database) -> None:
    assert await move(database, minutes(30)) == minutes(30)
    assert await move(database, timedelta(microseconds=1)) == minutes(30) + timedelta(microseconds=1)
    clock = SandboxClock()
    await clock.refresh(database)
    assert clock.offset == minutes(30) + timedelta(microseconds=1)


async def test_an_untouched_sandbox_runs_on_wall_time(database: Database) -> None:
    clock = SandboxClock()
    await clock.refresh(database)
    assert clock.offset == timedelta(0)


@pytest.mark.parametrize("by", [timedelta(0), minutes(-1), timedelta(days=3661)])
async def test_the_clock_moves_forward_only(database: Database, by: timedelta) -> None:
    with pytest.raises(Invalid) as caught:
        await move(database, by)
    assert caught.value.param == "by"
    async with database.reader() as tx:
        assert await tx.fetchval("SELECT count(*) FROM sandbox_clock") == 0


async def test_business_time_never_goes_back_in_a_process(database: Database) -> None:
    clock = SandboxClock(minutes(90))
    await move(database, minutes(30))
    await clock.refresh(database)
    assert clock.offset == minutes(90)


async def test_parallel_moves_all_count(database: Database) -> None:
    await asyncio.gather(*(move(database, minutes(1)) for _ in range(10)))
    clock = SandboxClock()
    await clock.refresh(database)
    assert clock.offset == minutes(10)


async def wait_for(clock: SandboxClock, offset: timedelta) -> None:
    async with asyncio.timeout(60):
        while clock.offset != offset:
            await asyncio.sleep(0.01)


async def test_every_process_follows(database: Database, app_dsn: str) -> None:
    other = await Database.connect(app_dsn)
    clocks = [SandboxClock(), SandboxClock()]
    following = [asyncio.create_task(clocks[0].follow(database)), asyncio.create_task(clocks[1].follow(other))]
    for hours in (1, 2, 3):
        await move(database, timedelta(hours=1))
        for clock in clocks:
            await wait_for(clock, timedelta(hours=hours))
    for task in following:
        task.cancel()
    await asyncio.gather(*following, return_exceptions=True)
    await other.close()


async def test_the_clock_is_followed_without_notifications_too(database: Database, app_dsn: str) -> None:
    """Polling alone stays correct: here the LISTEN connection goes to a place where nobody notifies."""
    deaf = await Database.connect(app_dsn, listen_dsn=app_dsn.replace("/test_", "/nowhere_"))
    clock = SandboxClock()
    following = asyncio.create_task(clock.follow(deaf))
    await asyncio.sleep(0.05)
    await move(database, minutes(5))
    await wait_for(clock, minutes(5))
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)
    await deaf.close()


async def test_a_lost_database_leaves_the_clock_running(database: Database, app_dsn: str, caplog) -> None:
    clock = SandboxClock()
    gone = await Database.connect(app_dsn)
    await move(database, minutes(5))
    following = asyncio.create_task(clock.follow(gone))
    await wait_for(clock, minutes(5))
    async with database.transaction() as tx:
        await tx.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
            " AND pid <> pg_backend_pid()"
        )
    await move(database, minutes(5))
    await wait_for(clock, minutes(10))
    assert not following.done()
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)
    await gone.close()
