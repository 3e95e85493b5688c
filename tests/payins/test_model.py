"""The order's state table and the judgement of money, exhaustively."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitlinkpay.chains.base import Arrival
from bitlinkpay.core.fsm import IllegalMove
from bitlinkpay.core.ids import MerchantId, PayinId, new_uuid7
from bitlinkpay.merchants.model import Policy
from bitlinkpay.payins.model import (
    PAYIN,
    Arrived,
    Label,
    Payin,
    PayinEvent,
    PayinState,
    ReturnLinks,
    is_in_time,
    judge,
    wm_status,
)

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
ASKED = 100_000_000
GRACE = timedelta(seconds=10)

# What an order may do: written a second time, by hand, from PRODUCT.md.
MOVES = {
    "created": "picked:created seen:confirming labelled:created completed:paid accepted:paid expired:expired cancelled:cancelled",
    "confirming": "labelled:confirming dropped:created completed:paid accepted:paid",
    "paid": "labelled:paid reversed:paid restored:paid",
    "expired": "labelled:expired completed:paid accepted:paid",
    "cancelled": "labelled:cancelled accepted:paid",
}


def order(**more: object) -> Payin:
    made = Payin(
        payin_id=PayinId(new_uuid7()),
        merchant_id=MerchantId(new_uuid7()),
        source_id="1",
        state=PayinState.CREATED,
        labels=frozenset(),
        coin="USDT",
        asset="usdt-tron",
        units=ASKED,
        accepted_units=0,
        fee_ppm=3000,
        fee_units=0,
        fiat_amount=Decimal(720),
        symbol="USDT/CNY",
        exchange_rate=Decimal("7.2"),
        address="T",
        tag="",
        policy=Policy(),
        callback_url="",
        lang="",
        links=ReturnLinks(),
        request_hash=b"",
        created_at=NOW - timedelta(minutes=30),
        expires_at=NOW,
    )
    return replace(made, **more)  # type: ignore[arg-type]


def money(units: int = ASKED, **more: object) -> Arrived:
    made = Arrived(
        asset="usdt-tron", network="tron", units=units, arrival=Arrival.DIRECT, first_block_at=NOW, grace=GRACE
    )
    return replace(made, **more)  # type: ignore[arg-type]


def label_of(payin: Payin, came: Arrived, earlier: int = 0) -> str:
    return judge(payin, came, order_network="tron", earlier_units=earlier).label or ""


@pytest.mark.parametrize(("state", "event"), list(product(PayinState, PayinEvent)))
def test_every_state_and_event_is_listed_or_refused(state: PayinState, event: PayinEvent):
    listed = dict(move.split(":") for move in MOVES[state].split())
    assert PAYIN.allows(state, event) == (event in listed)
    if event in listed:
        assert PAYIN.next(state, event) == listed[event]
    else:
        with pytest.raises(IllegalMove, match=f"payin: no move from {state} by {event}"):
            PAYIN.next(state, event)


def test_nothing_leads_out_of_paid():
    assert {PAYIN.moves[move] for move in PAYIN.moves if move[0] is PayinState.PAID} == {PayinState.PAID}


def test_odd_money_is_welcome_in_every_state():
    assert all(PAYIN.allows(state, PayinEvent.LABELLED) for state in PayinState)


@pytest.mark.parametrize(
    ("state", "came", "label"),
    [
        ("created", {}, ""),
        ("confirming", {}, ""),
        ("expired", {}, ""),
        ("paid", {}, "double"),
        ("cancelled", {}, "after_cancel"),
        ("created", {"units": ASKED - 1}, "short"),
        ("created", {"units": ASKED + 1}, "over"),
        ("created", {"first_block_at": NOW + GRACE}, ""),
        ("created", {"first_block_at": NOW + GRACE + timedelta(microseconds=1)}, "late"),
        ("expired", {"first_block_at": NOW + GRACE + timedelta(microseconds=1)}, "late"),
        ("created", {"asset": "trx-tron"}, "wrong_asset"),
        ("created", {"asset": "usdt-bsc", "network": "bsc"}, "wrong_network"),
        ("created", {"arrival": Arrival.SYSTEM}, "system"),
        ("created", {"arrival": Arrival.INTERNAL}, ""),
        # the first reason counts
        ("paid", {"network": "bsc", "asset": "usdt-bsc"}, "wrong_network"),
        ("paid", {"asset": "trx-tron", "arrival": Arrival.SYSTEM}, "wrong_asset"),
        ("cancelled", {"first_block_at": NOW + timedelta(days=1)}, "after_cancel"),
        ("paid", {"first_block_at": NOW + timedelta(days=1), "units": 1}, "double"),
        ("expired", {"first_block_at": NOW + timedelta(days=1), "units": 1}, "late"),
    ],
)
def test_the_exact_amount_rule(state: str, came: dict[str, object], label: str):
    assert label_of(order(state=PayinState(state)), money(**came)) == label  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("policy", "units", "earlier", "label", "is_sum"),
    [
        (Policy(), 60, 40, "short", False),
        (Policy(is_summing=True), 60, 40, "", True),
        (Policy(is_summing=True), 59, 40, "short", False),
        (Policy(is_summing=True), 61, 40, "over", False),
        (Policy(is_summing=True, accepts_over=True), 61, 40, "", True),
        (Policy(is_summing=True), 100, 40, "", False),
        (Policy(is_summing=True), 101, 40, "over", False),
        (Policy(is_summing=True, tolerance_ppm=10_000), 59, 40, "", True),
        (Policy(is_summing=True, tolerance_ppm=10_000), 62, 40, "over", False),
        (Policy(tolerance_ppm=10_000), 99, 0, "", False),
        (Policy(tolerance_ppm=10_000), 101, 0, "", False),
        (Policy(tolerance_ppm=10_000), 98, 0, "short", False),
        (Policy(accepts_over=True), 1_000, 0, "", False),
    ],
)
def test_policies(policy: Policy, units: int, earlier: int, label: str, is_sum: bool):
    judgement = judge(order(policy=policy, units=100), money(units), order_network="tron", earlier_units=earlier)
    assert (judgement.label or "", judgement.is_sum) == (label, is_sum)
    assert judgement.completes == (label == "")


def test_late_money_completes_where_the_merchant_takes_it_but_never_after_a_cancel():
    late = money(first_block_at=NOW + timedelta(days=400))
    gentle = Policy(accepts_late=True)
    assert label_of(order(policy=gentle, state=PayinState.EXPIRED), late) == ""
    assert label_of(order(policy=gentle, state=PayinState.CANCELLED), late) == "after_cancel"


@pytest.mark.parametrize(
    ("policy", "units", "earlier", "label"),
    [
        (Policy(accepts_late=True), 99, 0, "late"),
        (Policy(accepts_late=True), 101, 0, "over"),
        (Policy(accepts_late=True, is_summing=True), 59, 40, "late"),
        (Policy(accepts_late=True, is_summing=True), 60, 40, ""),
    ],
)
def test_DEP_09_late_money_that_is_short_leaves_the_status_at_16(policy: Policy, units: int, earlier: int, label: str):
    late = money(units, first_block_at=NOW + timedelta(days=1))
    ended = order(policy=policy, units=100, state=PayinState.EXPIRED)
    judgement = judge(ended, late, order_network="tron", earlier_units=earlier)
    assert (judgement.label or "") == label
    if judgement.label:
        assert wm_status(replace(ended, labels=frozenset({judgement.label}))) == 16


def test_an_order_that_lost_its_payment_takes_another():
    lost = order(state=PayinState.PAID, labels=frozenset({Label.REVERSED}))
    assert lost.has_lost_payment
    assert label_of(lost, money()) == ""
    assert label_of(lost, money(1)) == "short"
    assert not order(labels=frozenset({Label.REVERSED})).has_lost_payment


policies = st.builds(
    Policy,
    tolerance_ppm=st.integers(0, 1_000_000),
    tolerance_units=st.dictionaries(st.just("usdt-tron"), st.integers(0, 10**12)),
    is_summing=st.booleans(),
    accepts_late=st.booleans(),
    accepts_over=st.booleans(),
)


@settings(deadline=None)
@given(policies, st.sampled_from(PayinState), st.integers(1, 10**12), st.integers(0, 10**12), st.integers(-60, 60))
def test_a_gentler_policy_never_refuses_what_the_exact_rule_takes(
    policy: Policy, state: PayinState, units: int, earlier: int, minutes: int
):
    came = money(units, first_block_at=NOW + timedelta(minutes=minutes))
    strict, gentle = order(state=state), order(state=state, policy=policy)
    if label_of(strict, came) == "":
        assert label_of(gentle, came, earlier) == ""


@settings(deadline=None)
@given(policies, st.sampled_from(PayinState), st.integers(1, 10**78 - 1), st.integers(0, 10**78 - 1))
def test_money_has_at_most_one_label_and_a_sum_needs_earlier_money(
    policy: Policy, state: PayinState, units: int, earlier: int
):
    judgement = judge(order(policy=policy, state=state), money(units), order_network="tron", earlier_units=earlier)
    assert not (judgement.is_sum and (judgement.label or not earlier or not policy.is_summing))
    assert judgement == judge(
        order(policy=policy, state=state), money(units), order_network="tron", earlier_units=earlier
    )


@settings(deadline=None)
@given(st.integers(-(10**6), 10**6))
def test_in_time_ends_with_the_grace(offset_ms: int):
    came = money(first_block_at=NOW + GRACE + timedelta(milliseconds=offset_ms))
    assert is_in_time(order(), came) == (offset_ms <= 0)


@pytest.mark.parametrize(
    ("state", "labels", "status"),
    [
        ("created", {"short"}, 0),
        ("confirming", {"short"}, 0),
        ("paid", {"short"}, 8),
        ("cancelled", {"short"}, 12),
        ("expired", set(), 16),
        ("expired", {"short"}, 20),
        ("expired", {"short", "over"}, 20),
        ("expired", {"over", "late", "wrong_asset", "wrong_network", "quarantined"}, 16),
        ("paid", {"reversed"}, 8),
    ],
)
def test_DEP_09_status_20_is_said_of_expired_orders_with_short_money_only(state: str, labels: set[str], status: int):
    made = order(state=PayinState(state), labels=frozenset(Label(label) for label in labels))
    assert wm_status(made) == status
