"""One authority counts for a deployment: the first, until a person adopts another."""

import asyncio
from pathlib import Path

import pytest
from tests.merchants.conftest import HOSTS, NOW

from bitlinkpay.db.pool import Database
from bitlinkpay.merchants import recognition
from bitlinkpay.merchants.authority import Authority
from bitlinkpay.merchants.model import Fingerprint
from bitlinkpay.merchants.recognition import AuthorityDiffers, AuthorityElsewhere

FIRST, SECOND = (Fingerprint(bytes([n]) * 32, bytes([n + 1]) * 32) for n in (1, 7))


async def recognise(database: Database, here: Fingerprint) -> None:
    await database.unit(lambda tx: recognition.recognise(tx, here))


async def adopt(database: Database, here: Fingerprint) -> None:
    await database.unit(lambda tx: recognition.adopt(tx, here), races=("authorities_pkey",))


async def found(database: Database) -> Fingerprint | None:
    async with database.reader() as tx:
        return await recognition.find(tx)


async def test_the_first_authority_counts_and_any_other_is_refused(database: Database):
    assert await found(database) is None
    await recognise(database, FIRST)
    await recognise(database, FIRST)
    for other in (SECOND, Fingerprint(FIRST.ca, SECOND.envelope), Fingerprint(SECOND.ca, FIRST.envelope)):
        with pytest.raises(AuthorityDiffers, match="authority adopt"):
            await recognise(database, other)
    assert await found(database) == FIRST


async def test_of_two_hosts_that_start_at_once_one_is_refused(database: Database):
    ends = await asyncio.gather(*(recognise(database, one) for one in (FIRST, SECOND)), return_exceptions=True)
    assert sorted(type(end).__name__ for end in ends) == ["AuthorityDiffers", "NoneType"]


async def test_an_adopted_authority_counts_and_the_one_before_does_not(database: Database):
    await recognise(database, FIRST)
    await adopt(database, SECOND)
    await recognise(database, SECOND)
    with pytest.raises(AuthorityDiffers):
        await recognise(database, FIRST)
    await asyncio.gather(*(adopt(database, one) for one in (FIRST, SECOND, FIRST)))
    assert await found(database) in (FIRST, SECOND)


async def test_adopting_what_counts_already_writes_nothing(database: Database):
    for _ in range(2):
        await adopt(database, FIRST)
    async with database.reader() as tx:
        assert await tx.fetchval("select count(*) from authorities") == 1


async def test_a_host_without_a_copy_is_refused_only_once_there_is_an_authority(database: Database, tmp_path: Path):
    folder = tmp_path / "keys"
    async with database.reader() as tx:
        await recognition.check_folder(tx, folder)
    await recognise(database, FIRST)
    async with database.reader() as tx:
        with pytest.raises(AuthorityElsewhere, match="copy keys/"):
            await recognition.check_folder(tx, folder)
    made = Authority.open(folder, HOSTS, now=NOW)
    assert made.fingerprint != FIRST
    async with database.reader() as tx:
        await recognition.check_folder(tx, folder)
        (folder / "envelope.key").unlink()  # half a copy is none: a new envelope key would fit nobody
        with pytest.raises(AuthorityElsewhere):
            await recognition.check_folder(tx, folder)


async def test_the_fingerprint_stays_when_certificates_are_issued_again(tmp_path: Path):
    first = Authority.open(tmp_path / "keys", HOSTS, now=NOW)
    again = Authority.open(tmp_path / "keys", ["other.example"], now=NOW)
    assert first.fingerprint == again.fingerprint
    assert Authority.open(tmp_path / "more", HOSTS, now=NOW).fingerprint != first.fingerprint
