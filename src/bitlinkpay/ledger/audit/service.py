"""The audit that keeps up: each posting is looked at once, soon after it was written, whatever the books hold besides.

It looks for what `ledger.invariants` looks for in all of the books. Zero sum and equation need no look of their own:
they follow from postings that balance on accounts of the chart. What somebody changes in entries that were audited
before is found by the audit of the whole.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from bitlinkpay.db.pool import Database, Tx
from bitlinkpay.ledger.audit import store
from bitlinkpay.ledger.audit.store import Finding

log = logging.getLogger(__name__)

BATCH: Final = 500
WHOLE_EVERY: Final = timedelta(hours=6)
FROZEN: Final = "an audit found a difference"


@dataclass(frozen=True, slots=True)
class Audit:
    """What one audit did: how many postings it looked at, and what was wrong with them."""

    postings: int
    findings: tuple[Finding, ...]


async def audit_new(database: Database) -> Audit:
    """Audit up to `BATCH` postings that nobody has audited yet; freeze the accounts of what is wrong and say so loudly.

    Of several that try at once, one works and the others find nothing to do. A posting whose transaction, or an older
    one, still runs is left for the next time.
    """

    async def work(tx: Tx) -> Audit:
        mark = await store.lock_mark(tx)
        found = await store.list_new(tx, mark, BATCH) if mark else []
        if not found:
            return Audit(0, ())
        findings = await store.list_findings(tx, [one.posting_id for one in found])
        await store.freeze(tx, _accounts(findings), FROZEN)
        await store.move_mark(tx, found[-1])
        return Audit(len(found), tuple(findings))

    done = await database.unit(work)
    for finding in done.findings:
        log.critical("the books do not hold: %s: %s", finding.check, finding.culprit)
    return done


def _accounts(findings: Sequence[Finding]) -> list[int]:
    return sorted({finding.account_id for finding in findings if finding.account_id is not None})


async def is_whole_due(database: Database) -> bool:
    """Say whether the caller shall audit the whole now; nobody else is told so for `WHOLE_EVERY`."""
    return await database.unit(lambda tx: store.claim_whole(tx, WHOLE_EVERY))
