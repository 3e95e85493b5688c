"""Duties on a schedule that watch the books: each says truly whether there is more to do."""

import asyncio
from datetime import UTC, datetime, timedelta

from tests.flows.harness import REGISTRY, make_merchant
from tests.ledger.makers import posting
from tests.support.clock import ManualClock

from bitlinkpay.chains.simulated import SimulatedChain
from bitlinkpay.core.ids import EventId, new_uuid7
from bitlinkpay.db import feed, idempotency, outbox
from bitlinkpay.db.idempotency import KEPT, Key
from bitlinkpay.db.pool import Database
from bitlinkpay.ledger import accounts
from bitlinkpay.ledger.audit.service import BATCH
from bitlinkpay.ledger.service import post_all
from bitlinkpay.merchants import store as merchants_store
from bitlinkpay.reconciliation.service import Parts, Reconciler
from bitlinkpay.sandbox.store import SandboxState
from bitlinkpay.workers.duties import audit_entries, forget_answers, place_events, reconcile


async def test_the_audit_goes_on_at_once_while_batches_are_full(database: Database) -> None:
    async with database.transaction() as tx:
        await post_all(tx, [posting(f"k{n}", (accounts.COLD, accounts.EQUITY, 1)) for n in range(BATCH + 1)])
    async with asyncio.timeout(120):
        while not await audit_entries(database):  # writers into other databases of the server hold it up
            await asyncio.sleep(0.01)
    assert not await audit_entries(database)
    async with database.reader() as tx:
        assert await tx.fetchval("select count(*) from ledger_postings where written_in <> '0'") == BATCH + 1


async def test_a_network_is_reconciled_when_it_is_due_and_not_again(database: Database, clock: ManualClock) -> None:
    network = REGISTRY.networks["tron"]
    assets = REGISTRY.assets_of("tron")
    chain = SimulatedChain(network, assets, SandboxState(database))
    reconciler = Reconciler(Parts(database=database, chain=chain, assets=assets, hot=(), clock=clock))
    for _ in range(3):
        assert await reconcile(reconciler) is False
    async with database.reader() as tx:
        assert await tx.fetchval("select count(*) from reconciliation_runs") == 1


async def test_events_get_their_places_batch_after_batch(database: Database) -> None:
    merchant_id, now = new_uuid7(), datetime.now(UTC)
    async with database.transaction() as tx:
        events = [
            outbox.Event(EventId(new_uuid7()), "thing.happened", merchant_id, new_uuid7(), {}, now)
            for _ in range(feed.BATCH + 1)
        ]
        await outbox.append(tx, events)
    assert await place_events(database)
    assert not await place_events(database)
    assert not await place_events(database)
    async with database.reader() as tx:
        found = await feed.read(tx, merchant_id, after=0, limit=2000)
    assert [one.event.event_id for one in found] == [event.event_id for event in events]


async def test_answers_are_forgotten_after_a_day(database: Database, clock: ManualClock) -> None:
    merchant, now = make_merchant(clock), datetime.now(UTC)
    old, young = (Key(merchant.merchant_id, text, b"h" * 32) for text in ("old", "young"))
    async with database.transaction() as tx:
        await merchants_store.insert(tx, merchant)
        await idempotency.keep(tx, old, 201, b"{}", now=now - KEPT)
        await idempotency.keep(tx, young, 201, b"{}", now=now - KEPT + timedelta(minutes=1))
    assert await forget_answers(database)
    assert not await forget_answers(database)
    async with database.reader() as tx:
        assert await tx.fetchval("select idempotency_key from api_answers") == "young"
