"""The mode of a deployment is written once."""

import asyncio

import pytest
from asyncpg.exceptions import InsufficientPrivilegeError, UniqueViolationError

from bitlinkpay.core.errors import Kind
from bitlinkpay.core.ids import new_uuid7
from bitlinkpay.db.deployment import Mode, WrongMode, claim_mode, find_deployment
from bitlinkpay.db.pool import Database, Tx


async def claim(database: Database, mode: Mode):
    async def work(tx: Tx):
        return await claim_mode(tx, mode)

    return await database.unit(work)


@pytest.mark.parametrize("mode", list(Mode))
async def test_the_first_start_writes_the_mode_and_later_ones_find_it(database: Database, mode: Mode):
    async with database.reader() as tx:
        assert await find_deployment(tx) is None
    first = await claim(database, mode)
    assert first.mode is mode
    assert await claim(database, mode) == first
    async with database.reader() as tx:
        assert await find_deployment(tx) == first


@pytest.mark.parametrize(("created", "started"), [(Mode.SANDBOX, Mode.LIVE), (Mode.LIVE, Mode.SANDBOX)])
async def test_a_start_in_the_other_mode_is_refused(database: Database, created: Mode, started: Mode):
    first = await claim(database, created)
    with pytest.raises(WrongMode, match="another data folder") as refused:
        await claim(database, started)
    assert refused.value.kind is Kind.CONFLICT
    assert await claim(database, created) == first


async def test_processes_that_start_together_agree(database: Database):
    found = await asyncio.gather(*(claim(database, Mode.SANDBOX) for _ in range(8)))
    assert len(set(found)) == 1


@pytest.mark.parametrize(
    "statement", ["UPDATE deployment SET mode = 'live'", "DELETE FROM deployment", "TRUNCATE deployment"]
)
async def test_the_application_cannot_change_it(database: Database, statement: str):
    await claim(database, Mode.SANDBOX)
    with pytest.raises(InsufficientPrivilegeError):
        async with database.transaction() as tx:
            await tx.execute(statement)


async def test_there_is_never_a_second_row(database: Database):
    await claim(database, Mode.SANDBOX)
    with pytest.raises(UniqueViolationError):
        async with database.transaction() as tx:
            await tx.execute("INSERT INTO deployment (deployment_id, mode) VALUES ($1, 'live')", new_uuid7())
