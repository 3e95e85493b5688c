"""Looking at payments that wait for a block: on a slow cadence, without losing any, and without believing any."""

import logging
from dataclasses import dataclass, field, replace
from datetime import timedelta

import asyncpg
import pytest
from tests.flows.harness import REGISTRY
from tests.flows.scripted import transfer_to
from tests.support.clock import ManualClock

from bitlinkpay.chains.base import ChainError, Transfer
from bitlinkpay.chains.waiting import Waiting
from bitlinkpay.core.ids import PayinId, new_uuid7
from bitlinkpay.db.cluster import APP_ROLE
from bitlinkpay.db.pool import Database
from bitlinkpay.deposits.unconfirmed import store
from bitlinkpay.payins.sightings import CADENCE, Sightings

NETWORK = REGISTRY.networks["bitcoin"]
OURS, FOREIGN = "bc1-ours", "bc1-foreign"


@dataclass
class Pool:
    """What waits, as one operator's node shows it; each transfer is fresh once."""

    transfers: list[Transfer] = field(default_factory=list)
    told: set[str] = field(default_factory=set)
    failure: ChainError | None = None
    looks: int = 0

    async def waiting(self) -> Waiting:
        self.looks += 1
        if self.failure:
            raise self.failure
        fresh = tuple(one for one in self.transfers if one.txid not in self.told)
        self.told |= {one.txid for one in fresh}
        return Waiting(fresh, {one.txid for one in self.transfers})


@dataclass
class Window:
    """Sightings of one network with all that they touch."""

    database: Database
    clock: ManualClock
    pool: Pool
    sightings: Sightings
    payin_id: PayinId

    async def look(self, after: timedelta = CADENCE) -> None:
        self.clock.advance(after)
        await self.sightings.step()

    async def seen(self) -> list[tuple[str, int]]:
        async with self.database.reader() as tx:
            return [(one.txid, one.units) for one in await store.list_of_payin(tx, self.payin_id)]


@pytest.fixture
async def window(database: Database, clock: ManualClock) -> Window:
    payin_id, pool = PayinId(new_uuid7()), Pool()
    async with database.transaction() as tx:
        await tx.execute(
            "insert into addresses (key_family, address, key_index, merchant_id, payin_id, purpose)"
            " values ('bitcoin', $1, 7, $2, $3, 'deposit')",
            OURS,
            new_uuid7(),
            payin_id,
        )
    sightings = Sightings(database=database, network=NETWORK, chain=pool, clock=clock)
    return Window(database, clock, pool, sightings, payin_id)


def paying(target: str, units: int, txid: str) -> Transfer:
    return replace(transfer_to(target, units, asset="btc-bitcoin"), txid=txid, position="vout:0")


async def test_it_looks_at_once_and_then_on_its_cadence(window: Window) -> None:
    await window.look(timedelta(0))
    await window.look(timedelta(0))
    await window.look(CADENCE - timedelta(microseconds=1))
    assert window.pool.looks == 1
    await window.look(timedelta(microseconds=1))
    assert window.pool.looks == 2


async def test_what_pays_us_is_kept_and_what_pays_others_is_not(window: Window) -> None:
    window.pool.transfers = [paying(OURS, 5, "a"), paying(FOREIGN, 6, "b"), paying(OURS, 7, "c")]
    await window.look()
    assert await window.seen() == [("a", 5), ("c", 7)]
    async with window.database.reader() as tx:
        assert sorted(await store.list_waiting(tx, NETWORK.id)) == ["a", "c"]
        assert await store.list_waiting(tx, "tron") == []
        assert await tx.fetchval("select count(*) from ledger_postings") == 0
        assert await tx.fetchval("select count(*) from deposits") == 0


async def test_what_went_away_is_taken_off_and_what_comes_back_keeps_the_moment_it_was_first_seen(
    window: Window,
) -> None:
    payment = paying(OURS, 5, "a")
    window.pool.transfers = [payment]
    await window.look()
    first = window.clock.now()
    window.pool.transfers = []
    await window.look()
    assert await window.seen() == []
    window.pool.transfers, window.pool.told = [payment], set()
    await window.look()
    async with window.database.reader() as tx:
        (again,) = await store.list_of_payin(tx, window.payin_id)
    assert (again.txid, again.first_seen_at) == ("a", first)


async def test_a_node_that_does_not_answer_takes_nothing_away(window: Window, caplog: pytest.LogCaptureFixture) -> None:
    window.pool.transfers = [paying(OURS, 5, "a")]
    await window.look()
    window.pool.transfers, window.pool.failure = [], ChainError("no answer")
    with caplog.at_level(logging.WARNING):
        await window.look()
        await window.look(timedelta(0))
    assert await window.seen() == [("a", 5)]
    assert [r.getMessage() for r in caplog.records] == ["bitcoin: what waits for a block can't be read: no answer"]
    assert window.pool.looks == 2, "a failed look counts: the next one is a cadence later"


async def test_what_could_not_be_written_is_written_at_the_next_look(window: Window, schema_owner_dsn: str) -> None:
    """A node shows a transaction as fresh once: forgotten here, its payer would never read that it was seen."""
    window.pool.transfers = [paying(OURS, 5, "a")]
    owner = await asyncpg.connect(schema_owner_dsn)
    try:
        await owner.execute(f"revoke insert on unconfirmed from {APP_ROLE}")
        for _ in range(2):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await window.look()
            window.pool.told = set()  # it left and came back, which makes it fresh again
        await owner.execute(f"grant insert on unconfirmed to {APP_ROLE}")
    finally:
        await owner.close()
    assert await window.seen() == []
    await window.look()
    assert await window.seen() == [("a", 5)]


async def test_what_was_written_is_not_kept_for_a_second_time(window: Window) -> None:
    window.pool.transfers = [paying(OURS, 5, "a")]
    await window.look()
    async with window.database.transaction() as tx:
        await tx.execute("delete from unconfirmed")
    await window.look()
    assert await window.seen() == []


async def test_a_transaction_with_two_payments_to_us_is_two_payments(window: Window) -> None:
    one = paying(OURS, 5, "a")
    window.pool.transfers = [one, replace(one, position="vout:1", units=6)]
    await window.look()
    assert await window.seen() == [("a", 5), ("a", 6)]
    window.pool.transfers = []
    await window.look()
    assert await window.seen() == []
