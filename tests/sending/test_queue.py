"""Which payments go next: fair turns, one purpose and asset a transaction, never more than the wallet holds."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitlinkpay.chains.outgoing import KeyRole, Payment, Purpose, Wallet
from bitlinkpay.core.ids import MerchantId, SendingId, new_uuid7
from bitlinkpay.sending.model import OwnerKind, Sending, SendingState
from bitlinkpay.sending.queue import PATIENCE, Choice, choose

HOT, ADDRESS = Wallet(KeyRole.HOT, 0, "hot"), Wallet(KeyRole.DEPOSIT, 7, "address")
NOW = datetime(2026, 3, 1, tzinfo=UTC)
NATIVE, TOKEN, OTHER = "eth-ethereum", "usdt-ethereum", "dai-ethereum"
MERCHANTS = [MerchantId(new_uuid7()) for _ in range(3)]


def sending(
    units: int,
    merchant: int = 0,
    *,
    asset: str = TOKEN,
    fee: int = 1,
    age: timedelta = timedelta(0),
    purpose: Purpose = Purpose.PAYOUT,
) -> Sending:
    return Sending(
        sending_id=SendingId(new_uuid7()),
        owner=OwnerKind.PAYOUT,
        owner_id=new_uuid7(),
        merchant_id=MERCHANTS[merchant],
        network="ethereum",
        purpose=purpose,
        payer=HOT,
        payment=Payment(HOT, asset, "target", "", units) if units else None,
        fee_max_units=fee,
        state=SendingState.QUEUED,
        transaction_id=None,
        reason="",
        queued_at=NOW - age,
        not_before=NOW - age,
    )


def take(queued: Sequence[Sending], most: int = 50, **free: int) -> Choice:
    held = {("hot", asset): units for asset, units in ((TOKEN, free.get("token", 0)), (NATIVE, free.get("native", 0)))}
    return choose(queued, held, native=NATIVE, most=most, now=NOW)


def test_merchants_take_turns() -> None:
    flood = [sending(1, 0) for _ in range(5)]
    few = [sending(1, 1), sending(1, 1)]
    chosen = take([*flood, *few], most=4, token=100, native=100)
    assert [s.merchant_id for s in chosen.taken] == [MERCHANTS[0], MERCHANTS[1], MERCHANTS[0], MERCHANTS[1]]
    assert chosen.lacking == ()


def test_one_transaction_has_one_asset_and_one_purpose() -> None:
    queued = [sending(1), sending(1, 1, asset=NATIVE), sending(1, 2, purpose=Purpose.SWEEP), sending(2, 1)]
    assert take(queued, token=10, native=10).taken == (queued[0], queued[3])


def test_PAY_31_nobody_overtakes_a_payment_of_the_same_merchant_that_does_not_fit() -> None:
    big, small, other = sending(90), sending(5), sending(5, 1)
    chosen = take([big, small, other], token=20, native=10)
    assert chosen.taken == (other,)
    assert chosen.lacking == (big, small)


def test_PAY_31_after_an_hour_nobody_at_all_overtakes_it() -> None:
    big, other = sending(90, age=PATIENCE), sending(5, 1)
    chosen = take([big, other], token=20, native=10)
    assert chosen.taken == ()
    assert chosen.lacking == (big, other)


@pytest.mark.parametrize("merchant", [0, 1])
def test_PAY_31_what_waits_for_money_does_not_hold_up_the_sweep_that_brings_it(merchant: int) -> None:
    big = sending(90, 0, age=2 * PATIENCE)
    sweep = sending(100, merchant, purpose=Purpose.SWEEP)
    assert sweep.payment
    sweep = replace(sweep, payment=replace(sweep.payment, source=ADDRESS))
    held = {("hot", TOKEN): 20, ("hot", NATIVE): 10, (ADDRESS.address, TOKEN): 100}
    chosen = choose([big, sending(5, 1), sweep], held, native=NATIVE, most=50, now=NOW)
    assert chosen.taken == (sweep,)
    assert len(chosen.lacking) == 2


def test_PAY_32_without_the_coin_for_the_fee_nothing_goes() -> None:
    queued = [sending(5, fee=7)]
    assert take(queued, token=100, native=6).lacking == tuple(queued)
    assert take(queued, token=100, native=7).taken == tuple(queued)


def test_a_native_payment_and_its_fee_come_out_of_the_same_pot() -> None:
    queued = [sending(5, asset=NATIVE, fee=2)]
    assert take(queued, native=6).taken == ()
    assert take(queued, native=7).taken == tuple(queued)


def test_stake_that_is_lent_is_no_money_and_stands_behind_none() -> None:
    loan = replace(sending(900, asset=NATIVE, fee=2, purpose=Purpose.LEND), merchant_id=None)
    assert take([loan], native=1).lacking == (loan,)
    assert take([loan], native=2).taken == (loan,), "its fee is all that it takes"
    starved = sending(90, asset=NATIVE, age=PATIENCE)
    chosen = take([starved, loan], native=2)
    assert (chosen.taken, chosen.lacking) == ((loan,), (starved,))


def test_what_a_loan_covers_of_a_fee_need_not_be_held() -> None:
    covered = replace(sending(5, fee=7), covered_units=6)
    assert take([covered], token=5, native=0).taken == ()
    assert take([covered], token=5, native=1).taken == (covered,)


def test_a_setup_goes_alone() -> None:
    setup = sending(0, purpose=Purpose.SETUP)
    assert take([setup, sending(1)], token=10, native=10).taken == (setup,)


@given(
    st.lists(st.tuples(st.integers(1, 50), st.integers(0, 2), st.integers(0, 3)), max_size=20),
    st.integers(0, 200),
    st.integers(0, 40),
    st.integers(1, 20),
)
def test_PAY_30_never_more_than_there_is_whatever_the_queue_holds(
    queue: list[tuple[int, int, int]], token: int, native: int, most: int
) -> None:
    queued = [sending(units, merchant, fee=fee) for units, merchant, fee in queue]
    chosen = take(queued, most, token=token, native=native)
    assert sum(s.payment.units for s in chosen.taken if s.payment) <= token
    assert sum(s.fee_max_units for s in chosen.taken) <= native
    assert len(chosen.taken) <= most
    assert not set(chosen.taken) & set(chosen.lacking)
    order = {s.sending_id: place for place, s in enumerate(queued)}
    for merchant in MERCHANTS:
        mine = [order[s.sending_id] for s in chosen.taken if s.merchant_id == merchant]
        assert mine == sorted(mine)  # within a merchant the queue's own order
        skipped = [order[s.sending_id] for s in chosen.lacking if s.merchant_id == merchant]
        assert not skipped or not mine or min(skipped) > max(mine)
    if len(chosen.taken) == len(queued):
        assert Counter(chosen.taken) == Counter(queued)
