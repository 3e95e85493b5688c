"""The payout's state table, exhaustively: nothing is called back once signed, and nothing leads out of an end."""

from itertools import product

import pytest
from tests.payouts.makers import payout

from bitlinkpay.core.fsm import IllegalMove
from bitlinkpay.payouts.events import wm_status
from bitlinkpay.payouts.model import ENDED, PAYOUT, PayoutEvent, PayoutState

# Written a second time, by hand, from PRODUCT.md ("Lifecycles").
ON_ITS_WAY = "requeued:approved completed:completed failed:failed"
MOVES = {
    "in_review": "approved:approved rejected:rejected cancelled:cancelled",
    "approved": "signed:signed cancelled:cancelled failed:failed requeued:approved held:in_review",
    "signed": f"broadcast:broadcast lost:uncertain confirming:confirming {ON_ITS_WAY}",
    "broadcast": f"lost:uncertain confirming:confirming {ON_ITS_WAY}",
    "uncertain": f"broadcast:broadcast confirming:confirming {ON_ITS_WAY}",
    "confirming": f"broadcast:broadcast {ON_ITS_WAY}",
    "completed": "",
    "rejected": "",
    "cancelled": "",
    "failed": "",
}


@pytest.mark.parametrize(("state", "event"), list(product(PayoutState, PayoutEvent)))
def test_every_state_and_event_is_listed_or_refused(state: PayoutState, event: PayoutEvent) -> None:
    listed = dict(move.split(":") for move in MOVES[state].split())
    assert PAYOUT.allows(state, event) == (event in listed)
    if event in listed:
        assert PAYOUT.next(state, event) == listed[event]
    else:
        with pytest.raises(IllegalMove):
            PAYOUT.next(state, event)


def test_LED_09_nothing_leads_out_of_an_end() -> None:
    assert not {state for state, _ in PAYOUT.moves} & ENDED


def test_PAY_44_what_is_signed_cannot_be_cancelled() -> None:
    assert {state for state, event in PAYOUT.moves if event is PayoutEvent.CANCELLED} == {"in_review", "approved"}


@pytest.mark.parametrize("state", list(PayoutState))
def test_the_wire_says_0_until_proof_4_for_success_and_8_for_every_other_end(state: PayoutState) -> None:
    expected = 4 if state is PayoutState.COMPLETED else 8 if state in ENDED else 0
    assert wm_status(payout(state=state)) == expected
