"""Duties on a schedule that watch the books: each says truly whether there is more to do."""

import asyncio

from tests.flows.harness import REGISTRY
from tests.ledger.makers import posting
from tests.support.clock import ManualClock

from bitlinkpay.chains.simulated import SimulatedChain
from bitlinkpay.db.pool import Database
from bitlinkpay.ledger import accounts
from bitlinkpay.ledger.audit.service import BATCH
from bitlinkpay.ledger.service import post_all
from bitlinkpay.reconciliation.service import Parts, Reconciler
from bitlinkpay.sandbox.store import SandboxState
from bitlinkpay.workers.duties import audit_entries, reconcile


async def test_the_audit_goes_on_at_once_while_batches_are_full(database: Database) -> None:
    async with database.transaction() as tx:
        await post_all(tx, [posting(f"k{n}", (accounts.COLD, accounts.EQUITY, 1)) for n in range(BATCH + 1)])
    async with asyncio.timeout(20):
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
