"""What must hold between the closings of days and the books: one sentence and one query each."""

from typing import Final

from bitlinkpay.ledger.model import Invariant
from bitlinkpay.statements import store

STATEMENTS: Final = (
    Invariant(
        "closings_are_entries",
        "Every closing is the closing before it and what was booked in the days since.",
        store.CLOSINGS,
    ),
    Invariant("closed_days_stay", "Whatever is booked in a closed day is in a closing.", store.LEFT_OUT),
)
