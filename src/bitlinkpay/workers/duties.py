"""The duties of a deployment that belong to no network: each a bounded step that says whether there is more."""

from datetime import timedelta
from typing import Final

from bitlinkpay.core.clock import SystemClock
from bitlinkpay.db import feed, idempotency, outbox, replay
from bitlinkpay.db.driver import Tx
from bitlinkpay.db.pool import Database
from bitlinkpay.ledger.audit.service import BATCH, audit_new
from bitlinkpay.payins.service import EXPIRY_BATCH, Payins
from bitlinkpay.rates.service import refresh
from bitlinkpay.rates.sources import RateSource
from bitlinkpay.reconciliation.service import Reconciler
from bitlinkpay.settlements.automatic import Automatic
from bitlinkpay.signer.client import SignerClient
from bitlinkpay.wallets import service as wallets

SEALS_KEPT: Final = timedelta(minutes=15)  # three times the clock skew that an envelope may have
EVENTS_KEPT: Final = timedelta(days=90)
_WALL: Final = SystemClock()


async def expire_unpicked(database: Database, payins: Payins) -> bool:
    """Expire pre-orders whose payer never picked a network; they wait for no chain."""

    async def work(tx: Tx) -> int:
        return await payins.expire(tx, None, payins.now())

    return await database.unit(work) == EXPIRY_BATCH


async def refresh_rates(database: Database, source: RateSource) -> bool:
    """Ask the rate source once."""
    await refresh(database, source)
    return False


async def forget_seals(database: Database) -> bool:
    """Forget envelopes too old to be accepted again anyway."""
    await database.unit(lambda tx: replay.purge(tx, _WALL.now() - SEALS_KEPT))
    return False


async def forget_events(database: Database) -> bool:
    """Forget events that every subscriber has had for long."""
    return await database.unit(lambda tx: outbox.prune(tx, _WALL.now() - EVENTS_KEPT)) > 0


async def audit_entries(database: Database) -> bool:
    """Audit what is new in the books."""
    return (await audit_new(database)).postings == BATCH


async def reconcile(reconciler: Reconciler) -> bool:
    """Compare a network's books with its chain, where that is due."""
    if await reconciler.is_due():
        await reconciler.run()
    return False


async def forget_answers(database: Database) -> bool:
    """Forget what was answered under idempotency keys more than 24 hours ago."""
    return await database.unit(lambda tx: idempotency.purge(tx, _WALL.now())) > 0


async def place_events(database: Database) -> bool:
    """Give new events their places in the feed, so that who reads it after a long time has not to wait for them."""
    return await database.unit(feed.place) == feed.BATCH


async def fill_pool(database: Database, signer: SignerClient) -> bool:
    """Ask the signer for addresses that only it can derive, when few are left."""
    async with database.reader() as tx:
        gap = await wallets.find_pool_gap(tx)
    if gap is None:
        return False
    addresses = await signer.extend_solana(gap.first, gap.count)
    return await database.unit(lambda tx: wallets.extend_pool(tx, addresses)) > 0


async def settle_by_rules(automatic: Automatic) -> bool:
    """Trigger the rules whose time has come or whose threshold is reached, and carry out what is due."""
    triggered = await automatic.trigger()
    decided = await automatic.carry_out()
    return triggered + decided > 0
