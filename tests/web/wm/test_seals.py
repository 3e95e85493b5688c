"""One envelope is answered once: alone, within a batch, in any order, and when its work is thrown away."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from bitlinkpay.core.errors import Kind
from bitlinkpay.db.pool import Database
from bitlinkpay.web.wm import seals
from bitlinkpay.web.wm.seals import Replayed
from bitlinkpay.wm.envelope import Seal

AT = datetime(2026, 3, 1, tzinfo=UTC)
SEAL = Seal(broker="shop", ts_ms=1_772_323_200_000, nonce="n-1", sign="c2lnbmVk")
OTHER = replace(SEAL, nonce="n-2")


async def claim(database: Database, *claimed: Seal | None, now: datetime = AT) -> list[bool]:
    return await database.unit(lambda tx: seals.claim(tx, claimed, now))


async def test_an_envelope_is_new_once(database: Database) -> None:
    assert await claim(database, SEAL) == [True]
    assert await claim(database, SEAL) == [False]
    assert await claim(database, SEAL, now=AT + timedelta(minutes=10)) == [False]


@pytest.mark.parametrize(
    "other",
    [
        replace(SEAL, broker="shop2"),
        replace(SEAL, ts_ms=SEAL.ts_ms + 1),
        replace(SEAL, nonce="n-2"),
        replace(SEAL, sign="c2lnbmVl"),
    ],
)
async def test_whatever_differs_makes_another_envelope(database: Database, other: Seal) -> None:
    assert await claim(database, SEAL, other) == [True, True]
    assert await claim(database, other, SEAL) == [False, False]


@pytest.mark.parametrize(
    ("batch", "told"),
    [
        ((SEAL, SEAL), [True, False]),
        ((SEAL, OTHER, SEAL, OTHER), [True, True, False, False]),
        ((None, SEAL, None, SEAL), [True, True, True, False]),
        ((None, None), [True, True]),
        ((), []),
    ],
)
async def test_within_a_batch_the_first_of_two_is_answered(
    database: Database, batch: Sequence[Seal | None], told: list[bool]
) -> None:
    assert await claim(database, *batch) == told
    assert await claim(database, *batch) == [seal is None for seal in batch]


async def test_an_envelope_whose_work_was_thrown_away_may_come_again(database: Database) -> None:
    with pytest.raises(RuntimeError, match="the work failed"):
        async with database.transaction() as tx:
            assert await seals.claim(tx, [SEAL], AT) == [True]
            raise RuntimeError("the work failed")
    assert await claim(database, SEAL) == [True]


async def test_of_many_at_once_one_is_answered(database: Database) -> None:
    answers = await asyncio.gather(*(claim(database, SEAL, OTHER) for _ in range(6)))
    assert sorted(answers) == [[False, False]] * 5 + [[True, True]]


def test_a_replay_says_what_to_do() -> None:
    problem = Replayed()
    assert (problem.code, problem.kind) == ("request.replayed", Kind.CONFLICT)
    assert "new w-ts or w-nonce" in problem.message
