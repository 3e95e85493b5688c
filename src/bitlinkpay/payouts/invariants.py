"""What must hold between payouts, their payments and the books: one sentence and one query each."""

from typing import Final

from bitlinkpay.ledger.model import Invariant
from bitlinkpay.payouts import store

PAYOUTS: Final = (
    Invariant("reserved_is_payouts", "Reserved money is exactly that of payouts without an end.", store.RESERVED),
    Invariant("payouts_are_carried", "Every payout and its payment agree on where they are.", store.CARRIED),
)
