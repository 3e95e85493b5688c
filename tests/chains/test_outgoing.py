"""What is true of every family's sending: lanes, payments of nothing, reasons for people, and values that JSON carries."""

from datetime import UTC, datetime
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitlinkpay.chains.base import FateState
from bitlinkpay.chains.outgoing import (
    Broadcast,
    CannotPlan,
    FeeTooHigh,
    Intent,
    KeyRole,
    LacksFunds,
    LacksGas,
    Outcome,
    Payment,
    Purpose,
    Sent,
    Slot,
    Unspent,
    Wallet,
    most_hopeful,
    numbers_taken,
    pays_for_itself,
)
from bitlinkpay.core.assets import Family

HOT = Wallet(KeyRole.HOT, 0, "hot")


def payment(units: int) -> Payment:
    return Payment(HOT, "usdt-tron", "someone", "", units)


@pytest.mark.parametrize("family", Family)
@pytest.mark.parametrize("purpose", Purpose)
def test_only_a_delegation_on_evm_takes_two_numbers(family: Family, purpose: Purpose) -> None:
    assert numbers_taken(family, purpose) == (2 if (family, purpose) == ("evm", "setup") else 1)


@pytest.mark.parametrize("units", [0, -1, -(2**256)])
def test_a_payment_of_nothing_cannot_be_said(units: int) -> None:
    with pytest.raises(AssertionError, match="a payment of nothing"):
        payment(units)


@pytest.mark.parametrize("units", [0, -5])
def test_a_payment_of_nothing_cannot_be_read_either(units: int) -> None:
    text = msgspec.json.encode(payment(7)).replace(b'"units":7', b'"units":%d' % units)
    with pytest.raises((msgspec.ValidationError, AssertionError)):
        msgspec.json.decode(text, type=Payment)


def test_an_intent_comes_back_from_json_with_amounts_beyond_64_bits() -> None:
    intent = Intent(
        intent_id=UUID(int=7),
        network="ethereum",
        purpose=Purpose.PAYOUT,
        payer=HOT,
        payments=(payment(2**256 - 1), payment(1)),
        fee_max_units=2**200,
        expires_at=datetime(2026, 11, 25, 12, 0, tzinfo=UTC),
    )
    assert msgspec.json.decode(msgspec.json.encode(intent), type=Intent) == intent


def test_a_slot_has_no_outputs_unless_they_are_given() -> None:
    coin = Unspent("ab" * 32, 1, 5, HOT)
    assert Slot(3).unspent == ()
    slot = Slot(3, (coin,))
    assert msgspec.json.decode(msgspec.json.encode(slot), type=Slot) == slot


def test_an_outcome_claims_nothing_by_itself() -> None:
    outcome = Outcome(FateState.UNKNOWN, "ab")
    assert (outcome.block, outcome.fee_units, outcome.delivered, outcome.returned_units) == (None, 0, (), 0)


def test_a_reason_reaches_people_word_for_word() -> None:
    for error in (CannotPlan("why"), FeeTooHigh("why"), LacksFunds("why"), LacksGas("why", 5)):
        assert (error.reason, str(error)) == ("why", "why")


def test_what_may_pass_with_time_is_told_apart_from_what_never_will() -> None:
    """A flow waits for fees and gas, waits for funds in another way, and gives up on the rest."""
    lacking = LacksGas("too little", 2**70)
    assert isinstance(lacking, FeeTooHigh)
    assert lacking.units == 2**70
    assert not isinstance(LacksFunds("empty"), FeeTooHigh)
    assert not isinstance(CannotPlan("frozen"), FeeTooHigh | LacksFunds)


@pytest.mark.parametrize("family", Family)
@pytest.mark.parametrize("purpose", Purpose)
def test_only_a_sweep_in_bitcoin_pays_for_itself(family: Family, purpose: Purpose) -> None:
    assert pays_for_itself(family, purpose) == (family is Family.BITCOIN and purpose is Purpose.SWEEP)


def test_roles_and_purposes_are_spelled_as_stored() -> None:
    """These words stand in the database, in the signer's policy file and in its audit, and never change."""
    assert list(KeyRole) == ["hot", "deposit"]
    assert list(Purpose) == ["payout", "sweep", "gas", "cold", "consolidation", "setup", "cancel", "lend", "recall"]


@given(st.permutations([Sent.REFUSED, Sent.UNCLEAR, Sent.REFUSED]), st.booleans())
def test_NODE_12_bytes_that_one_endpoint_may_have_taken_are_not_refused(said: list[Sent], is_taken: bool) -> None:
    answers = [Broadcast(sent, str(n)) for n, sent in enumerate([*said, *([Sent.ACCEPTED] if is_taken else [])])]
    assert most_hopeful(answers).sent is (Sent.ACCEPTED if is_taken else Sent.UNCLEAR)
    refused = [answer for answer in answers if answer.sent is Sent.REFUSED]
    assert most_hopeful(refused) == refused[0], "of equal answers the preferred endpoint's"
