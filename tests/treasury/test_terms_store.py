"""When outputs are joined: the newest word counts, and nonsense is refused by the database itself."""

from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from bitlinkpay.db.pool import Database
from bitlinkpay.treasury.model import JoinTerms
from bitlinkpay.treasury.terms import store

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)


async def set_join(database: Database, terms: JoinTerms, now: datetime = NOW) -> None:
    async with database.transaction() as tx:
        await store.set_terms(tx, "bitcoin", terms, by="operator", now=now)


async def join_of(database: Database, network: str = "bitcoin") -> JoinTerms | None:
    async with database.reader() as tx:
        return await store.find(tx, network)


async def test_when_outputs_are_joined_is_set_by_network_and_the_newest_word_counts(database: Database) -> None:
    assert await join_of(database) is None
    await set_join(database, JoinTerms(1_000_000, 200, 10_000))
    await set_join(database, JoinTerms(0, 2, 0), LATER)
    assert await join_of(database) == JoinTerms(0, 2, 0), "never is a word, and not the lack of one"
    assert await join_of(database, "litecoin") is None
    async with database.reader() as tx:
        assert await tx.fetchval("select set_at from treasury_join_terms") == LATER


@pytest.mark.parametrize(
    ("terms", "rule"),
    [
        (JoinTerms(-1, 20, 10), "low_rate"),
        (JoinTerms(1_000_001, 20, 10), "low_rate"),
        (JoinTerms(5_000, 1, 10), "least"),
        (JoinTerms(5_000, 201, 10), "least"),
        (JoinTerms(5_000, 20, -1), "keep"),
        (JoinTerms(5_000, 20, 10_001), "keep"),
    ],
)
async def test_terms_that_make_no_sense_are_refused(database: Database, terms: JoinTerms, rule: str) -> None:
    with pytest.raises(asyncpg.CheckViolationError, match=f"treasury_join_terms_{rule}"):
        await set_join(database, terms)
    assert await join_of(database) is None
