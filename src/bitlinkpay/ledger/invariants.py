"""What must hold in the books at any moment: run in tests, after simulator steps, by the auditor in production."""

from collections.abc import Sequence
from typing import Final

from bitlinkpay.db.pool import Tx
from bitlinkpay.ledger import store
from bitlinkpay.ledger.model import Check, Invariant

STANDING: Final = (
    Invariant("clearing_age", "No clearing account holds money for longer than its kind allows.", store.CLEARING),
    Invariant("nothing_frozen", "No account is frozen.", store.UNFROZEN),
)
"""What time alone may break, or what stays broken until a person acts: cheap however long the history is."""

LEDGER: Final = (
    Invariant("zero_sum", "In every asset debits equal credits.", store.ZERO_SUM),
    Invariant("postings_balance", "Every posting has entries, all in its own asset, and they balance.", store.POSTINGS),
    Invariant("owners", "A posting touches no other merchant's account than its own merchant's.", store.OWNERS),
    Invariant("chart", "Every account has the kind, side, owner and item that its name says.", store.CHART),
    Invariant("cache_equals_entries", "Every balance is what its account's entries add up to.", store.CACHE),
    Invariant("no_overdraft", "No account is or ever was below zero on its normal side.", store.NO_OVERDRAFT),
    Invariant(
        "versions_contiguous",
        "Every account's entries follow each other without a gap, in version and in balance.",
        store.CONTIGUOUS,
    ),
    Invariant("sealed", "Every entry's digest seals its posting, itself and the entry before it.", store.SEALED),
    Invariant(
        "equation",
        "In every asset what the platform holds is what it owes, less what it is owed, plus its own.",
        store.EQUATION,
    ),
    *STANDING,
)


async def check_standing(tx: Tx) -> list[Check]:
    """Run only the invariants that no posting breaks."""
    return [await _run(tx, invariant) for invariant in STANDING]


async def check(tx: Tx, *, extra: Sequence[Invariant] = ()) -> list[Check]:
    """Run every invariant of the books, then those of higher packages; each query sees one moment by itself.

    Args:
        tx: the open transaction; a read-only one will do.
        extra: invariants that join the books with tables of higher packages.
    """
    return [await _run(tx, invariant) for invariant in (*LEDGER, *extra)]


async def _run(tx: Tx, invariant: Invariant) -> Check:
    culprits = await store.violations(tx, invariant.query)
    if not culprits:
        return Check(invariant.name, ok=True, detail=invariant.sentence)
    shown = culprits[: store.MAX_CULPRITS]
    rest = " and more" if len(culprits) > len(shown) else ""
    return Check(invariant.name, ok=False, detail=f"{invariant.sentence} Broken by: {'; '.join(shown)}{rest}")
