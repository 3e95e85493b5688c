"""How a deployment watches its books: audits of the new and of the whole, days that end, books against chains."""

import logging
from collections.abc import Mapping, Sequence
from datetime import timedelta
from functools import partial

from bitlinkpay.app.platform import Platform, check_books, check_standing
from bitlinkpay.chains.base import Chain
from bitlinkpay.db.pool import Database
from bitlinkpay.ledger.audit.service import is_whole_due
from bitlinkpay.reconciliation.service import Parts, Reconciler
from bitlinkpay.statements.service import close_days
from bitlinkpay.workers.chores import Chore
from bitlinkpay.workers.duties import audit_entries, reconcile

log = logging.getLogger(__name__)


def reconcilers_of(platform: Platform, chains: Mapping[str, Chain]) -> list[Reconciler]:
    """Return what compares the books of each network with its chain."""
    return [
        Reconciler(
            Parts(
                database=platform.database,
                chain=chain,
                assets=platform.registry.assets_of(name),
                hot=[wallet.address for wallet in platform.ring.hot_wallets(chain.network)],
                clock=platform.clock,
            )
        )
        for name, chain in chains.items()
    ]


def audits_of(platform: Platform, reconcilers: Sequence[Reconciler]) -> list[Chore]:
    """Return the duties that keep an eye on the books."""
    database = platform.database
    return [
        Chore("new entries", timedelta(seconds=10), partial(audit_entries, database)),
        Chore("books", timedelta(minutes=5), partial(_audit, database)),
        Chore("days", timedelta(minutes=1), partial(close_days, database)),
        # Asked more often than it is due, so that a run is late by a little at most, whichever worker takes it.
        *(Chore(f"{one.network}: reconciliation", one.every / 4, partial(reconcile, one)) for one in reconcilers),
    ]


async def _audit(database: Database) -> bool:
    """Audit all of the books where that is due, else only what no posting breaks."""
    checks = await (check_books(database) if await is_whole_due(database) else check_standing(database))
    for check in checks:
        if not check.ok:
            log.critical("the books do not hold: %s: %s", check.name, check.detail)
    return False
