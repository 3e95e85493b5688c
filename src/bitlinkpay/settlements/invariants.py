"""What must hold between settlements, rules and payouts: one sentence and one query each."""

from typing import Final

from bitlinkpay.ledger.model import Invariant
from bitlinkpay.settlements import store

SETTLEMENTS: Final = (
    Invariant(
        "settlements_are_carried",
        "Every settlement that was requested has one payout, and that is its own.",
        store.CARRIED,
    ),
    Invariant(
        "rules_settle_home",
        "Money that a rule moved went to the address that was bound at that time and had rested.",
        store.HOME,
    ),
)
