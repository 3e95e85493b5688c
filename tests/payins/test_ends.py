"""What deposits do to their orders, decided in memory: each arrival's way to its end, and what the order becomes by it."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.deposits.test_store import deposit
from tests.flows.harness import REGISTRY
from tests.payins.test_model import ASKED, NOW, order

from bitlinkpay.chains.base import Arrival
from bitlinkpay.core.fsm import IllegalMove
from bitlinkpay.core.ids import DepositId, PayinId, new_uuid7
from bitlinkpay.core.money import share_down
from bitlinkpay.deposits.model import Deposit, DepositState
from bitlinkpay.merchants.model import Policy
from bitlinkpay.payins.books import Way
from bitlinkpay.payins.decisions import Batch, complete, decide, finalize, quarantine, see
from bitlinkpay.payins.model import Label, Payin, PayinEvent, PayinState

FEE = share_down(ASKED, 3000)
SUMMING = Policy(is_summing=True)


def batch(*payins: Payin, parts: Sequence[Deposit] = (), hopeful: Sequence[Deposit] = ()) -> Batch:
    hopes: dict[PayinId, set[DepositId]] = {}
    for one in hopeful:
        assert one.payin_id is not None
        hopes.setdefault(one.payin_id, set()).add(one.deposit_id)
    return Batch(
        payins={payin.payin_id: payin for payin in payins},
        parts={payin.payin_id: list(parts) for payin in payins},
        hopeful=hopes,
        waiting=frozenset(hopes),
    )


def money(payin: Payin | None, units: int = ASKED, **more: object) -> Deposit:
    """A final arrival of the order's asset, in time."""
    known = {"merchant_id": payin.merchant_id, "payin_id": payin.payin_id} if payin else {}
    found = deposit(new_uuid7().int % 10**9, units=units, state=DepositState.FINAL, first_block_at=NOW)
    return replace(found, **(known | more))  # type: ignore[arg-type]


def of(made: Batch, payin: Payin) -> Payin:
    return made.payins[payin.payin_id]


def ways(made: Batch) -> list[tuple[Way, int, int]]:
    return [(move.way, move.deposit.units, move.fee_units) for move in made.moves]


def moves(made: Batch) -> list[tuple[str, str, str]]:
    return [(change.event.value, change.after.value, change.label) for change in made.deposit_changes]


def test_money_that_may_complete_its_order_makes_it_confirm_and_more_of_it_changes_nothing() -> None:
    payin = order()
    made, first, second = batch(payin), money(payin, state=DepositState.SEEN), money(payin, state=DepositState.SEEN)
    see(made, first)
    assert of(made, payin).state is PayinState.CONFIRMING
    see(made, second)
    assert of(made, payin).state is PayinState.CONFIRMING
    assert [(c.event, c.labels, c.cause) for c in made.payin_changes] == [
        (PayinEvent.SEEN, frozenset(), first.txid),
        (PayinEvent.LABELLED, frozenset(), second.txid),
    ]
    assert made.hopeful == {payin.payin_id: {first.deposit_id, second.deposit_id}}
    assert list(made.new) == [first.deposit_id, second.deposit_id]
    assert [c.cause for c in made.deposit_changes] == ["block 100"] * 2
    assert made.moves == made.outcomes == []


def test_odd_money_labels_its_order_and_gives_it_no_hope() -> None:
    made = batch(payin := order())
    see(made, money(payin, state=DepositState.SEEN, label="over"))
    assert (of(made, payin).state, of(made, payin).labels) == (PayinState.CREATED, {Label.OVER})
    assert made.hopeful == {}


@pytest.mark.parametrize("state", [PayinState.EXPIRED, PayinState.PAID, PayinState.CANCELLED])
def test_an_order_that_has_ended_confirms_nothing(state: PayinState) -> None:
    made = batch(payin := order(state=state))
    see(made, money(payin, state=DepositState.SEEN))
    assert of(made, payin).state is state
    assert [c.event for c in made.payin_changes] == [PayinEvent.LABELLED]


def test_money_without_an_order_is_noted_and_touches_none() -> None:
    made = batch(order())
    see(made, stray := money(None, state=DepositState.SEEN))
    see(made, astray := money(order(), state=DepositState.SEEN))
    assert made.payin_changes == []
    assert set(made.new) == {stray.deposit_id, astray.deposit_id}


def test_what_was_final_at_sight_is_credited_as_new_money() -> None:
    made = batch(payin := order())
    seen = money(payin, state=DepositState.SEEN)
    see(made, seen)
    decide(made, REGISTRY, finalize(made, seen, 120))
    assert [(c.event.value, c.cause) for c in made.deposit_changes] == [
        ("seen", "block 100"),
        ("finalized", "final 120"),
        ("passed", ""),
        ("credited", ""),
    ]
    assert made.new[seen.deposit_id].state is DepositState.CREDITED
    assert made.new[seen.deposit_id].fee_units == FEE
    assert [move.is_new for move in made.moves] == [True]


def test_DEP_02_what_is_not_final_can_be_given_no_end() -> None:
    made = batch(payin := order())
    with pytest.raises(IllegalMove):
        decide(made, REGISTRY, money(payin, state=DepositState.SEEN))
    with pytest.raises(IllegalMove):
        quarantine(made, money(payin, state=DepositState.SEEN), "listed")
    assert (made.moves, made.payin_changes, made.outcomes) == ([], [], [])


def test_the_asked_amount_pays_the_order_less_the_fee_and_is_told() -> None:
    made = batch(payin := order(state=PayinState.CONFIRMING))
    decide(made, REGISTRY, paid := money(payin))
    after = of(made, payin)
    assert (after.state, after.accepted_units, after.fee_units) == (PayinState.PAID, ASKED, FEE)
    assert after.deposit_id == paid.deposit_id
    assert ways(made) == [(Way.CREDIT, ASKED, FEE)]
    assert [move.is_new for move in made.moves] == [False]
    (change,) = made.payin_changes
    assert (change.event, change.accepted_units, change.fee_units) == (PayinEvent.COMPLETED, ASKED, FEE)
    assert (change.deposit_id, change.cause) == (paid.deposit_id, paid.txid)
    (outcome,) = made.outcomes
    assert (outcome.payin, outcome.deposit and outcome.deposit.deposit_id) == (after, paid.deposit_id)


def test_DEP_11_of_two_exact_payments_in_one_batch_the_second_is_double_and_no_outcome() -> None:
    made = batch(payin := order(state=PayinState.CONFIRMING))
    first, second = money(payin), money(payin)
    decide(made, REGISTRY, first)
    decide(made, REGISTRY, second)
    assert ways(made) == [(Way.CREDIT, ASKED, FEE), (Way.PUT_ASIDE, ASKED, 0)]
    assert of(made, payin).labels == {Label.DOUBLE}
    assert of(made, payin).deposit_id == first.deposit_id
    assert len(made.outcomes) == 1


ODD = {
    "short": ({"units": ASKED - 1}, {}, "short"),
    "over": ({"units": ASKED + 1}, {}, "over"),
    "late": ({"first_block_at": NOW + timedelta(days=1)}, {}, "late"),
    "of another asset": ({"asset": "trx-tron"}, {}, "wrong_asset"),
    "on another network": ({"asset": "usdt-ethereum", "network": "ethereum"}, {}, "wrong_network"),
    "by the system": ({"arrival": Arrival.SYSTEM}, {}, "system"),
    "after the cancel": ({}, {"state": PayinState.CANCELLED}, "after_cancel"),
    "double": ({}, {"state": PayinState.PAID}, "double"),
}


@pytest.mark.parametrize("what", ODD)
def test_money_that_does_not_complete_is_put_aside_whole_with_its_label(what: str) -> None:
    came, stands, label = ODD[what]
    made = batch(payin := order(**stands))
    decide(made, REGISTRY, odd := money(payin, **came))  # type: ignore[arg-type]
    assert ways(made) == [(Way.PUT_ASIDE, odd.units, 0)]
    assert moves(made) == [("passed", "screened", ""), ("put_aside", "unassigned", label)]
    assert of(made, payin).labels == {Label(label)}
    assert of(made, payin).state is payin.state
    assert made.outcomes == []


def test_what_it_was_called_at_sight_it_stays() -> None:
    """Its order may have changed since; who was told that his money was over is not told that it is double."""
    made = batch(payin := order(state=PayinState.PAID))
    decide(made, REGISTRY, money(payin, ASKED + 1, label="over"))
    assert moves(made)[-1] == ("put_aside", "unassigned", "over")
    assert of(made, payin).labels == {Label.OVER}


def test_a_label_of_sight_does_not_keep_money_from_an_order_that_it_completes_now() -> None:
    payin = order(state=PayinState.PAID, labels=frozenset({Label.REVERSED}))
    made = batch(payin)
    decide(made, REGISTRY, money(payin, label="double"))
    assert moves(made)[-1] == ("credited", "credited", "")
    assert of(made, payin).labels == frozenset()
    assert [c.event for c in made.payin_changes] == [PayinEvent.RESTORED]
    assert made.outcomes == [], "to its merchant it never stopped being paid"


def test_an_order_is_open_again_only_when_its_last_hope_is_gone() -> None:
    payin = order(state=PayinState.CONFIRMING)
    first, second = money(payin, 1), money(payin, 2)
    made = batch(payin, hopeful=[first, second])
    decide(made, REGISTRY, first)
    assert of(made, payin).state is PayinState.CONFIRMING
    decide(made, REGISTRY, second)
    assert of(made, payin).state is PayinState.CREATED
    assert [c.event for c in made.payin_changes] == [PayinEvent.LABELLED, PayinEvent.DROPPED]


def test_risky_money_is_held_with_its_reason_in_both_histories() -> None:
    payin = order(state=PayinState.CONFIRMING)
    risky = money(payin)
    made = batch(payin, hopeful=[risky])
    quarantine(made, risky, "on_list: TX (lists)")
    assert ways(made) == [(Way.QUARANTINE, ASKED, 0)]
    assert [(c.after, c.cause) for c in made.deposit_changes] == [(DepositState.QUARANTINED, "on_list: TX (lists)")]
    (change,) = made.payin_changes
    assert (change.event, change.labels, change.cause) == (
        PayinEvent.DROPPED,
        {Label.QUARANTINED},
        "on_list: TX (lists)",
    )
    assert of(made, payin).state is PayinState.CREATED
    assert made.outcomes == []


def test_money_without_an_order_is_held_or_put_aside_by_itself() -> None:
    made = batch()
    quarantine(made, money(None, 5), "listed")
    decide(made, REGISTRY, money(None, 7))
    assert ways(made) == [(Way.QUARANTINE, 5, 0), (Way.PUT_ASIDE, 7, 0)]
    assert moves(made)[-1] == ("put_aside", "unassigned", "")
    assert made.payin_changes == []


def test_short_money_adds_up_within_one_batch_where_the_merchant_takes_sums() -> None:
    payin = order(state=PayinState.CONFIRMING, policy=SUMMING)
    part, rest = money(payin, 1), money(payin, ASKED - 1)
    made = batch(payin, hopeful=[part, rest])
    decide(made, REGISTRY, part)
    assert of(made, payin).labels == {Label.SHORT}
    decide(made, REGISTRY, rest)
    after = of(made, payin)
    assert (after.state, after.labels, after.accepted_units) == (PayinState.PAID, frozenset(), ASKED)
    assert ways(made) == [(Way.PUT_ASIDE, 1, 0), (Way.ACCEPT, 1, 0), (Way.CREDIT, ASKED - 1, FEE)]
    assert made.payin_changes[-1].unlabels == {Label.SHORT}
    assert payin.payin_id not in made.parts, "what was credited is no part of a second sum"


def test_without_that_policy_short_money_stays_short() -> None:
    payin = order(state=PayinState.CONFIRMING)
    made = batch(payin)
    decide(made, REGISTRY, money(payin, 1))
    decide(made, REGISTRY, money(payin, ASKED - 1))
    assert [way for way, _, _ in ways(made)] == [Way.PUT_ASIDE, Way.PUT_ASIDE]


def test_parts_of_another_asset_are_no_parts() -> None:
    payin = order(policy=SUMMING)
    foreign = money(payin, ASKED - 1, asset="trx-tron", state=DepositState.UNASSIGNED)
    made = batch(payin, parts=[foreign])
    decide(made, REGISTRY, money(payin, 1))
    assert ways(made) == [(Way.PUT_ASIDE, 1, 0)]


def test_what_completes_alone_leaves_earlier_short_money_where_it_is() -> None:
    payin = order(policy=SUMMING, labels=frozenset({Label.SHORT}))
    made = batch(payin, parts=[money(payin, 5, state=DepositState.UNASSIGNED)])
    decide(made, REGISTRY, money(payin))
    assert ways(made) == [(Way.CREDIT, ASKED, FEE)]
    assert of(made, payin).labels == {Label.SHORT}, "there still is money that somebody has to decide about"


def test_what_still_stands_of_an_earlier_payment_counts_with_what_replaces_the_rest() -> None:
    payin = order(state=PayinState.PAID, labels=frozenset({Label.REVERSED, Label.OVER}), policy=SUMMING)
    kept = money(payin, 40, state=DepositState.CREDITED, fee_units=3)
    made = batch(payin, parts=[kept])
    complete(made, payin, [fresh := money(payin, ASKED, state=DepositState.SCREENED)], PayinEvent.COMPLETED)
    after = of(made, payin)
    assert (after.accepted_units, after.fee_units) == (ASKED + 40, FEE + 3)
    assert (after.labels, after.deposit_id) == ({Label.OVER}, fresh.deposit_id)
    assert ways(made) == [(Way.CREDIT, ASKED, FEE)], "the kept part is not credited twice"


@pytest.mark.parametrize("state", [PayinState.CREATED, PayinState.EXPIRED, PayinState.CANCELLED])
def test_what_a_person_accepts_keeps_its_label_and_names_the_person(state: PayinState) -> None:
    payin = order(state=state, labels=frozenset({Label.SHORT}))
    made = batch(payin)
    odd = money(payin, 500, state=DepositState.UNASSIGNED, label="short")
    complete(made, payin, [odd], PayinEvent.ACCEPTED, by="alice")
    after = of(made, payin)
    assert (after.state, after.labels, after.accepted_units) == (PayinState.PAID, {Label.SHORT}, 500)
    assert ways(made) == [(Way.ACCEPT, 500, share_down(500, 3000))]
    assert [c.cause for c in made.deposit_changes] == ["alice"]
    assert [c.cause for c in made.payin_changes] == [f"alice: {odd.txid}"]
    assert len(made.outcomes) == 1


def test_LED_09_a_person_cannot_accept_money_for_an_order_that_is_paid() -> None:
    payin = order(state=PayinState.PAID)
    made = batch(payin)
    with pytest.raises(IllegalMove):
        complete(made, payin, [money(payin, 5, state=DepositState.UNASSIGNED)], PayinEvent.ACCEPTED, by="alice")
    assert (made.payin_changes, made.outcomes) == ([], [])


@given(st.lists(st.integers(1, 10**30), min_size=1, max_size=12), st.integers(0, 200_000))
def test_LED_12_the_fee_of_a_sum_is_that_of_the_whole_and_no_part_bears_more_than_its_worth(
    units: list[int], fee_ppm: int
) -> None:
    payin = order(fee_ppm=fee_ppm, policy=SUMMING)
    made = batch(payin)
    complete(made, payin, [money(payin, one, state=DepositState.SCREENED) for one in units], PayinEvent.COMPLETED)
    fees = [fee for _, _, fee in ways(made)]
    assert sum(fees) == of(made, payin).fee_units == share_down(sum(units), fee_ppm)
    assert all(0 <= fee <= one for fee, one in zip(fees, units, strict=True))
    assert all(abs(fee * 10**6 - one * fee_ppm) < 10**6 for fee, one in zip(fees, units, strict=True))
