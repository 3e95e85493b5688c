"""The state tables of payments and transactions, exhaustively: nothing leads back from an end, nothing ends without proof."""

from itertools import product

import pytest

from bitlinkpay.core.fsm import IllegalMove
from bitlinkpay.sending.model import (
    OPEN,
    SENDING,
    TRANSACTION,
    SendingEvent,
    SendingState,
    TransactionEvent,
    TransactionState,
)

# Written a second time, by hand, from PRODUCT.md ("Lifecycles") and THREATS.md rules 21 to 23.
PAYMENTS = {
    "queued": "taken:sending refused:failed cancelled:cancelled held:held",
    "held": "resumed:queued cancelled:cancelled",
    "sending": "released:queued lost:uncertain mined:confirming delivered:delivered failed:failed",
    "uncertain": "released:queued found:sending mined:confirming delivered:delivered failed:failed",
    "confirming": "vanished:sending delivered:delivered failed:failed",
    "delivered": "",
    "failed": "",
    "cancelled": "",
}
TRANSACTIONS = {
    "allotted": "signed:signed refused:released",
    "signed": "broadcast:broadcast mined:mined died:dead finalized:final reverted:reverted",
    "broadcast": "lost:uncertain mined:mined died:dead finalized:final reverted:reverted",
    "uncertain": "found:broadcast mined:mined died:dead finalized:final reverted:reverted",
    "mined": "vanished:broadcast finalized:final reverted:reverted",
    "final": "",
    "reverted": "",
    "released": "",
    "dead": "",
}


@pytest.mark.parametrize(("state", "event"), list(product(SendingState, SendingEvent)))
def test_every_state_and_event_of_a_payment_is_listed_or_refused(state: SendingState, event: SendingEvent) -> None:
    listed = dict(move.split(":") for move in PAYMENTS[state].split())
    assert SENDING.allows(state, event) == (event in listed)
    if event in listed:
        assert SENDING.next(state, event) == listed[event]
    else:
        with pytest.raises(IllegalMove):
            SENDING.next(state, event)


@pytest.mark.parametrize(("state", "event"), list(product(TransactionState, TransactionEvent)))
def test_every_state_and_event_of_a_transaction_is_listed_or_refused(
    state: TransactionState, event: TransactionEvent
) -> None:
    listed = dict(move.split(":") for move in TRANSACTIONS[state].split())
    assert TRANSACTION.allows(state, event) == (event in listed)
    if event in listed:
        assert TRANSACTION.next(state, event) == listed[event]
    else:
        with pytest.raises(IllegalMove):
            TRANSACTION.next(state, event)


def test_LED_09_no_end_has_a_way_out() -> None:
    ends = {state for state in SendingState if state in {"delivered", "failed", "cancelled"}}
    assert not {state for state, _ in SENDING.moves} & ends
    assert {state for state, _ in TRANSACTION.moves} == set(OPEN)


def test_PAY_17_what_was_signed_gives_its_payments_back_only_by_proof_of_death() -> None:
    """A payment may be queued again after `refused` (never signed) or `died` (proved); no other event leads there."""
    ways = {event for (_, event), after in TRANSACTION.moves.items() if after in {"released", "dead"}}
    assert ways == {TransactionEvent.REFUSED, TransactionEvent.DIED}
    assert {state for state, event in TRANSACTION.moves if event is TransactionEvent.REFUSED} == {"allotted"}


def test_PAY_44_only_what_waits_can_be_called_back() -> None:
    assert {state for state, event in SENDING.moves if event is SendingEvent.CANCELLED} == {"queued", "held"}
