"""Duties that keep stores small and pools full: what they forget, what they keep, and whether they say that there is more."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.flows.collecting import Collector
from tests.flows.conftest import Start, pace, ring, start  # noqa: F401 - fixtures of the flows serve here too
from tests.flows.paying import SEED, Cashier
from tests.support.clock import ManualClock

from bitlinkpay.chains.outgoing import Purpose
from bitlinkpay.core.errors import Unavailable
from bitlinkpay.db import replay
from bitlinkpay.db.pool import Database
from bitlinkpay.db.replay import Seal
from bitlinkpay.signer.client import SignerClient
from bitlinkpay.signer.keyring import KeyRing, PoolAddress
from bitlinkpay.signer.keys import SolanaBranch, derive_keyring
from bitlinkpay.signer.protocol import Standing
from bitlinkpay.wallets import service as wallets
from bitlinkpay.wallets.service import POOL_LOW, POOL_STEP
from bitlinkpay.workers.duties import SEALS_KEPT, fill_pool, forget_seals
from bitlinkpay.workers.treasurer import Treasurer


class Signer(SignerClient):
    """The signer's door with the seed behind it: what its process would answer, without the process."""

    def __init__(self, problem: Exception | None = None) -> None:
        super().__init__(Path("nowhere"))
        self.problem = problem
        self.asked: list[tuple[int, int]] = []

    async def extend_solana(self, first: int, count: int) -> tuple[PoolAddress, ...]:
        self.asked.append((first, count))
        if self.problem:
            raise self.problem
        return tuple(SolanaBranch.of(SEED).pool(first, count))

    async def standing(self) -> Standing:
        if self.problem:
            raise self.problem
        return Standing(
            mode="sandbox", policy="", audit_seq=1, audit_hash="", refusals=0, waiting=0, operators=(),
            purposes=tuple(purpose.value for purpose in Purpose), cold={}, cold_change="", used=(),
        )  # fmt: skip


async def pooled(database: Database) -> int:
    """Return how many addresses of the pool are free."""
    async with database.reader() as tx:
        return int(await tx.fetchval("select count(*) from solana_addresses where taken_at is null") or 0)


async def test_seals_are_forgotten_only_when_their_envelopes_are_too_old_anyway(database: Database) -> None:
    now = datetime.now(UTC)
    old = Seal(b"o" * 32, now - SEALS_KEPT - timedelta(seconds=1))
    young = Seal(b"y" * 32, now - SEALS_KEPT + timedelta(minutes=1))
    async with database.transaction() as tx:
        assert await replay.claim(tx, [old, young]) == {old.digest, young.digest}
    assert not await forget_seals(database)
    async with database.transaction() as tx:
        assert await replay.claim(tx, [old, young]) == {old.digest}, "the young one still is a replay"


async def test_a_pool_that_runs_low_is_filled_step_by_step_until_it_is_not_low(database: Database) -> None:
    async with database.transaction() as tx:
        await wallets.import_keyring(tx, derive_keyring(SEED))
        await tx.execute("update solana_addresses set taken_at = now(), taken_by = 'orders'")
    signer, steps = Signer(), 0
    while await fill_pool(database, signer):
        steps += 1
        assert steps < 10, "a pool that never fills"
    assert await pooled(database) == POOL_LOW
    assert [count for _, count in signer.asked] == [POOL_STEP] * (POOL_LOW // POOL_STEP)
    firsts = [first for first, _ in signer.asked]
    assert firsts == sorted(set(firsts)), "no index is asked for twice"
    asked = len(signer.asked)
    assert not await fill_pool(database, signer)
    assert len(signer.asked) == asked, f"above {POOL_LOW} nobody is asked"


async def test_a_signer_that_does_not_answer_leaves_the_pool_as_it_is(database: Database) -> None:
    async with database.transaction() as tx:
        await wallets.import_keyring(tx, derive_keyring(SEED))
        await tx.execute("update solana_addresses set taken_at = now(), taken_by = 'orders'")
    before = await pooled(database)
    with pytest.raises(Unavailable):
        await fill_pool(database, Signer(Unavailable("the signer does not answer")))
    assert await pooled(database) == before == 0


@pytest.fixture
async def cashier(start: Start, ring: KeyRing) -> Cashier:  # noqa: F811
    return Cashier(await start(), ring, ManualClock())


async def test_a_treasury_whose_signer_does_not_answer_does_nothing_and_is_tried_again(cashier: Cashier) -> None:
    treasurer = Treasurer(Collector(cashier).parts("ethereum"), Signer(Unavailable("the signer does not answer")))
    with pytest.raises(Unavailable):
        await treasurer.step()
    assert await cashier.world.rows("select count(*) from sendings") == [(0,)]


async def test_a_treasury_with_nothing_to_collect_rests(cashier: Cashier) -> None:
    assert not await Treasurer(Collector(cashier).parts("ethereum"), Signer()).step()
    assert await cashier.world.rows("select count(*) from sendings") == [(0,)]
