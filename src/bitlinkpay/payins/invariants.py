"""What must hold between orders, deposits and the books: one sentence and one query each."""

from typing import Final

from bitlinkpay.deposits import store as deposits
from bitlinkpay.ledger.model import Invariant
from bitlinkpay.payins import store

PAYINS: Final = (
    Invariant("pending_is_unsettled", "Pending money is exactly that of deposits without an end.", deposits.PENDING),
    Invariant("put_aside_is_booked", "Unassigned and quarantined money is booked as such.", deposits.PUT_ASIDE),
    Invariant("custody_is_deposits", "Each address took in the books what arrived at it.", deposits.CUSTODY),
    Invariant("credits_are_final", "Every settled deposit stands in a final block that we read.", deposits.FINAL),
    Invariant("paid_by_money", "A paid order was paid by a credited deposit of its own.", store.PAID),
    Invariant("paid_is_credited", "What an order accepted and its fee are what was credited for it.", store.CREDITED),
    Invariant("confirming_is_hopeful", "An order confirms exactly while money for it is on its way.", store.CONFIRMING),
    Invariant("one_address_one_order", "Every order's address belongs to it alone.", store.ADDRESSES),
)
