"""The deposit's state table, exhaustively: only finality and screening move money on, and nothing comes back from the end."""

from itertools import product

import pytest

from bitlinkpay.core.fsm import IllegalMove
from bitlinkpay.deposits.model import DEPOSIT, DepositEvent, DepositState

# Written a second time, by hand, from PRODUCT.md ("Lifecycles") and THREATS.md rule 6.
MOVES = {
    "seen": "finalized:final dropped:dropped",
    "final": "passed:screened held:quarantined dropped:dropped",
    "screened": "credited:credited put_aside:unassigned",
    "credited": "reversed:reversed",
    "unassigned": "credited:credited reversed:reversed claimed:claimed assigned:unassigned refunded:refunded",
    "refunded": "returned:unassigned reversed:reversed",
    "claimed": "reversed:reversed",
    "quarantined": "released:unassigned reversed:reversed",
    "dropped": "",
    "reversed": "",
}


@pytest.mark.parametrize(("state", "event"), list(product(DepositState, DepositEvent)))
def test_every_state_and_event_is_listed_or_refused(state: DepositState, event: DepositEvent):
    listed = dict(move.split(":") for move in MOVES[state].split())
    assert DEPOSIT.allows(state, event) == (event in listed)
    if event in listed:
        assert DEPOSIT.next(state, event) == listed[event]
    else:
        with pytest.raises(IllegalMove):
            DEPOSIT.next(state, event)


def test_DEP_02_no_way_to_credit_leads_around_finality_and_screening():
    without = {(s, e): after for (s, e), after in DEPOSIT.moves.items() if e not in {"passed", "released"}}
    reached = {DepositState.SEEN}
    for _ in DepositState:
        reached |= {after for (state, _), after in without.items() if state in reached}
    assert not reached & {DepositState.SCREENED, DepositState.CREDITED, DepositState.UNASSIGNED}
    not_final = {after for (state, event), after in DEPOSIT.moves.items() if state == "seen" and event != "finalized"}
    assert not_final == {DepositState.DROPPED}


def test_DEP_03_whatever_stands_on_the_chain_can_be_taken_back_by_it():
    taken = {state for state, event in DEPOSIT.moves if event in {"dropped", "reversed"}}
    stored = set(DepositState) - {"screened", "dropped", "reversed"}  # screened lives within one transaction only
    assert taken == stored
